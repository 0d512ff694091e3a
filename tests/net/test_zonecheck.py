"""`nameplate-hq zone check` and `zone repair`: a real HQ with its own DNS, with BIND, and with a BIND that transfers
nothing; the zone is changed behind its back."""
import json
import sqlite3
from pathlib import Path

import dns.query
import dns.update
import jsonschema
import pytest

from hqserver import ZONE, Hq
from nameservers import ACME, Bind, Key, Knot

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / 'docs/schema/zone-check.schema.json').read_text())
AGREES, FAILED, DIFFERS = 0, 1, 3


@pytest.fixture
def keys(tmp_path):
    return Key(tmp_path, 'hq-zone'), Key(tmp_path, 'hq-acme')


@pytest.fixture
def started(tmp_path, keys, bin_dir):
    running = []

    def start(kind, name='server', **options):
        running.append(kind(tmp_path / name, *keys, **options).start())
        return running[-1]

    def hq(*servers, nameservers=None):
        one = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq')
        if servers:
            names = ', '.join(f'"ns{n + 1}.{ZONE}={server.endpoint}"' for n, server in enumerate(nameservers or servers))
            text = ''.join(line + '\n' for line in one.conf.read_text().splitlines()
                           if not line.startswith(('nameservers', 'dns-listen', 'probe', 'hq-address')))
            one.conf.write_text(text + f"""\
zone-backend = rfc2136
update-servers = {{{', '.join(f'"{server.endpoint}"' for server in servers)}}}
update-key = "{keys[0].path}"
acme-update-key = "{keys[1].path}"
nameservers = {{{names}}}
""")
        running.insert(0, one)
        return one.start()
    start.hq = hq
    yield start
    for one in running:
        one.stop()


def zone(hq, verb, code):
    """The JSON of a verb, which must end with that code."""
    done = hq.run('zone', verb, '--json', check=False)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    report = json.loads(done.stdout)
    jsonschema.Draft7Validator(SCHEMA).validate(report)
    return report


def change(server, key, origin=ZONE, **names):
    """Behind HQ's back: {name: (type, rdata), or None to delete all of it}."""
    update = dns.update.Update(origin, keyring=key.ring(), keyalgorithm=f'{key.algorithm}.')
    for label, record in names.items():
        name = f'{label.replace("__", ".")}.{origin}.'
        update.delete(name)
        if record:
            update.add(name, 60, *record)
    assert dns.query.tcp(update, server.host, 5, port=server.port).rcode() == 0


def enrolled(hq, count):
    devices = [hq.device(f'NP-{n}') for n in range(count)]
    for n, device in enumerate(devices):
        assert device.enrol(v4=[f'192.168.1.{n + 1}'], v6=[f'fd00::{n + 1}']).status == 201
    return devices


def clean(hq):
    with sqlite3.connect(f'file:{hq.folder}/data/hq.db?mode=ro', uri=True) as db:
        count = db.execute('SELECT count(*) FROM dirty').fetchone()[0]
    db.close()
    return count == 0


def label(device):
    return device.name.split('.')[0]


@pytest.mark.parametrize('transfers', [True, False], ids=['transfer', 'questions'])
def test_drift_is_found_and_repaired(transfers, started, wait_until):
    class Server(Bind):
        def prepare(self):
            super().prepare()
            if not transfers:
                self.conf.write_text(self.conf.read_text().replace('allow-transfer {', 'allow-transfer { none; }; #'))
    server = started(Server)
    hq = started.hq(server)
    devices = enrolled(hq, 6)
    wait_until(lambda: clean(hq), 10, 'everything published')
    report = zone(hq, 'check', AGREES)
    here = report['servers'][0]
    assert report['names'] == 6 and here['names'] == 6 + (2 if transfers else 0)  # and ns1, www
    assert here['method'] == ('transfer' if transfers else 'questions') and here['serial'] and not report['findings']
    assert devices[5].post(f'/v1/devices/{devices[5].id}/leave', {'reason': 'reset'}).status == 204
    wait_until(lambda: clean(hq) and not server.lookup(devices[5].name), 5, 'a device left')

    change(server, server.zone_key, **{
        label(devices[0]): None, label(devices[1]): ('A', '192.168.9.9'), f'_acme-challenge__{label(devices[2])}': None,
        label(devices[5]): ('A', '192.168.1.6'), 'www2': ('A', '192.0.2.81')})
    report = zone(hq, 'check', DIFFERS)
    found = {finding['name']: finding['finding'] for finding in report['findings']}
    assert found == {devices[0].name: 'different', devices[1].name: 'different', devices[2].name: 'different',
                     devices[5].name: 'extra'}
    assert not any(finding['pending'] for finding in report['findings'])
    first = next(finding for finding in report['findings'] if finding['name'] == devices[0].name)
    assert first['addresses'] == ['192.168.1.1', 'fd00::1']
    table = hq.run('zone', 'check', check=False)
    assert table.returncode == DIFFERS and devices[0].name in table.stdout and 'zone repair' in table.stdout

    report = zone(hq, 'repair', AGREES)
    assert report['repaired'] == 4
    wait_until(lambda: clean(hq), 10, 'published again')
    assert not zone(hq, 'check', AGREES)['findings']
    assert server.lookup(devices[1].name) == ['192.168.1.2'] and not server.lookup(devices[5].name)
    assert server.lookup(f'www2.{ZONE}') == ['192.0.2.81']  # the operator's


