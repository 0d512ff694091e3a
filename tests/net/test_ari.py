"""Renewal windows as the CA suggests them (RFC 9773): asked for, obeyed, acted on at once when they move into the past; with
`nameplate-hq serve`, devices in Python and the CA of our own."""
import contextlib
import re
import sqlite3
import time

import pytest
from cryptography import x509

from acmeca.client import AcmeCa
from hqclient import unb64
from hqserver import Hq

DAY = 86400


@pytest.fixture
def ca(dns_port, tmp_path):
    with AcmeCa(tmp_path / 'ca', dns_port, ari=True) as running:
        yield running


@pytest.fixture
def make_hq(bin_dir, tmp_path, ca, dns_port):
    """make_hq(key=value, ...): an HQ that orders from the CA."""
    made = []

    def make(**settings):
        hq = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq', '--acme-anchors', str(ca.certificate))
        text = hq.conf.read_text().replace('https://127.0.0.1:9/dir', ca.directory)
        text = re.sub(rf'127\.0\.0\.1:{hq.dns_port}\b', f'127.0.0.1:{dns_port}', text)
        hq.conf.write_text(text + ''.join(f'{key.replace("_", "-")} = {value}\n' for key, value in settings.items()))
        hq.dns_port = dns_port
        made.append(hq)
        return hq.start()

    yield make
    for hq in made:
        assert hq.stop() == 0, hq.log.read_text()[-3000:]


def enrol(hq, serial, wait_until):
    """A device with its first certificate."""
    device = hq.device(serial)
    assert device.enrol().status == 201
    assert device.post_csr(device.csr()).status == 202
    fetch(device, wait_until, 1)
    return device


def fetch(device, wait_until, n):
    """Polls until package n is there; its leaf."""
    last = None

    def there():
        nonlocal last
        last = device.package()
        return last.status == 200 and last.json['n'] == n

    wait_until(there, 60, f'package {n}', every=0.1)
    device.token = unb64(last.json['auth_token'])
    device.client.close()
    return x509.load_pem_x509_certificate(last.json['chain'].encode())


def query(hq, sql):
    path = next(hq.folder.rglob('*.db'))
    with contextlib.closing(sqlite3.connect(f'file:{path}?mode=ro', uri=True)) as db:
        return list(db.execute(sql))


@contextlib.contextmanager
def a_day_later(hq):
    """HQ is stopped; the certificates that it has are a day old when it runs again, and asked about at once."""
    assert hq.stop() == 0
    path = next(hq.folder.rglob('*.db'))
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f'update renewal set not_before_s = not_before_s - {DAY}, ask_ms = 0')
        db.commit()
    yield
    start_again(hq)


def start_again(hq):
    hq.log.write_text('')  # its 'ready' is waited for
    hq.start()


def orders_of(ca, device):
    return [order for order in ca.orders() if order['names'] == [device.name]]


def ids_of(ca, device):
    return [item['ari_id'] for item in ca.certificates() if item['names'] == [device.name]]


def test_asked_and_obeyed(make_hq, ca, wait_until):
    """A life of a minute, a window in its first third: renewed there, not at two thirds, with `replaces`; the window, the point in
    it and the CA's Retry-After are in the database."""
    ca.set(life_s=60, ari_part=[0.15, 0.25], ari_retry_after='30')
    hq = make_hq()
    device = enrol(hq, 'A-1', wait_until)
    wait_until(lambda: query(hq, 'select window_from_ms from renewal') != [(0,)], 20, 'the first answer')
    (not_before, start, end, point, due, ask), = query(
        hq, 'select not_before_s, window_from_ms, window_until_ms, point_ms, due_ms, ask_ms from renewal')
    assert abs(start - not_before * 1000 - 9000) <= 1000 and abs(end - not_before * 1000 - 15000) <= 1000
    assert start <= point < end and due >= point
    assert (not_before + 30) * 1000 <= ask <= (time.time() + 30) * 1000
    first = ids_of(ca, device)
    second = fetch(device, wait_until, 2)
    begun = orders_of(ca, device)[1]
    assert begun['replaces'] == first[0] and begun['exempt']
    assert begun['created'] * 1000 >= point
    assert second.not_valid_before.timestamp() < not_before + 38, 'long before two thirds'


