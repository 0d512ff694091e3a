"""agent/front as its own process, driven over its channel: redirects, pages, TLS, the relay, and clients that behave badly."""
import concurrent.futures
import contextlib
import os
import re
import socket
import ssl
import time

import pytest

from front_process import NAME, Front, client_context, exchange, get, get_tls, is_closed, listening, parse, request
from lab.namespaces import Namespace, link
from lab.paths import PREFIX


# Port 80


def test_own_name_is_redirected_with_its_path(serving):
    status, headers, body = get(serving, NAME, '/a/b?c=d&e=%0d%0a')
    assert status == 301
    assert headers['location'] == f'https://{NAME}:{serving.https_port}/a/b?c=d&e=%0d%0a'
    assert 'strict-transport-security' not in headers
    assert 'href="https://' in body
    status, headers, _ = get(serving, f'{NAME.upper()}.:80')
    assert (status, headers['location']) == (301, f'https://{NAME}:{serving.https_port}/')
    assert get(serving, NAME, '/form', 'POST')[0] == 308


def test_redirect_waits_for_the_certificate(front, ca):
    status, headers, body = get(front, NAME)
    assert status == 503 and int(headers['retry-after']) > 0 and 'location' not in headers
    assert 'on its way' in body
    front.send('CERT', ca.certificate_frame('other.devices.example')[0])
    front.stats()
    assert get(front, NAME)[0] == 503  # not a redirect to a warning
    front.send('CERT', ca.certificate_frame(NAME)[0])
    front.stats()
    assert get(front, NAME)[0] == 301
    front.send('VIEW', {'version': 1, 'own': [{'name': NAME, 'https': False}]})
    front.stats()
    assert get(front, NAME)[0] == 503  # the agent says that it has expired


@pytest.mark.parametrize('host', ['127.0.0.1', '192.168.1.1', '[fd42::1]', '[fe80::1]:80', 'localhost', 'box.local'])
def test_address_gets_the_page(serving, host):
    status, headers, body = get(serving, host)
    assert status == 200 and headers['content-type'].startswith('text/html')
    assert f'href="https://{NAME}:{serving.https_port}/"' in body and '192.168.1.1' in body and 'fd42::1' in body
    assert 'fe80::' not in body and len(body) < 30_000
    assert headers['cache-control'] == 'no-store' and headers['x-content-type-options'] == 'nosniff'
    assert headers['referrer-policy'] == 'no-referrer' and "default-src 'none'" in headers['content-security-policy']
    assert get(serving, host, '/nothing')[0] == 404


@pytest.mark.parametrize('host', ['evil.example', 'devices.example', f'x.{NAME}', '8.8.8.8', '[2001:db8::1]', 'local', f'{NAME}.evil.example'])
def test_other_hosts_are_misdirected(serving, host):
    status, _, body = get(serving, host)
    assert status == 421
    assert NAME not in body and '192.168' not in body  # a rebound page could read it


