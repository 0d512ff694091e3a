"""Forwarding against upstreams that misbehave: streams, failover, forgeries, changes under load."""
import collections
import contextlib
import itertools
import json
import random
import select
import socket
import struct
import subprocess
import threading
import time

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from lab.waiting import wait_until
from ports import free_port
from resolver_child import ResolverChild
from resolver_process import OFFLINE_S, VIEW, edes, texts
from upstream import SO_RCVBUFFORCE, FastUpstream, address_reply, good, question_end, reply


class Stub:
    """Clients on loopback that keep many questions in flight over UDP: ask() sends, collect() waits for the answers."""

    def __init__(self, port, clients=1):
        self.port = port
        self.sockets = []
        for i in range(clients):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((f'127.0.1.{i + 1}', 0))
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
            self.sockets.append(sock)
        self.waiting = {}  # (socket, id) -> name
        self.answers = {}  # name -> message

    def ask(self, name, rdtype='A', client=0):
        sock = self.sockets[client % len(self.sockets)]
        query = dns.message.make_query(name, rdtype, use_edns=0)
        while (sock, query.id) in self.waiting:
            query.id = random.randrange(65536)
        self.waiting[sock, query.id] = name
        sock.sendto(query.to_wire(), ('127.0.0.1', self.port))

    def collect(self, deadline=20.0):
        """Waits until every question has its answer; returns those by name."""
        end = time.monotonic() + deadline
        while self.waiting:
            ready, _, _ = select.select(self.sockets, [], [], max(0, end - time.monotonic()))
            assert ready, f'{len(self.waiting)} questions without an answer, {list(self.waiting.values())[:3]} and more'
            for sock in ready:
                message = dns.message.from_wire(sock.recv(65535))
                self.answers[self.waiting.pop((sock, message.id))] = message
        return self.answers

    def close(self):
        for sock in self.sockets:
            sock.close()


@pytest.fixture
def stub():
    """stub(resolver, clients): see Stub."""
    with contextlib.ExitStack() as stack:
        def begin(resolver, clients=1):
            made = Stub(resolver.port, clients)
            stack.callback(made.close)
            return made
        yield begin


# Streams (RFC 7766).

class StreamUpstream:
    """An upstream whose every UDP answer is truncated; what it does over TCP is the test's: on_connection(self, socket) in
    a thread of its own. It works on bytes, so that it is not what a loaded machine waits for."""

    def __init__(self, on_connection):
        self.port = free_port()
        self.address = f'127.0.0.1:{self.port}'
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.udp.bind(('127.0.0.1', self.port))
        self.tcp = socket.create_server(('127.0.0.1', self.port), backlog=64)
        self.on_connection = on_connection
        self.connections = 0
        self.per_connection = collections.Counter()
        threading.Thread(target=self._truncate, daemon=True).start()
        threading.Thread(target=self._accept, daemon=True).start()

    def _truncate(self):
        with contextlib.suppress(OSError):
            while True:
                packet, peer = self.udp.recvfrom(4096)
                self.udp.sendto(packet[:2] + b'\x83\x80' + packet[4:], peer)  # QR, TC; the question and the OPT as they came

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.tcp.accept()
                self.connections += 1
                threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock):
        with contextlib.suppress(OSError), sock:
            self.on_connection(self, sock)

    def close(self):
        self.udp.close()
        self.tcp.close()


def queries(sock):
    """The queries that come over a connection, until it ends."""
    with sock.makefile('rb') as stream:
        while len(head := stream.read(2)) == 2:
            yield stream.read(struct.unpack('>H', head)[0])


def framed(query):
    answer = address_reply(query, question_end(query)[0])
    return struct.pack('>H', len(answer)) + answer


@pytest.fixture
def stream_upstream():
    """stream_upstream(on_connection): see StreamUpstream."""
    with contextlib.ExitStack() as stack:
        def begin(on_connection):
            made = StreamUpstream(on_connection)
            stack.callback(made.close)
            return made
        yield begin


