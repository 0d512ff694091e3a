"""The CA's rate limits: HQ stays below those that it knows, over its death, too, and takes a refusal for what it is."""
import contextlib
import sqlite3

import pytest

from hqdriver import ZONE, Driver


@pytest.fixture
def ca(acmeca):
    acmeca.faults()
    acmeca.limits()
    acmeca.set(domain=ZONE, caa_identities=['ca.example'], order_list=True)
    return acmeca


@pytest.fixture
def make_hq(bin_dir, tmp_path, ca, dns_port):
    made = []

    def make(**settings):
        settings = {key.replace('_', '-'): value for key, value in settings.items()}
        made.append(Driver(bin_dir, tmp_path, dns_port, **{'acme-directory': ca.directory, 'acme-anchors': ca.certificate,
                                                           'acme-headroom': 0} | settings))
        return made[-1]

    yield make
    for driver in made:
        assert driver.stop() == 0, driver.log()[-3000:]


def order(hq, name):
    hq.say(f'device {name} 192.168.1.7')
    hq.say(f'order {name}')


def query(hq, sql):
    with contextlib.closing(sqlite3.connect(f'file:{hq.folder}/hq.db?mode=ro', uri=True)) as db:
        return list(db.execute(sql))


def begun(ca, prefix):
    return [order for order in ca.orders() if order['names'][0].startswith(prefix)]


def done(hq, prefix):
    return query(hq, f"select count(*) from orders o join device d on d.id = o.device where o.state = 8 and d.name like '{prefix}%'")[0][0]


def test_never_refused(make_hq, ca, wait_until):
    """30 in 15 s, of which new devices may use 15 at once: the CA, which counts in the same way for itself, never has
    to say no, though HQ is killed in the middle and begins anew with the buckets in its database."""
    limited = ca.stats()['limited']
    ca.limits(orders=[30, 15])
    hq = make_hq(acme_limit_orders='30/15s').start()
    for n in range(20):
        order(hq, f'paced-{n}')
    wait_until(lambda: len(begun(ca, 'paced-')) >= 15, 20, 'the first 15 orders', every=0.005)
    hq.kill()
    hq.start()
    wait_until(lambda: done(hq, 'paced-') == 20, 60, 'all certificates')
    assert ca.stats()['limited'] == limited
    # What the CA looked for while HQ, and with it the zone, was dead had to be begun anew.
    made = sorted(item['created'] for item in begun(ca, 'paced-') if item['status'] != 'invalid')
    assert len(made) == 20 and 5 <= (made[-1] - made[0]) * 2 + 0.5, 'at most two a second after the first 15'


def test_ca_knows_better(make_hq, ca, wait_until):
    """The CA allows less than HQ was told: it says no once or twice, HQ waits as it was told, and all is made."""
    limited = ca.stats()['limited']
    ca.limits(orders=[4, 4])
    hq = make_hq(acme_limit_orders='1000/1h').start()
    for n in range(6):
        order(hq, f'learns-{n}')
    wait_until(lambda: done(hq, 'learns-') == 6, 60, 'all certificates')
    assert 1 <= ca.stats()['limited'] - limited <= 8
    assert "the CA's limit 'orders' is reached sooner than thought" in hq.log()


def test_one_device_holds_up_nobody(make_hq, ca, wait_until):
    """A limit that is one device's own is its own alone: the next one has its certificate at once."""
    ca.limits(names=[1, 36000])
    hq = make_hq(acme_limits='letsencrypt').start()
    order(hq, 'greedy')
    wait_until(lambda: done(hq, 'greedy') == 1, 20, 'the first certificate')
    hq.say('order greedy')
    hq.wait_line(f'order greedy.{ZONE} backoff')
    order(hq, 'modest')
    hq.wait_line(f'chain modest.{ZONE}')
    (wait_ms, error), = query(hq, 'select next_try_ms - updated_ms, error from orders where state = 9')
    assert 35000000 < wait_ms < 40000000 and 'exact set' in error
    # HQ has learned it: the next order for these names does not even ask.
    asked = ca.requests('newOrder')
    hq.say('order greedy')
    wait_until(lambda: query(hq, "select count(*) from orders where state = 9 and error like '%names%'") == [(1,)], 10, 'a deferred order')
    assert ca.requests('newOrder') == asked


def test_pause(make_hq, ca, wait_until):
    """503 with Retry-After: no order of anybody is begun before that."""
    hq = make_hq().start()
    ca.faults({'on': 'newOrder', 'status': 503, 'retry_after': 3, 'count': 1})
    asked = ca.requests('newOrder')
    order(hq, 'told')
    wait_until(lambda: 'no new orders for 3 s' in hq.log(), 10, 'the pause')
    wait_until(lambda: query(hq, 'select count(*) from bucket where kind = 4') == [(1,)], 5, 'the pause on disk')
    (until_ms,), = query(hq, 'select full_ms from bucket where kind = 4')
    order(hq, 'waiting')
    assert ca.requests('newOrder') == asked + 1
    hq.wait_line(f'chain waiting.{ZONE}')
    hq.wait_line(f'chain told.{ZONE}')
    assert all(item['created'] * 1000 >= until_ms for item in begun(ca, 'told') + begun(ca, 'waiting'))


def test_failed_authorizations(make_hq, ca, wait_until):
    """Two failures in an hour are all that there may be: the third order waits, however soon its backoff is over. And a
    failed order gives back what it had paid for a certificate."""
    ca.set(caa_identities=['other.example'])
    hq = make_hq(acme_limit_failures='2/1h', acme_limit_domain='2/1h').start()
    order(hq, 'fails')
    for n in range(2):
        wait_until(lambda n=n: len([1 for item in begun(ca, 'fails') if item['status'] == 'invalid']) == n + 1, 20, f'failure {n + 1}')
        wait_until(lambda: query(hq, 'select state from orders') == [(9,)], 10, 'the backoff')
        assert query(hq, 'select paid from orders') == [(0,)]
        hq.kill()
        with contextlib.closing(sqlite3.connect(hq.folder / 'hq.db')) as db:
            db.execute('update orders set next_try_ms = 0')
            db.commit()
        hq.start()
    wait_until(lambda: query(hq, "select count(*) from orders where state = 9 and error like '%failures%'") == [(1,)], 10, 'a deferred order')
    assert len(begun(ca, 'fails')) == 2
    assert query(hq, "select count(*) from bucket where kind = 1 and full_ms > 1000 * unixepoch() + 60000") == [(0,)]