@pytest.mark.parametrize('raw, status', [
    (b'GET / HTTP/1.1\r\n\r\n', 400),
    (b'GET / HTTP/1.1\r\nHost: a.local\r\nHost: a.local\r\n\r\n', 400),
    (b'GET / HTTP/1.1\nHost: a.local\n\n', 400),
    (b'GET / HTTP/1.1\r\nHost : a.local\r\n\r\n', 400),
    (b'GET /\x01 HTTP/1.1\r\nHost: a.local\r\n\r\n', 400),
    (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505),
    (b'GET /' + b'a' * 3000 + b' HTTP/1.1\r\nHost: a.local\r\n\r\n', 414),
    (b'GET / HTTP/1.1\r\nHost: a.local\r\nCookie: ' + b'a' * 9000, 431),
    (b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n', 400),
    (b'GET / HTTP/1.0\r\n\r\n', 200),
])
def test_odd_requests(serving, raw, status):
    with serving.connect(serving.http_port) as sock:
        answer = exchange(sock, raw)
    assert answer[0] == status
    if status != 200:
        assert answer[1]['connection'] == 'close' and NAME not in answer[2]


def test_before_there_is_a_name(bin_dir):
    with Front(bin_dir / 'nameplate') as front:
        front.start(name=None)
        status, _, body = get(front, '127.0.0.1')
        assert status == 200 and 'no name yet' in body
        assert get(front, NAME)[0] == 421


def test_keep_alive_and_pipelining(serving):
    one = request('127.0.0.1', close=False)
    with serving.connect(serving.http_port) as sock:
        status, headers, _ = exchange(sock, one * 3 + request('127.0.0.1', '/', 'HEAD'))
        assert status == 200 and headers['connection'] == 'keep-alive'
    assert serving.stats()['requests'] == 4


def test_head_split_into_bytes(serving):
    with serving.connect(serving.http_port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request(NAME, '/slowly'):
            sock.sendall(bytes([byte]))
        assert parse(sock.recv(65536))[0] == 301


def test_half_closed_client_gets_its_answer(serving):
    with serving.connect(serving.http_port) as sock:
        sock.sendall(request(NAME, close=False))
        sock.shutdown(socket.SHUT_WR)
        assert exchange(sock, b'')[0] == 301


# Port 443


def test_closed_before_a_certificate(front):
    with front.connect(front.https_port) as sock:
        assert is_closed(sock)
    assert front.process.poll() is None


def test_page_over_tls(serving, ca):
    status, headers, body = get_tls(serving, ca)
    assert status == 200 and NAME in body and 'Test Home CA' in body and 'securely' in body
    assert 'strict-transport-security' not in headers
    assert re.search(r'<dd>\d+ [A-Z][a-z]+ 20\d\d to \d+ [A-Z][a-z]+ 20\d\d', body)
    assert get_tls(serving, ca, target='/x')[0] == 404
    status, headers, _ = get_tls(serving, ca, '', '/', 'GET')
    assert status == 400
    assert get_tls(serving, ca, 'evil.example')[0] == 421
    status, headers, body = get_tls(serving, ca, method='HEAD')
    assert status == 200 and int(headers['content-length']) > 1000 and body == ''
    status, headers, _ = get_tls(serving, ca, NAME, '/', 'POST', 'Content-Length: 3')
    assert status == 405 and headers['allow'] == 'GET, HEAD' and headers['connection'] == 'close'


def test_sessions_are_resumed_until_the_certificate_changes(serving, ca):
    context = client_context(ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving.connect_tls(ca, context=context) as sock:
        exchange(sock, request(NAME))
        session = sock.session
    with serving.connect_tls(ca, context=context, session=session) as sock:
        assert sock.session_reused
    serving.send('CERT', ca.certificate_frame(NAME)[0])
    serving.stats()
    with serving.connect_tls(ca, context=context, session=session) as sock:
        assert not sock.session_reused


def test_certificate_swap_drops_nobody(serving, ca):
    frame, serial = ca.certificate_frame(NAME)
    with serving.connect_tls(ca) as old:
        old.sendall(request(NAME, '/.nameplate/alive', close=False))
        assert parse(old.recv(65536))[0] == 204
        serving.send('CERT', frame)
        serving.stats()
        with serving.connect_tls(ca) as new:
            der = new.getpeercert()
            assert int(der['serialNumber'], 16) == serial
            assert int(old.getpeercert()['serialNumber'], 16) != serial
            assert exchange(new, request(NAME))[0] == 200
        assert exchange(old, request(NAME))[0] == 200


def test_bad_certificate_frames_change_nothing(serving, ca):
    good, other = ca.certificate_frame(NAME)[0], ca.certificate_frame(NAME)[0]
    for bad in [{}, [], {**good, 'key': other['key']}, {**good, 'chain': 'nonsense'}, {**good, 'key': 'AAAA'},
                {**good, 'key': 7}]:
        serving.send('CERT', bad)
    for bad in [[], {'backend': 'nowhere'}, {'proxy': 'v3'}, {'handshakes': -1}, {'backends': [{'name': 'x'}]}]:
        serving.send('CONF', bad)
    serving.stats()
    assert get_tls(serving, ca)[0] == 200


# Who is served, and how much


@pytest.fixture
def home():
    """A box with a LAN and a WAN cable, and a neighbour at the other end of both, who has a LAN address and sends to the box's LAN
    addresses by either cable: (box, neighbour)."""
    box, neighbour = (Namespace(f'{PREFIX}front-{who}-{os.getpid()}') for who in ('box', 'neighbour'))
    try:
        for namespace in box, neighbour:
            namespace.create()
            for key in 'all', 'default':
                namespace.sysctl(f'ipv4.conf.{key}.rp_filter', 0)
        for name, number in ('lan', 7), ('wan', 9):
            link(box, name, neighbour, name)
            for namespace, last in (box, 1), (neighbour, 2):
                namespace.ip('address', 'add', f'192.168.{number}.{last}/24', 'dev', name)
                namespace.ip('address', 'add', f'fd42:{number}::{last}/64', 'dev', name, 'nodad')
        yield box, neighbour
    finally:
        for namespace in box, neighbour:
            namespace.delete()


@pytest.mark.parametrize('family', [4, 6])
def test_strangers_are_not_admitted(bin_dir, ca, home, family):
    box, neighbour = home
    lan, lan_peer, wan = ('192.168.7.1', '192.168.7.2', '192.168.9.1') if family == 4 else ('fd42:7::1', 'fd42:7::2', 'fd42:9::1')
    with box.inside():
        lan_index, wan_index = socket.if_nametoindex('lan'), socket.if_nametoindex('wan')
        sockets = listening('0.0.0.0' if family == 4 else '::'), listening('0.0.0.0' if family == 4 else '::')
    interfaces = [{'index': lan_index, 'name': 'lan', 'lan': True, 'v4': ['192.168.7.1/24'], 'v6': ['fd42:7::1/64']},
                  {'index': wan_index, 'name': 'wan', 'lan': False, 'v4': ['192.168.9.1/24'], 'v6': ['fd42:9::1/64']}]
    with Front(bin_dir / 'nameplate', lan, sockets) as front, neighbour.inside():
        front.start(interfaces=interfaces)
        front.send('CERT', ca.certificate_frame(NAME)[0])
        assert get(front, NAME)[0] == 301
        assert get_tls(front, ca)[0] == 200
        for port in front.http_port, front.https_port:
            with socket.create_connection((wan, port), 10) as sock:
                assert is_closed(sock)
        assert front.stats()['not-admitted'] == 2
        # A neighbour's LAN address and the box's, but over the WAN cable: only the kernel's word on the interface tells.
        neighbour.ip('route', 'add', f'{lan}/{32 if family == 4 else 128}', 'via', wan, 'dev', 'wan')
        with front.connect(front.http_port, lan_peer) as sock:
            assert is_closed(sock)
        assert front.stats()['not-admitted'] == 3
        front.send('VIEW', {'version': 1, 'interfaces': interfaces, 'allow': [f'{lan_peer}/{32 if family == 4 else 128}']})
        front.stats()
        with front.connect(front.http_port, lan_peer) as sock:
            assert exchange(sock, request('localhost'))[0] == 200
        assert front.close() == 0


def test_slow_clients_are_ended(serving):
    """No handshake, no head, a head that never ends: 10 s each, all at once."""
    def silent(port, drip):
        with serving.connect(port, timeout=20.0) as sock:
            started = time.monotonic()
            sock.sendall(b'GET / HTTP/1.1\r\nX: ' if drip else b'')
            sock.settimeout(1.0)
            while time.monotonic() - started < 20:
                with contextlib.suppress(TimeoutError, socket.timeout):
                    if drip:
                        sock.sendall(b'a')
                    if is_closed(sock):
                        return time.monotonic() - started
                continue
        return None

    def drip_or_reset(*args):
        try:
            return silent(*args)
        except (BrokenPipeError, ConnectionResetError):
            return 10.0

    cases = [(serving.http_port, False), (serving.http_port, True), (serving.https_port, False)]
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        times = list(pool.map(lambda case: drip_or_reset(*case), cases))
    assert all(elapsed and 9 < elapsed < 30 for elapsed in times), times


def test_dropped_listener_keeps_its_connections(serving):
    with serving.connect(serving.http_port) as sock:
        sock.sendall(request(NAME, close=False))
        assert parse(sock.recv(65536))[0] == 301
        serving.send('DROP', [serving.element('http', serving.http)])
        serving.stats()
        serving.http.close()
        with pytest.raises(ConnectionRefusedError):
            serving.connect(serving.http_port)
        assert exchange(sock, request(NAME))[0] == 301


def test_ends_with_its_channel(bin_dir, ca):
    front = Front(bin_dir / 'nameplate')
    front.start()
    front.send('CERT', ca.certificate_frame(NAME)[0])
    front.stats()
    with front.connect_tls(ca), front.connect(front.http_port):
        assert front.close() == 0


def test_nonsense_on_the_channel_is_survived(serving, ca):
    for kind in 'LSTN', 'DROP', 'VIEW', 'CERT', 'CONF', 'NEWS', 'WHAT':
        serving.channel.send(kind.encode() + b'\xff{')
    serving.send('LSTN', [serving.element('http', serving.http)])  # without its descriptor
    serving.stats()
    assert get_tls(serving, ca)[0] == 200