def backwards_in_pieces(upstream, sock):
    """Answers what it has read in reverse order, in pieces that end anywhere."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    rng = random.Random(upstream.connections)
    data = b''
    while chunk := sock.recv(65536):
        data += chunk
        batch = []
        while len(data) >= 2 and len(data) >= 2 + (length := struct.unpack('>H', data[:2])[0]):
            batch.append(data[2:2 + length])
            data = data[2 + length:]
        upstream.per_connection[len(batch)] += 1
        out = b''.join(framed(query) for query in reversed(batch))
        while out:
            cut = rng.choice([1, 2, 3, 50, 1000, 100000])
            sock.sendall(out[:cut])
            out = out[cut:]


def test_streams_carry_400(start, stub, stream_upstream):
    """400 questions outstanding over a few connections, answered out of order and in pieces."""
    server = stream_upstream(backwards_in_pieces)
    client = stub(start(upstreams=[server.address]))
    for i in range(400):
        client.ask(f'name-{i}.example')
    answers = client.collect()
    assert all(texts(answer.answer) == [f'{name}. 60 IN A 198.51.100.7'] for name, answer in answers.items())
    assert 1 <= server.connections <= 40, 'connections are shared'
    assert max(server.per_connection) > 1, 'queries leave together'


def test_stream_idle_close(start, stub, stream_upstream):
    """The server closes a connection just as the next question is sent on it: asked again on another."""
    def two(upstream, sock):
        for count, query in enumerate(queries(sock), 1):
            if count == 2:
                return  # the second one is read and lost
            sock.sendall(framed(query))
    server = stream_upstream(two)
    client = stub(start(upstreams=[server.address]))
    for i in range(6):
        client.ask(f'name-{i}.example')
        assert client.collect()[f'name-{i}.example'].answer
    assert server.connections >= 6


def test_stream_without_answers(start, stub, stream_upstream, upstream):
    """An upstream that truncates and then says nothing over TCP, resets, or talks nonsense: the other one answers."""
    def silent(server, sock):
        sock.recv(65536)
        sock.recv(65536)

    def reset(server, sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))

    def nonsense(server, sock):
        for query in queries(sock):
            sock.sendall(b'\0\0' + b'\0\1x' + b'\0\x0c' + b'y' * 12)
            sock.sendall(framed(bytes([query[0] ^ 1]) + query[1:]))
    other = upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 60 A 198.51.100.8')])
    for behaviour in (silent, reset, nonsense):
        client = stub(start(upstreams=[stream_upstream(behaviour).address, other.address]))
        for i in range(4):
            client.ask(f'name-{i}.example')
        assert all('198.51.100.8' in texts(answer.answer)[0] for answer in client.collect().values()), behaviour.__name__
def test_stream_closed_after_each_answer(start, stub, stream_upstream):
    """A server that takes one question a connection, as old ones do, and drops what else was sent there."""
    def once(upstream, sock):
        for query in queries(sock):
            sock.sendall(framed(query))
            return
    server = stream_upstream(once)
    client = stub(start(upstreams=[server.address]))
    for i in range(40):
        client.ask(f'name-{i}.example')
    assert all(answer.answer for answer in client.collect().values())




# Upstreams that die, are slow, or lie.

@pytest.fixture
def delayed():
    """delayed(delay): see FastUpstream."""
    with contextlib.ExitStack() as stack:
        def begin(delay):
            made = FastUpstream(delay)
            stack.callback(made.close)
            return made
        yield begin


@pytest.fixture
def child(bin_dir, tmp_path):
    """child(upstreams, **view): a resolver whose counters can be asked for, listening on 127.0.0.1 (UDP)."""
    with contextlib.ExitStack() as stack:
        def begin(upstreams=(), **view):
            made = stack.enter_context(ResolverChild(bin_dir / 'nameplate', tmp_path / f'child-{len(list(tmp_path.iterdir()))}'))
            _, made.port = made.listen('127.0.0.1')
            made.base = dict(VIEW, **view)
            made.view(dict(made.base, upstreams=list(upstreams)))
            return made
        yield begin


def ask(resolver, name, rdtype='A', timeout=10):
    return dns.query.udp(dns.message.make_query(name, rdtype, use_edns=0), '127.0.0.1', port=resolver.port, timeout=timeout)


def test_slow_is_not_offline(child, delayed):
    """A question that takes its only upstream 3 s is waited for: the upstream shows that it is there by answering something
    else. When it answers nothing at all, the question fails in time."""
    online = True

    def delay(name):
        return (3.0 if name == 'slow.example.' else 0.0) if online else None
    server = delayed(delay)
    resolver = child([server.address])
    begin = time.monotonic()
    assert texts(ask(resolver, 'slow.example').answer) == ['slow.example. 60 IN A 198.51.100.7']
    assert time.monotonic() - begin > 2.9
    assert server.count('.') >= 1, 'it was pinged'
    assert ask(resolver, 'other.example').answer
    wait_until(lambda: not server.waiting, what='nothing is on its way')
    pings = server.count('.')
    online = False
    begin = time.monotonic()
    answer = ask(resolver, 'slow-too.example')
    assert answer.rcode() == dns.rcode.SERVFAIL and edes(answer) == [22]
    assert time.monotonic() - begin < OFFLINE_S
    assert server.count('.') > pings


def test_dying_upstream(child, delayed):
    """The first upstream dies while it is in use: nothing fails, and soon nothing waits for it. It comes back, and is used."""
    alive = True
    first, second = delayed(lambda name: 0.0 if alive else None), delayed(lambda name: 0.02)
    resolver = child([first.address, second.address])
    for i in range(20):
        assert ask(resolver, f'a{i}.example').answer
    assert len(first.seen) > 10, 'the fast one is used'
    alive = False
    for i in range(30):
        assert ask(resolver, f'b{i}.example').answer
    before = len(first.seen)
    for i in range(30):
        assert ask(resolver, f'c{i}.example').answer
    assert len(first.seen) - before <= 5, 'only probes'
    alive = True

    numbers = itertools.count()

    def used():
        before = len(first.seen)
        for _ in range(10):
            assert ask(resolver, f'd{next(numbers)}.example').answer
        return len(first.seen) - before >= 9
    wait_until(used, deadline=40, what='the first one is asked again')
    assert resolver.stats()['forward']['failed'] == 0


def test_hedges_are_few(child, stub, delayed):
    """An upstream that loses a third of what it is asked: questions are put to the other one early, but seldom twice."""
    rng = random.Random(3)
    lossy, steady = delayed(lambda name: None if rng.random() < 0.33 else 0.0), delayed(lambda name: 0.01)
    resolver = child([lossy.address, steady.address])
    client = stub(resolver)
    for i in range(600):
        client.ask(f'h{i}.example')
        if i % 20 == 19:
            client.collect()
    forward = resolver.stats()['forward']
    assert forward['failed'] == 0 and forward['answered'] == 600
    assert forward['hedged'] <= 16 + 600 / 10
    assert forward['sent_udp'] < 600 * 1.6, 'no traffic for nothing'


def test_forwarded_zone(child, delayed):
    """A zone with two servers of its own, one of them dead; the rest goes elsewhere."""
    dead, alive, rest = delayed(lambda name: None), delayed(lambda name: 0.0), delayed(lambda name: 0.0)
    resolver = child([rest.address], forward=[{'zone': 'home.arpa', 'to': [dead.address, alive.address]}])
    for i in range(20):
        assert ask(resolver, f'h{i}.home.arpa').answer and ask(resolver, f'h{i}.example').answer
    assert {name for name, _, _ in alive.seen} == {f'h{i}.home.arpa.' for i in range(20)}
    assert {name for name, _, _ in rest.seen} == {f'h{i}.example.' for i in range(20)}
    assert len(dead.seen) <= 5
    dead.close()
    alive.close()
    answer = ask(resolver, 'gone.home.arpa')
    assert answer.rcode() == dns.rcode.SERVFAIL and edes(answer) in ([22], [23])
    assert ask(resolver, 'still.example').answer


def test_guessed_answers_lead_to_a_stream(child, upstream):
    """Somebody who guesses IDs at the right port: after 32 wrong ones the question goes over TCP, and the log says so."""
    def handler(query, over_tcp):
        if over_tcp:
            return good(query)
        forged = [reply(query, f'{query.question[0].name} 60 A 192.0.2.66')] * 40
        return [struct.pack('>H', (query.id + 1 + i) & 0xffff) + wire[2:] for i, wire in enumerate(forged)]
    server = upstream(handler)
    resolver = child([server.address])
    for i in range(4):
        assert texts(ask(resolver, f'h{i}.example').answer) == [f'h{i}.example. 60 IN A 198.51.100.7']
    forward = resolver.stats()['forward']
    assert forward['distrusted'] == 4 and forward['foreign'] >= 4 * 32
    assert resolver.log().count('forged answers') == 1, 'said once a minute'


def test_guessed_answers_without_streams(child, delayed):
    """The same where the upstream does not speak TCP: asked again from another port."""
    server = delayed(lambda name: None)

    def delay(name):
        port = server.seen[-1][1]
        if port != server.seen[0][1]:
            return 0.0
        for i in range(40):
            server.sock.sendto(struct.pack('>H', i) + server.seen[-1][2][2:], ('127.0.0.1', port))
        return None
    server.delay = delay
    assert ask(child([server.address]), 'www.example').answer
    assert len({port for _, port, _ in server.seen}) == 2


def test_forged_formerr(child, upstream):
    """A FORMERR that is only a header has little in it that a forger would have to guess. It does not turn EDNS off."""
    def handler(query, over_tcp):
        bare = struct.pack('>HHHHHH', query.id, 0x8181, 0, 0, 0, 0)
        return [bare, bare, *good(query)] if query.edns >= 0 else good(query)
    server = upstream(handler)
    resolver = child([server.address])
    for i in range(10):
        assert ask(resolver, f'h{i}.example').answer
    first = {}
    for _, query, _ in server.seen:
        first.setdefault(query.question[0].name.to_text().lower(), query)
    assert all(query.edns == 0 for query in first.values()), 'every question is asked with EDNS at first'


def test_upstream_that_drops_edns(child, delayed):
    """A middlebox that swallows what has an OPT: found out, and then no question waits for it."""
    server = delayed(lambda name: 0.0)
    server.delay = lambda name: None if server.seen[-1][2][11] else 0.0
    resolver = child([server.address])
    for i in range(4):
        assert ask(resolver, f'h{i}.example').answer, i
    assert server.seen[-1][2][11] == 0 and server.count('h3.example.') == 1


# Loops.

def test_upstream_is_ourselves(child, delayed):
    other = delayed(lambda name: 0.0)
    resolver = child()
    own = f'127.0.0.1:{resolver.port}'
    resolver.view(dict(resolver.base, upstreams=[own]))
    answer = ask(resolver, 'www.example')
    assert answer.rcode() == dns.rcode.SERVFAIL and edes(answer)
    assert 'is this resolver itself' in resolver.log()
    assert [u['health'] for u in resolver.stats()['upstreams']] == ['itself']
    resolver.view(dict(resolver.base, upstreams=[own, other.address]))
    assert ask(resolver, 'www2.example').answer
    assert resolver.log().count('is this resolver itself') == 1


class Forwarder:
    """A real dnsmasq or Unbound that forwards to the port."""

    def __init__(self, folder, kind, to, *options):
        self.port = free_port()
        self.address = f'127.0.0.1:{self.port}'
        self.log_path = folder / f'{kind}-{self.port}'
        with open(self.log_path, 'w') as log:
            argv = getattr(self, f'_{kind}')(folder, to, *options)
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(lambda: 'start' in self.log_path.read_text() or self.process.poll() is not None, what=kind)
        assert self.process.poll() is None, self.log_path.read_text()

    def _dnsmasq(self, folder, to, *options):
        return ['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', f'--port={self.port}', '--listen-address=127.0.0.1',
                '--bind-interfaces', '--no-resolv', '--no-hosts', '--user=', '--log-facility=-',
                f'--pid-file={folder}/dnsmasq-{self.port}.pid', f'--server=127.0.0.1#{to}', *options]

    def _unbound(self, folder, to):
        path = folder / f'unbound-{self.port}.conf'
        path.write_text(f'server:\n interface: 127.0.0.1@{self.port}\n do-daemonize: no\n use-syslog: no\n logfile: ""\n verbosity: 1\n'
                        f' username: ""\n chroot: ""\n directory: "{folder}"\n pidfile: ""\n module-config: "iterator"\n'
                        ' do-not-query-localhost: no\n access-control: 127.0.0.0/8 allow\n'
                        f'remote-control:\n control-enable: no\nforward-zone:\n name: "."\n forward-addr: 127.0.0.1@{to}\n')
        return ['unbound', '-d', '-c', str(path)]

    def close(self):
        self.process.terminate()
        self.process.wait(10)


@pytest.mark.parametrize('kind, options', [('dnsmasq', ()), ('dnsmasq', ('--add-subnet=32', '--add-mac')), ('unbound', ())],
                         ids=['dnsmasq', 'dnsmasq-with-options', 'unbound'])
def test_loop_through_another(child, delayed, tmp_path, kind, options):
    """The upstream forwards to us: found by what only our own question can look like."""
    other = delayed(lambda name: 0.05)
    resolver = child()
    upstream = Forwarder(tmp_path, kind, resolver.port, *options)
    try:
        resolver.view(dict(resolver.base, upstreams=[upstream.address]))
        answer = ask(resolver, 'www.a-name-with-letters.example')
        assert answer.rcode() == dns.rcode.SERVFAIL and edes(answer) == [0]
        assert 'forwarding loop' in answer.options[0].text
        assert ask(resolver, 'www.another-name-with-letters.example').rcode() == dns.rcode.SERVFAIL
        assert resolver.log().count('forwarding loop') == 1
        stats = resolver.stats()
        assert [u['health'] for u in stats['upstreams']] == ['loop'] and stats['forward']['looped'] >= 1
        sent = stats['forward']['sent_udp']
        assert sent < 20, 'the loop does not run'
        # With another upstream beside it the home notices nothing.
        resolver.view(dict(resolver.base, upstreams=[upstream.address, other.address]))
        for i in range(5):
            assert ask(resolver, f'www{i}.a-third-name.example').answer
        assert resolver.stats()['forward']['sent_udp'] - sent < 20
    finally:
        upstream.close()


class Flattener:
    """A forwarder on 127.0.0.2 that writes every name in small letters."""

    def __init__(self, to):
        self.to = ('127.0.0.1', to)
        self.server, self.client = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for sock in (self.server, self.client):
            sock.bind(('127.0.0.2', 0))
        self.address = '127.0.0.2:%d' % self.server.getsockname()[1]
        self.peers = {}
        for target in (self._forward, self._return):
            threading.Thread(target=target, daemon=True).start()

    def _forward(self):
        with contextlib.suppress(OSError):
            for number in itertools.count():
                packet, peer = self.server.recvfrom(4096)
                self.peers[number & 0xffff] = (packet[:2], peer)
                self.client.sendto(struct.pack('>H', number & 0xffff) + packet[2:12] + packet[12:].lower(), self.to)

    def _return(self):
        with contextlib.suppress(OSError):
            while True:
                answer = self.client.recv(4096)
                identity, peer = self.peers[struct.unpack('>H', answer[:2])[0]]
                self.server.sendto(identity + answer[2:], peer)

    def close(self):
        self.server.close()
        self.client.close()


def test_loop_without_capitals(child, stub):
    """Where the letters' case does not survive the way, the address that our questions come back from tells, if slowly."""
    resolver = child()
    flattener = Flattener(resolver.port)
    try:
        resolver.view(dict(resolver.base, upstreams=[flattener.address]))
        client, numbers = stub(resolver), itertools.count()

        def found():
            for i in range(12):
                client.ask(f'www{i}.{next(numbers)}.example')
            assert all(answer.rcode() == dns.rcode.SERVFAIL for answer in client.collect().values())
            return [u['health'] for u in resolver.stats()['upstreams']] == ['loop']

        # An address can be forged: it counts only against an upstream that answers nobody.
        wait_until(found, 40, 'the loop')
        assert resolver.log().count('forwarding loop') == 1
    finally:
        flattener.close()


