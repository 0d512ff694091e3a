"""Two HQs on one PostgreSQL: devices go to either, one of them works, and when it is killed, stopped or restarted the
other one takes over: no certificate is ordered twice, nothing is lost. BIND serves the zone; the
CA is our own, since Pebble holds its own lock for ever now and then."""
import collections
import contextlib
import http.client
import random
import re
import shutil
import signal
import ssl
import threading
import time
from pathlib import Path

import pytest

from acmeca.client import AcmeCa
from hqclient import Client, Device
from hqserver import Hq
from nameservers import ACME, Bind, Key, Resolver
from ports import free_port
from postgres import Postgres

ZONE = 'devices.example'
TAKES_OVER = 40  # s; a lease is taken after 12


class Member(Hq):
    """One of several HQs: its own folder, port and process, the secrets and the database of all."""

    def __init__(self, program, folder, first=None, **settings):
        if first:
            self.program, self.folder = program, folder
            shutil.copytree(first.folder, folder, ignore=shutil.ignore_patterns('log', 'ledger'))
            self.port, self.url, self.process = free_port(), first.url, None
            self.dns_port = first.dns_port  # of no name server: BIND serves the zone
            self.conf, self.log = folder / 'nameplate-hq.conf', folder / 'log'
            text = self.conf.read_text().replace(str(first.folder), str(folder))
            text = text.replace(f'listen = {{"127.0.0.1:{first.port}"}}', f'listen = {{"127.0.0.1:{self.port}"}}')
            self.conf.write_text(text)
            return
        super().__init__(program, folder)
        for key, value in settings.items():
            self.set(key.replace('_', '-'), value)

    def set(self, key, value):
        text = re.sub(rf'^#? ?{key} = .*\n', '', self.conf.read_text(), flags=re.M)
        items = value if isinstance(value, (list, bool, int)) else str(value)
        shown = ('{' + ', '.join(f'"{item}"' for item in items) + '}' if isinstance(items, list)
                 else str(items).lower() if isinstance(items, (bool, int)) else f'"{items}"')
        self.conf.write_text(f'{text}{key} = {shown}\n')

    def works(self):
        """Is it the one that does the work behind the requests?"""
        return self.process is not None and self.holder().endswith(f':{self.process.pid}')


@pytest.fixture(scope='module')
def postgres():
    with Postgres() as server:
        yield server


def end(hq):
    """Whatever became of it: also one that a test has stopped."""
    if hq.process and hq.process.poll() is None:
        hq.process.send_signal(signal.SIGCONT)
        hq.stop(signal.SIGKILL)


@pytest.fixture
def pair(bin_dir, tmp_path, postgres, request):
    """Two HQs that run, and their surroundings."""
    keys = Key(tmp_path, 'hq-zone'), Key(tmp_path, 'hq-acme')
    name = re.sub(r'\W', '_', request.node.name)
    with contextlib.ExitStack() as stack:
        bind = Bind(tmp_path / 'bind', *keys).start()
        stack.callback(bind.stop)
        resolver = Resolver(tmp_path / 'resolver', *keys, servers={ZONE: bind, ACME: bind}).start()
        stack.callback(resolver.stop)
        ca = AcmeCa(tmp_path / 'ca', resolver.port, order_list=True).start()
        stack.callback(ca.stop)
        first = Member(bin_dir / 'nameplate-hq', tmp_path / 'a', database=postgres.create(name), zone_backend='rfc2136',
                       update_servers=[bind.endpoint], update_key=keys[0].path, acme_update_key=keys[1].path,
                       nameservers=[f'ns1.{ZONE}={bind.endpoint}'], hq_address=[], probe_public=[], dns_listen=[],
                       acme_directory=ca.directory, acme_anchors=ca.certificate, enrol=['open'], open_enrolments=10000, vanity=True)
        first.holder = lambda: postgres.sql('SELECT holder FROM lease', name)
        stack.callback(end, first)
        first.start()  # makes the account's key, which the others need too
        second = Member(bin_dir / 'nameplate-hq', tmp_path / 'b', first)
        second.holder = first.holder
        stack.callback(end, second)
        second.start()
        yield collections.namedtuple('Pair', 'first second ca bind database')(first, second, ca, bind, name)


