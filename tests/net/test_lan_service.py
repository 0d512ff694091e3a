"""How the LAN is served: rates, limits, TCP clients that are slow, silent, greedy or rude."""
import contextlib
import os
import select
import signal
import socket
import struct
import time
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from lab.waiting import wait_until
from resolver_child import ResolverChild
from resolver_process import NAME, VIEW, Resolver, edes, frame, index_of, read_messages, texts
from upstream import silent

IDLE_S = 10  # NP_SERVER_TCP_IDLE_MS
OWN = [f'{NAME} 10 IN A 192.168.1.1']


def connect(resolver, source=None, timeout=10):
    return socket.create_connection(('127.0.0.1', resolver.port), timeout, source_address=source and (source, 0))


def served(resolver):
    """Another client is served meanwhile, over UDP and TCP."""
    return all(texts(resolver.ask(NAME, tcp=tcp).answer) == OWN for tcp in (False, True))


def is_closed(sock):
    """Has the server ended the connection? Reads what is there."""
    try:
        while select.select([sock], [], [], 0)[0]:
            if not sock.recv(65536):
                return True
    except ConnectionError:
        return True
    return False


def rss_kib(resolver):
    return int(Path(f'/proc/{resolver.process.pid}/status').read_text().split('VmRSS:')[1].split()[0])


# Streams.

def test_idle_clients_are_closed(start):
    """Nothing, half a length, half a query, a byte a second, a client with answers it does not read: none stays."""
    resolver = start()
    query = frame(dns.message.make_query(NAME, 'A'))
    with contextlib.ExitStack() as stack:
        socks = {name: stack.enter_context(connect(resolver)) for name in ('silent', 'half a length', 'half a query', 'slow', 'polite')}
        socks['half a length'].sendall(b'\0')
        socks['half a query'].sendall(query[:-1])
        socks['slow'].sendall(b'\x0f\xff')
        begun = last = time.monotonic()

        def all_closed():
            nonlocal last
            if time.monotonic() - last >= 0.5:
                last = time.monotonic()
                with contextlib.suppress(OSError):
                    socks['slow'].sendall(b'x')
                socks['polite'].sendall(query)
                assert served(resolver)
            return all(is_closed(sock) for name, sock in socks.items() if name != 'polite')
        wait_until(all_closed, 4 * IDLE_S, 'the idle ones are closed')
        assert time.monotonic() - begun >= IDLE_S - 2, 'not before their time'
        assert not is_closed(socks['polite']), 'who asks is not idle'


def test_half_closed(start, upstream):
    resolver = start(upstreams=[upstream().address])
    queries = [dns.message.make_query(name, 'A') for name in (NAME, 'www.example', NAME)]
    with connect(resolver) as sock:
        sock.sendall(b''.join(map(frame, queries)))
        sock.shutdown(socket.SHUT_WR)
        assert {answer.id for answer in read_messages(sock, 3)} == {query.id for query in queries}
        assert sock.recv(1) == b''
    with connect(resolver) as sock:
        sock.sendall(frame(queries[0]) + frame(queries[1])[:9])
        sock.shutdown(socket.SHUT_WR)
        assert next(read_messages(sock, 1)).id == queries[0].id
        assert sock.recv(1) == b'', 'half a query is none'


@pytest.mark.parametrize('length', [0, 1, 11, 4097, 65535])
def test_bad_lengths(start, length):
    """A length that no query has ends the connection, once what was asked before has been answered."""
    resolver = start()
    with connect(resolver) as sock:
        sock.sendall(frame(dns.message.make_query(NAME, 'A')) + struct.pack('>H', length) + b'x' * min(length, 100))
        assert texts(next(read_messages(sock, 1)).answer) == OWN
        wait_until(lambda: is_closed(sock), what='the connection ends')
    assert served(resolver)


def test_thousand_pipelined(start, upstream):
    """1,000 queries in one go, three quarters of them to an upstream: each is answered once."""
    resolver = start(upstreams=[upstream().address])
    queries = [dns.message.make_query(NAME if i % 4 == 0 else f'h{i}.example', 'A', id=i) for i in range(1000)]
    with connect(resolver, timeout=30) as sock:
        sock.sendall(b''.join(map(frame, queries)))
        answers = list(read_messages(sock, 1000))
    assert sorted(answer.id for answer in answers) == list(range(1000))
    assert all(answer.answer for answer in answers)


def test_client_that_never_reads(start):
    """It asks and asks: its connection ends, memory does not grow, others are served."""
    resolver = start()
    assert served(resolver)
    before = rss_kib(resolver)
    burst = frame(dns.message.make_query(NAME, 'SOA')) * 500
    for _ in range(3):
        with connect(resolver) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with pytest.raises((ConnectionError, TimeoutError)):
                for _ in range(4000):  # 2,000,000 queries: no buffers on the way hold so much
                    sock.sendall(burst)
        assert served(resolver)
    assert rss_kib(resolver) < before + 4096