def test_no_loop_by_guessing(child, delayed, stub):
    """Names of one letter, and every spelling of short ones: nobody can make an upstream look like a loop by guessing."""
    server = delayed(lambda name: 0.3)
    resolver = child([server.address])
    client = stub(resolver)
    for i in range(26):
        for name in (f'{i}.X', f'{i}.X', f'{i}.ab', f'{i}.aB', f'{i}.Ab', f'{i}.AB'):
            client.ask(name)
    answers = client.collect()
    assert len(answers) == 26 * 5 and all(answer.rcode() == dns.rcode.NOERROR for answer in answers.values())
    stats = resolver.stats()
    assert stats['upstreams'][0]['health'] == 'alive' and ask(resolver, 'www.after.example').answer


def test_no_loop_where_there_is_none(child, delayed, tmp_path):
    """Clients that ask the same question at once, in whatever case, and an upstream whose host is our client too."""
    server = delayed(lambda name: 0.3)
    resolver = child([server.address])
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(40)]
        rng = random.Random(9)
        for round_ in range(3):
            for i, sock in enumerate(socks):
                name = f'www.a-name-with-letters-{round_}.example'
                mixed = ''.join(c.upper() if rng.random() < 0.5 and i % 2 else c for c in name)
                query = dns.message.make_query(mixed, 'A')
                sock.settimeout(10)
                sock.sendto(query.to_wire(), ('127.0.0.1', resolver.port))
            for sock in socks:
                assert dns.message.from_wire(sock.recv(512)).answer
    stats = resolver.stats()
    assert stats['forward']['looped'] == 0 and stats['upstreams'][0]['health'] == 'alive'