class Box:
    """A device that knows both addresses: it tries the other one where a connection is refused."""

    def __init__(self, *hqs):
        self.hqs, self.retries = list(hqs), 0
        self.device = Device(self.connect(hqs[0]))

    @staticmethod
    def connect(hq):
        return Client(hq.url, hq.folder / 'hq-anchors.pem', ('127.0.0.1', hq.port))

    def ask(self, what, deadline=30):
        """what(device) until there is an answer that is neither 503 nor a stale nonce. A connection that is refused or
        ends before the answer is what docs/protocol.md lets a box repeat."""
        end, nonces, last = time.monotonic() + deadline, 0, None
        while True:
            try:
                answer = what(self.device)
            except (ConnectionError, ssl.SSLError, http.client.RemoteDisconnected, http.client.CannotSendRequest) as error:
                answer, last = None, error
            if answer is not None and answer.status != 503:
                if answer.problem != 'bad-nonce' or nonces == 3:
                    return answer
                nonces += 1
            else:
                self.retries += 1
                last = answer.json if answer else last
                self.hqs.append(self.hqs.pop(0))
                self.device.client.close()
                self.device.client = self.connect(self.hqs[0])
            assert time.monotonic() < end, f'no HQ answers: {last!r}'
            threading.Event().wait(0.05)

    def enrol(self):
        answer = self.ask(lambda device: device.enrol())
        assert answer.status in (200, 201), answer.json
        return self

    def send_csr(self):
        csr = self.device.csr()
        answer = self.ask(lambda device: device.post_csr(csr))
        assert answer.status == 202, answer.json
        return self

    def has_package(self):
        return self.ask(lambda device: device.package()).status == 200


def wait_for_work(hq, wait_until):
    wait_until(hq.works, TAKES_OVER, f'{hq.folder.name} to work')


def ordered(ca):
    """How many orders the CA has; each has come to a certificate, and no two are for the same names."""
    orders = ca.orders()
    assert len({tuple(order['names']) for order in orders}) == len(orders), orders
    assert {order['status'] for order in orders} == {'valid'}, orders
    return len(orders)


def check_world(pair, boxes, wait_until):
    """Every box has one certificate from one order, and its address is public."""
    for box in boxes:
        wait_until(box.has_package, 60, f'the certificate of {box.device.name}')
    assert ordered(pair.ca) == len(boxes)
    for box in boxes:
        wait_until(lambda box=box: pair.bind.lookup(box.device.name) == ['192.168.1.10'], 30, box.device.name)
    wait_until(lambda: not [name for name, kind in pair.bind.transfer(ACME) if kind == 'TXT' and name.count('.') > 2
                            and not name.startswith('_')], 30, 'the challenge values to go')


def test_either_answers(pair, wait_until):
    """A nonce, a token and a device of one HQ are good at the other one, and a nonce is good once for both."""
    first, second = pair.first, pair.second
    assert first.works() and not second.works()
    box = Box(first).enrol()
    device = box.device
    nonce = device.client.fresh_nonce()
    device.client = Box.connect(second)
    assert device.session(nonce=nonce).status == 200
    used = device.client.nonce
    assert device.session(nonce=used).status == 200
    device.client = Box.connect(first)
    refused = device.session(nonce=used)
    assert (refused.status, refused.problem) == (400, 'bad-nonce')
    # The work of what the second one takes in is done by the first one.
    other = Box(second).enrol().send_csr()
    wait_until(other.has_package, 30, 'a certificate')
    wait_until(lambda: pair.bind.lookup(other.device.name) == ['192.168.1.10'], 10, 'the address')
    assert other.device.put_addresses(1, ['192.168.1.20']).status == 200
    wait_until(lambda: pair.bind.lookup(other.device.name) == ['192.168.1.20'], 10, 'the new address')
    # An enrolment that arrives at both at once is one device.
    twin = Device(Box.connect(first))
    twin.client.fresh_nonce()
    results = []

    def enrol(hq):
        copy = Device(Box.connect(hq))
        copy.identity, copy.epoch, copy.token = twin.identity, twin.epoch, twin.token
        copy.client.fresh_nonce()
        barrier.wait()
        results.append(copy.enrol())
    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=enrol, args=(hq,)) for hq in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    good = [answer for answer in results if answer.status in (200, 201)]
    assert good and sorted(answer.status for answer in good) in ([200, 201], [201])
    assert len({answer.json['device'] for answer in good}) == 1


