"""Forged answers: what somebody who does not see the resolver's packets would have to guess, measured on what goes out, and
somebody who does guess. The short form; 1,000,000 forged answers with `tests/lab test --long`."""
import collections
import contextlib
import itertools
import math
import os
import select
import socket
import struct
import time
from pathlib import Path

import dns.message
import pytest

from lab.namespaces import Namespace, attempt, bridge, command, link
from lab.waiting import wait_until
from resolver_child import ResolverChild
from resolver_process import VIEW
from upstream import SO_RCVBUFFORCE, FastUpstream, question_end

BOX, UPSTREAM, ATTACKER = '192.0.2.1', '192.0.2.53', '192.0.2.66'
FORGED = '203.0.113.66'
ROUNDS, PACKETS = (20, 50000) if os.environ.get('NAMEPLATE_LONG') else (10, 10000)
SURE = 6  # sigma: one run in a billion is outside by chance


@pytest.fixture
def network():
    """A box, an upstream and an attacker on one switch."""
    names = [f'np-spoof-{role}-{os.getpid()}' for role in ('box', 'upstream', 'attacker', 'switch')]
    spaces = [Namespace(name) for name in names]
    with contextlib.ExitStack() as stack:
        for space in spaces:
            space.create()
            stack.callback(space.delete)
        box, upstream, attacker, switch = spaces
        bridge(switch, 'br0')
        for i, (space, address) in enumerate(((box, BOX), (upstream, UPSTREAM), (attacker, ATTACKER))):
            link(space, 'eth0', switch, f'port{i}')
            switch.ip('link', 'set', f'port{i}', 'master', 'br0')
            space.ip('addr', 'add', f'{address}/24', 'dev', 'eth0')
        for space in (upstream, attacker):
            wait_until(lambda: attempt(*space.argv('ping', '-c', '1', '-W', '1', BOX))[0] == 0, what='the network is up')  # noqa: B023
        yield box, upstream, attacker


class Stub:
    """A client on the box's own loopback."""

    def __init__(self, box, port):
        with box.inside():
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.sock.connect(('127.0.0.1', port))  # or the attacker would reach it, too

    def send(self, name, identity=1):
        labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.'))
        self.sock.send(struct.pack('>HHHHHH', identity, 0x0100, 1, 0, 0, 0) + labels + b'\0\0\1\0\1')

    def receive(self, deadline=30):
        return dns.message.from_wire(self.receive_bytes(deadline))

    def receive_bytes(self, deadline=30):
        ready, _, _ = select.select([self.sock], [], [], deadline)
        assert ready, 'no answer'
        return self.sock.recv(4096)


@pytest.fixture
def box(network, bin_dir, tmp_path):
    """(the box's namespace, its resolver, a client, an upstream that is slow but for pings, the attacker's namespace)."""
    space, upstream_space, attacker = network
    with contextlib.ExitStack() as stack:
        with upstream_space.inside():
            server = FastUpstream(lambda name: 0.0 if name == '.' else 3600, address=UPSTREAM)
        stack.callback(server.close)
        with space.inside():
            resolver = stack.enter_context(ResolverChild(bin_dir / 'nameplate', tmp_path / 'log'))
            _, port = resolver.listen('127.0.0.1')
        resolver.view(dict(VIEW, upstreams=[server.address]))
        client = Stub(space, port)
        stack.callback(client.sock.close)
        yield space, resolver, client, server, attacker


def addresses(message):
    return [rdata.address for rrset in message.answer for rdata in rrset]


def datagrams(space):
    """UDP packets that the namespace has received, whether anybody wanted them or not."""
    with space.inside():
        lines = [line.split()[1:] for line in Path('/proc/thread-self/net/snmp').read_text().splitlines() if line.startswith('Udp:')]
    counters = dict(zip(lines[0], map(int, lines[1])))
    return counters['InDatagrams'] + counters['NoPorts'] + counters['InErrors']


def spoof(bin_dir, attacker, server, name, count, low, high):
    sent = command(*attacker.argv(bin_dir / 'dns_spoofer', server.address, BOX, name, count, low, high, FORGED), timeout=120)
    assert int(sent) == count


def test_blind_forgeries(box, bin_dir):
    """While a name is being resolved, the attacker floods the box with answers to that very question."""
    space, resolver, client, server, attacker = box
    with space.inside():
        low, high = map(int, Path('/proc/sys/net/ipv4/ip_local_port_range').read_text().split())
    before, right = datagrams(space), 0
    for i in range(ROUNDS):
        name = f'www.the-name-of-a-bank-{i}.example'
        client.send(name)
        wait_until(lambda: server.count(name + '.') > 0, what='the question is on its way')  # noqa: B023
        spoof(bin_dir, attacker, server, name, PACKETS, low, high)
        server.answer_all()
        answer = client.receive()
        assert FORGED not in addresses(answer), 'a forged answer was believed'
        right += addresses(answer) == ['198.51.100.7']
    assert right >= ROUNDS // 2, 'on a slow machine a flood may last longer than a question does'
    assert datagrams(space) - before >= ROUNDS * PACKETS * 0.9, 'the forgeries arrive'
    for i in range(ROUNDS):  # nor was any kept
        client.send(f'www.the-name-of-a-bank-{i}.example')
        wait_until(lambda: server.answer_all() or select.select([client.sock], [], [], 0.05)[0], what='an answer')
        assert FORGED not in addresses(client.receive())


