"""Who may enrol: claim codes and factory lists as an operator handles them, over real TLS against a real HQ."""
import contextlib
import csv
import datetime
import io
import json
import os
import pty
import sqlite3
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import schemas
from factory import Factory, key_pem, now, pem
from hqclient import Device, b64
from hqserver import Hq
from lab.waiting import wait_until
from real_hq import enrol_box

CLAIMS = 200


@pytest.fixture(scope='module')
def program(bin_dir):
    return bin_dir / 'nameplate-hq'


@pytest.fixture(scope='module')
def hq(program, tmp_path_factory):
    server = Hq(program, tmp_path_factory.mktemp('hq') / 'hq', '--enrol', 'claim-code', '--enrol', 'factory-secret')
    with server.conf.open('a') as conf:
        conf.write(f'connections-per-address = {2 * CLAIMS}\n')
    server.start()
    yield server
    assert server.stop() == 0, server.log.read_text()


def make(hq, *options):
    """Codes with their labels' other columns, from `claim make`."""
    return list(csv.DictReader(io.StringIO(hq.run('claim', 'make', *options).stdout)))


def shown(hq, code):
    return json.loads(hq.run('claim', 'show', code, '--json').stdout)


def test_a_label_enrols_one_box(hq):
    first, second = make(hq, '--count', '2', '--model', 'test')
    assert first['claim_code'] != second['claim_code'] and first['serial'] == ''
    box = Device(hq.client(), code=first['claim_code'])
    assert shown(hq, first['claim_code'])['state'] == 'free'
    assert box.enrol().status == 201
    assert shown(hq, first['claim_code']) | {'added': 0, 'claimed': 0} == {
        'state': 'claimed', 'serial': '', 'model': 'test', 'added': 0, 'claimed': 0, 'device': box.id, 'name': box.name}
    assert f'claimed by {box.name}' in hq.run('claim', 'show', first['claim_code'].lower()).stdout
    assert box.enrol().status == 200
    thief = Device(hq.client(), code=first['claim_code'])
    answer = thief.enrol()
    assert (answer.status, answer.problem) == (403, 'bad-credential') and 'nameplate reset' in answer.json['detail']
    # A typing mistake is told as such.
    mistyped = second['claim_code'][:-1] + ('0' if second['claim_code'][-1] != '0' else '1')
    assert 'wrong character' in Device(hq.client(), code=mistyped).enrol().json['detail']
    wrong = Device(hq.client(), code=second['claim_code']).enrol(model='other')
    assert wrong.problem == 'bad-credential' and "model 'test'" in wrong.json['detail']
    # Leaving frees the code; so does the operator.
    assert box.leave().status == 204
    assert shown(hq, first['claim_code'])['state'] == 'free'
    assert thief.enrol().status == 201
    assert hq.run('claim', 'release', first['claim_code']).stdout == 'free\n'
    assert Device(hq.client(), code=first['claim_code'].replace('-', '')).enrol().status == 201
    assert thief.session().status == 200  # whoever is in stays in


def test_200_boxes_with_one_label(hq):
    """All at once, each over its own connection: exactly one wins."""
    [label] = make(hq, '--count', '1')
    boxes = [Device(hq.client(), code=label['claim_code']) for _ in range(CLAIMS)]
    barrier = threading.Barrier(CLAIMS)

    def claim(box):
        box.client.fresh_nonce()
        barrier.wait(60)
        return box.enrol()

    with ThreadPoolExecutor(CLAIMS) as pool:
        answers = list(pool.map(claim, boxes))
    won = [box for box, answer in zip(boxes, answers) if answer.status == 201]
    assert len(won) == 1, [answer.status for answer in answers]
    assert [answer.problem for answer in answers].count('bad-credential') == CLAIMS - 1
    assert shown(hq, label['claim_code'])['device'] == won[0].id
    assert won[0].enrol().status == 200
    names = {row['name'] for row in json.loads(hq.run('device', 'list', '--json').stdout)}
    assert won[0].name in names
    for box in boxes:
        box.client.close()