def test_connections_of_many_clients(start):
    """256 connections and more from many addresses: the newest are served, those that were idle longest make way."""
    resolver = start()
    query = frame(dns.message.make_query(NAME, 'A'))
    with contextlib.ExitStack() as stack:
        socks = []
        for i in range(400):
            socks.append(stack.enter_context(connect(resolver, f'127.0.1.{1 + i // 10}')))
            socks[-1].sendall(query)
            assert texts(next(read_messages(socks[-1], 1)).answer) == OWN, f'connection {i}'
        open_ones = [not is_closed(sock) for sock in socks]
        assert 150 < sum(open_ones) <= 256
        assert all(open_ones[-150:]) and not any(open_ones[:100])
        assert served(resolver)


# Listeners and views that change.

def test_closed_listener_answers_what_came_before(bin_dir, tmp_path):
    """What lies in a socket when the agent has it closed is answered still."""
    with ResolverChild(bin_dir / 'nameplate', tmp_path / 'log') as child, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        item, port = child.listen('127.0.0.1')
        child.view(VIEW)
        sock.connect(('127.0.0.1', port))
        sock.settimeout(10)
        # Stopped, it finds the frame and the queries at once: the frame first, since it came first.
        os.kill(child.process.pid, signal.SIGSTOP)
        wait_until(lambda: 'State:\tT' in child.proc('status'), what='stopped')
        child.drop(item)
        for i in range(100):
            sock.send(dns.message.make_query(NAME, 'A', id=i).to_wire())
        os.kill(child.process.pid, signal.SIGCONT)
        assert sorted(dns.message.from_wire(sock.recv(4096)).id for _ in range(100)) == list(range(100))
        child.stats()
        sock.send(dns.message.make_query(NAME, 'A').to_wire())
        with pytest.raises(ConnectionRefusedError):
            sock.recv(4096)


# Rates. Loopback has none, so these go over a link.

class Lan:
    """A box and a client on a link, and resolvers on the box."""

    def __init__(self, program, folder, box, client, stack):
        self.program, self.folder, self.box, self.client, self.stack = program, folder, box, client, stack

    def start(self, limits, **members):
        """A resolver on 192.168.1.1 and fd41::1 whose view has these limits."""
        interface = {'index': index_of(self.box, 'lan1'), 'name': 'lan1', 'lan': True, 'v4': ['192.168.1.1/24'], 'v6': ['fd41::1/64']}
        view = dict(VIEW, limits=limits, interfaces=[interface], **members)
        resolver = Resolver(self.program, self.folder, view, listen=('192.168.1.1', 'fd41::1'), prefix=self.box.argv())
        self.stack.callback(resolver.close)
        return resolver

    def ask(self, resolver, where='192.168.1.1', source=None):
        with self.client.inside():
            return dns.query.udp(dns.message.make_query(NAME, 'A'), where, port=resolver.port, timeout=5, source=source)

    def socket(self, family=socket.AF_INET):
        with self.client.inside():
            return socket.socket(family, socket.SOCK_DGRAM)


@pytest.fixture
def lan(home, bin_dir, tmp_path):
    with contextlib.ExitStack() as stack:
        yield Lan(bin_dir / 'nameplate', tmp_path, *home, stack)


def exchange_all(sock, packets):
    """Sends all, then collects answers until the last one's (the fence's) is there."""
    for packet in packets:
        sock.send(packet)
    answers = []
    sock.settimeout(1)
    with contextlib.suppress(TimeoutError):
        while True:
            answers.append(dns.message.from_wire(sock.recv(4096)))
    return answers


@pytest.mark.parametrize('where', ['192.168.1.1', 'fd41::1'])
def test_rate_limit(lan, where):
    """One client over its rate gets TC, then nothing; it is served over TCP, and others as if nothing were."""
    rate = 50
    resolver = lan.start({'rate': rate})
    with lan.socket(socket.AF_INET6 if ':' in where else socket.AF_INET) as flood:
        flood.connect((where, resolver.port))
        queries = [dns.message.make_query(NAME, 'A', id=i, use_edns=0).to_wire() for i in range(600)]
        begun = time.monotonic()
        answers = exchange_all(flood, queries)
        passed = [answer for answer in answers if not answer.flags & dns.flags.TC]
        truncated = [answer for answer in answers if answer.flags & dns.flags.TC]
        refill = rate * (time.monotonic() - begun)
        assert 2 * rate <= len(passed) <= 2 * rate + refill and all(texts(answer.answer) == OWN for answer in passed)
        assert 2 * rate <= len(truncated) <= 2 * rate + refill
        assert all(not answer.answer and answer.edns == 0 and answer.rcode() == dns.rcode.NOERROR for answer in truncated)
        assert len(answers) < 600
    with lan.client.inside():
        answer, _ = dns.query.udp_with_fallback(dns.message.make_query(NAME, 'A'), where, port=resolver.port, timeout=5)
        assert texts(answer.answer) == OWN
    other, length, *more = ('fd41::8', 64, 'nodad') if ':' in where else ('192.168.1.8', 24)
    lan.client.ip('addr', 'add', f'{other}/{length}', 'dev', 'eth1', *more)
    answer = lan.ask(resolver, where, other)
    assert texts(answer.answer) == OWN and not answer.flags & dns.flags.TC


