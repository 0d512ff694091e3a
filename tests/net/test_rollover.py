"""`nameplate-hq ca`: what the CAs offer; and a new key for HQ's account (RFC 8555 section 7.3.5), over a death at any moment; and what depends on the account
goes on: orders, and the revocation of certificates that were made under the old key."""
import contextlib
import json
import re
import sqlite3
import subprocess

import pytest
import schemas

from acmeca.client import AcmeCa
from hqclient import unb64
from hqdriver import Pebble
from hqserver import Hq


@pytest.fixture
def cas(dns_port, tmp_path):
    """Neither is started."""
    made = [AcmeCa(tmp_path / name, dns_port, label=name) for name in ('one', 'two')]
    yield made
    for ca in made:
        ca.stop()


@pytest.fixture
def make_hq(bin_dir, tmp_path, dns_port):
    """make_hq(ca, key=value, ...): an HQ that is not started."""
    made = []

    def make(ca, **settings):
        hq = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq', '--acme-anchors', str(ca.certificate))
        text = hq.conf.read_text().replace('https://127.0.0.1:9/dir', ca.directory)
        text = re.sub(rf'127\.0\.0\.1:{hq.dns_port}\b', f'127.0.0.1:{dns_port}', text)
        hq.conf.write_text(text + ''.join(f'{key.replace("_", "-")} = {value}\n' for key, value in settings.items()))
        hq.dns_port = dns_port
        made.append(hq)
        return hq

    yield make
    for hq in made:
        assert hq.stop() in (0, None), hq.log.read_text()[-3000:]


def start(hq):
    if hq.log.exists():
        hq.log.write_text('')  # its 'ready' is waited for
    return hq.start()


def enrol(hq, serial, wait_until):
    """A device with a certificate."""
    device = hq.device(serial)
    assert device.enrol().status == 201
    assert device.post_csr(device.csr()).status == 202
    last = None

    def there():
        nonlocal last
        last = device.package()
        return last.status == 200

    wait_until(there, 60, 'the certificate', every=0.1)
    device.token = unb64(last.json['auth_token'])
    device.client.close()
    return device


def leave(device):
    assert device.post(f'/v1/devices/{device.id}/leave', {'reason': 'resale'}).status == 204


def keys(hq, prefix='acme'):
    """The account's key files that are there, by their endings."""
    return {path.name.removeprefix(f'{prefix}-account.'): path.read_bytes()
            for path in (hq.folder / 'secrets').glob(f'{prefix}-account.*') if path.suffix == '.pem'}


def status(hq, code):
    """What `ca status --json` says of the first CA, and its exit code."""
    done = hq.run('ca', 'status', '--json', check=False)
    assert done.returncode == code, done.stderr
    return schemas.check('ca-status', json.loads(done.stdout))[0]


def test_status(make_hq, cas):
    """While HQ runs: what the CA offers of what the configuration wants, and the limits; no account is made for it."""
    ca = cas[0].start()
    ca.set(ari=True, profiles={'classic': {}, 'tlsserver': {}}, caa_identities=['one.example'])
    hq = start(make_hq(ca, acme_profile='tlsserver', acme_limit_orders='"20/1h"', acme_headroom=10))
    accounts = ca.requests('newAccount')
    said = status(hq, 0)
    assert said['answers'] and said['fits'] and said['profiles'] == ['classic', 'tlsserver'] and said['renewal_windows']
    assert said['caa_identities'] == ['one.example'] and said['key_change'] and not said['binding_wanted']
    assert said['limits'] == [{'kind': 'orders', 'count': 18, 'period': 3600, 'left': 18}]
    with contextlib.closing(sqlite3.connect(next(hq.folder.rglob('*.db')))) as db:
        now = db.execute('select unixepoch() * 1000').fetchone()[0]
        db.execute('insert into bucket(ca, kind, key, full_ms) values (?, 0, ?, ?), (?, 4, ?, ?)',
                   (ca.directory, '', now + 400000, ca.directory, '', now + 100000))
        db.commit()
    said = status(hq, 0)
    assert said['limits'][0]['left'] in (15, 16) and said['paused_until'] >= now // 1000
    ca.set(profiles={'classic': {}})
    assert not status(hq, 3)['fits']
    text = hq.run('ca', 'status', check=False).stdout
    assert "'tlsserver' is NOT OFFERED" in text and 'no new orders until' in text
    ca.set(eab={'kid-1': 'a2V5'}, profiles={'tlsserver': {}})
    assert status(hq, 3)['binding_wanted']
    ca.stop()
    said = status(hq, 1)
    assert not said['answers'] and said['error']
    assert 'DOES NOT ANSWER' in hq.run('ca', 'status', check=False).stdout
    assert ca.start().requests('newAccount') == 0 and accounts <= 1


