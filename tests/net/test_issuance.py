"""Issuance against Debian's Pebble, an independent CA, which validates over real DNS against the built-in zone; and the
death of HQ in the middle of it: no second order, no lost certificate."""
import contextlib
import random
import re
import sqlite3
import time

import dns.query
import dns.message
import dns.rcode
import pytest
from cryptography import x509

from hqdriver import ZONE, Driver, Pebble
from lab.waiting import Late
from ports import free_port

STATES = ['ordered', 'txt-queued', 'txt-visible', 'challenged', 'ready', 'finalizing', 'issued']


@pytest.fixture(scope='module')
def ca(dns_port, tmp_path_factory):
    # Every order is to be validated anew, so that no test depends on what an earlier one left.
    running = Pebble(tmp_path_factory.mktemp('pebble'), dns_port, PEBBLE_AUTHZREUSE='0').start()
    yield running
    running.stop()


@pytest.fixture
def hq(bin_dir, tmp_path, ca, dns_port):
    driver = Driver(bin_dir, tmp_path, dns_port, **{
        'acme-directory': ca.directory, 'acme-anchors': ca.certificate, 'acme-contact': 'ops@devices.example'})
    yield driver
    assert driver.stop() == 0, driver.log()[-3000:]


def chain_of(hq, name):
    """The certificates of the chain that was stored for a device, leaf first."""
    path = hq.wait_line(f'chain {name}.{ZONE}').split()[2]
    with open(path, 'rb') as file:
        blocks = re.findall(b'-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n', file.read(), re.S)
    return [x509.load_pem_x509_certificate(block) for block in blocks]


def names_of(certificate):
    return set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName))


def order(hq, name, kind=''):
    hq.say(f'device {name} 192.168.1.7')
    hq.say(f'order {name} {kind}')


def challenge_gone(hq, name):
    response = dns.query.udp(dns.message.make_query(f'{name}.acme.{ZONE}', 'TXT'), '127.0.0.1', 2, port=hq.dns_port)
    return response.rcode() == dns.rcode.NXDOMAIN


def own_ms(hq, name):
    return int(re.search(rf'{name}\.{ZONE}: certificate stored \d+ ms after .*?, HQ (\d+) ms', hq.log())[1])


def test_one_certificate(hq, ca, wait_until):
    before = ca.orders(), ca.certificates()
    order(hq.start(), 'first-one')
    chain = chain_of(hq, 'first-one')
    assert names_of(chain[0]) == {f'first-one.{ZONE}'} and len(chain) >= 2
    assert chain[0].issuer == chain[1].subject
    assert (ca.orders(), ca.certificates()) == (before[0] + 1, before[1] + 1)
    wait_until(lambda: challenge_gone(hq, 'first-one'), 2, 'the TXT taken away')
    assert own_ms(hq, 'first-one') <= 150
    assert (hq.folder / 'secrets' / 'acme-account.pem').stat().st_mode & 0o777 == 0o600


def test_wildcard(hq):
    """Two names with the same challenge name: two values at once."""
    order(hq.start(), 'wild-one', 'wildcard')
    assert names_of(chain_of(hq, 'wild-one')[0]) == {f'wild-one.{ZONE}', f'*.wild-one.{ZONE}'}


def test_two_orders_of_one_device(hq, wait_until):
    """One after the other: they share a challenge name, and would take each other's values away."""
    order(hq.start(), 'twice-one')
    hq.say('order twice-one')
    wait_until(lambda: query(hq, 'select count(*) from orders where state = 8') == [2], 20, 'both certificates')
    log = hq.log()
    assert 'backoff' not in log
    steps = re.findall(r'twice-one\.\S+: \S+ -> (\S+)', log)
    assert steps.index('issued') < len(steps) - 1 - steps[::-1].index('ordered'), steps


def query(hq, sql):
    """The first column of what HQ's database says."""
    with contextlib.closing(sqlite3.connect(f'file:{hq.folder}/hq.db?mode=ro', uri=True)) as db:
        return [row[0] for row in db.execute(sql)]


def issued(hq):
    """The names whose chain is stored and whose order is done."""
    rows = query(hq, 'select d.name from package p join device d on d.id = p.device join orders o on o.device = d.id'
                     ' where o.state = 8')
    return {name.removesuffix(f'.{ZONE}') for name in rows}


def at_rest(hq):
    """Nothing to do now: every order is done, or in a backoff that is not over."""
    return query(hq, f'select count(*) from orders where not (state = 8 or (state = 9 and next_try_ms > {time.time() * 1000:.0f}))') == [0]


def kill_for_hours(hq):
    """Killed, and started again when every backoff is over: an order that the CA could not validate while the zone was
    dead may wait for minutes, and longer each time."""
    hq.kill()
    with contextlib.closing(sqlite3.connect(hq.folder / 'hq.db')) as db:
        db.execute('update orders set next_try_ms = 1 where state = 9')
        db.commit()
    hq.start()


def counts(ca):
    """Orders, less those that the CA found no TXT for while HQ, and with it the zone, was dead; and certificates. RFC
    8555 wants a new order after a failed authorization, so those are no second orders of ours."""
    return ca.orders() - ca.invalidated(), ca.certificates()


@pytest.mark.parametrize('state', STATES)
def test_killed_in_state(hq, ca, state, wait_until):
    """HQ is killed around the moment when the state reaches the disk; the next life goes on with the same order."""
    before = counts(ca)
    name = f'killed-{state}'
    order(hq.start(), name)
    wait_until(lambda: f'-> {state}' in hq.log(), 20, f'state {state}', every=0.0005)
    hq.kill()
    hq.start()
    wait_until(lambda: issued(hq) == {name}, 60, 'the certificate')
    assert counts(ca) == (before[0] + 1, before[1] + 1)
    wait_until(lambda: challenge_gone(hq, name), 2, 'the TXT taken away')