def storm(pair, count):
    """Boxes enrol and send their CSRs, at both HQs."""
    hqs = pair.first, pair.second
    return [Box(hqs[n % 2], hqs[(n + 1) % 2]).enrol().send_csr() for n in range(count)]


@pytest.mark.parametrize('blow', ['kill', 'pause'])
def test_takeover(pair, wait_until, blow):
    """In the middle of its orders the working HQ is killed, or stands still for longer than its lease and then goes on:
    each certificate is ordered once, and what the late one would write is refused."""
    first, second, ca, bind = pair.first, pair.second, pair.ca, pair.bind
    with ca.paused():  # the first orders hang in the CA, each at its own step
        boxes = storm(pair, 6)
    boxes += storm(pair, 6)
    first.process.send_signal(signal.SIGKILL if blow == 'kill' else signal.SIGSTOP)
    if blow == 'kill':
        first.process.wait(10)
    boxes += [Box(second).enrol().send_csr() for _ in range(3)]
    for box in boxes:
        box.hqs = [second]
        box.device.client = Box.connect(second)
    wait_for_work(second, wait_until)
    check_world(pair, boxes, wait_until)
    if blow == 'pause':
        epoch = bind.lookup(f'_nameplate.{ZONE}', 'TXT')
        first.process.send_signal(signal.SIGCONT)
        assert first.process.wait(30) != 0
        assert 'another one has taken over its work' in first.log.read_text()
        assert bind.lookup(f'_nameplate.{ZONE}', 'TXT') == epoch
    first.start()
    first.wait_for_log('standing by')
    again = Box(first).enrol().send_csr()
    check_world(pair, boxes + [again], wait_until)
    assert not first.works() and second.works()


def test_rolling_restart(pair, wait_until):
    """Both HQs are restarted, one after the other, under a stream of enrolments: no request fails but by a connection
    that is refused or ends, and the box's next try is good."""
    first, second = pair.first, pair.second
    boxes, failures, over = [], [], threading.Event()

    def stream(order):
        try:
            while not over.is_set():
                box = Box(*order).enrol()
                box.device.client.close()  # one address may have so many connections
                boxes.append(box)
        except BaseException as error:  # pylint: disable=broad-except
            failures.append(error)
    threads = [threading.Thread(target=stream, args=(order,))
               for order in ((first, second), (second, first), (first, second))]
    for thread in threads:
        thread.start()
    try:
        for hq, other in ((first, second), (second, first)):
            seen = len(boxes)
            wait_until(lambda seen=seen: len(boxes) > seen + 20 or failures, 30, 'enrolments')
            assert hq.stop() == 0
            wait_for_work(other, wait_until)
            seen = len(boxes)
            wait_until(lambda seen=seen: len(boxes) > seen + 20 or failures, 30, 'enrolments')
            hq.start()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures
    assert len({box.device.id for box in boxes}) == len({box.device.name for box in boxes}) == len(boxes)
    # Handed over, not taken after a time of silence.
    assert 'nothing was heard' not in first.log.read_text() + second.log.read_text()
    last = Box(second).enrol().send_csr()
    wait_until(last.has_package, 30, 'a certificate')


def test_database_away(pair, postgres, wait_until):
    """The database is restarted: 503 with Retry-After meanwhile, then all goes on, and the same HQ works."""
    box = Box(pair.first).enrol()
    postgres.stop()
    answer = box.device.session()
    assert (answer.status, answer.problem) == (503, 'busy') and int(answer.headers['Retry-After']) > 0
    postgres.start()
    wait_until(lambda: box.device.session().status == 200, 20, 'HQ to find its database again')
    late = Box(pair.second).enrol().send_csr()
    wait_until(late.has_package, 60, 'a certificate')
    assert pair.first.works() and not pair.second.works()


