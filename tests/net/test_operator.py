"""The operator's verbs that show the fleet: `nameplate-hq device`, `order` and `stats`, on a real HQ, against docs/schema."""
import json
import sqlite3
import subprocess
import time

import pytest

import schemas
from acmeca.client import AcmeCa
from hqserver import Hq
from lab.waiting import wait_until


@pytest.fixture(scope='module')
def hq(bin_dir, tmp_path_factory):
    running = Hq(bin_dir / 'nameplate-hq', tmp_path_factory.mktemp('operator') / 'hq')
    yield running.start()
    running.stop()


@pytest.fixture(scope='module')
def devices(hq):
    """Five of them; the second has sent a CSR, to a CA that is not there. The database says that the third is blocked, the
    fourth has been silent, and the fifth has left: by its own request."""
    made = [hq.device(f'NP-100{n}') for n in range(5)]
    for n, device in enumerate(made):
        assert device.enrol(v4=[f'192.168.7.{n + 1}']).status == 201
    assert made[1].post_csr(made[1].csr()).status == 202
    change(hq, 'UPDATE device SET state = 1 WHERE id = ?', made[2].id)
    change(hq, 'UPDATE device SET silent_s = ? WHERE id = ?', int(time.time()), made[3].id)
    assert made[4].post(f'/v1/devices/{made[4].id}/leave', {'reason': 'reset'}).status == 204
    return made


def change(hq, statement, *values):
    database = sqlite3.connect(hq.folder / 'data/hq.db', timeout=10)
    with database:
        assert database.execute(statement, values).rowcount == 1
    database.close()


def shown(hq, *words, schema=None):
    """The JSON of a verb, fit for its schema."""
    return schemas.check(schema, json.loads(hq.run(*words, '--json').stdout))


def refused(hq, *words, code=1):
    done = hq.run(*words, check=False)
    assert done.returncode == code and not done.stdout, (done.returncode, done.stdout, done.stderr)
    return done.stderr


def names(rows):
    return [row['name'] for row in rows]


def test_list(hq, devices):
    rows = shown(hq, 'device', 'list', schema='devices')
    assert names(rows) == sorted(device.name for device in devices)
    for state, device in (('blocked', devices[2]), ('silent', devices[3]), ('retired', devices[4])):
        assert names(shown(hq, 'device', 'list', '--state', state, schema='devices')) == [device.name]
    assert len(shown(hq, 'device', 'list', '--state', 'active', schema='devices')) == 2
    assert 'must be active' in refused(hq, 'device', 'list', '--state', 'broken', code=2)
    assert '--limit' in refused(hq, 'device', 'list', '--limit', '0', code=2)


def test_pages(hq, devices):
    walked, after = [], ''
    while page := shown(hq, 'device', 'list', '--limit', '2', '--after', after, schema='devices'):
        walked += names(page)
        after = walked[-1]
    assert walked == sorted(device.name for device in devices)
    lines = hq.run('device', 'list', '--limit', '2').stdout.splitlines()
    assert len(lines) == 4 and lines[3] == f'There are more: --after {walked[1]}, or --limit.'
    assert 'There are more' not in hq.run('device', 'list', '--limit', '5').stdout
    assert hq.run('device', 'list', '--after', 'zzz').stdout == 'There is no such device.\n'


def test_show(hq, devices):
    device = devices[1]
    for word in (device.id, device.name, device.name.upper(), device.name.partition('.')[0], device.serial):
        seen = shown(hq, 'device', 'show', word, schema='device')
        assert seen['id'] == device.id
    assert [order['names'] for order in seen['orders']] == [[device.name]]
    assert {event['event'] for event in seen['timeline']} >= {'enrolled', 'order', 'seen'}
    assert [event['at'] for event in seen['timeline']] == sorted(event['at'] for event in seen['timeline'])
    text = hq.run('device', 'show', device.id).stdout
    assert device.name in text and 'TIMELINE' in text and seen['orders'][0]['id'] in text and '192.168.7.2' in text
    left = shown(hq, 'device', 'show', devices[4].id, schema='device')
    assert left['state'] == 'retired' and 'left' in {event['event'] for event in left['timeline']}


def test_unknown_device(hq, devices):
    label = devices[0].name.partition('.')[0]
    wrong = label[:3] + ('x' if label[3] != 'x' else 'y') + label[4:]
    assert f"no device '{wrong}', did you mean '{label}'?" in refused(hq, 'device', 'show', wrong)
    assert f"did you mean '{devices[0].name}'?" in refused(hq, 'device', 'show', label[:-1])
    assert 'device find TEXT' in refused(hq, 'device', 'show', 'qqqqqqqqqqqq')
    assert all(device.name in refused(hq, 'device', 'show', 'NP-100') for device in devices), 'what it may mean is listed'
    assert 'needs one device' in refused(hq, 'device', 'show', code=2)
    assert 'device list' in refused(hq, 'device', 'lsit', code=2)


def test_serial_of_a_reset_device(hq):
    """Two devices with one serial number: the one that has left is not meant."""
    first = hq.device('NP-2000')
    assert first.enrol().status == 201
    assert first.post(f'/v1/devices/{first.id}/leave', {'reason': 'reset'}).status == 204
    second, third = hq.device('NP-2000'), hq.device('NP-2000')
    assert second.enrol().status == 201
    assert shown(hq, 'device', 'show', 'NP-2000', schema='device')['id'] == second.id
    assert third.enrol().status == 201
    said = refused(hq, 'device', 'show', 'NP-2000')
    assert second.id in said and third.id in said and first.id in said


