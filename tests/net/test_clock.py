"""A real agent whose clock is wrong as far as HQ's certificate goes: it asks HQ for the time, believes only HQ's signature over
its own nonce, and judges everything by that from then on. Validation is never off: nothing else is asked meanwhile."""
import shutil

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fake_hq import DAY, HOST, HOUR, Ca, pem
from lab.waiting import wait_until
from real_agent import OUTSIDE, a_box


@pytest.fixture
def box(bin_dir):
    """HQ's certificate begins tomorrow by the box's clock, and it is the day after by HQ's."""
    with a_box(bin_dir) as running:
        running.hq.present(begin=DAY, end=DAY * 9)
        running.hq.ahead = DAY * 2
        yield running


def test_signed_time(box):
    box.start()
    assert wait_until(box.serial, 15, 'a certificate')
    assert box.hq.seen[0] == 'time' and box.hq.seen.count('time') == 1
    box.says("HQ's signed time is taken")
    clock = box.status()['clock']
    assert not clock['believed']


def test_unsigned_time(box):
    """Another key's time is none. What HQ says besides is not listened to, since its certificate is not valid."""
    box.hq.time_key = ec.generate_private_key(ec.SECP256R1())
    box.start()
    box.complains('POST time')
    box.complains('expired or not yet valid')
    assert set(box.hq.seen) == {'time'} and box.hq.seen.count('time') == 1
    assert box.status()['name'] is None


def test_ended_certificate(box):
    """HQ's own certificate has ended: its time says so too, and the box stays away."""
    box.hq.present(begin=-DAY * 9, end=-DAY)
    box.hq.ahead = DAY * 0
    box.start()
    box.complains('expired or not yet valid')
    assert 'nonce' not in box.hq.seen and box.hq.seen.count('time') == 0


UNBOUND_CONF = """\
server:
    interface: {address}@853
    tls-port: 853
    tls-service-pem: "{folder}/dns.pem"
    tls-service-key: "{folder}/dns.key"
    access-control: 0.0.0.0/0 allow
    module-config: "iterator"
    local-zone: "example." redirect
    local-data: "example. A {address}"
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    logfile: ""
    num-threads: 1
remote-control:
    control-enable: no
"""


@pytest.fixture
def box_ahead(bin_dir):
    """A box whose clock is years ahead and whose only name server is one of DNS over TLS, with a certificate of today."""
    with a_box(bin_dir) as running:
        folder, root = running.folder, Ca('DNS Root')
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / 'dns.pem').write_text(pem(root.issue(key.public_key(), 'dns.example', begin=-HOUR * 48, end=DAY * 30)))
        (folder / 'dns.key').write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                           serialization.NoEncryption()))
        (folder / 'dns-anchors.pem').write_text(pem(root.certificate))
        (folder / 'unbound.conf').write_text(UNBOUND_CONF.format(address=OUTSIDE, folder=folder))
        conf = running.conf.read_text() + f'rebind-allow = {{"{HOST}"}}\n'
        conf = conf.replace(f'"{OUTSIDE}"', f'"tls://{OUTSIDE}#dns.example"')
        running.conf.write_text(f'{conf}dot-anchors = "{folder}/dns-anchors.pem"\n')
        (folder / 'etc').mkdir()
        shutil.copy('/etc/ld.so.cache', folder / 'etc')
        (folder / 'etc/ld.so.preload').write_text(f'{bin_dir / "clock_ahead.so"}\n')
        (folder / 'etc/nameplate-clock-ahead').write_text(f'{5 * 365 * 86400}\n')
        server = running.outside.spawn('unbound', '-d', '-c', folder / 'unbound.conf', log=folder / 'unbound.log')
        yield running
        server.terminate()
        server.wait(10)


def test_ahead_with_dns_over_tls_alone(box_ahead):
    """Without DNS there is no HQ, without HQ no time, and without the time no DNS. The box gets out of it by the time that has
    certainly passed, and judges everything by HQ's signed time from then on."""
    box = box_ahead
    box.start(f'mount --bind {box.folder}/etc /etc')  # the children get no environment, and so no LD_PRELOAD
    assert wait_until(box.serial, 60, 'a certificate')
    box.says('is it the clock that is wrong')
    box.says("HQ's signed time is taken")
    assert box.hq.seen[0] == 'time' and box.hq.seen.count('time') == 1
    assert not box.status()['clock']['believed']