def test_import(hq, tmp_path):
    [label] = make(hq, '--count', '1')
    path = tmp_path / 'list.csv'
    path.write_text('Serial;Model;Line\r\nF-1;test;7\r\nF-2;test;7\r\n"F-3";other;8\r\n\r\n')
    assert hq.run('import', '--check', path).stdout == '3 lines, all good\n'
    assert json.loads(hq.run('import', path, '--json').stdout) == {
        'lines': 3, 'serials': {'new': 3, 'known': 0}, 'claim_codes': {'new': 0, 'known': 0}}
    assert hq.run('import', path).stdout == '3 lines: 0 new serial numbers (3 known), 0 new claim codes (0 known)\n'
    assert hq.device('F-1').enrol().status == 201
    wrong = hq.device('F-3').enrol()
    assert wrong.problem == 'bad-credential' and "model 'other'" in wrong.json['detail']

    def fails(text, *words):
        path.write_text(text)
        done = hq.run('import', path, check=False)
        assert done.returncode == 1 and done.stdout == ''
        for word in words:
            assert word in done.stderr, done.stderr

    code = label['claim_code']
    fails('', 'the file is empty')
    fails('NP-1,abc\n', 'list.csv:1:', 'must name the columns')
    fails(f'serial,claim_code\nF-9,{code[:-1]}{"0" if code[-1] != "0" else "1"}\n', 'list.csv:2:', 'wrong character')
    fails('serial,model\nF-8,test\nF 9,test\n', 'list.csv:3:', "serial 'F 9'")
    fails('serial,model\nF-7,test\nF-1,other\nF-6,test\n', 'list.csv:3:', 'known with another model')
    fails(f'serial,claim_code\nF-5,{code}\n', 'list.csv:2:', 'known with another serial')
    fails('serial\n' + 'x' * 2000 + '\n', 'list.csv:2:', 'too long')
    # A wrong line is found before anything is stored; a line against what is stored ends the import there.
    path.write_text('serial,model\nF-8,test\nF-7,test\nF-6,test\n')
    assert json.loads(hq.run('import', path, '--json').stdout)['serials'] == {'new': 2, 'known': 1}
    assert 'No such file' in hq.run('import', tmp_path / 'none', check=False).stderr


def test_labels_for_a_list(hq, tmp_path):
    """`claim make --serials`: the codes come with the serial numbers, and a box that shows the label has that serial."""
    path = tmp_path / 'serials.csv'
    path.write_text('serial,model\nL-1,test\nL-2,"test, blue"\n')
    first, second = make(hq, '--serials', str(path))
    assert (first['serial'], first['model']) == ('L-1', 'test') and second['model'] == 'test, blue'
    box = Device(hq.client(), code=first['claim_code'])
    assert box.enrol().status == 201
    listed = {row['id']: row for row in json.loads(hq.run('device', 'list', '--json').stdout)}[box.id]
    assert (listed['serial'], listed['credential']) == ('L-1', 'claim-code')
    # Another HQ takes the printed list over, codes and all, and knows them by its own key.
    again = hq.run('claim', 'make', '--serials', str(path)).stdout
    path.write_text(again)
    assert json.loads(hq.run('import', path, '--json').stdout)['claim_codes'] == {'new': 0, 'known': 2}


def test_progress_on_a_terminal(hq, tmp_path):
    path = tmp_path / 'many.csv'
    path.write_text('serial\n' + ''.join(f'M-{number}\n' for number in range(25000)))
    ours, theirs = pty.openpty()
    with os.fdopen(ours, 'rb') as terminal:
        done = subprocess.run([hq.program, 'import', path, '--config', hq.conf], stdout=subprocess.PIPE, stderr=theirs,
                              text=True, check=True, timeout=60)
        os.close(theirs)
        told = b''
        try:
            while chunk := os.read(terminal.fileno(), 4096):
                told += chunk
        except OSError:
            pass  # the other end of a terminal that is gone
    assert b'\rread: 10000 lines' in told and b'\rimported: 20000 of 25001 lines' in told
    assert done.stdout == '25000 lines: 25000 new serial numbers (0 known), 0 new claim codes (0 known)\n'