def test_find(hq, devices):
    found = shown(hq, 'device', 'find', 'NP-100', schema='devices')
    assert {row['id'] for row in found} == {device.id for device in devices}
    assert names(shown(hq, 'device', 'find', '192.168.7.1', schema='devices')) == [devices[0].name]
    assert names(shown(hq, 'device', 'find', devices[3].id[:12], schema='devices')) == [devices[3].name]
    assert len(shown(hq, 'device', 'find', 'NP-100', '--limit', '2', schema='devices')) == 2
    assert "no device '%'" in refused(hq, 'device', 'find', '%')


def test_orders(hq, devices):
    row, = shown(hq, 'order', 'list', schema='orders')
    assert (row['device'], row['names']) == (devices[1].id, [devices[1].name])
    assert shown(hq, 'order', 'show', row['id'], schema='order')['id'] == row['id']
    assert shown(hq, 'order', 'show', devices[1].serial, schema='order')['id'] == row['id']
    assert shown(hq, 'order', 'list', '--device', devices[1].name, schema='orders')[0]['id'] == row['id']
    assert shown(hq, 'order', 'list', '--device', devices[0].name, schema='orders') == []
    assert shown(hq, 'order', 'list', '--state', 'done', schema='orders') == []
    assert hq.run('order', 'list', '--state', 'done').stdout == 'There is no such order.\n'
    assert row['id'] in hq.run('order', 'list').stdout
    assert "did you mean 'queued'?" in refused(hq, 'order', 'list', '--state', 'quued', code=2)
    assert 'has no order' in refused(hq, 'order', 'show', devices[0].id)
    assert 'there is no device' in refused(hq, 'order', 'show', 'qqqqqqqqqqqq')


def test_retry(bin_dir, tmp_path):
    """An order that the CA has refused for good is dead until the operator says otherwise."""
    ca = AcmeCa(tmp_path / 'ca', None)
    hq = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq', '--acme-directory', ca.directory, '--acme-anchors', str(ca.certificate))
    ca.dns_port = hq.dns_port
    with ca:
        try:
            ca.faults({'on': 'newOrder', 'status': 400, 'type': 'rejectedIdentifier', 'count': 1})
            device = hq.start().device('NP-3000')
            assert device.enrol().status == 201 and device.post_csr(device.csr()).status == 202
            wait_until(lambda: shown(hq, 'order', 'list', '--state', 'dead', schema='orders'), 20, 'the order is given up')
            row = shown(hq, 'order', 'show', 'NP-3000', schema='order')
            assert 'rejectedIdentifier' in row['error']
            assert 'rejectedIdentifier' in hq.run('device', 'show', 'NP-3000').stdout
            assert f'{device.name}: order {row["id"]} is in the queue again' in hq.run('order', 'retry', 'NP-3000').stdout
            wait_until(lambda: device.package().status == 200, 20, 'the running server has taken it up')
            assert 'it has led to a certificate' in refused(hq, 'order', 'retry', row['id'])
            seen = shown(hq, 'device', 'show', 'NP-3000', schema='device')
            assert seen['certificate']['n'] == 1 and 'package' in {event['event'] for event in seen['timeline']}
            certificates = shown(hq, 'stats', schema='stats')['certificates']
            assert certificates['total'] == sum(certificates['days']) == 1
        finally:
            hq.stop()


def test_ids_that_look_like_options(hq, devices):
    """One id in 64 begins with a hyphen."""
    for device, first in (devices[0], '-'), (devices[3], '--'):
        moved = first + device.id[len(first):]
        change(hq, 'UPDATE device SET id = ? WHERE id = ?', moved, device.id)
        try:
            assert shown(hq, 'device', 'show', moved, schema='device')['name'] == device.name
            assert json.loads(hq.run('device', 'show', '--json', moved).stdout)['id'] == moved
            assert names(shown(hq, 'device', 'find', moved, schema='devices')) == [device.name]
            assert shown(hq, 'order', 'list', '--device', moved, schema='orders') == []
            assert 'has no order' in refused(hq, 'order', 'show', moved)
        finally:
            change(hq, 'UPDATE device SET id = ? WHERE id = ?', device.id, moved)
    assert "there is no device '-aaaaaaaaaaaaaaaaaaaaa'" in refused(hq, 'device', 'show', '-' + 'a' * 21)
    assert 'unrecognized option' in refused(hq, 'device', 'show', '--' + 'a' * 19, code=2)


def test_stats(hq, devices):
    seen = shown(hq, 'stats', schema='stats')
    assert seen['devices']['blocked'] == 1 and seen['devices']['silent'] == 1 and seen['devices']['retired'] >= 1
    assert sum(version['devices'] for version in seen['versions']) == seen['devices']['active'] + seen['devices']['silent']
    assert seen['certificates']['total'] == 0 == sum(seen['certificates']['days'])
    assert sum(seen['orders']['states'].values()) == 1
    text = hq.run('stats').stdout
    assert 'DEVICES' in text and 'CERTIFICATES' in text and 'ORDERS' in text
    assert 'is not expected' in refused(hq, 'stats', 'more', code=2)


def test_no_database(hq, tmp_path, bin_dir):
    conf = tmp_path / 'other.conf'
    conf.write_text(hq.conf.read_text().replace('hq.db', 'none.db'))
    for words in (['device', 'list'], ['device', 'show', 'x'], ['order', 'list'], ['order', 'show', 'x'], ['stats']):
        done = subprocess.run([bin_dir / 'nameplate-hq', *words, '--config', conf], capture_output=True, text=True, timeout=20,
                              check=False)
        assert done.returncode == 1 and 'there is no database yet' in done.stderr
