"""Renewal, check-in and leave as a device meets them: `nameplate-hq serve`, a device in Python, and Pebble with
certificates that live for a minute."""
import contextlib
import json
import re
import sqlite3
import time

import dns.message
import dns.query
import dns.rcode
import pytest
from cryptography import x509

from hqclient import unb64
from hqdriver import Pebble
from hqserver import Hq

LIFE_S = 60


@pytest.fixture(scope='module')
def ca(dns_port, tmp_path_factory):
    running = Pebble(tmp_path_factory.mktemp('pebble'), dns_port, life_s=LIFE_S, PEBBLE_AUTHZREUSE='0').start()
    yield running
    running.stop()


@pytest.fixture
def hq(bin_dir, tmp_path, ca, dns_port):
    running = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq', '--acme-anchors', str(ca.certificate))
    text = running.conf.read_text().replace('https://127.0.0.1:9/dir', ca.directory)
    running.conf.write_text(re.sub(rf'127\.0\.0\.1:{running.dns_port}\b', f'127.0.0.1:{dns_port}', text))
    running.dns_port = dns_port
    running.start()
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def device(hq, wait_until):
    """A device that has its first certificate."""
    device = hq.device('R-0001')
    assert device.enrol().status == 201
    assert device.post_csr(device.csr()).status == 202
    fetch(device, wait_until, 1)
    return device


def leaf(answer):
    return x509.load_pem_x509_certificate(answer.json['chain'].encode())


def fetch(device, wait_until, n, deadline=20.0):
    """Polls until package n is there, and takes its token."""
    last = None

    def there():
        nonlocal last
        last = device.package()
        return last.status == 200 and last.json['n'] == n

    wait_until(there, deadline, f'package {n}', every=0.1)
    device.token = unb64(last.json['auth_token'])
    device.certificate = leaf(last)
    device.n = n
    return last


def state(device, **changes):
    """What the device says of its certificate."""
    return {'n': device.n, 'not_after': int(device.certificate.not_valid_after.timestamp())} | changes


def checkin(device, certificate, seq=0, v4=('192.168.1.10',)):
    body = json.dumps({'seq': seq, 'v4': list(v4), 'v6': [], 'certificate': certificate, 'version': '0.2.0',
                       'health': 'ok'})
    return device.client.request('POST', f'/v1/devices/{device.id}/checkin', body, Content_Type='application/json',
                                 Authorization=device.bearer())


def start_again(hq, device):
    """HQ after its end; the device's connection has ended with it."""
    device.client.close()
    hq.log.write_text('')
    hq.start()


def query(hq, sql):
    path = next(hq.folder.rglob('*.db'))
    with contextlib.closing(sqlite3.connect(f'file:{path}?mode=ro', uri=True)) as db:
        return [row[0] for row in db.execute(sql)]


def rcode(hq, name):
    return dns.query.udp(dns.message.make_query(name, 'A'), '127.0.0.1', port=hq.dns_port, timeout=2).rcode()


def packages(hq):
    return query(hq, 'select max(n) from package')[0]


def test_renewed_without_a_request(hq, ca, device, wait_until):
    """Certificate 2 is there before certificate 1 ends, and the device has said nothing since the first."""
    orders = ca.orders()
    assert checkin(device, state(device)).json['certificate'] == 'keep'
    listed = json.loads(hq.run('device', 'list', '--json').stdout)[0]
    first = listed['certificate']
    assert first['not_after'] == state(device)['not_after']
    life = first['not_after'] - first['not_before']
    assert first['not_before'] + life * 0.64 <= first['renewal'] <= first['not_before'] + life * 0.69
    wait_until(lambda: packages(hq) == 2, LIFE_S, 'the second certificate', every=0.2)
    assert time.time() < first['not_after'] - life / 4, 'renewed before a quarter is left'
    assert ca.orders() == orders + 1
    answer = checkin(device, state(device))
    assert answer.json['certificate'] == 'fetch'
    assert 1 <= answer.json['next'] <= 86400 * 3 / 2
    fetched = fetch(device, wait_until, 2)
    assert leaf(fetched).not_valid_after.timestamp() > first['not_after']
    assert checkin(device, state(device)).json['certificate'] == 'keep'


def test_renewed_over_a_restart(hq, ca, device, wait_until):
    """HQ is dead when the time comes; the due time is in the database. One order only."""
    orders = ca.orders()
    due = query(hq, 'select due_ms from renewal')[0] / 1000
    hq.stop(9)
    wait_until(lambda: time.time() > due, LIFE_S, 'the renewal point')
    start_again(hq, device)
    fetch(device, wait_until, 2)
    assert ca.orders() == orders + 1