def test_rollover(make_hq, cas, wait_until):
    ca = cas[0].start()
    hq = start(make_hq(ca))
    device = enrol(hq, 'K-1', wait_until)
    before, accounts, thumbprints = keys(hq), ca.stats()['accounts'], ca.stats()['keys']
    refused = hq.run('ca', 'rollover', check=False)
    assert refused.returncode == 1 and 'stop nameplate-hq serve' in refused.stderr
    assert hq.stop() == 0
    said = hq.run('ca', 'rollover').stdout
    assert said == f'{accounts[0]} has a new key, {hq.folder}/secrets/acme-account.pem\n'
    after = keys(hq)
    assert list(after) == ['pem'] and after != before
    assert (hq.folder / 'secrets' / 'acme-account.pem').stat().st_mode & 0o777 == 0o600
    assert ca.stats()['accounts'] == accounts and ca.stats()['keys'] != thumbprints
    start(hq)
    enrol(hq, 'K-2', wait_until)
    leave(device)
    wait_until(lambda: sorted(str(item['revoked']) for item in ca.certificates()) == ['5', 'None'], 20, 'the revocation')
    assert ca.stats()['accounts'] == accounts


@pytest.mark.parametrize('after', [False, True])
def test_answer_is_lost(make_hq, cas, wait_until, after):
    """Before or after the CA has changed the key: nobody knows, both keys stay, HQ works, and the next try ends it."""
    ca = cas[0].start()
    hq = start(make_hq(ca))
    enrol(hq, 'K-1', wait_until)
    assert hq.stop() == 0
    accounts, thumbprints = ca.stats()['accounts'], ca.stats()['keys']
    ca.faults({'on': 'keyChange', 'close': True, 'after': after, 'count': -1}, {'on': 'newAccount', 'skip': 1, 'status': 503, 'count': -1})
    lost = hq.run('ca', 'rollover', check=False)
    assert lost.returncode == 1 and 'which key it has now is not known: run this again' in lost.stderr
    assert set(keys(hq)) == {'pem', 'next.pem'} and (ca.stats()['keys'] != thumbprints) == after
    ca.faults()
    start(hq)
    assert 'a rollover of' in hq.log.read_text()
    enrol(hq, 'K-2', wait_until)
    assert hq.stop() == 0
    said = hq.run('ca', 'rollover').stdout
    assert ('an interrupted rollover is finished' in said) == after
    assert list(keys(hq)) == ['pem'] and ca.stats()['accounts'] == accounts and ca.stats()['keys'] != thumbprints
    start(hq)
    enrol(hq, 'K-3', wait_until)


def test_answer_is_lost_alone(make_hq, cas, wait_until):
    """The CA has changed it, and can be asked: that is all that is needed."""
    ca = cas[0].start()
    hq = start(make_hq(ca))
    enrol(hq, 'K-1', wait_until)
    assert hq.stop() == 0
    ca.faults({'on': 'keyChange', 'close': True, 'after': True, 'count': -1})
    assert 'has a new key' in hq.run('ca', 'rollover').stdout
    assert list(keys(hq)) == ['pem']
    start(hq)
    enrol(hq, 'K-2', wait_until)


