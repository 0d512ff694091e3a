"""Issuance against a CA that does everything wrong that a CA can do (tests/support/acmeca), fault by fault."""
import base64
import contextlib
import json
import re
import sqlite3

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from acmeca.client import BAD_NONCE
from hqdriver import ZONE, Driver

RESOURCES = ['newOrder', 'authz', 'challenge', 'order', 'finalize', 'certificate']
STEPS = ['newOrder', 'authorization', 'answer challenge', 'order', 'finalize', 'download']  # the same in HQ's log


@pytest.fixture
def ca(acmeca):
    """The CA with its own settings, at its best behaviour."""
    acmeca.faults()
    acmeca.limits()
    acmeca.set(caa_identities=['ca.example'], poll_retry_after='', validation_s=0, processing_s=0, authz_life_s=3600, eab={})
    return acmeca


def make_hq(bin_dir, folder, dns_port, ca, **settings):
    return Driver(bin_dir, folder, dns_port, **{'acme-directory': ca.directory, 'acme-anchors': ca.certificate} | settings)


@pytest.fixture
def hq(bin_dir, tmp_path, ca, dns_port):
    driver = make_hq(bin_dir, tmp_path, dns_port, ca)
    yield driver
    assert driver.stop() == 0, driver.log()[-3000:]


def order(hq, name):
    hq.say(f'device {name} 192.168.1.7')
    hq.say(f'order {name}')


def chain_of(hq, name, deadline=30):
    """The certificates that were stored for a device, leaf first."""
    path = hq.wait_line(f'chain {name}.{ZONE}', deadline).split()[2]
    with open(path, 'rb') as file:
        blocks = re.findall(b'-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n', file.read(), re.S)
    return [x509.load_pem_x509_certificate(block) for block in blocks]


def orders_of(ca, name):
    return [order for order in ca.orders() if order['names'] == [f'{name}.{ZONE}']]


def hurry(hq):
    """Orders in backoff are due now: in the database, between two lives of HQ."""
    hq.kill()
    with contextlib.closing(sqlite3.connect(hq.folder / 'hq.db')) as db:
        db.execute('update orders set next_try_ms = 0')
        db.commit()
    hq.start()


def test_leaf_without_a_name_in_its_subject(hq, ca):
    """An ECDSA chain whose leaf has an empty subject and a critical SAN; CAA with accounturi was looked at."""
    order(hq.start(), 'plain')
    leaf = chain_of(hq, 'plain')[0]
    assert list(leaf.subject) == []
    assert leaf.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).critical
    assert [item['status'] for item in orders_of(ca, 'plain')] == ['valid']


def test_many_at_once(hq, ca):
    """As many orders as there are names, over a few kept connections. (Not with Pebble, which locks itself up under it.)"""
    before = ca.stats()
    hq.start()
    names = [f'many-{n}' for n in range(150)]
    for name in names:
        order(hq, name)
    for name in names:
        chain_of(hq, name, 60)
    after = ca.stats()
    assert len(after['orders']) == len(before['orders']) + len(names)
    assert after['connections'] - before['connections'] <= 20 and 'backoff' not in hq.log()


def test_caa_of_another_ca(hq, ca):
    """The zone's CAA names somebody else: refused, and the CA's words are kept."""
    ca.set(caa_identities=['other.example'])
    order(hq.start(), 'caa')
    hq.wait_line(f'order caa.{ZONE} backoff')
    assert re.search(rf'caa.{ZONE}: challenged -> backoff .*the CAA records of caa.{ZONE} allow neither', hq.log())


def test_bad_nonces(hq, ca):
    """Nine in a row for one request are borne; the order does not notice."""
    hq.start()
    ca.faults(BAD_NONCE | {'on': 'newOrder', 'count': 9})
    order(hq, 'nonces')
    chain_of(hq, 'nonces')
    assert 'backoff' not in hq.log() and len(orders_of(ca, 'nonces')) == 1


def test_storm_of_bad_nonces(hq, ca):
    """More bad ones than are borne, at every step: requests end and are made again later, no order is lost or made twice."""
    hq.start()
    for n in range(5):
        order(hq, f'storm-{n}')
    ca.faults(*[BAD_NONCE | {'on': resource, 'count': 12} for resource in RESOURCES])
    for n in range(5):
        chain_of(hq, f'storm-{n}')
        assert len(orders_of(ca, f'storm-{n}')) == 1


def test_answers_no_at_every_step(hq, ca):
    """Once at each step: the step is repeated, after Retry-After where there is one, on the same order."""
    refusals = [(503, 'serverInternal'), (429, 'rateLimited'), (500, 'serverInternal')] * 2
    ca.faults(*[{'on': resource, 'status': status, 'type': kind} | ({'retry_after': 1} if status == 503 else {})
                for resource, (status, kind) in zip(RESOURCES, refusals)])
    order(hq.start(), 'refused')
    chain_of(hq, 'refused')
    assert len(orders_of(ca, 'refused')) == 1
    for step, (status, kind) in zip(STEPS, refusals):
        assert f'refused.{ZONE}: {step}: {status} {kind}' in hq.log()