def test_a_lost_zone_is_written_again(started, wait_until):
    """The server comes back with the zone of its first day: HQ hears of it by itself, and repair fills it."""
    server = started(Knot)
    hq = started.hq(server)
    devices = enrolled(hq, 30)
    wait_until(lambda: clean(hq), 10, 'everything published')
    server.stop()
    for path in (server.folder / 'db').rglob('*'):
        if path.is_file():
            path.unlink()
    server.write_zones()
    server.start()
    report = zone(hq, 'check', DIFFERS)
    assert report['servers'][0]['missing'] == 30
    devices[0].put_addresses(1, ['10.0.0.1'])
    wait_until(lambda: 'the zone was restored from a copy' in hq.log.read_text(), 10, 'the epoch tells')
    assert zone(hq, 'repair', AGREES)['repaired'] >= 29
    wait_until(lambda: clean(hq), 10, 'published again')
    zone(hq, 'check', AGREES)


def test_challenge_values_left_behind(started, wait_until):
    server = started(Bind)
    hq = started.hq(server)
    device = enrolled(hq, 1)[0]
    wait_until(lambda: clean(hq), 10, 'everything published')
    name = f'{label(device)}.{ACME}'
    change(server, server.acme_key, ACME, **{label(device): ('TXT', 'left-behind')})
    report = zone(hq, 'check', DIFFERS)
    assert [(finding['name'], finding['finding']) for finding in report['findings']] == [(name, 'extra')]
    assert zone(hq, 'repair', AGREES)['repaired'] == 1
    wait_until(lambda: not server.lookup(name, 'TXT'), 10, 'the value gone')
    zone(hq, 'check', AGREES)


def test_servers_that_are_away_or_behind(started, keys, wait_until):
    server, dead = started(Bind), started(Bind, 'dead')
    secondary = started(Knot, 'secondary', primary=server)  # BIND does not notify it
    hq = started.hq(server, dead, nameservers=[server, secondary])
    wait_until(lambda: server.lookup(ZONE, 'SOA') != secondary.lookup(ZONE, 'SOA') and clean(hq), 10, 'the first update')
    dead.stop()
    report = zone(hq, 'check', FAILED)
    assert [bool(target['error']) for target in report['servers']] == [False, True, False, True]
    assert not report['complete'] and report['agrees']
    assert [one['behind'] for one in report['nameservers']] == [False, True]
    enrolled(hq, 1)
    table = hq.run('zone', 'check', check=False).stdout
    assert 'Connection refused' in table and 'behind' in table


def test_builtin(started, wait_until):
    hq = started.hq()
    devices = enrolled(hq, 3)
    wait_until(lambda: clean(hq), 10, 'everything published')
    report = zone(hq, 'check', AGREES)
    assert report['backend'] == 'builtin' and report['names'] == 3
    assert report['servers'][0]['names'] == 3 and report['servers'][0]['method'] == 'questions'
    assert 'The zone agrees' in hq.run('zone', 'check').stdout
    # The child's own copy cannot be changed; the database can, behind HQ's back.
    with sqlite3.connect(hq.folder / 'data' / 'hq.db') as db:
        db.execute("UPDATE device SET published = '10.9.9.9' WHERE id = ?", (devices[1].id,))
    db.close()
    assert [finding['name'] for finding in zone(hq, 'check', DIFFERS)['findings']] == [devices[1].name]
    assert zone(hq, 'repair', AGREES)['repaired'] == 1
    wait_until(lambda: hq.lookup(devices[1].name) == ['10.9.9.9'], 10, 'published again')
    zone(hq, 'check', AGREES)


def test_usage(started):
    hq = started.hq()
    for words in (['zone'], ['zone', 'chekc'], ['zone', 'check', 'more']):
        done = hq.run(*words, check=False)
        assert done.returncode == 2 and 'zone' in done.stderr