def test_mass_revocation(make_hq, ca, wait_until):
    """All windows move into the past: everybody is renewed at once and once, and the orders name what they replace."""
    hq = make_hq()
    devices = [enrol(hq, f'M-{n}', wait_until) for n in range(8)]
    first = {device.name: ids_of(ca, device) for device in devices}
    now = time.time()
    with a_day_later(hq):
        ca.set(ari_windows={device.name: [now - 7200, now - 3600] for device in devices})
    for device in devices:
        fetch(device, wait_until, 2)
    for device in devices:
        assert [order['replaces'] for order in orders_of(ca, device)] == [None] + first[device.name]
    assert hq.log.read_text().count('the CA wants it replaced at once') == len(devices)
    # The new certificates' windows are as long over: they are too young for that to count.
    with contextlib.closing(sqlite3.connect(next(hq.folder.rglob('*.db')))) as db:
        db.execute('update renewal set ask_ms = 0')
        db.commit()
    hq.stop()
    start_again(hq)
    wait_until(lambda: query(hq, 'select count(*) from renewal where window_from_ms = 0') == [(0,)], 20, 'all answers')
    assert query(hq, f'select count(*) from renewal where due_ms < {time.time() * 1000:.0f}') == [(0,)]
    assert query(hq, 'select count(*) from orders') == [(2 * len(devices),)]


def test_mass_revocation_within_the_limits(make_hq, ca, wait_until):
    """Where the CA counts renewals, no more are begun at once than it allows, and it has to refuse none."""
    hq = make_hq(acme_renewals_exempt='no', acme_headroom=0, acme_limit_orders='"20/1h"')
    devices = [enrol(hq, f'L-{n}', wait_until) for n in range(6)]
    now = time.time()
    with a_day_later(hq):
        hq.conf.write_text(hq.conf.read_text().replace('20/1h', '9/1h'))
        with contextlib.closing(sqlite3.connect(next(hq.folder.rglob('*.db')))) as db:
            db.execute('delete from bucket')
            db.execute(f'insert into bucket values ({repr(ca.directory)}, 0, "", {(now + 6 * 400) * 1000:.0f})'.replace('"', "'"))
            db.commit()
        ca.set(ari_windows={device.name: [now - 7200, now - 3600] for device in devices})
    wait_until(lambda: query(hq, 'select count(*) from orders where renews > 0 and state = 8') == [(3,)], 30, 'what the limit lets')
    wait_until(lambda: query(hq, "select count(*) from orders where state = 9 and error like '%orders%'") == [(3,)], 30, 'the others, which wait')
    assert ca.stats()['limited'] == 0


def test_inside_the_window_nothing_counts(make_hq, ca, wait_until):
    """The CA allows one certificate a week for the same names: but for a renewal that it has suggested itself, to it and
    to HQ."""
    ca.limits(names=[1, 7 * DAY], orders=[1, 7 * DAY])
    hq = make_hq(acme_headroom=0, acme_limit_names='"1/7d"', acme_limit_orders='"1/7d"')
    device = enrol(hq, 'W-1', wait_until)
    now = time.time()
    with a_day_later(hq):
        ca.set(ari_windows={device.name: [now - 50000, now + 600]})
    fetch(device, wait_until, 2)
    assert [order['exempt'] for order in orders_of(ca, device)] == [False, True]
    assert ca.stats()['limited'] == 0