def test_known_port(box, bin_dir):
    """The attacker has learned the port, and sends every ID there is to it."""
    space, resolver, client, server, attacker = box
    for i in range(3):
        name = f'www.the-name-of-a-bank-{i}.example'
        client.send(name)
        wait_until(lambda: server.count(name + '.') > 0, what='the question is on its way')  # noqa: B023
        port = server.seen[-1][1]
        spoof(bin_dir, attacker, server, name, 65536, port, port)
        server.answer_all()
        # There is no TCP: the question is asked again from another port.
        wait_until(lambda: server.answer_all() or select.select([client.sock], [], [], 0.05)[0], deadline=30, what='an answer')
        assert FORGED not in addresses(client.receive())
        assert {p for seen, p, _ in server.seen if seen == name + '.'} - {port}
    stats = resolver.stats()['forward']
    assert stats['distrusted'] >= 3 and stats['foreign'] >= 3 * 32
    assert 'forged answers' in resolver.log()


# What goes out.

def check_uniform(values, bins, what):
    """The values 0..bins-1 are drawn evenly: chi-square, by the cube-root transform (Wilson and Hilferty) as a normal."""
    counts = collections.Counter(values)
    total = len(values)
    assert total >= bins * 10, 'enough to tell'
    chi = sum((counts[i] - total / bins) ** 2 / (total / bins) for i in range(bins))
    degrees = bins - 1
    sigma = ((chi / degrees) ** (1 / 3) - (1 - 2 / (9 * degrees))) / math.sqrt(2 / (9 * degrees))
    assert sigma < SURE, f'{what}: {sigma:.1f} sigma from even'


def check_half(ones, total, what):
    assert abs(ones - total / 2) < SURE * math.sqrt(total) / 2, f'{what}: {ones} of {total}'


def test_ports_ids_and_capitals(box):
    """20,000 queries as the upstream gets them: ports, IDs and the letters' case are even, and nothing of one query tells
    about the next."""
    space, resolver, client, server, _ = box
    total, letters = 20000, 24
    server.delay = lambda name: 0.0
    with space.inside():
        low, high = map(int, Path('/proc/sys/net/ipv4/ip_local_port_range').read_text().split())
    for start in range(0, total, 50):
        for i in range(start, start + 50):
            client.send(f'{i:05d}-abcdefghijklmnopqrstuvwx.example', i)
        for _ in range(50):
            client.receive_bytes()
    seen = {}
    for name, port, packet in server.seen:  # a query that was repeated counts once
        if name != '.':
            seen.setdefault(name, (port, packet))
    assert len(seen) == total
    ports = [port for port, _ in seen.values()]
    packets = [packet for _, packet in seen.values()]
    ids = [struct.unpack('>H', packet[:2])[0] for packet in packets]

    runs = [len(list(run)) for _, run in itertools.groupby(ports)]
    assert max(runs) <= 64, 'a port is given up after 64 queries'
    assert len(runs) >= total / 64
    firsts = [port for port, _ in itertools.groupby(ports)]
    assert all(low <= port <= high for port in firsts)
    assert len(set(firsts)) > len(firsts) * 0.9, 'few come again'
    check_uniform([(port - low) * 16 // (high - low + 1) for port in firsts], 16, 'ports')
    steps = [(b - a) % (high - low + 1) for a, b in itertools.pairwise(firsts)]
    check_uniform([step * 16 // (high - low + 1) for step in steps], 16, 'steps from port to port')

    check_uniform([i >> 8 for i in ids], 256, 'high bytes of IDs')
    check_uniform([i & 255 for i in ids], 256, 'low bytes of IDs')
    check_uniform([(b - a) >> 4 & 255 for a, b in itertools.pairwise(ids)], 256, 'steps from ID to ID')
    expected = 65536 * (1 - math.exp(-total / 65536))
    assert abs(len(set(ids)) - expected) < SURE * math.sqrt(65536 * 0.02), 'different IDs'
    places = [list(run) for _, run in itertools.groupby(zip(ports, ids), key=lambda pair: pair[0])]
    assert all(len(set(run)) == len(run) for run in places), 'no ID comes twice on one port'

    def case(packet):
        name = packet[12:question_end(packet)[0] - 4]
        start = 1 + len('00000-')
        return [int(c < 0x61) for c in name[start:start + letters]]
    cases = [case(packet) for packet in packets]
    for i in range(letters):
        check_half(sum(bits[i] for bits in cases), total, f'capitals at letter {i}')
        check_half(sum(a[i] ^ b[i] for a, b in itertools.pairwise(cases)), total - 1, f'changes at letter {i}')
        if i:
            check_half(sum(bits[i - 1] ^ bits[i] for bits in cases), total, f'letter {i} against the one before')
    check_half(sum(bits[0] ^ (i & 1) for bits, i in zip(cases, ids)), total, 'case against ID')
