"""`tests/lab bench resolver`, `bench agent` and `bench hq` work: every row is there and measured. What it measured is nobody's business here."""
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from lab.bench import figures, footprint
from lab.cli import AGENT_ROWS, BENCH_ROWS, HQ_ROWS

LAB = Path(__file__).resolve().parents[1] / 'lab'
NAME = 'npbench'
TRACES = ('/run/netns', NAME + '-*'), ('/etc/netns', NAME + '-*'), ('/var/lib', f'nameplate-lab-{NAME}'), ('/dev/shm', f'nameplate-bench-{NAME}-*')


def traces():
    return [path for folder, pattern in TRACES for path in Path(folder).glob(pattern)]


@pytest.fixture
def bench(bin_dir):
    """bench(words): the running command, with this build and a name of its own. Gone afterwards."""
    running = []

    def start(*words):
        environment = {**os.environ, 'NAMEPLATE_LAB': NAME, 'NAMEPLATE_BIN': str(bin_dir)}
        running.append(subprocess.Popen([str(LAB), 'bench', *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return running[-1]
    yield start
    for process in running:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)
    assert traces() == []


def test_every_row(bench, tmp_path):
    result = tmp_path / 'bench.json'
    said, _ = bench('resolver', '--quick', '--pairs', '1', '--json', str(result)).communicate(timeout=600)
    assert result.exists(), said
    data = json.loads(result.read_text())
    assert {row['key'] for row in data['rows']} == set(BENCH_ROWS), said
    assert {'dnsmasq', 'unbound', 'knot-resolver', 'dnsperf'} == set(data['versions'])
    for row in data['rows']:
        assert row['name'] in said
        assert {'name', 'unit', 'value', 'limit', 'peers', 'bar', 'met'} <= set(row)
        assert row['value'] > 0, row
        assert row['met'] in ((True, False) if row['bar'] else (None,)), row
        assert all(value > 0 for value in row['peers'].values()), row
    by_key = {key: [row for row in data['rows'] if row['key'] == key] for key in BENCH_ROWS}
    for key in ('own', 'hit', 'miss', 'mix', 'memory'):
        assert set(by_key[key][0]['peers']) == {'dnsmasq', 'unbound', 'knot-resolver'}
    assert all(by_key[key][0]['limit'] > 0 for key in ('own', 'hit'))


def test_what_the_agent_takes(bench, tmp_path):
    """Its size, its processes at rest, a first boot, a changed address."""
    result, keys = tmp_path / 'bench.json', ('size', 'idle', 'boot', 'change')
    said, _ = bench('agent', '--quick', *(f'--only={key}' for key in keys), '--json', str(result)).communicate(timeout=400)
    assert result.exists(), said
    rows = json.loads(result.read_text())['rows']
    assert [key for key in keys if any(row['key'] == key for row in rows)] == list(keys), said
    for row in rows:
        assert row['name'] in said and row['value'] is not None, said
        assert row['value'] > 0 or 'wake-ups' in row['name'], row
        assert row['met'] in (True, False) and row['bar'], row
    by_key = {key: [row for row in rows if row['key'] == key] for key in keys}
    assert set(by_key['size'][0]['peers']) == {'dnsmasq+inadyn+uacme+stunnel', 'the same without libc'}
    assert all(set(row['peers']) == {'dnsmasq+inadyn+stunnel'} for row in by_key['idle'])
    assert set(by_key['boot'][0]['peers']) == {'uacme'}
    assert not any('never came' in note for row in by_key['change'] for note in row.get('notes', [])), said


def test_libraries_are_counted_once():
    """Of two programs together, and both have libc."""
    one, both = footprint.loaded(['/usr/bin/env']), footprint.loaded(['/usr/bin/env', '/usr/bin/sort'])
    assert one.items() < both.items()
    for files in (one, both):
        assert sum(bool(footprint.LIBC.fullmatch(Path(path).name)) for path in files) == 2  # libc itself and the loader
        assert all(Path(path).stat().st_size == size for path, size in files.items())
    assert not footprint.LIBC.fullmatch('libcrypto.so.3') and not footprint.LIBC.fullmatch('libcap.so.2')


def test_rows_of_tls(bench, tmp_path):
    """The quicker half of them."""
    result, keys = tmp_path / 'bench.json', ('handshakes', 'memory')
    said, _ = bench('agent', '--quick', '--only', keys[0], '--only', keys[1], '--json', str(result)).communicate(timeout=300)
    assert result.exists(), said
    rows = json.loads(result.read_text())['rows']
    assert {row['key'] for row in rows} == set(keys) < set(AGENT_ROWS)
    for row in rows:
        assert row['name'] in said and row['value'] > 0 and set(row['peers']) == {'stunnel', 'hitch', 'nginx'}
        assert all(value > 0 for value in row['peers'].values()), row


def test_every_row_of_hq(bench, tmp_path):
    result = tmp_path / 'bench.json'
    said, _ = bench('hq', '--quick', '--json', str(result)).communicate(timeout=600)
    assert result.exists(), said
    data = json.loads(result.read_text())
    assert {row['key'] for row in data['rows']} == set(HQ_ROWS), said
    for row in data['rows']:
        assert row['name'] in said
        assert row['value'] is not None and row['value'] >= 0, row
        assert row['met'] in ((True, False) if row['bar'] else (None,)), row
        assert row['bar'] or row['key'] == 'idle', row


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_nothing(bench, wait_until, how):
    process = bench('resolver', '--only', 'memory')
    wait_until(lambda: len(traces()) >= 6, 60, 'the bench is at work')
    process.send_signal(how)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said


def test_wrong_words_say_so(bench):
    process = bench('resolver', '--only', 'nothing')
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2 and 'own' in said


def test_percentile():
    assert figures.percentile([3, 1, 2], 99) == 3 and figures.percentile([3, 1, 2], 50) == 2
    assert figures.percentile(range(1, 121), 99) == 119  # one in 120 may be slower
    assert figures.percentile(range(1, 101), 99) == 99 and figures.percentile([7], 1) == 7


def test_interval():
    values = [5, 1, 4, 2, 3]
    assert figures.median(values) == 3 and figures.median([1, 2, 3, 4]) == 2.5
    assert figures.interval(values) == (1, 5)  # five values hold the median with 94 % at most
    assert figures.interval(list(range(15))) == (3, 11)  # 96.5 %
    assert figures.ratio([2, 4, 9], [1, 2, 3]) == [2, 2, 3]
