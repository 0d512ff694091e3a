"""Views that change while queries are in flight: no query is lost, and no answer after a snapshot is older than it."""
import contextlib
import select
import socket
import struct

import dns.message

from lab.waiting import wait_until
from resolver_child import ResolverChild
from resolver_process import NAME, VIEW

VIEWS = 200
CLIENTS = 8


class Upstream:
    """Answers when it is told to, so that questions are in flight for as long as the test wants."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(('127.0.0.1', 0))
        self.sock.setblocking(False)
        self.address = '127.0.0.1:%d' % self.sock.getsockname()[1]
        self.held = []
        self.asked = 0

    def take(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.held.append(self.sock.recvfrom(4096))
                self.asked += 1

    def answer(self):
        for query, peer in self.held:
            end = query.index(b'\0', 12) + 5
            record = b'\xc0\x0c' + struct.pack('>HHIH', 1, 1, 60, 4) + socket.inet_aton('198.51.100.7')
            self.sock.sendto(query[:2] + b'\x81\x80\0\1\0\1\0\0\0\0' + query[12:end] + record, peer)
        self.held.clear()


class Load:
    """Clients that never stop asking. Each query is remembered with the snapshot that was surely in force."""

    def __init__(self, port):
        self.acked = self.newest = 0
        self.port = port
        self.socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(CLIENTS)]
        for sock in self.socks:
            sock.connect(('127.0.0.1', port))
            sock.setblocking(False)
        self.stream = socket.create_connection(('127.0.0.1', port), 10)
        self.stream.setblocking(False)
        self.partial = b''
        self.waiting = {}  # (socket number, ID): (kind, snapshot)
        self.asked = self.answered = 0
        self.queries = {'A': dns.message.make_query(NAME, 'A', id=0).to_wire(), 'AAAA': dns.message.make_query(NAME, 'AAAA', id=0).to_wire()}

    def close(self):
        for sock in (*self.socks, self.stream):
            sock.close()

    def ask(self, count):
        """count queries: four of five for the own name, the rest forwarded; one of ten over TCP."""
        for i in range(count):
            self.asked += 1
            number = self.asked
            place, ident = number % CLIENTS, number // CLIENTS % 65536
            kind = 'forwarded' if number % 5 == 0 else ('A', 'AAAA')[number % 2]
            if kind == 'forwarded':
                query = dns.message.make_query(f'h{number}.example', 'A', id=ident).to_wire()
            else:
                query = struct.pack('>H', ident) + self.queries[kind][2:]
            if number % 10 == 1:
                place = CLIENTS
                self.stream.send(struct.pack('>H', len(query)) + query)
            else:
                self.socks[place].send(query)
            assert (place, ident) not in self.waiting
            self.waiting[place, ident] = kind, self.acked

    def take(self):
        for place, sock in enumerate(self.socks):
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.judge(place, sock.recv(4096))
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self.stream.recv(65536)
                assert data, 'the connection has ended'
                self.partial += data
        while len(self.partial) >= 2 and len(self.partial) >= 2 + (length := struct.unpack('>H', self.partial[:2])[0]):
            self.judge(CLIENTS, self.partial[2:2 + length])
            self.partial = self.partial[2 + length:]

    def judge(self, place, packet):
        ident, = struct.unpack('>H', packet[:2])
        kind, snapshot = self.waiting.pop((place, ident))  # KeyError: answered twice
        self.answered += 1
        assert packet[3] & 15 == 0 and packet[6:8] == b'\0\1', f'{kind}: one record and no error'
        if kind == 'forwarded':
            return
        given, = struct.unpack('>H', packet[-2:])
        assert snapshot <= given <= self.newest, f'an answer of snapshot {given} to a query after {snapshot}'


def numbered_view(number, upstream):
    low = f'{number >> 8}.{number & 255}'
    return dict(VIEW, role='host', serial=number + 1, interfaces=[], upstreams=[upstream.address],
                primary={'v4': [f'10.77.{low}'], 'v6': [f'fd77::1:{number:x}']})


def test_views_change_under_load(bin_dir, tmp_path):
    """20,000 queries and more while the own addresses and the upstreams change 200 times."""
    upstreams = [Upstream(), Upstream()]
    with ResolverChild(bin_dir / 'nameplate', tmp_path / 'log') as child, contextlib.ExitStack() as stack:
        for upstream in upstreams:
            stack.callback(upstream.sock.close)
        _, port = child.listen('127.0.0.1')
        child.listen('127.0.0.1', port, tcp=True)
        child.view(numbered_view(0, upstreams[0]))
        load = Load(port)
        stack.callback(load.close)
        for number in range(1, VIEWS + 1):
            load.ask(40)
            for upstream in upstreams:  # these were in flight when the last snapshot came
                upstream.take()
                upstream.answer()
            load.newest = number
            child.view(numbered_view(number, upstreams[number % 2]))
            load.ask(40)
            load.take()
            child.stats()
            load.acked = number
            load.ask(25)
            load.take()
            for upstream in upstreams:
                upstream.take()

        def all_answered():
            for upstream in upstreams:
                upstream.take()
                upstream.answer()
            select.select([*load.socks, load.stream], [], [], 0.01)
            load.take()
            return not load.waiting
        wait_until(all_answered, 20, 'every query is answered')
        assert load.answered == load.asked >= 20000
        assert all(upstream.asked > 1000 for upstream in upstreams)
        stats = child.stats()
        assert stats['server']['udp_dropped'] == 0 and stats['answers']['failed'] == 0
