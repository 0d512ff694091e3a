"""HQ is killed while a request of each step is on its way at the CA, which goes on to work on it: the next life goes on with
the same order. The CA of our own counts. (With Pebble, and between the steps: test_issuance.py.)"""
import contextlib
import sqlite3

import pytest

from hqdriver import ZONE, Driver


@pytest.fixture
def ca(acmeca):
    acmeca.faults()
    acmeca.limits()
    acmeca.set(caa_identities=['ca.example'], validation_s=0, order_list=False, order_reuse=False)
    return acmeca


@pytest.fixture
def hq(bin_dir, tmp_path, ca, dns_port):
    driver = Driver(bin_dir, tmp_path, dns_port, **{'acme-directory': ca.directory, 'acme-anchors': ca.certificate})
    yield driver
    assert driver.stop() == 0, driver.log()[-3000:]


def query(hq, sql):
    with contextlib.closing(sqlite3.connect(f'file:{hq.folder}/hq.db?mode=ro', uri=True)) as db:
        return list(db.execute(sql))


def orders_of(ca, name):
    return [order for order in ca.orders() if order['names'] == [f'{name}.{ZONE}']]


def order(hq, name):
    hq.say(f'device {name} 192.168.1.7')
    hq.say(f'order {name}')


@pytest.mark.parametrize('resource', ['authz', 'challenge', 'order', 'finalize', 'certificate'])
def test_killed_in_a_request(hq, ca, resource, wait_until):
    """Twice in a row at the same step."""
    name = resource
    if resource == 'challenge':
        ca.set(validation_s=2)  # the zone is back before the CA looks
    hq.start()
    for life in range(2):
        asked = ca.requests(resource)
        ca.faults({'on': resource, 'delay': 0.3})
        if life == 0:
            order(hq, name)
        try:
            wait_until(lambda asked=asked: ca.requests(resource) > asked or query(hq, 'select state from orders') == [(8,)], 30,
                       resource, every=0.002)
        finally:
            hq.kill()
        hq.start()
    wait_until(lambda: query(hq, 'select state from orders') == [(8,)], 60, 'the certificate')
    assert [item['status'] for item in orders_of(ca, name)] == ['valid']
    assert query(hq, 'select attempts from orders') == [(0,)]
    assert query(hq, 'select count(*) from package') == [(1,)]


@pytest.mark.parametrize('memory', ['order_list', 'order_reuse'])
def test_killed_in_new_order(hq, ca, memory, wait_until):
    """The one step that has no URL yet: the order is found in the account's list, or the CA gives the same one again."""
    name = memory.replace('_', '-')
    ca.set(**{memory: True})
    ca.faults({'on': 'newOrder', 'delay': 0.3})
    asked = ca.requests('newOrder')
    hq.start()
    order(hq, name)
    wait_until(lambda: ca.requests('newOrder') > asked, 30, 'newOrder', every=0.002)
    hq.kill()
    wait_until(lambda: orders_of(ca, name), 10, 'the order at the CA')
    hq.start()
    wait_until(lambda: query(hq, 'select state from orders') == [(8,)], 60, 'the certificate')
    assert [item['status'] for item in orders_of(ca, name)] == ['valid']


def test_killed_in_backoff(hq, ca, wait_until):
    """A failed authorization makes a new order, not before its time: however often HQ begins anew."""
    ca.set(caa_identities=['other.example'])
    hq.start()
    order(hq, 'patient')
    wait_until(lambda: query(hq, 'select state from orders') == [(9,)], 20, 'the backoff')
    (when,), = query(hq, 'select next_try_ms from orders')
    for _ in range(3):
        hq.kill()
        before = len(hq.log())
        hq.start()
        wait_until(lambda before=before: 'found' in hq.log()[before:], 20, 'the account')
    assert query(hq, 'select state, next_try_ms, attempts from orders') == [(9, when, 1)]
    assert [item['status'] for item in orders_of(ca, 'patient')] == ['invalid']
    hq.kill()
    with contextlib.closing(sqlite3.connect(hq.folder / 'hq.db')) as db:
        db.execute('update orders set next_try_ms = 1')
        db.commit()
    ca.set(caa_identities=['ca.example'])
    hq.start()
    wait_until(lambda: query(hq, 'select state from orders') == [(8,)], 60, 'the certificate')
    assert [item['status'] for item in orders_of(ca, 'patient')] == ['invalid', 'valid']