def test_killed_while_queued(hq, ca, wait_until):
    """The CSR is on disk, and newOrder may be on its way: its answer is lost, the order is not made twice."""
    before = counts(ca)
    order(hq.start(), 'killed-queued')
    wait_until(lambda: query(hq, 'select count(*) from orders') == [1], 10, 'the CSR on disk', every=0.0002)
    hq.kill()
    hq.start()
    wait_until(lambda: issued(hq) == {'killed-queued'}, 60, 'the certificate')
    assert counts(ca) == (before[0] + 1, before[1] + 1)


class Stuck(Exception):
    """The CA has locked itself up."""


def patiently(wait_until, ca, condition, what):
    """wait_until, unless the CA is stuck: then nothing will ever come."""
    try:
        wait_until(condition, 20, what, every=0.001)
    except Late:
        if ca.is_stuck():
            raise Stuck from None
        wait_until(condition, 120, what)


def storm(hq, ca, wait_until):
    """Many orders, HQ killed in the middle of eight lives: as many orders at the CA as there were CSRs."""
    names = {f'storm-{n}' for n in range(60)}
    hq.start()
    for name in names:
        order(hq, name)
    wait_until(lambda: query(hq, 'select count(*) from orders') == [len(names)], 20, 'all CSRs on disk', every=0.001)
    for _ in range(8):
        target = hq.log().count(' -> ') + random.randrange(4, 60)
        patiently(wait_until, ca, lambda: hq.log().count(' -> ') >= target or at_rest(hq), 'some progress')
        kill_for_hours(hq)
    patiently(wait_until, ca, lambda: at_rest(hq), 'an end of all orders under way')
    # What the CA looked at while the last life had just ended is in backoff once more.
    for _ in range(3):
        if issued(hq) != names:
            kill_for_hours(hq)
            patiently(wait_until, ca, lambda: at_rest(hq), 'an end of all orders under way')
    assert issued(hq) == names
    assert counts(ca) == (len(names), len(names))


def test_killed_again_and_again(bin_dir, tmp_path, dns_port, wait_until):
    """A storm at a CA of its own. Pebble 2.4 locks itself up now and then when newOrder meets the first look at an
    authorization (FindValidAuthorization and AddChallenge take two locks in opposite order): then with another one."""
    random.seed(7)
    for attempt in range(6):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        ca = Pebble(folder, dns_port, PEBBLE_AUTHZREUSE='0').start()
        hq = Driver(bin_dir, folder, dns_port, **{'acme-directory': ca.directory, 'acme-anchors': ca.certificate})
        try:
            storm(hq, ca, wait_until)
            assert hq.stop() == 0
            return
        except Stuck:
            print(f'Pebble is stuck in storm {attempt}')
        finally:
            hq.kill()
            ca.stop()
    pytest.fail('Pebble got stuck each time')


def test_ca_comes_late(bin_dir, tmp_path, dns_port, wait_until):
    """The CA is away when HQ starts: it waits, without losing the order."""
    late = Pebble(tmp_path, dns_port)
    hq = Driver(bin_dir, tmp_path, dns_port, **{'acme-directory': late.directory, 'acme-anchors': late.certificate}).start()
    try:
        order(hq, 'patient')
        wait_until(lambda: 'directory of' in hq.log(), 5, 'the first failure')
        late.start()
        assert names_of(chain_of(hq, 'patient')[0]) == {f'patient.{ZONE}'}
    finally:
        late.stop()
        assert hq.stop() == 0


def test_untrusted_ca(bin_dir, tmp_path, ca, dns_port, wait_until):
    """A CA whose TLS does not lead to the anchors gets nothing: not even an account."""
    other = tmp_path / 'other'
    other.mkdir()
    stranger = Pebble(other, dns_port)
    hq = Driver(bin_dir, tmp_path, dns_port, **{'acme-directory': ca.directory, 'acme-anchors': stranger.certificate}).start()
    accounts = ca.count('accounts in memory')
    wait_until(lambda: re.search(r'directory of .* failed: TLS', hq.log()), 5, 'the failure')
    assert ca.count('accounts in memory') == accounts
    assert hq.stop() == 0


def test_failed_validation_backs_off(hq, ca, wait_until):
    """The CA asks another server than ours: the authorization fails, the order goes into backoff with the CA's words."""
    blind = Pebble(hq.folder, free_port()).start()
    hq.config.write_text(hq.config.read_text().replace(ca.directory, blind.directory).replace(str(ca.certificate), str(blind.certificate)))
    try:
        order(hq.start(), 'unlucky')
        hq.wait_line(f'order unlucky.{ZONE} backoff')
        wait_until(lambda: challenge_gone(hq, 'unlucky'), 2, 'the TXT taken away')
        assert blind.orders() == 1
        assert re.search(r'-> backoff for \d+ s \(.*\)', hq.log())
    finally:
        blind.stop()


def test_ca_loses_its_memory(bin_dir, tmp_path, dns_port, wait_until):
    """A CA that has forgotten the account (Pebble after a restart): it is made again, and issuance goes on."""
    ca = Pebble(tmp_path, dns_port).start()
    hq = Driver(bin_dir, tmp_path, dns_port, **{'acme-directory': ca.directory, 'acme-anchors': ca.certificate}).start()
    try:
        order(hq, 'before')
        chain_of(hq, 'before')
        ca.stop()
        ca.start()
        order(hq, 'after')
        assert names_of(chain_of(hq, 'after')[0]) == {f'after.{ZONE}'}
        assert 'does not know account' in hq.log()
    finally:
        ca.stop()
        assert hq.stop() == 0