def test_replaced_already(make_hq, ca, wait_until):
    """The answer to newOrder is lost, so that the CA says alreadyReplaced (409) to the next one: then without it."""
    hq = make_hq()
    device = enrol(hq, 'R-1', wait_until)
    now = time.time()
    with a_day_later(hq):
        ca.set(ari_windows={device.name: [now - 7200, now - 3600]})
        ca.faults({'on': 'newOrder', 'close': True, 'after': True})
    fetch(device, wait_until, 2)
    assert [bool(order['replaces']) for order in orders_of(ca, device)] == [False, True, False]
    assert re.search(r"newOrder again without 'replaces': 409 alreadyReplaced", hq.log.read_text())
    assert query(hq, 'select attempts from orders order by created_ms') == [(0,), (0,)]


def test_of_the_second_ca(make_hq, ca, tmp_path, dns_port, wait_until):
    """Made by the second CA, which says when to renew; done by the first one, which is back, and to which it is new."""
    with AcmeCa(tmp_path / 'second', dns_port, ari=True) as second:
        ca.stop()
        hq = make_hq(acme2_directory=f'"{second.directory}"', acme2_anchors=f'"{second.certificate}"', acme2_terms_agreed='true',
                     acme_switch_after=2)
        device = enrol(hq, 'S-1', wait_until)
        now = time.time()
        ca.start().set(ari=True)
        with a_day_later(hq):
            second.set(ari_windows={device.name: [now - 7200, now - 3600]})
        fetch(device, wait_until, 2)
        wait_until(lambda: query(hq, 'select state from orders where renews > 0') == [(8,)], 20, 'the end of the order')
        # While its account is not known yet the first CA cannot be chosen: then the second one has it, and replaces its own.
        made = [(at, order['replaces']) for at in (ca, second) for order in orders_of(at, device)]
        assert made in ([(ca, None), (second, None)], [(second, None), (second, ids_of(second, device)[0])])
        assert second.requests('renewalInfo') > 0 and ca.stats()['limited'] == second.stats()['limited'] == 0


def test_the_ca_does_not_answer(make_hq, ca, wait_until):
    """No answer, nonsense, an empty window: asked again later, the point in the life stays."""
    hq = make_hq()
    enrol(hq, 'N-1', wait_until)
    before = query(hq, 'select point_ms, due_ms from renewal')
    faults = [{'status': 503, 'retry_after': 7200, 'type': 'serverInternal'}, {'body': 'garbage'}, {'close': True}]
    for n, fault in enumerate(faults):
        with a_day_later(hq):
            ca.faults({'on': 'renewalInfo', 'count': -1} | fault)
        wait_until(lambda n=n: query(hq, 'select failures from renewal') == [(n + 1,)], 20, f'failure {n + 1}')
        (ask,), = query(hq, 'select ask_ms from renewal')
        assert ask >= (time.time() + (7190 if n == 0 else 50 * 2 ** n)) * 1000
    assert query(hq, 'select point_ms, due_ms from renewal') == before
    with a_day_later(hq):
        ca.faults()
    wait_until(lambda: query(hq, 'select failures, window_from_ms > 0 from renewal') == [(0, 1)], 20, 'an answer')


def test_a_ca_without(make_hq, ca, wait_until):
    """A CA that suggests nothing is not asked, and its orders carry nothing."""
    ca.set(ari=False)
    hq = make_hq()
    device = enrol(hq, 'O-1', wait_until)
    (not_before, not_after, point), = query(hq, 'select not_before_s, not_after_s, point_ms from renewal')
    assert 0.64 < (point / 1000 - not_before) / (not_after - not_before) < 0.69
    with a_day_later(hq), contextlib.closing(sqlite3.connect(next(hq.folder.rglob('*.db')))) as db:
        db.execute('update renewal set due_ms = 0')
        db.commit()
    fetch(device, wait_until, 2)
    assert [order['replaces'] for order in orders_of(ca, device)] == [None, None]
    assert ca.requests('renewalInfo') == 0
