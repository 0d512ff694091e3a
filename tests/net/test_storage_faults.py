"""HQ's database and ledger when their disk is full, and when PostgreSQL is restarted in the middle of requests: what was
answered holds, everybody else is told to come again, and afterwards all goes on by itself."""
import collections
import contextlib
import errno
import http.client
import signal
import ssl
import subprocess
import threading

import pytest

from hqserver import Hq
from postgres import Postgres

CUT = (ConnectionError, ssl.SSLError, http.client.RemoteDisconnected, http.client.CannotSendRequest, TimeoutError)


class SmallDisk:
    """A file system of few megabytes."""

    def __init__(self, folder, size):
        self.folder, self.filler = folder, folder / 'filler'
        folder.mkdir()
        subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', folder], check=True)

    def fill(self):
        with self.filler.open('ab', buffering=0) as file:
            for piece in (65536, 4096, 1):
                try:
                    while True:
                        file.write(bytes(piece))
                except OSError as error:
                    assert error.errno == errno.ENOSPC

    def empty(self):
        self.filler.unlink()

    def umount(self):
        subprocess.run(['umount', '-l', self.folder], check=True)


@pytest.fixture
def disk(tmp_path):
    small = SmallDisk(tmp_path / 'small', '4m')
    yield small
    small.umount()


