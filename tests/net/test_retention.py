"""Names of boxes that nobody sees any more, and of boxes that want no address in public DNS: a real nameplate-hq, its
database changed while it is stopped."""
import json
import sqlite3
import time

import dns.message
import dns.query
import dns.rcode
import pytest

from hqclient import Client
from hqserver import ZONE, Hq

DAY = 86400


@pytest.fixture
def hq(bin_dir, tmp_path):
    running = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq').start()
    yield running
    running.stop()


def rcode(hq, name, kind='A'):
    answer = dns.query.udp(dns.message.make_query(name, kind), '127.0.0.1', port=hq.dns_port, timeout=2)
    return dns.rcode.to_text(answer.rcode())


def restarted(hq, device, seen_days, beat_days):
    """HQ starts again, the device last seen so many days ago, HQ's own last sign of life so many."""
    assert hq.stop() == 0
    now = int(time.time())
    with sqlite3.connect(hq.folder / 'data' / 'hq.db') as db:
        db.execute('UPDATE device SET last_seen_s = ? WHERE id = ?', (now - seen_days * DAY, device.id))
        db.execute("UPDATE meta SET value = ? WHERE key = 'heartbeat_s'", (now - beat_days * DAY,))
    db.close()
    hq.log.write_text('')
    hq.start()
    device.client = Client(hq.url, hq.folder / 'hq-anchors.pem', ('127.0.0.1', hq.port))


def row(hq, device):
    return next(row for row in json.loads(hq.run('device', 'list', '--json').stdout) if row['id'] == device.id)


def test_records_of_a_silent_box_go_and_come_back(hq, wait_until):
    device, other = hq.device('NP-0001'), hq.device('NP-0002')
    assert device.enrol().status == 201 and other.enrol().status == 201
    wait_until(lambda: hq.lookup(other.name) == ['192.168.1.10'], 5, 'both names')
    restarted(hq, device, 15, 0)
    wait_until(lambda: rcode(hq, device.name) == 'NXDOMAIN', 10, 'the name shows nothing')
    assert rcode(hq, f'_acme-challenge.{device.name}', 'TXT') == 'NXDOMAIN'
    assert hq.lookup(other.name) == ['192.168.1.10']
    assert row(hq, device)['silent'] > 0 and row(hq, other)['silent'] == 0
    assert f'{device.name:40} NP-0001          silent' in hq.run('device', 'list').stdout
    with sqlite3.connect(hq.folder / 'data' / 'hq.db') as db:
        assert db.execute('SELECT count(*) FROM tombstone WHERE name = ?', (device.name,)).fetchone() == (1,)
    db.close()
    # Any sign of life brings everything back.
    assert device.package().status == 202
    wait_until(lambda: hq.lookup(device.name) == ['192.168.1.10'], 5, 'its address is back')
    assert row(hq, device)['silent'] == 0


def test_hqs_own_absence_does_not_count(hq, wait_until):
    device = hq.device('NP-0001')
    assert device.enrol().status == 201
    restarted(hq, device, 20, 12)  # silent for 8 days that HQ was there to see
    wait_until(lambda: rcode(hq, device.name) == 'NOERROR', 5, 'the name')
    assert hq.lookup(device.name) == ['192.168.1.10'] and row(hq, device)['silent'] == 0
    restarted(hq, device, 40, 0)  # with the outage of 12 days: 28
    wait_until(lambda: rcode(hq, device.name) == 'NXDOMAIN', 10, 'the name shows nothing')


def test_local_only_shows_no_address(hq, wait_until):
    device = hq.device('NP-0001')
    assert device.enrol(v4=['192.168.1.10'], v6=['fd00::1'], publish='local-only').status == 201
    answer = device.put_addresses(1, ['10.0.0.1'], ['fd00::2'])
    assert answer.json['published'] == {'v4': [], 'v6': []} and len(answer.json['rejected']) == 2
    wait_until(lambda: rcode(hq, device.name) == 'NOERROR', 5, 'the name exists')
    assert [hq.lookup(device.name, kind) for kind in ('A', 'AAAA')] == [[], []]
    assert hq.lookup(device.name, 'MX') == ['0 .'] and hq.lookup(device.name, 'TXT') == ['"v=spf1 -all"']
    label = device.name.split('.')[0]
    assert hq.lookup(f'_acme-challenge.{device.name}', 'CNAME') == [f'{label}.acme.{ZONE}.']