def test_killed(make_hq, cas, wait_until):
    """kill -9 while the CA works on it, and once more when it is asked which key it knows."""
    ca = cas[0].start()
    hq = start(make_hq(ca))
    enrol(hq, 'K-1', wait_until)
    assert hq.stop() == 0
    accounts, thumbprints = ca.stats()['accounts'], ca.stats()['keys']
    for resource in ('keyChange', 'newAccount'):
        asked = ca.requests(resource)
        ca.faults({'on': resource, 'delay': 1})
        running = subprocess.Popen([hq.program, 'ca', 'rollover', '--config', hq.conf], stdout=subprocess.DEVNULL)
        wait_until(lambda resource=resource, asked=asked: ca.requests(resource) > asked, 20, resource)
        running.kill()
        running.wait()
    wait_until(lambda: ca.stats()['keys'] != thumbprints, 20, 'the change that nobody heard of')
    ca.faults()
    start(hq)
    enrol(hq, 'K-2', wait_until)
    assert hq.stop() == 0
    assert 'an interrupted rollover is finished' in hq.run('ca', 'rollover').stdout
    assert list(keys(hq)) == ['pem'] and ca.stats()['accounts'] == accounts


def test_refused(make_hq, cas, wait_until):
    """The CA's words, and the old key goes on to work."""
    ca = cas[0].start()
    hq = start(make_hq(ca))
    enrol(hq, 'K-1', wait_until)
    assert hq.stop() == 0
    ca.faults({'on': 'keyChange', 'status': 403, 'type': 'unauthorized', 'detail': 'not on a Sunday', 'count': -1})
    refused = hq.run('ca', 'rollover', check=False)
    assert refused.returncode == 1 and 'unauthorized (403): not on a Sunday; the account has its old key' in refused.stderr
    start(hq)
    enrol(hq, 'K-2', wait_until)


def test_second_ca(make_hq, cas, wait_until):
    """Its account has its own key, and the certificates that it made are revoked with the new one."""
    one, two = cas
    two.start()
    hq = start(make_hq(one, acme2_directory=f'"{two.directory}"', acme2_anchors=f'"{two.certificate}"', acme2_terms_agreed='true',
                       acme_switch_after=2))
    device = enrol(hq, 'K-1', wait_until)
    assert hq.stop() == 0
    first, second, thumbprints = keys(hq), keys(hq, 'acme2'), two.stats()['keys']
    hq.run('ca', 'rollover', 'acme2')
    assert keys(hq) == first and keys(hq, 'acme2') != second and two.stats()['keys'] != thumbprints
    wrong = hq.run('ca', 'rollover', 'acme3', check=False)
    assert wrong.returncode == 2 and 'acme2' in wrong.stderr
    one.start()
    start(hq)
    wait_until(lambda: one.stats()['accounts'] and two.stats()['accounts'], 30, 'both accounts')
    leave(device)
    wait_until(lambda: [item['revoked'] for item in two.certificates()] == [5], 20, 'the revocation')
    assert one.requests('revokeCert') == 0 and len(two.stats()['accounts']) == 1


def test_pebble_changes_it_too(make_hq, dns_port, tmp_path, wait_until):
    """Pebble, who read the RFC for himself; the certificate of before is revoked after."""
    pebble = Pebble(tmp_path, dns_port).start()
    try:
        hq = start(make_hq(pebble))
        device = enrol(hq, 'K-1', wait_until)
        assert hq.stop() == 0
        assert 'has a new key' in hq.run('ca', 'rollover').stdout
        start(hq)
        enrol(hq, 'K-2', wait_until)
        leave(device)
        with contextlib.closing(sqlite3.connect(f'file:{next(hq.folder.rglob("*.db"))}?mode=ro', uri=True)) as db:
            wait_until(lambda: list(db.execute('select state from revocation')) == [(1,)], 20, 'the revocation')
        assert pebble.count('accounts in memory') >= 1
    finally:
        pebble.stop()