@pytest.fixture
def make_hq(bin_dir, tmp_path):
    running = []

    def make(**settings):
        running.append(Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq').configure(**settings))
        return running[-1]
    yield make
    for one in running:
        one.stop()


def ask(hq, device, what):
    """The answer to what(device), or None where the connection was cut, which docs/protocol.md lets a box repeat."""
    try:
        return what(device)
    except CUT:
        device.client.close()
        device.client = hq.client()
        return None


def is_served(hq, device, what, good):
    """For wait_until: a good answer. Until then there is none, or one that says when to come again."""
    answer = ask(hq, device, what)
    if answer is None:
        return False
    if answer.status == 503:
        assert int(answer.headers['Retry-After']) > 0
    else:
        assert answer.status in good, answer.json
    return answer.status in good


def test_disk_of_the_database_is_full(make_hq, disk, wait_until):
    """SQLite without room: nothing is confirmed that is not written, reading goes on, HQ lives."""
    hq = make_hq(database=str(disk.folder / 'hq.db'), ledger=str(disk.folder / 'ledger')).start()
    device = hq.device()
    assert device.enrol().status == 201
    disk.fill()
    # What lies in the log's free pages may still be taken; from some write on there is no room.
    refused = confirmed = 0
    for seq in range(1, 400):
        answer = ask(hq, device, lambda d, seq=seq: d.put_addresses(seq, [f'192.168.{seq // 200}.{seq % 200 + 1}']))
        if answer is not None and answer.status == 200:
            confirmed = seq
            continue
        assert answer is None or (answer.status == 503 and int(answer.headers['Retry-After']) > 0), answer.json
        refused += 1
        if refused == 5:
            break
    assert refused == 5
    late = hq.device()
    assert not is_served(hq, late, lambda d: d.enrol(), (200, 201))
    late.client.close()
    late.client = hq.client()
    assert ask(hq, device, lambda d: d.package()).status == 202
    assert ask(hq, device, lambda d: d.client.request('GET', '/v1/nothing')).status == 404
    disk.empty()
    wait_until(lambda: is_served(hq, late, lambda d: d.enrol(), (200, 201)), 30, 'an enrolment')
    wait_until(lambda: is_served(hq, device, lambda d: d.session(), (200,)), 30, 'a session')
    assert device.session().json['seq'] == confirmed
    assert hq.stop() == 0


def test_disk_of_the_ledger_is_full(make_hq, disk, wait_until):
    """The ledger without room: HQ says so and goes on, and writes it when there is room again."""
    hq = make_hq(ledger=str(disk.folder / 'ledger')).start()
    boxes = [hq.device(f'NP-{n:04}') for n in range(3)]
    for box in boxes:
        assert box.enrol().status == 201
    ledger = disk.folder / 'ledger'
    wait_until(ledger.exists, 10, 'the ledger')

    def leave(box):
        assert box.post(f'/v1/devices/{box.id}/leave', {'reason': 'reset'}).status == 204
    leave(boxes[0])
    wait_until(lambda: boxes[0].name in ledger.read_text(), 10, 'the first entry')
    disk.fill()
    room = -ledger.stat().st_size % 4096  # the last page is the file's already
    for n in range(room // 40 + 2):
        box = hq.device(f'FULL-{n:04}')
        assert box.enrol().status == 201
        leave(box)
        box.client.close()  # one address may have so many connections
    hq.wait_for_log('cannot be written: No space left on device')
    leave(boxes[1])
    disk.empty()
    wait_until(lambda: boxes[1].name in ledger.read_text(), 20, 'what was missing')
    lines = ledger.read_text().splitlines()
    assert [int(line.split(' ')[0]) for line in lines] == list(range(1, len(lines) + 1))
    assert hq.stop() == 0
    hq.start()  # every line can be read


class Load:
    """Boxes that state a new address as soon as the last one was confirmed, and new boxes between."""

    def __init__(self, hq, count):
        self.hq, self.over, self.failures = hq, threading.Event(), []
        self.seen = collections.Counter()  # statuses
        self.confirmed = {}  # device: (sequence number, name)
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def ask(self, device, what, good):
        """Repeats what(device) until it is confirmed, or there is no time left: None."""
        while not self.over.is_set():
            answer = ask(self.hq, device, what)
            self.seen[answer.status if answer else 'cut'] += 1
            if answer and answer.status in good:
                return answer
            if answer and answer.problem == 'bad-nonce':
                continue  # the request was taken, and its answer lost
            assert answer is None or (answer.status == 503 and int(answer.headers['Retry-After']) > 0), answer.json
            self.over.wait(0.05)
        return None

    def run(self, n):
        try:
            for round_ in range(10000):
                device = self.hq.device(f'L-{n}-{round_}')
                if not self.ask(device, lambda d: d.enrol(), (200, 201)):
                    return
                self.confirmed[device.id] = 0, device.name
                for seq in range(1, 11):
                    if not self.ask(device, lambda d, seq=seq: d.put_addresses(seq, [f'192.168.1.{seq}']), (200,)):
                        return
                    self.confirmed[device.id] = seq, device.name
                device.client.close()
        except BaseException as error:  # pylint: disable=broad-except
            self.failures.append(error)

    def wait_for(self, wait_until, more, what):
        goal = self.seen[what] + more
        wait_until(lambda: self.seen[what] >= goal or self.failures, 60, f'{more} times {what}')

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_postgresql_is_restarted_under_load(make_hq, wait_until):
    """In order, and by force: what was confirmed is there, what was not is told to come again, nothing fails otherwise."""
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(Postgres())
        hq = make_hq(database=postgres.create('load'), connections_per_address=64).start()
        stack.callback(hq.stop)
        load = Load(hq, 4)
        stack.callback(load.end)
        for blow in (signal.SIGINT, signal.SIGQUIT):
            load.wait_for(wait_until, 50, 200)
            postgres.stop(blow)
            load.wait_for(wait_until, 4, 503)
            postgres.start()
        load.wait_for(wait_until, 50, 200)
        load.end()
        assert not load.failures, (load.failures, hq.log.read_text()[-3000:])
        rows = {row[0]: (int(row[1]), row[2]) for row in
                (line.split('|') for line in postgres.sql('SELECT id, seq, name FROM device', 'load').splitlines())}
        for device, (seq, name) in load.confirmed.items():
            assert rows[device][1] == name and seq <= rows[device][0] <= seq + 1, (device, seq, rows[device])
