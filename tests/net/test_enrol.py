"""Who may enrol: claim codes and factory lists as an operator handles them, over real TLS against a real HQ."""
import csv
import io
import json
import os
import pty
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hqclient import Device
from hqserver import Hq

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