# Upstreams change under load.

class Changer:
    """Gives the resolver one or two of the addresses as its upstreams, every 50 ms, until the end of the `with`."""

    def __init__(self, resolver, addresses):
        self.resolver, self.addresses = resolver, addresses
        self.stop = threading.Event()
        self.changes = 0
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        rng = random.Random(7)
        while not self.stop.wait(0.05):
            view = dict(self.resolver.base, upstreams=rng.sample(self.addresses, rng.randrange(1, 3)))
            self.resolver.send(b'VIEW', json.dumps(view).encode())
            self.changes += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def check_counters(resolver):
    stats = resolver.stats()['forward']
    assert stats['failed'] == 0 and stats['refused'] == 0, stats


class Burst:
    """Thousands of questions at once from several clients. Answers are judged by their bytes: nothing here takes long."""

    def __init__(self, stub, total):
        self.sockets = stub.sockets
        self.to = ('127.0.0.1', stub.port)
        self.open = {(i % len(self.sockets), i) for i in range(total)}
        self.bad = []
        self.wires = []
        for i in range(total):
            label = b'name-%d' % i
            question = bytes([len(label)]) + label + b'\7example\0\0\1\0\1'
            self.wires.append(struct.pack('>HHHHHH', i, 0x0100, 1, 0, 0, 0) + question)

    def send(self, taken):
        """Sends no faster than the resolver reads (taken() is how many it has read): else its socket buffer loses some."""
        for i, wire in enumerate(self.wires):
            self.sockets[i % len(self.sockets)].sendto(wire, self.to)
            if i % 100 == 99:
                wait_until(lambda: taken() > i, deadline=60, what='the questions are read')  # noqa: B023

    def collect(self, deadline=60.0):
        end = time.monotonic() + deadline
        while self.open:
            ready, _, _ = select.select(self.sockets, [], [], max(0, end - time.monotonic()))
            assert ready, f'{len(self.open)} questions without an answer'
            for sock in ready:
                answer = sock.recv(4096)
                self.open.discard((self.sockets.index(sock), struct.unpack('>H', answer[:2])[0]))
                if answer[3] & 15 or answer[6:8] != b'\0\1':
                    self.bad.append(answer)


