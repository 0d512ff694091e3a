"""Two CAs: orders go to the second one while the first is down, and come back; each has its account, its CAA record and its
certificates to revoke."""
import contextlib
import sqlite3

import dns.message
import dns.query
import pytest

from acmeca.client import AcmeCa
from hqdriver import ZONE, Driver
from ports import free_port

# Seconds that the first CA may fail before it is down: as few as the configuration allows would be a race on a slow machine.
AFTER_S = 2


@pytest.fixture
def dns_port():
    return free_port()


@pytest.fixture
def cas(dns_port, tmp_path):
    """Neither is started."""
    made = [AcmeCa(tmp_path / name, dns_port, label=name, caa_identities=[f'{name}.example']) for name in ('one', 'two')]
    yield made
    for ca in made:
        ca.stop()


@pytest.fixture
def hq(bin_dir, tmp_path, cas, dns_port):
    one, two = cas
    driver = Driver(bin_dir, tmp_path, dns_port, **{
        'acme-directory': one.directory, 'acme-anchors': one.certificate, 'acme2-directory': two.directory,
        'acme2-anchors': two.certificate, 'acme2-terms-agreed': True, 'acme-switch-after': AFTER_S,
        # In the other order than the CAs: they are told apart by what they say of themselves.
        'caa': ['two.example', 'one.example']})
    yield driver
    assert driver.stop() == 0, driver.log()[-3000:]


def order(hq, name):
    hq.say(f'device {name} 192.168.1.7')
    hq.say(f'order {name}')


def get(hq, name, deadline=30):
    order(hq, name)
    hq.wait_line(f'chain {name}.{ZONE}', deadline)


def made_by(ca):
    return {name.removesuffix(f'.{ZONE}') for item in ca.certificates() for name in item['names']}


def query(hq, sql):
    with contextlib.closing(sqlite3.connect(f'file:{hq.folder}/hq.db?mode=ro', uri=True)) as db:
        return list(db.execute(sql))


def caa(hq):
    answer = dns.query.udp(dns.message.make_query(ZONE, 'CAA'), '127.0.0.1', 2, port=hq.dns_port)
    return sorted(item.value.decode() for rrset in answer.answer for item in rrset)


def test_accounts(hq, cas, wait_until):
    """Both have an account at once, with a key of its own, and CAA binds each domain to its account."""
    one, two = cas
    one.start()
    two.start()
    hq.start()
    wait_until(lambda: len(one.stats()['accounts']) == len(two.stats()['accounts']) == 1, 10, 'both accounts')
    wanted = [f'{name}.example; accounturi={ca.stats()["accounts"][0]}' for name, ca in (('one', one), ('two', two))]
    wait_until(lambda: caa(hq) == wanted, 5, 'both accounts in CAA')
    keys = [(hq.folder / 'secrets' / f'{prefix}-account.pem').read_bytes() for prefix in ('acme', 'acme2')]
    assert keys[0] != keys[1]
    get(hq, 'plain')
    assert made_by(one) == {'plain'} and made_by(two) == set()
    assert query(hq, 'select ca from package') == [(one.directory,)]


def test_first_is_away(hq, cas, wait_until):
    """Not there when HQ starts: after a while its orders go to the second one, and it gets the next ones once it is
    there."""
    one, two = cas
    two.start()
    hq.start()
    get(hq, 'early')
    assert made_by(two) == {'early'}
    assert f'{one.directory} has not worked for {AFTER_S} s: orders go to another CA' in hq.log()
    get(hq, 'late', 10)
    one.start()
    wait_until(lambda: f'{one.directory} works again' in hq.log(), 30, 'the return of the first CA')
    get(hq, 'back')
    assert made_by(one) == {'back'} and made_by(two) == {'early', 'late'}


def test_first_dies_at_work(hq, cas, wait_until):
    """With an order under way: it is begun anew at the second CA, at once and without a backoff."""
    one, two = cas
    one.start()
    two.start()
    one.set(validation_s=3600)
    hq.start()
    order(hq, 'orphan')
    hq.wait_line(f'order orphan.{ZONE} challenged')
    one.stop()
    hq.wait_line(f'chain orphan.{ZONE}')
    assert made_by(two) == {'orphan'}
    assert query(hq, 'select attempts from orders') == [(0,)]
    assert 'backoff' not in hq.log()


def test_first_issues_nothing(hq, cas, wait_until):
    """It takes orders and finalizes none: those that follow go to the second CA, now and then one is tried, and when
    that one is through the first CA has the orders again."""
    one, two = cas
    one.start()
    two.start()
    one.faults({'on': 'finalize', 'status': 500, 'count': -1})
    hq.start()
    wait_until(lambda: two.stats()['accounts'], 10, 'the second account')
    order(hq, 'stuck')
    wait_until(lambda: 'orders go to another CA' in hq.log(), 30, 'the switch')
    order(hq, 'probe')
    get(hq, 'fine')
    assert 'fine' in made_by(two) and made_by(one) == set()
    one.faults()
    hq.wait_line(f'chain stuck.{ZONE}', 60)
    wait_until(lambda: f'{one.directory} works again' in hq.log(), 10, 'the return')
    get(hq, 'again')
    assert {'stuck', 'again'} <= made_by(one)


def test_killed_at_the_second(hq, cas, wait_until):
    """HQ dies with an order at the second CA while the first is down: it goes on with that order."""
    one, two = cas
    two.start()
    two.set(validation_s=3)
    hq.start()
    order(hq, 'moved')
    hq.wait_line(f'order moved.{ZONE} challenged')
    hq.kill()
    hq.start()
    wait_until(lambda: query(hq, 'select state from orders') == [(8,)], 30, 'the certificate')
    assert len(two.orders()) == 1 and not one.process


def test_second_is_taken_away(hq, cas, wait_until):
    """An order at a CA that is not configured any more is begun anew at the one that is."""
    one, two = cas
    two.start()
    two.set(validation_s=3600)
    hq.start()
    order(hq, 'homeless')
    hq.wait_line(f'order homeless.{ZONE} challenged')
    hq.kill()
    one.start()
    hq.config.write_text(''.join(line for line in hq.config.read_text().splitlines(True) if not line.startswith('acme2')))
    hq.start()
    wait_until(lambda: query(hq, 'select state from orders') == [(8,)], 30, 'the certificate')
    assert made_by(one) == {'homeless'}


def test_overflow(hq, cas):
    """acme2-when = full: what the first CA's limits hold up goes to the second one."""
    one, two = cas
    one.start()
    two.start()
    with hq.config.open('a') as config:
        config.write('acme2-when = full\nacme-limit-orders = "4/1h"\nacme-headroom = 0\n')
    hq.start()
    for n in range(4):
        get(hq, f'many-{n}')
    assert made_by(one) == {'many-0', 'many-1'} and made_by(two) == {'many-2', 'many-3'}


def test_revocation(hq, cas, wait_until):
    """A certificate is revoked at the CA that made it, with its account there."""
    one, two = cas
    two.start()
    hq.start()
    get(hq, 'leaver')
    one.start()
    wait_until(lambda: one.stats()['accounts'], 30, 'the first CA')
    hq.say('leave leaver')
    wait_until(lambda: [item['revoked'] for item in two.certificates()] == [5], 20, 'the revocation')
    assert one.requests('revokeCert') == 0