def test_only_what_is_on_the_list(program, tmp_path):
    hq = Hq(program, tmp_path / 'hq')
    with hq.conf.open('a') as conf:
        conf.write('factory-list = required\n')
    hq.start()
    try:
        box = hq.device('NP-0001')
        refused = box.enrol()
        assert refused.problem == 'bad-credential' and 'on no factory list' in refused.json['detail']
        path = tmp_path / 'list.csv'
        path.write_text('serial\nNP-0001\n')
        hq.run('import', path)  # while it serves
        assert box.enrol().status == 201
    finally:
        assert hq.stop() == 0, hq.log.read_text()


def test_factory_certificates(program, tmp_path):
    """The vendor's own CA says who was made; boxes outlive factories, so an end may be meant or not."""
    factory, other = Factory(), Factory()
    ended = now() - datetime.timedelta(days=1)
    anchors = tmp_path / 'factory-ca.pem'
    hq = Hq(program, tmp_path / 'hq', '--enrol', 'factory-certificate', '--factory-ca', str(anchors))
    good = hq.conf.read_text()

    def fails(*words):
        done = hq.run('serve', check=False)
        assert done.returncode == 1
        for word in words:
            assert word in done.stderr

    fails('factory-ca.pem', 'No such file')
    anchors.write_text('nothing\n')
    fails('there is no certificate in it')
    anchors.write_text(pem(factory.box('NP-0001')[1][0]))
    fails('must be certificates of CAs')
    hq.conf.write_text(good.replace('factory-ca =', '# factory-ca ='))
    fails("factory-ca must name the PEM file of the vendor's CAs")
    hq.conf.write_text(good)
    anchors.write_text(pem(other.line, factory.root))
    hq.start()
    try:
        box = Device(hq.client(), factory=factory.box('NP-0001'))
        assert box.enrol().status == 201
        assert box.enrol().status == 200
        [row] = json.loads(hq.run('device', 'list', '--json').stdout)
        assert (row['serial'], row['credential'], row['name']) == ('NP-0001', 'factory-certificate', box.name)
        # The other line's CA is an anchor without its root; ours needs its CA beside it.
        assert Device(hq.client(), factory=other.box('NP-0002')).enrol().status == 201
        key, chain = factory.box('NP-0003')
        assert Device(hq.client(), factory=(key, chain[:1])).enrol().problem == 'bad-credential'
        # Whoever has seen a chain has not its key; a signature is good for its own request alone.
        thief = Device(hq.client(), factory=(other.box('NP-0001')[0], box.factory[1]))
        assert 'signature' in thief.enrol().json['detail']
        stolen = box.credential(box.client.fresh_nonce(), hq.url + '/v1/devices')
        assert Device(hq.client()).enrol(credential=stolen).problem == 'bad-credential'
        late = Device(hq.client(), factory=factory.box('NP-0004', ended))
        assert 'has expired' in late.enrol().json['detail']
        assert Device(hq.client()).enrol().problem == 'credential-unsupported'
        assert hq.stop() == 0
        hq.log.unlink()  # the next start waits for its own words
        with hq.conf.open('a') as conf:
            conf.write('factory-certificate-dates = ignore\n')
        hq.start()
        late.client = hq.client()
        assert late.enrol().status == 201
    finally:
        assert hq.stop() == 0, hq.log.read_text()


# ---- The operator ----

def entries(hq, *options):
    """The audit log's entries as (actor, action, serial)."""
    rows = schemas.check('audit', json.loads(hq.run('audit', '--json', *options).stdout))
    return [(row['actor'].partition(':')[0], row['action'], row['serial']) for row in rows]