@pytest.fixture
def quick(bin_dir):
    """quick(delay_ms): the address of an upstream that answers everything, as many as come, after that time."""
    with contextlib.ExitStack() as stack:
        def begin(delay_ms):
            address = f'127.0.0.1:{free_port()}'
            process = subprocess.Popen([str(bin_dir / 'bench_upstream'), address, str(delay_ms)], stdin=subprocess.DEVNULL)
            stack.callback(lambda: (process.terminate(), process.wait(10)))
            query = dns.message.make_query('served.bench', 'TXT')

            def answers():
                with contextlib.suppress(dns.exception.Timeout, OSError):
                    host, port = address.split(':')
                    return dns.query.udp(query, host, port=int(port), timeout=1)
            wait_until(answers, what='the upstream answers')
            return address
        yield begin


def test_upstreams_change_under_load(child, stub, quick):
    """5,000 questions, as many in flight as half a second holds, while the upstreams change every 50 ms: each is answered."""
    addresses = [quick(500) for _ in range(3)]
    resolver = child(addresses)
    client = stub(resolver, clients=12)
    burst = Burst(client, 5000)
    with Changer(resolver, addresses) as changer:
        burst.send(lambda: resolver.stats()['forward']['asked'])
        peak = resolver.stats()['forward']['inflight']
        burst.collect()
    assert not burst.bad, (len(burst.bad), burst.bad[0])
    assert changer.changes >= 3 and peak > 0
    check_counters(resolver)


def test_upstreams_change_under_streams(child, stub, stream_upstream):
    """The same over TCP."""
    servers = [stream_upstream(backwards_in_pieces) for _ in range(3)]
    resolver = child([servers[0].address])
    client = stub(resolver)
    with Changer(resolver, [server.address for server in servers]) as changer:
        for round_ in itertools.count():
            if round_ >= 8 and changer.changes >= 5:
                break
            for i in range(50):
                client.ask(f'name-{round_}-{i}.example')
            client.collect(deadline=60)
    assert changer.changes >= 3
    assert all(answer.answer for answer in client.answers.values())
    check_counters(resolver)
