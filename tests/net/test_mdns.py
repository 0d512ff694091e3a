"""`.local`, with a real Avahi beside the front: it publishes the box's host name and, by the file in agent/packaging/avahi, its page."""
import contextlib
import os
import shutil
import socket

import dns.message
import dns.rdatatype
import pytest

from front_process import NAME, Front, exchange, listening, request
from lab.namespaces import Namespace, link
from lab.paths import PREFIX, ROOT
from lab.waiting import wait_until

BOX, LAPTOP = '192.168.7.1', '192.168.7.9'
MDNS = '224.0.0.251', 5353
CONF = '[server]\nhost-name=livingroom\nuse-ipv6=no\nallow-interfaces=eth0\nenable-dbus=no\n[publish]\npublish-workstation=no\n'


@pytest.fixture
def spaces():
    box, laptop = (Namespace(f'{PREFIX}md-{role}-{os.getpid()}') for role in ('box', 'laptop'))
    with contextlib.ExitStack() as stack:
        for namespace in (box, laptop):
            stack.callback(namespace.delete)
            namespace.create()
        link(box, 'eth0', laptop, 'eth0')
        for namespace, address in (box, BOX), (laptop, LAPTOP):
            namespace.ip('address', 'add', f'{address}/24', 'dev', 'eth0')
            namespace.ip('route', 'add', '224.0.0.0/4', 'dev', 'eth0')
        yield box, laptop


@contextlib.contextmanager
def avahi(box, folder):
    """Avahi with the vendor's file, its pid file in a /run of its own."""
    services = folder / 'services'
    services.mkdir()
    shutil.copy(ROOT / 'agent' / 'packaging' / 'avahi' / 'nameplate.service', services)
    (folder / 'avahi.conf').write_text(CONF)
    words = (f'mount --make-rprivate / && mount -t tmpfs tmpfs /run && mount --bind {services} /etc/avahi/services && '
             f'exec avahi-daemon --file={folder}/avahi.conf --no-drop-root --no-chroot --no-rlimits')
    process = box.spawn('unshare', '-m', 'sh', '-c', words, log=folder / 'avahi.log')
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def ask(laptop, name, rdtype):
    """The answers that come over mDNS, as texts (RFC 6762 section 6.7: one query from a port of one's own)."""
    with laptop.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.sendto(dns.message.make_query(name, rdtype).to_wire(), MDNS)
        with contextlib.suppress(TimeoutError, socket.timeout):
            answer = dns.message.from_wire(sock.recv(9000))
            return [item.to_text() for rrset in answer.answer for item in rrset if rrset.rdtype == dns.rdatatype.from_text(rdtype)]
    return []


def test_avahi_leads_to_the_page(spaces, ca, bin_dir, tmp_path):
    box, laptop = spaces
    with box.inside():
        sockets = listening(BOX, 80), listening(BOX, 443)
        index = socket.if_nametoindex('eth0')
        front = Front(bin_dir / 'nameplate', BOX, sockets)
    with front, avahi(box, tmp_path):
        front.start(interfaces=[{'index': index, 'name': 'eth0', 'lan': True, 'v4': [f'{BOX}/24'], 'v6': []}])
        front.send('CERT', ca.certificate_frame(NAME)[0])
        front.stats()
        found = wait_until(lambda: ask(laptop, '_http._tcp.local', 'PTR'), 20, 'the page in mDNS')
        where = wait_until(lambda: ask(laptop, found[0], 'SRV'), 10, 'its place')[0].split()
        assert where[2:] == ['80', 'livingroom.local.']
        assert wait_until(lambda: ask(laptop, 'livingroom.local', 'A'), 10, 'the address') == [BOX]
        with laptop.inside(), front.connect(80) as sock:
            status, _, body = exchange(sock, request('livingroom.local'))
        assert status == 200 and f'data-url="https://{NAME}/" data-go="yes"' in body