def test_block_retire_and_the_log(program, tmp_path, wait_until):
    """What each does to the device while HQ serves, and that it is written down for ever."""
    hq = Hq(program, tmp_path / 'hq').start()
    try:
        first, second = hq.device('NP-0001'), hq.device('NP-0002')
        for device in (first, second):
            assert device.enrol().status == 201
        identifier = first.id
        for device in (first, second):
            wait_until(lambda: hq.lookup(device.name) == ['192.168.1.10'], 5, 'the records')  # pylint: disable=cell-var-from-loop
        # Block: told so, gone from the DNS, and so is every other device with the serial number.
        done = hq.run('device', 'block', first.name.split('.')[0], '--reason', 'stolen')
        assert 'is blocked' in done.stdout
        assert (first.package().status, first.package().problem) == (403, 'blocked')
        assert first.enrol().problem == 'blocked'
        first.id = identifier
        assert hq.device('NP-0001').enrol().problem == 'blocked'
        assert second.package().status == 202
        wait_until(lambda: hq.lookup(first.name) == [], 5, 'the records are gone')
        assert 'unblock' in hq.run('device', 'retire', first.id, '--yes', check=False).stderr
        assert 'may take part again' in hq.run('device', 'unblock', 'NP-0001').stdout
        assert 'is not blocked' in hq.run('device', 'unblock', 'NP-0001', check=False).stderr
        assert first.session().status == 200
        wait_until(lambda: hq.lookup(first.name) == ['192.168.1.10'], 5, 'the records are back')
        # Retire: for good.
        assert '--yes' in hq.run('device', 'retire', 'NP-0002', check=False).stderr
        assert 'is retired' in hq.run('device', 'retire', 'NP-0002', '--yes').stdout
        assert (second.session().status, second.package().problem) == (410, 'retired')
        wait_until(lambda: hq.lookup(second.name) == [], 5, 'the records are gone')
        again = hq.device('NP-0002')
        assert again.enrol().status == 201 and again.name != second.name
        assert 'it has left' in hq.run('device', 'block', second.id, check=False).stderr
        assert entries(hq) == [
            ('device', 'enrol', 'NP-0001'), ('device', 'enrol', 'NP-0002'), ('operator', 'block', 'NP-0001'),
            ('operator', 'unblock', 'NP-0001'), ('operator', 'retire', 'NP-0002'), ('device', 'enrol', 'NP-0002')]
        assert entries(hq, '--device', first.id) == [('device', 'enrol', 'NP-0001'), ('operator', 'block', 'NP-0001'),
                                                     ('operator', 'unblock', 'NP-0001')]
        assert entries(hq, '--limit', '1', '--since', '1h') == [('device', 'enrol', 'NP-0002')]
        assert entries(hq, '--since', '2100-01-01') == []
        assert 'stolen' in hq.run('audit').stdout
        for wrong in ('yesterday', '3w', '-1'):
            assert hq.run('audit', '--since', wrong, check=False).returncode == 2
        with contextlib.closing(sqlite3.connect(hq.folder / 'data' / 'hq.db')) as database:
            for words in ('UPDATE audit SET detail = \'\'', 'DELETE FROM audit'):
                with pytest.raises(sqlite3.IntegrityError, match='append-only'):
                    database.execute(words)
    finally:
        assert hq.stop() == 0, hq.log.read_text()