@pytest.mark.parametrize('word', ['queued', 'ordered', 'txt-queued', 'txt-visible', 'challenged', 'ready', 'finalizing',
                                  'issued'])
def test_killed_in_a_renewal(hq, ca, device, wait_until, word):
    """HQ is killed in the middle of a renewal: the old package stays, the next life goes on with the same order."""
    hq.stop()
    hq.conf.write_text(re.sub(r'(?m)^log-level.*$', '', hq.conf.read_text()) + 'log-level = debug\n')
    with contextlib.closing(sqlite3.connect(next(hq.folder.rglob('*.db')))) as db:
        db.execute('update renewal set due_ms = 0')
        db.commit()
    before = ca.orders() - ca.invalidated(), ca.certificates()
    start_again(hq, device)
    sign = 'order for certificate 2' if word == 'queued' else f'-> {word}'
    wait_until(lambda: sign in hq.log.read_text(), 20, sign, every=0.0005)
    hq.stop(9)
    assert packages(hq) in (1, 2)
    start_again(hq, device)
    # Where the CA asked for the TXT while HQ, and with it the zone, was dead, a new order comes after half a minute.
    fetch(device, wait_until, 2, deadline=LIFE_S)
    assert (ca.orders() - ca.invalidated(), ca.certificates()) == (before[0] + 1, before[1] + 1)


def test_long_off(hq, device, wait_until):
    """A device that nobody had seen for long is not renewed; when it comes back it is told to wait, and has its
    certificate in seconds."""
    hq.stop()
    with contextlib.closing(sqlite3.connect(next(hq.folder.rglob('*.db')))) as db:
        db.execute('update device set last_seen_s = last_seen_s - 40 * 86400')
        db.execute('update renewal set point_ms = 0, due_ms = 0')
        db.execute('update package set not_before_s = not_before_s - 5000000, not_after_s = not_after_s - 5000000')
        db.commit()
    start_again(hq, device)
    wait_until(lambda: query(hq, 'select due_ms from renewal')[0] > time.time() * 1000 + 80_000_000, 5, 'a parked row')
    assert query(hq, 'select count(*) from orders') == [1]
    gone = state(device)
    gone['not_after'] -= 5000000
    assert checkin(device, gone).json['certificate'] == 'wait'
    fetch(device, wait_until, 2)


def test_leave(hq, ca, device, wait_until):
    assert rcode(hq, device.name) == dns.rcode.NOERROR
    serial = device.certificate.serial_number
    assert not ca.is_revoked(serial)
    path = f'/v1/devices/{device.id}/leave'
    assert device.post(path, {'reason': 'boredom'}).problem == 'malformed'
    left = device.post(path, {'reason': 'compromise'})
    assert (left.status, left.body) == (204, b'')
    assert device.post(path, {'reason': 'compromise'}).status == 204
    wait_until(lambda: rcode(hq, device.name) == dns.rcode.NXDOMAIN, 5, 'NXDOMAIN')
    wait_until(lambda: ca.is_revoked(serial), 10, 'the revocation at the CA')
    assert ca.status(serial).get('Reason') == 1
    for answer in (device.package(), checkin(device, None), device.put_addresses(5, ['192.168.1.3']), device.session()):
        assert (answer.status, answer.problem) == (410, 'retired')
    assert query(hq, 'select name from tombstone') == [device.name]
    assert query(hq, 'select count(*) from renewal') == [0]
    assert json.loads(hq.run('device', 'list', '--json').stdout)[0]['state'] == 'retired'
    # The same box after its reset gets another name, whatever grant it shows.
    device.epoch = bytes(16)
    name = device.name
    assert device.enrol().status == 201
    assert device.name != name


def test_revoked_later(hq, ca, device, wait_until):
    """The CA is away when the device leaves, and HQ restarts meanwhile: the revocation waits in the database."""
    serial = device.certificate.serial_number
    with ca.paused():
        assert device.post(f'/v1/devices/{device.id}/leave', {'reason': 'resale'}).status == 204
        hq.stop(9)
        start_again(hq, device)
        assert query(hq, 'select state from revocation') == [0]
    wait_until(lambda: ca.is_revoked(serial), 30, 'the revocation at the CA')
    assert ca.status(serial).get('Reason') == 5
