"""The drill: HQ's database is put back from a copy, or lost altogether. The boxes come back by their grants, with their
names; names that were ended stay ended, who was blocked stays blocked, and nobody new gets a name that may be held."""
import re

import pytest

from hqclient import Device
from hqserver import ZONE, Hq

SUFFIXED = re.compile(r'^[a-z]+-[a-z]+-[2-9a-z]{7}\.')


@pytest.fixture
def hq(bin_dir, tmp_path):
    running = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq').start()
    yield running
    running.stop()


def enrol(hq, serial):
    device = hq.device(serial)
    answer = device.enrol()
    assert answer.status == 201
    device.grant = answer.json['grant']
    return device


def come_back(hq, device):
    """What a box does that HQ does not know any more (docs/protocol.md): session, then enrol with the grant."""
    device.client = hq.client()
    before = device.id
    answer = device.session()
    assert (answer.status, answer.problem) == (404, 'unknown-device')
    answer = device.enrol(grant=device.grant)
    assert device.id != before
    return answer


def is_plain(name):
    return re.fullmatch(rf'[a-z]+-[a-z]+(-[2-9a-z]{{4}})?\.{ZONE}', name)


def test_restored_from_a_copy(hq, tmp_path, wait_until):
    copy = tmp_path / 'copy.db'
    early = enrol(hq, 'NP-0001')
    assert is_plain(early.name)
    assert 'is a copy of the database' in hq.run('backup', copy).stdout
    late, gone = enrol(hq, 'NP-0002'), enrol(hq, 'NP-0003')
    name = gone.name
    assert gone.post(f'/v1/devices/{gone.id}/leave', {'reason': 'reset'}).status == 204
    wait_until(lambda: name in (hq.folder / 'data/ledger').read_text(), 10, 'the ledger')
    refused = hq.run('restore', copy, check=False)
    assert refused.returncode == 1 and 'stop the HQ' in refused.stderr
    assert hq.stop() == 0
    assert 'in recovery' in hq.run('restore', copy).stdout
    hq.start()
    hq.wait_for_log('behind its ledger by 1 entries')
    assert 'in recovery until' in hq.run('recovery', 'show').stdout
    # Who was in the copy notices nothing; who came after it is not known, and comes back as who he was.
    early.client = hq.client()
    assert early.session().status == 200
    kept = late.name
    answer = come_back(hq, late)
    assert (answer.status, late.name) == (201, kept)
    wait_until(lambda: hq.lookup(kept) == ['192.168.1.10'], 10, 'its address')
    # The one that has left is not known any more either, but its name is nobody's.
    answer = come_back(hq, gone)
    assert answer.status == 201 and gone.name != name and SUFFIXED.match(gone.name)
    assert SUFFIXED.match(enrol(hq, 'NP-0004').name)
    assert hq.run('recovery', 'end').returncode == 0
    assert is_plain(enrol(hq, 'NP-0005').name)


def test_lost_altogether(hq, wait_until):
    boxes = [enrol(hq, f'NP-{n:04}') for n in range(5)]
    left, blocked = boxes.pop(), boxes.pop()
    assert left.post(f'/v1/devices/{left.id}/leave', {'reason': 'resale'}).status == 204
    names = [box.name for box in boxes]
    # Blocked as an operator's verb does it: by the device's state, through the store.
    ledger = hq.folder / 'data/ledger'
    wait_until(lambda: left.name in ledger.read_text(), 10, 'the ledger')
    assert hq.stop() == 0
    entries = len(ledger.read_text().splitlines()) + 1
    with ledger.open('a') as file:
        file.write(f'{entries} 1790000000 block {blocked.thumbprint().hex()} {blocked.serial}\n')
    for path in (hq.folder / 'data').glob('hq.db*'):
        path.unlink()
    hq.start()
    hq.wait_for_log(f'behind its ledger by {entries} entries')
    # A box that is new, and quicker than those that were here.
    assert SUFFIXED.match(enrol(hq, 'NP-0100').name)
    for box, name in zip(boxes, names):
        assert (come_back(hq, box).status, box.name) == (201, name)
    blocked.client = hq.client()
    assert blocked.session().status == 404
    answer = blocked.enrol(grant=blocked.grant)
    assert (answer.status, answer.problem) == (403, 'blocked')
    # Nor with another key, nor does another box get the name by a grant that is not its own.
    other = Device(hq.client(), blocked.serial, blocked.secret)
    assert other.enrol().problem == 'blocked'
    thief = hq.device('NP-0200')
    assert thief.enrol(grant=boxes[0].grant).status == 201 and thief.name != names[0]
    hq.run('recovery', 'unblock', blocked.serial)
    answer = blocked.enrol(grant=blocked.grant)
    assert answer.status == 201 and not SUFFIXED.match(blocked.name)
    # The names of those that were here are shown again, and only those.
    for name in names:
        wait_until(lambda name=name: hq.lookup(name) == ['192.168.1.10'], 10, name)
    assert hq.lookup(left.name) == []
    wait_until(lambda: f'unblock {blocked.thumbprint().hex()}' in ledger.read_text(), 10, 'the ledger to be written')


def test_a_new_hq_is_not_in_recovery(hq):
    assert hq.run('recovery', 'show').stdout.startswith('not in recovery')
    assert is_plain(enrol(hq, 'NP-0001').name)
    assert hq.run('recovery', 'begin').returncode == 0
    assert SUFFIXED.match(enrol(hq, 'NP-0002').name)
    assert '"recovery": true' in hq.run('recovery', 'show', '--json').stdout