@pytest.mark.parametrize('bodies', [('garbage', 'html', 'huge', 'cut'), ('cut', 'huge', 'garbage', 'html')])
def test_nonsense_at_every_step(hq, ca, bodies):
    """Once at each step but newOrder (there nobody can know what became of it): repeated, on the same order."""
    name = f'nonsense-{bodies[0]}'
    ca.faults(*[{'on': resource, 'body': body} for resource, body in zip(RESOURCES[1:-1], bodies)])
    order(hq.start(), name)
    chain_of(hq, name)
    assert len(orders_of(ca, name)) == 1


def test_nonsense_instead_of_a_chain(hq, ca):
    """The order is lost: the error says why, and a new one brings the certificate."""
    ca.faults({'on': 'certificate', 'body': 'garbage'})
    order(hq.start(), 'no-chain')
    hq.wait_line(f'order no-chain.{ZONE} backoff')
    assert "the CA's chain is not good" in hq.log()
    hurry(hq)
    chain_of(hq, 'no-chain')


@pytest.mark.parametrize('after', [False, True])
def test_cuts_the_connection_at_every_step(hq, ca, after):
    """Without an answer, before or after the work was done. Only newOrder's lost answer costs an order."""
    name = f'cut-{"after" if after else "before"}'
    ca.faults(*[{'on': resource, 'close': True, 'after': after} for resource in RESOURCES])
    order(hq.start(), name)
    chain_of(hq, name)
    assert len(orders_of(ca, name)) == (2 if after else 1)
    assert 'backoff' not in hq.log()


def test_slow_ca(hq, ca):
    """Time for everything, and polls that are to wait a second: one order, few polls."""
    ca.set(validation_s=1.2, processing_s=1.2, poll_retry_after='1')
    ca.faults({'on': '*', 'count': -1, 'delay': 0.2})
    before = ca.requests('order')
    order(hq.start(), 'slow')
    chain_of(hq, 'slow')
    assert len(orders_of(ca, 'slow')) == 1
    assert ca.requests('order') - before <= 8


def test_authorization_expires(hq, ca):
    """Its life ends before the challenge is answered: a new order, after a pause."""
    ca.set(authz_life_s=0.5)
    ca.faults({'on': 'challenge', 'delay': 1})
    order(hq.start(), 'expired')
    hq.wait_line(f'order expired.{ZONE} backoff')
    ca.set(authz_life_s=3600)
    hurry(hq)
    chain_of(hq, 'expired')
    assert [item['status'] for item in orders_of(ca, 'expired')] == ['invalid', 'valid']


def test_authorization_expires_before_finalize(hq, ca):
    """Valid, then over: the CA refuses to finalize, and the order is begun anew."""
    ca.set(authz_life_s=1)
    ca.faults({'on': 'finalize', 'delay': 1.2})
    order(hq.start(), 'overdue')
    hq.wait_line(f'order overdue.{ZONE} backoff')
    ca.set(authz_life_s=3600)
    hurry(hq)
    chain_of(hq, 'overdue')


def test_external_account_binding(bin_dir, tmp_path, ca, dns_port, wait_until):
    """No account without it, none with a wrong key, one with the right key."""
    key = base64.urlsafe_b64encode(b'k' * 32).decode().rstrip('=')
    (tmp_path / 'mac').write_text(base64.urlsafe_b64encode(b'x' * 32).decode() + '\n')
    ca.set(eab={'kid-1': key})
    accounts = len(ca.stats()['accounts'])
    bare = make_hq(bin_dir, tmp_path, dns_port, ca).start()
    wait_until(lambda: 'set acme-eab-kid and acme-eab-key-file' in bare.log(), 10, 'the reason')
    assert bare.stop() == 0
    hq = make_hq(bin_dir, tmp_path, dns_port, ca, **{'acme-eab-kid': 'kid-1', 'acme-eab-key-file': tmp_path / 'mac'}).start()
    wait_until(lambda: 'newAccount' in hq.log() and 'external account binding does not verify' in hq.log(), 10, 'the refusal')
    assert hq.stop() == 0
    assert len(ca.stats()['accounts']) == accounts
    (tmp_path / 'mac').write_text(key)
    order(hq.start(), 'bound')
    chain_of(hq, 'bound')
    assert hq.stop() == 0
    assert len(ca.stats()['accounts']) == accounts + 1


def test_pebble_wants_a_binding(bin_dir, tmp_path, dns_port):
    """The same with Pebble, who read the RFC for himself."""
    from hqdriver import Pebble
    pebble = Pebble(tmp_path, dns_port, eab={'kid-1': base64.urlsafe_b64encode(b'k' * 32).decode().rstrip('=')})
    (tmp_path / 'mac').write_text(base64.urlsafe_b64encode(b'k' * 32).decode())
    hq = make_hq(bin_dir, tmp_path, dns_port, pebble, **{'acme-eab-kid': 'kid-1', 'acme-eab-key-file': tmp_path / 'mac'})
    pebble.start()
    try:
        order(hq.start(), 'bound')
        chain_of(hq, 'bound')
    finally:
        pebble.stop()
        assert hq.stop() == 0
    assert json.loads(pebble.config.read_text())['pebble']['externalAccountBindingRequired']
