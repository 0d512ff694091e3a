"""Forwarding against upstreams that misbehave: streams, failover, forgeries, changes under load."""
import collections
import contextlib
import random
import select
import socket
import struct
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import pytest

from lab.waiting import wait_until
from resolver_process import free_port, texts
from upstream import good, reply


class Stub:
    """Clients on loopback that keep many questions in flight over UDP: ask() sends, collect() waits for the answers."""

    def __init__(self, port, clients=1):
        self.port = port
        self.sockets = []
        for i in range(clients):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((f'127.0.1.{i + 1}', 0))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
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
    a thread of its own."""

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
                self.udp.sendto(reply(dns.message.from_wire(packet), flags=dns.flags.TC), peer)

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
            yield dns.message.from_wire(stream.read(struct.unpack('>H', head)[0]))


def framed(query):
    answer = reply(query, f'{query.question[0].name} 60 TXT "over a stream"')
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
            batch.append(dns.message.from_wire(data[2:2 + length]))
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
        client.ask(f'name-{i}.example', 'TXT')
    answers = client.collect()
    assert all(texts(answer.answer) == [f'{name}. 60 IN TXT "over a stream"'] for name, answer in answers.items())
    assert 1 <= server.connections <= 8, 'connections are shared'
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
        client.ask(f'name-{i}.example', 'TXT')
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
            query.id ^= 1
            sock.sendall(framed(query))
    other = upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 60 TXT "the other"')])
    for behaviour in (silent, reset, nonsense):
        client = stub(start(upstreams=[stream_upstream(behaviour).address, other.address]))
        for i in range(4):
            client.ask(f'name-{i}.example', 'TXT')
        assert all('the other' in texts(answer.answer)[0] for answer in client.collect().values()), behaviour.__name__
def test_stream_closed_after_each_answer(start, stub, stream_upstream):
    """A server that takes one question a connection, as old ones do, and drops what else was sent there."""
    def once(upstream, sock):
        sock.sendall(framed(next(queries(sock))))
    server = stream_upstream(once)
    client = stub(start(upstreams=[server.address]))
    for i in range(40):
        client.ask(f'name-{i}.example', 'TXT')
    assert all(answer.answer for answer in client.collect().values())