def test_rollover(pair, wait_until):
    """The account's key is changed on one machine: not while another one works. Where the file has not come along, no
    other account is made of the old key, and no restart is needed once it has."""
    first, second, ca = pair.first, pair.second, pair.ca
    accounts = ca.stats()['accounts']
    assert second.stop() == 0
    refused = second.run('ca', 'rollover', check=False)
    assert refused.returncode == 1 and f':{first.process.pid}: stop nameplate-hq serve there too' in refused.stderr
    assert first.stop() == 0
    second.run('ca', 'rollover')
    first.start()
    box = Box(first).enrol().send_csr()
    first.wait_for_log("is not the key of HQ's account")
    asked = ca.requests('newAccount')
    wait_until(lambda: ca.requests('newAccount') > asked, 30, 'one more try')
    assert ca.stats()['accounts'] == accounts and not box.has_package()
    key = Path('secrets', 'acme-account.pem')
    shutil.copy(second.folder / key, first.folder / key)
    wait_until(box.has_package, 60, 'a certificate')
    # Behind the back of an HQ that works (it stands still): what it signs with the old key is signed again.
    first.process.send_signal(signal.SIGSTOP)
    second.run('ca', 'rollover')
    shutil.copy(second.folder / key, first.folder / key)
    first.process.send_signal(signal.SIGCONT)
    box = Box(first).enrol().send_csr()
    wait_until(box.has_package, 60, 'a certificate')
    assert ca.stats()['accounts'] == accounts and ordered(ca) == 2
    # A lost key is no lost HQ.
    assert first.stop() == 0
    (first.folder / key).unlink()
    first.start().wait_for_log("is not the key of HQ's account")
    first.run('ca', 'forget')
    box = Box(first).enrol().send_csr()
    wait_until(box.has_package, 60, 'a certificate of another account')
    assert len(ca.stats()['accounts']) == len(accounts) + 1


@pytest.mark.long
def test_many_takeovers(pair, wait_until):
    """Blow after blow at a random moment, under orders: still one order for each certificate."""
    seed = random.randrange(1 << 32)
    print(f'seed {seed}')
    dice = random.Random(seed)
    boxes = []
    for _ in range(6):
        worker, other = (pair.first, pair.second) if pair.first.works() else (pair.second, pair.first)
        fresh = storm(pair, 8)
        boxes += fresh
        threading.Event().wait(dice.uniform(0, 0.4))  # a moment, not a wait for something
        blow = dice.choice([signal.SIGKILL, signal.SIGSTOP])
        worker.process.send_signal(blow)
        if blow == signal.SIGKILL:
            worker.process.wait(10)
        for box in boxes:
            box.hqs = [other]
            box.device.client.close()
            box.device.client = Box.connect(other)
        wait_for_work(other, wait_until)
        for box in fresh:
            wait_until(box.has_package, 60, f'the certificate of {box.device.name}')
            box.device.client.close()
        if blow == signal.SIGSTOP:
            worker.process.send_signal(signal.SIGCONT)
            assert worker.process.wait(30) != 0
        worker.start()
    assert ordered(pair.ca) == len(boxes)


def test_one_name_is_asked_for_at_both(pair, wait_until):
    """Two boxes, two HQs, one name: one of the boxes gets it, and BIND shows its two names until it leaves."""
    boxes = [Box(pair.first, pair.second).enrol().send_csr(), Box(pair.second, pair.first).enrol().send_csr()]
    wait_until(lambda: all(box.has_package() for box in boxes), TAKES_OVER + 20, 'the first certificates')
    wish = {'name': 'kitchen'}

    def ask(box, **payload):
        return box.ask(lambda device: device.post(f'/v1/devices/{device.id}/name', payload))
    wait_until(lambda: all(ask(box, **wish, check=True).status == 200 for box in boxes), 20, 'the name to be had')
    start, answers = threading.Barrier(2), {}

    def race(box):
        start.wait(20)
        answers[box] = ask(box, **wish)
    threads = [threading.Thread(target=race, args=(box,)) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert sorted(answer.status for answer in answers.values()) == [200, 409]
    winner, loser = sorted(boxes, key=lambda box: answers[box].status)
    assert answers[loser].problem == 'name-taken'
    device, chosen = winner.device, f'kitchen.{ZONE}'
    wait_until(lambda: pair.bind.lookup(chosen) == pair.bind.lookup(device.name) == ['192.168.1.10'], 20, 'both names at BIND')
    csr = device.csr([chosen, device.name])
    assert winner.ask(lambda device: device.post_csr(csr)).status == 202
    wait_until(lambda: ask(winner).json['name'] == chosen, 30, 'the certificate for both names')
    assert ask(winner).json['old']['name'] == device.name
    assert winner.ask(lambda device: device.post(f'/v1/devices/{device.id}/leave', {'reason': 'reset'})).status == 204
    wait_until(lambda: pair.bind.lookup(chosen) == pair.bind.lookup(device.name) == [], 20, 'both names gone')
    assert ask(loser, **wish).problem == 'name-taken'