def test_clones_are_shown_and_served(program, tmp_path):
    hq = Hq(program, tmp_path / 'hq').start()
    try:
        box = hq.device('NP-0001')
        assert box.enrol().status == 201
        assert hq.run('device', 'clones').stdout == 'No device is suspected to be a clone.\n'
        for turn in range(5):
            assert box.post('/v1/session', {'life': b64(bytes([turn % 2] * 8))}).status == 200
        [row] = schemas.check('devices', json.loads(hq.run('device', 'clones', '--json').stdout))
        assert row['id'] == box.id and row['state'] == 'active' and row['clone'] > 0
        assert 'suspected since' in hq.run('device', 'show', 'NP-0001').stdout
        assert box.package().status == 202
        assert ('hq', 'clone-suspected', 'NP-0001') in entries(hq)
        assert 'no longer' in hq.run('device', 'trust', 'NP-0001', '--reason', 'a test').stdout
        assert json.loads(hq.run('device', 'clones', '--json').stdout) == []
        assert 'not suspected' in hq.run('device', 'trust', 'NP-0001', check=False).stderr
    finally:
        assert hq.stop() == 0, hq.log.read_text()


# ---- Real boxes ----

def test_box_with_a_factory_certificate(bin_dir, tmp_path):
    """What the factory put there is read at the first boot alone: an enrolled box works without it."""
    factory = Factory()
    key, chain = factory.box('NP-0042')
    anchors = tmp_path / 'factory-ca.pem'
    anchors.write_text(pem(factory.root))
    with enrol_box(bin_dir, '--enrol', 'factory-certificate', '--factory-ca', str(anchors)) as box:
        # The folder is empty: told, not enrolled without a credential; and taken up as soon as it is filled.
        box.start()
        box.complains('has no factory identity')
        box.put('certificate.pem', pem(*chain))
        box.complains('no key.pem', 30)
        assert box.hq.devices() == {}
        box.put('key.pem', key_pem(key))
        row = box.hq.wait_device(lambda row: row['serial'] == 'NP-0042')
        assert row['credential'] == 'factory-certificate'
        wait_until(lambda: box.status().get('name') == row['name'], 20, 'the name')
        for name in ('certificate.pem', 'key.pem'):
            (box.folder / 'factory' / name).unlink()
        box.restart()
        assert wait_until(lambda: box.status().get('name'), 10, 'the name') == row['name']
        box.says('sending-csr')


def test_box_with_a_label(bin_dir):
    """A reset gives the label back: the next owner enrols with it, and gets another name."""
    with enrol_box(bin_dir, '--enrol', 'claim-code') as box:
        [label] = make(box.hq, '--count', '1')
        box.put('claim-code', label['claim_code'].lower() + '\n')
        box.start()
        first = box.hq.wait_device(lambda row: row['credential'] == 'claim-code')
        wait_until(lambda: box.status().get('name') == first['name'], 20, 'the name')
        box.run('reset', '--yes')
        second = box.hq.wait_device(lambda row: row['state'] == 'active' and row['name'] != first['name'])
        wait_until(lambda: box.status().get('name') == second['name'], 20, 'the other name')
        assert shown(box.hq, label['claim_code'])['name'] == second['name']


def test_box_with_a_secret(bin_dir):
    with enrol_box(bin_dir, '--enrol', 'factory-secret') as box:
        box.put('secret', box.hq.run('factory-secret', 'NP-0007').stdout)
        box.put('claim-code', 'beside it, and not looked at')
        box.start()
        assert box.hq.wait_device(lambda row: row['serial'] == 'NP-0007')['credential'] == 'factory-secret'


def test_moved_while_connected_to_hq(bin_dir, tmp_path):
    """The address that the kept connection to HQ came from is gone, and nothing ever says so to that connection: the push takes
    a new one. It would wait 30 s for an answer otherwise."""
    with enrol_box(bin_dir, '--enrol', 'factory-secret') as box:
        box.put('secret', box.hq.run('factory-secret', 'NP-0008').stdout)
        box.start()
        box.hq.wait_device(lambda row: row['published'] == ['192.168.1.1'])
        batch = tmp_path / 'batch'
        for new, old in ((2, 1), (3, 2)):
            batch.write_text(f'address del 192.168.1.{old}/24 dev lan0\naddress add 192.168.1.{new}/24 dev lan0\n')
            box.namespace.ip('-batch', batch)
            box.hq.wait_device(lambda row, new=new: row['published'] == [f'192.168.1.{new}'], 25)