def test_no_rate_limit(lan):
    """rate 0, as for a benchmark: everything is answered in full."""
    resolver = lan.start({'rate': 0})
    with lan.socket() as sock:
        sock.connect(('192.168.1.1', resolver.port))
        sock.settimeout(10)
        for i in range(0, 5000, 100):
            for k in range(100):
                sock.send(dns.message.make_query(NAME, 'A', id=i + k).to_wire())
            for _ in range(100):
                assert not dns.message.from_wire(sock.recv(4096)).flags & dns.flags.TC


def test_inflight_limit(start, upstream):
    """The queries of one client that wait: past the limit SERVFAIL says why; others find room."""
    resolver = start(dict(VIEW, limits={'inflight': 5}), [upstream(silent).address])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(('127.0.0.1', resolver.port))
        sock.settimeout(10)
        for i in range(8):
            sock.send(dns.message.make_query(f'h{i}.example', 'A', id=i, use_edns=0).to_wire())
        busy = [dns.message.from_wire(sock.recv(4096)) for _ in range(3)]
        assert sorted(answer.id for answer in busy) == [5, 6, 7]
        assert all(answer.rcode() == dns.rcode.SERVFAIL and edes(answer) == [0] for answer in busy)
        assert all('too many' in answer.options[0].text for answer in busy)
        assert served(resolver)
        waited = [dns.message.from_wire(sock.recv(4096)) for _ in range(5)]
        assert all(answer.rcode() == dns.rcode.SERVFAIL and edes(answer) in ([22], [23]) for answer in waited)


def test_inflight_limit_of_a_network(lan):
    """One IPv6 host with many addresses does not take all places: its /64 has a limit, too; others find room."""
    resolver = lan.start({'rate': 0, 'inflight': 5}, upstreams=['192.168.1.250'])
    addresses = [f'fd41::{0x100 + i:x}' for i in range(10)]
    for address in addresses:
        lan.client.ip('addr', 'add', f'{address}/64', 'dev', 'eth1', 'nodad')
    def is_busy(answer):
        return any('too many' in (option.text or '') for option in answer.options)

    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(lan.socket(socket.AF_INET6)) for _ in addresses]
        for n, (address, sock) in enumerate(zip(addresses, socks)):
            sock.bind((address, 0))
            sock.connect(('fd41::1', resolver.port))
            for i in range(5):
                sock.send(dns.message.make_query(f'h{i}.n{n}.example', 'A', use_edns=0).to_wire())
        with lan.socket() as other:
            other.connect(('192.168.1.1', resolver.port))
            other.settimeout(10)
            other.send(dns.message.make_query('other.example', 'A', use_edns=0).to_wire())
            assert not is_busy(dns.message.from_wire(other.recv(4096)))
        busy = 0
        for sock in socks:
            sock.settimeout(10)
            busy += sum(is_busy(dns.message.from_wire(sock.recv(4096))) for _ in range(5))
        assert busy == 30  # four clients' share


@pytest.mark.parametrize('allow', [[], ['203.0.113.0/24']])
def test_not_admitted(lan, allow):
    """A source that is no LAN client gets silence over UDP, and over TCP no byte; unless `allow` names it."""
    resolver = lan.start({'rate': 0}, allow=allow)
    lan.client.ip('addr', 'add', '203.0.113.7/32', 'dev', 'eth1')
    lan.box.ip('route', 'add', '203.0.113.7/32', 'dev', 'lan1')
    query = dns.message.make_query(NAME, 'A', id=7)
    with lan.client.inside():
        tcp = socket.create_connection(('192.168.1.1', resolver.port), 5, source_address=('203.0.113.7', 0))
    with lan.socket() as udp, tcp:
        udp.bind(('203.0.113.7', 0))
        udp.connect(('192.168.1.1', resolver.port))
        udp.send(query.to_wire())
        with contextlib.suppress(ConnectionError):
            tcp.sendall(frame(query))
        if allow:
            udp.settimeout(5)
            assert texts(dns.message.from_wire(udp.recv(4096)).answer) == OWN
            assert texts(next(read_messages(tcp, 1)).answer) == OWN
            return
        with contextlib.suppress(ConnectionError):
            assert tcp.recv(1) == b''
        assert texts(lan.ask(resolver).answer) == OWN, 'whatever was to come to the other has come by now'
        udp.setblocking(False)
        with pytest.raises(BlockingIOError):
            udp.recv(4096)
