"""`nameplate resolver` alone, on loopback and in namespaces: own names, forwarding to a real knotd and to upstreams that
misbehave, limits, the child role."""
import array
import contextlib
import itertools
import json
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from lab.namespaces import attempt
from lab.waiting import wait_until
from ports import free_port
from resolver_process import NAME, OFFLINE_S, VIEW, Resolver, edes, frame, index_of, read_messages, texts
from upstream import good, reply, silent


@pytest.fixture(scope='module')
def knot(tmp_path_factory):
    """A real authoritative server with a zone of every kind of record; its port."""
    folder = tmp_path_factory.mktemp('knot')
    port = free_port()
    rng = random.Random(4)
    lines = ['$ORIGIN up.example.', '$TTL 300', '@ SOA ns hostmaster 1 7200 900 1209600 60', '@ NS ns', 'ns A 198.51.100.1',
             '@ MX 10 mail', 'mail A 198.51.100.2', 'mail AAAA 2001:db8::2', '*.wild A 198.51.100.3', 'sub NS ns.sub',
             'ns.sub A 198.51.100.4', 'dname DNAME target', 'private A 192.168.9.9', 'mixed A 198.51.100.9', 'mixed A 10.0.0.1',
             'to-private CNAME private', 'hint HTTPS 1 . ipv4hint=192.168.9.9', 'svc HTTPS 1 . alpn=h2 ipv4hint=198.51.100.5',
             '_sip._tcp SRV 1 2 5060 mail', 'MiXeD-CaSe A 198.51.100.6']
    for i in range(90):
        kind = rng.choice(['A', 'AAAA', 'TXT', 'CNAME'])
        data = {'A': f'198.51.100.{i}', 'AAAA': f'2001:db8::{i}', 'TXT': f'"text {i}"', 'CNAME': f'h{rng.randrange(90)}'}[kind]
        lines.append(f'h{i} {kind} {data}')
    for i in range(6):
        lines.append(f'medium TXT "{"m" * 100}{i}"')
    for i in range(30):
        lines.append(f'large TXT "{"l" * 200}{i}"')
    for i in range(200):
        lines.append(f'huge TXT "{"h" * 250}{i}"')
    (folder / 'up.zone').write_text('\n'.join(lines) + '\n')
    (folder / 'knot.conf').write_text(f'server:\n  listen: 127.0.0.1@{port}\n  rundir: {folder}\n'
                                      f'database:\n  storage: {folder}\n'
                                      f'zone:\n  - domain: up.example\n    file: {folder}/up.zone\n')
    with open(folder / 'log', 'w') as log:
        process = subprocess.Popen(['knotd', '-c', str(folder / 'knot.conf')], stdout=log, stderr=log)

    def answers():
        with contextlib.suppress(dns.exception.Timeout):
            return dns.query.udp(dns.message.make_query('up.example', 'SOA'), '127.0.0.1', port=port, timeout=0.2).answer
    try:
        wait_until(answers, what='knotd answers')
        yield port
    finally:
        process.terminate()
        process.wait(10)


# Own names.

@pytest.mark.parametrize('tcp', [False, True], ids=['udp', 'tcp'])
@pytest.mark.parametrize('rdtype, want', [
    ('A', [f'{NAME} 10 IN A 192.168.1.1']),
    ('AAAA', [f'{NAME} 10 IN AAAA fd42::1']),
    ('HTTPS', [f'{NAME} 10 IN HTTPS 1 .']),
    ('SOA', [f'{NAME} 10 IN SOA {NAME} hostmaster.{NAME} 17 3600 600 86400 10']),
    ('MX', [f'{NAME} 10 IN MX 0 .']),
    ('TXT', [f'{NAME} 10 IN TXT "v=spf1 -all"']),
    ('ANY', [f'{NAME} 10 IN HINFO "RFC8482" ""']),
    ('CAA', []), ('NS', []), ('SRV', []), ('TYPE65280', []),
])
def test_own_name(start, rdtype, want, tcp):
    answer = start().ask(NAME, rdtype, tcp=tcp, want_dnssec=True)
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.flags & dns.flags.AA and answer.flags & dns.flags.RA and not answer.flags & dns.flags.AD
    assert texts(answer.answer) == want
    soa = [f'{NAME} 10 IN SOA {NAME} hostmaster.{NAME} 17 3600 600 86400 10']
    assert texts(answer.authority) == ([] if want else soa)
    assert answer.edns == 0 and answer.payload == 1232


def test_own_name_case_and_neighbours(start, upstream):
    resolver = start(upstreams=[upstream().address])
    answer = resolver.ask('NIFTY-babbage.Devices.EXAMPLE')
    assert texts(answer.answer) == ['NIFTY-babbage.Devices.EXAMPLE. 10 IN A 192.168.1.1']
    assert resolver.ask(f'a.b.{NAME}').rcode() == dns.rcode.NXDOMAIN
    assert texts(resolver.ask('1.1.168.192.in-addr.arpa', 'PTR').answer) == [f'1.1.168.192.in-addr.arpa. 10 IN PTR {NAME}']
    for name in ('other.devices.example.', f'_acme-challenge.{NAME}'):
        assert texts(resolver.ask(name).answer) == [f'{name} 60 IN A 198.51.100.7']
    assert resolver.ask('printer.local').rcode() == dns.rcode.NXDOMAIN


def test_view_is_read_again(start):
    resolver = start()
    view = dict(VIEW, primary={'v4': ['192.168.77.1'], 'v6': []}, serial=18)
    resolver.view_path.write_text('{"version":1, "ttl":"broken"')
    resolver.process.send_signal(signal.SIGHUP)
    wait_until(lambda: 'view:1' in resolver.log(), what='the error is logged')
    assert texts(resolver.ask(NAME).answer) == [f'{NAME} 10 IN A 192.168.1.1']
    resolver.view_path.write_text(json.dumps(view))
    resolver.process.send_signal(signal.SIGHUP)
    wait_until(lambda: 'serial 18' in resolver.log(), what='the view is read')
    assert texts(resolver.ask(NAME).answer) == [f'{NAME} 10 IN A 192.168.77.1']
    assert resolver.ask(NAME, 'AAAA').answer == []


# What is not a good query.

def test_malformed(start):
    resolver = start()
    query = dns.message.make_query(NAME, 'A')
    query.id = 0x1234
    wire = query.to_wire()
    two = wire[:5] + b'\2' + wire[6:] + wire[12:]
    for packet, rcode in [(two, dns.rcode.FORMERR), (wire + b'x', dns.rcode.FORMERR), (wire[:-1], dns.rcode.FORMERR),
                          (wire[:2] + b'\x29' + wire[3:], dns.rcode.NOTIMP), (wire[:2] + b'\x11' + wire[3:], dns.rcode.NOTIMP),
                          (wire[:12], dns.rcode.FORMERR), (wire[:-1] + b'\3', dns.rcode.REFUSED)]:
        answer = resolver.raw(packet)
        assert answer[:2] == b'\x12\x34' and answer[2] & 0x80 and answer[3] & 15 == rcode, packet
    query.use_edns(0)
    query.ednsflags |= 1 << 16
    answer = dns.message.from_wire(resolver.raw(query.to_wire()))
    assert answer.rcode() == dns.rcode.BADVERS and answer.edns == 0
    assert resolver.ask(NAME, 'AXFR', tcp=True).rcode() == dns.rcode.REFUSED
    for packet in (b'', b'\0' * 11, wire[:2] + b'\x81' + wire[3:]):
        assert resolver.raw(packet, timeout=0.2) is None
    assert resolver.ask('www.example', flags=0).rcode() == dns.rcode.REFUSED


def test_noise(start, upstream):
    """Mutated queries by the thousand; the resolver lives and answers."""
    resolver = start(upstreams=[upstream(silent).address])
    rng = random.Random(1)
    seeds = [dns.message.make_query(name, rdtype, use_edns=0).to_wire()
             for name in (NAME, 'www.example.', 'localhost.', '1.1.168.192.in-addr.arpa.') for rdtype in ('A', 'PTR', 'HTTPS')]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for i in range(20000):
            packet = bytearray(rng.choice(seeds))
            for _ in range(rng.randrange(1, 6)):
                packet[rng.randrange(len(packet))] = rng.randrange(256)
            sock.sendto(packet[:rng.randrange(len(packet) + 1)] if i % 3 == 0 else packet, ('127.0.0.1', resolver.port))

    def answers():  # a full socket buffer may still swallow a question
        with contextlib.suppress(dns.exception.Timeout):
            return texts(resolver.ask(NAME, timeout=1).answer)
    assert wait_until(answers, what='an answer after the flood') == [f'{NAME} 10 IN A 192.168.1.1']


# Forwarding.

def test_forwarded_answers_are_the_upstreams(start, knot):
    resolver = start(upstreams=[f'127.0.0.1:{knot}'])
    names = ['up.example', 'mail.up.example', 'x.wild.up.example', 'x.sub.up.example', 'x.dname.up.example', 'none.up.example',
             'MiXeD-cAsE.up.example', 'svc.up.example', '_sip._tcp.up.example', 'medium.up.example', 'large.up.example',
             *(f'h{i}.up.example' for i in range(90))]
    compared = 0
    for name, rdtype, dnssec in itertools.product(names, ['A', 'AAAA', 'TXT', 'HTTPS', 'SRV', 'SOA'], [False, True]):
        if dnssec and not name.startswith('h'):
            continue
        query = dns.message.make_query(name, rdtype, want_dnssec=dnssec)
        direct = dns.query.tcp(query, '127.0.0.1', port=knot, timeout=5)
        answer, _ = dns.query.udp_with_fallback(query, '127.0.0.1', port=resolver.port, timeout=5)
        compared += 1
        assert answer.rcode() == direct.rcode()
        assert texts(answer.answer) == texts(direct.answer)
        assert texts(answer.authority) == texts(direct.authority)
        assert answer.question[0].name.to_text() == query.question[0].name.to_text()
        assert answer.flags & (dns.flags.RA | dns.flags.RD) == dns.flags.RA | dns.flags.RD
        assert not answer.flags & (dns.flags.AA | dns.flags.AD)
    assert compared > 1000


def test_truncation(start, knot):
    resolver = start(upstreams=[f'127.0.0.1:{knot}'])
    answer = resolver.ask('medium.up.example', 'TXT')
    assert answer.flags & dns.flags.TC and answer.answer == [] and len(answer.to_wire()) <= 512
    answer = resolver.ask('medium.up.example', 'TXT', use_edns=0, payload=1232)
    assert not answer.flags & dns.flags.TC and len(answer.answer[0]) == 6
    # The upstream truncates this one, so it was asked over TCP; we truncate it again for UDP.
    for name, count in (('large', 30), ('huge', 200)):
        answer = resolver.ask(f'{name}.up.example', 'TXT', use_edns=0, payload=65000)
        assert answer.flags & dns.flags.TC
        answer = resolver.ask(f'{name}.up.example', 'TXT', tcp=True)
        assert not answer.flags & dns.flags.TC and len(answer.answer[0]) == count


def test_tcp_upstream_connection_is_reused(start, upstream):
    def handler(query, over_tcp):
        record = f'{query.question[0].name} 60 TXT "tcp"'
        return [reply(query, record)] if over_tcp else [reply(query, flags=dns.flags.TC)]
    server = upstream(handler)
    resolver = start(upstreams=[server.address])
    for i in range(10):
        assert texts(resolver.ask(f'h{i}.example', 'TXT').answer) == [f'h{i}.example. 60 IN TXT "tcp"']
    assert len({port for port, _, over_tcp in server.seen if over_tcp}) == 1


def test_what_goes_upstream(start, upstream):
    server = upstream()
    resolver = start(upstreams=[server.address])
    options = [dns.edns.ECSOption('192.168.1.0', 24), dns.edns.GenericOption(10, b'cookie!!')]
    resolver.ask('www.example', use_edns=0, options=options, want_dnssec=True, flags=dns.flags.RD | dns.flags.CD)
    resolver.ask('plain.example')
    queries = [message for _, message, _ in server.seen]
    assert queries[0].options == () and queries[0].payload == 1232 and queries[0].ednsflags == dns.flags.DO
    assert queries[0].flags & dns.flags.CD and queries[0].flags & dns.flags.AD
    assert queries[1].edns == 0 and queries[1].ednsflags == 0 and not queries[1].flags & dns.flags.CD


def test_ports_ids_and_case_vary(start, upstream):
    server = upstream()
    resolver = start(upstreams=[server.address])
    for i in range(300):
        resolver.ask(f'name-with-letters-{i}.example')
    ports = {port for port, _, _ in server.seen}
    assert len(ports) >= 300 // 64, 'the source port rotates'
    assert len({message.id for _, message, _ in server.seen}) > 290
    # dnspython keeps the case: more than one in a thousand names as asked would be no accident.
    asked = [message.question[0].name.to_text() for _, message, _ in server.seen]
    assert sum(name == name.lower() for name in asked) < 3
    assert len({''.join('x' if c.isupper() else '.' for c in name[:18]) for name in asked}) > 250


def test_case_breaking_upstream(start, upstream):
    """Answers in another case are not believed over UDP; TCP is, and after two of them the case is not looked at."""
    server = upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 60 A 198.51.100.7', lower=True)])
    resolver = start(upstreams=[server.address])
    for i in range(10):
        answer = resolver.ask(f'Name-With-Letters-{i}.Example')
        assert texts(answer.answer) == [f'Name-With-Letters-{i}.Example. 60 IN A 198.51.100.7']
    assert 1 <= sum(over_tcp for _, _, over_tcp in server.seen) <= 2


def test_forged_case(start, upstream):
    """An upstream that keeps the case itself is never excused from it, however often somebody guesses all but that."""
    def handler(query, over_tcp):
        name = query.question[0].name
        return [reply(query, f'{name} 60 A {"198.51.100.7" if over_tcp else "192.0.2.66"}', lower=not over_tcp)]
    server = upstream(handler)
    resolver = start(upstreams=[server.address])
    for i in range(10):
        answer = resolver.ask(f'name-with-letters-{i}.example')
        assert texts(answer.answer) == [f'name-with-letters-{i}.example. 60 IN A 198.51.100.7']


def test_forged_answers(start, upstream):
    """What comes from the right place but is not the answer is dropped; the answer behind it counts."""
    def handler(query, over_tcp):
        true = good(query)[0]
        forged = dns.message.make_query('www.example', 'A')
        forged.id = query.id
        other_type = dns.message.make_query(query.question[0].name, 'AAAA')
        other_type.id = query.id
        return [struct.pack('>H', query.id ^ 1) + true[2:], reply(forged, 'www.example. 60 A 192.0.2.66'),
                reply(other_type), query.to_wire(), b'', b'\0', true]
    resolver = start(upstreams=[upstream(handler).address])
    assert texts(resolver.ask('real.example').answer) == ['real.example. 60 IN A 198.51.100.7']


def test_same_question_asked_once(start, upstream):
    release = threading.Event()

    def handler(query, over_tcp):
        release.wait(1)
        return good(query)
    server = upstream(handler)
    resolver = start(upstreams=[server.address])
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(20)]
        for i, sock in enumerate(socks):
            query = dns.message.make_query('SAME.example' if i % 2 else 'same.Example', 'A')
            query.id = i
            sock.settimeout(5)
            sock.sendto(query.to_wire(), ('127.0.0.1', resolver.port))
        wait_until(lambda: server.seen, what='the question arrives')
        resolver.ask(NAME)  # everything sent before has been read
        release.set()
        for i, sock in enumerate(socks):
            answer = dns.message.from_wire(sock.recv(512))
            assert answer.id == i
            assert texts(answer.answer) == [f'{"SAME.example." if i % 2 else "same.Example."} 60 IN A 198.51.100.7']
    assert len(server.seen) == 1


def test_failover(start, upstream):
    dead, alive = upstream(silent), upstream()
    resolver = start(upstreams=[dead.address, alive.address])
    begin = time.monotonic()
    for i in range(40):
        assert resolver.ask(f'h{i}.example').answer
    assert time.monotonic() - begin < 5
    assert len(dead.seen) < 15, 'the silent one is left alone, but for probes'


def test_probes_are_rare(start, upstream):
    """A dead upstream is asked beside the living one now and then, not with every question that is answered meanwhile."""
    awake = threading.Event()
    dead, alive = upstream(silent), upstream(lambda query, over_tcp: good(query) if awake.is_set() else [])
    resolver = start(upstreams=[dead.address, alive.address])
    numbers = itertools.count()
    for _ in range(3):
        assert resolver.ask(f'h{next(numbers)}.example').rcode() == dns.rcode.SERVFAIL
    awake.set()
    wait_until(lambda: resolver.ask(f'h{next(numbers)}.example').answer, what='the other one is found alive')
    before = len(dead.seen)
    wait_until(lambda: resolver.ask(f'h{next(numbers)}.example').answer and len(dead.seen) > before, what='a probe')
    before = len(dead.seen)
    for _ in range(20):
        assert resolver.ask(f'h{next(numbers)}.example').answer
    assert len(dead.seen) <= before + 1


def test_servfail_is_bettered(start, upstream):
    failing = upstream(lambda query, over_tcp: [reply(query, rcode=dns.rcode.SERVFAIL)])
    resolver = start(upstreams=[failing.address, upstream().address])
    for i in range(8):
        assert resolver.ask(f'h{i}.example').answer
    alone = start(upstreams=[failing.address])
    assert alone.ask('h.example').rcode() == dns.rcode.SERVFAIL


def test_upstream_without_edns(start, upstream):
    def handler(query, over_tcp):
        if query.edns >= 0:
            answer = dns.message.make_response(query)
            answer.use_edns(False)
            answer.set_rcode(dns.rcode.FORMERR)
            return [answer.to_wire()]
        return good(query)
    server = upstream(handler)
    resolver = start(upstreams=[server.address])
    for i in range(3):
        assert resolver.ask(f'h{i}.example', use_edns=0).answer
    assert len(server.seen) == 5, 'two questions show that it goes without EDNS, and from then on none is asked with it'


# Nobody there.

@pytest.mark.parametrize('tcp', [False, True], ids=['udp', 'tcp'])
def test_offline_silence(start, upstream, tcp):
    resolver = start(upstreams=[upstream(silent).address, upstream(silent).address])
    begin = time.monotonic()
    answer = resolver.ask('www.example', use_edns=0, tcp=tcp)
    assert answer.rcode() == dns.rcode.SERVFAIL and edes(answer) == [22]
    assert time.monotonic() - begin < OFFLINE_S
    assert texts(resolver.ask(NAME).answer) == [f'{NAME} 10 IN A 192.168.1.1']
    begin = time.monotonic()
    answer = resolver.ask(NAME, 'DS')
    assert answer.rcode() == dns.rcode.NOERROR and texts(answer.authority)[0].startswith(f'{NAME} 10 IN SOA')
    assert time.monotonic() - begin < OFFLINE_S


def test_offline_refused(start):
    resolver = start(upstreams=[f'127.0.0.1:{free_port()}'])
    begin = time.monotonic()
    answer = resolver.ask('www.example', use_edns=0)
    assert answer.rcode() == dns.rcode.SERVFAIL and edes(answer) == [23]
    assert time.monotonic() - begin < 0.5


def test_no_upstream(start):
    answer = start().ask('www.example', use_edns=0)
    assert answer.rcode() == dns.rcode.SERVFAIL and edes(answer) in ([22], [23])


# The rebinding filter.

@pytest.mark.parametrize('name, rdtype', [('private', 'A'), ('mixed', 'A'), ('to-private', 'A'), ('hint', 'HTTPS')])
def test_rebinding(start, knot, name, rdtype):
    resolver = start(upstreams=[f'127.0.0.1:{knot}'])
    answer = resolver.ask(f'{name}.up.example', rdtype, use_edns=0)
    assert answer.rcode() == dns.rcode.NOERROR and answer.answer == [] and edes(answer) == [15]
    host = start(dict(VIEW, role='host'), [f'127.0.0.1:{knot}'])
    assert host.ask(f'{name}.up.example', rdtype, use_edns=0).answer


# TCP service.

def test_tcp_pipelining(start, upstream):
    release = threading.Event()

    def handler(query, over_tcp):
        release.wait(1)
        return good(query)
    resolver = start(upstreams=[upstream(handler).address])
    slow = dns.message.make_query('slow.example', 'A')
    fast = [dns.message.make_query(NAME, 'A') for _ in range(200)]
    with socket.create_connection(('127.0.0.1', resolver.port), timeout=5) as sock:
        sock.sendall(frame(slow) + b''.join(frame(query) for query in fast))
        answers = read_messages(sock, 201)
        assert {next(answers).id for _ in fast} == {query.id for query in fast}, 'own answers do not wait'
        release.set()
        assert next(answers).id == slow.id
    with socket.create_connection(('127.0.0.1', resolver.port), timeout=5) as sock:
        for byte in frame(fast[0]):
            sock.sendall(bytes([byte]))
        sock.shutdown(socket.SHUT_WR)
        assert next(read_messages(sock, 1)).id == fast[0].id
        assert sock.recv(1) == b''


def test_tcp_limits(start):
    resolver = start()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection(('127.0.0.1', resolver.port), timeout=5)) for _ in range(24)]
        served = 0
        for sock in socks:
            with contextlib.suppress(OSError, struct.error):
                sock.sendall(frame(dns.message.make_query(NAME, 'A')))
                served += len(list(read_messages(sock, 1)))
        assert served == 16, 'connections of one client'
        assert resolver.ask(NAME).answer
        socks[0].sendall(b'\xff\xff')  # announces a query of 65535 bytes: closed
        assert socks[0].recv(1) == b''


# Interfaces.

def link_local(namespace, link):
    def ready():
        info = json.loads(namespace.run('ip', '-6', '-j', 'addr', 'show', 'dev', link, 'scope', 'link'))
        found = [a['local'] for i in info for a in i.get('addr_info', []) if 'local' in a and not a.get('tentative')]
        return found[0] if found else None
    return wait_until(ready, what=f'link-local address on {link}')


def dig(namespace, port, server, rdtype='A', *options):
    """Answers as kdig shows them, None without one; kdig drops what comes from another address than the one asked."""
    argv = ['kdig', f'@{server}', '-p', port, '+short', '+timeout=5', '+retry=0', *options, NAME, rdtype]
    status, out, err = attempt(*namespace.argv(*argv))
    return None if status != 0 or 'ERROR' in out + err else out.split()


@pytest.mark.parametrize('wildcard', [True, False], ids=['wildcard', 'bound'])
def test_interfaces(home, bin_dir, tmp_path, wildcard):
    box, client = home
    own_ll, peer_ll = link_local(box, 'lan1'), link_local(client, 'eth1')
    assert own_ll and peer_ll
    index = {i: index_of(box, f'lan{i}') for i in (1, 2)}
    view = dict(VIEW, interfaces=[
        {'index': index[1], 'name': 'lan1', 'lan': True, 'v4': ['192.168.1.1/24'], 'v6': ['fd41::1/64', f'{own_ll}/64']},
        {'index': index[2], 'name': 'lan2', 'lan': True, 'v4': ['192.168.2.1/24'], 'v6': []}])
    # On the wildcard address answers must be made to leave from the one that was asked.
    addresses = '192.168.1.1', '192.168.2.1', 'fd41::1', 'fd42::1', f'{own_ll}%lan1'
    resolver = Resolver(bin_dir / 'nameplate', tmp_path, view, listen=('0.0.0.0', '::') if wildcard else addresses, prefix=box.argv())
    try:
        for options in ((), ('+tcp',)):
            assert dig(client, resolver.port, '192.168.1.1', 'A', *options) == ['192.168.1.1']
            assert dig(client, resolver.port, '192.168.2.1', 'A', *options) == ['192.168.2.1']
            assert dig(client, resolver.port, '192.168.2.1', 'AAAA', *options) == []
            assert dig(client, resolver.port, 'fd41::1', 'AAAA', *options) == ['fd41::1']
            assert dig(client, resolver.port, f'{own_ll}%eth1', 'AAAA', *options) == ['fd41::1']
            # Back to an address that means nothing without its interface.
            assert dig(client, resolver.port, 'fd41::1', 'AAAA', '-b', f'{peer_ll}%eth1', *options) == ['fd41::1']
            # fd42::/64 is connected, but the view does not call it LAN: no answer to that source.
            assert dig(client, resolver.port, 'fd42::1', 'AAAA', '+timeout=1', *options) is None
    finally:
        resolver.close()


# The child role.

def send_frame(sock, kind, payload=b'', fds=()):
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
    sock.sendmsg([kind + payload], ancillary)


def test_child(bin_dir, upstream):
    server = upstream()
    parent, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    port = free_port()
    argv = ['bash', '-c', f'exec 3<&{child.fileno()} {child.fileno()}<&-; exec "$0" child-resolver', str(bin_dir / 'nameplate')]
    # LeakSanitizer cannot look into a sandboxed process; the other tests run the same code with it.
    process = subprocess.Popen(argv, pass_fds=[child.fileno()], stdin=subprocess.DEVNULL, env=dict(os.environ, ASAN_OPTIONS='detect_leaks=0'))
    child.close()
    parent.settimeout(10)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.create_server(('127.0.0.1', port)) as tcp:
            udp.bind(('127.0.0.1', port))
            items = [{'address': '127.0.0.1', 'port': port, 'kind': kind, 'ifindex': 1} for kind in ('dns-udp', 'dns-tcp')]
            send_frame(parent, b'LSTN', json.dumps(items).encode(), [udp.fileno(), tcp.fileno()])
        send_frame(parent, b'VIEW', b'{"version":1,"ttl":-1}')
        send_frame(parent, b'NEWS', b'a frame of a later version')
        send_frame(parent, b'VIEW', json.dumps(dict(VIEW, upstreams=[server.address])).encode())
        assert parent.recv(65536) == b'REDY'
        for send in (dns.query.udp, dns.query.tcp):
            answer = send(dns.message.make_query(NAME, 'A'), '127.0.0.1', port=port, timeout=5)
            assert texts(answer.answer) == [f'{NAME} 10 IN A 192.168.1.1']
            assert send(dns.message.make_query(f'{send.__name__}.example', 'A'), '127.0.0.1', port=port, timeout=5).answer
        send_frame(parent, b'STAT')
        answer = parent.recv(65536)
        stats = json.loads(answer[4:])
        assert answer[:4] == b'STAT' and stats['answers']['own'] == 2 and stats['answers']['forwarded'] == 2
        assert stats['forward']['answered'] == 2 and stats['server']['tcp_in'] == 2
        upstreams = stats['upstreams']
        assert [(item['zone'], item['address'], item['alive']) for item in upstreams] == [('.', server.address, True)]
        assert upstreams[0]['answers'] == 2 and upstreams[0]['failures'] == 0 and upstreams[0]['srtt_us'] >= 0
        send_frame(parent, b'DROP', json.dumps(items).encode())

        def refused():
            with socket.socket() as sock:
                return sock.connect_ex(('127.0.0.1', port)) != 0
        wait_until(refused, what='the listener is dropped')
        parent.close()
        assert process.wait(10) == 0
    finally:
        parent.close()
        if process.poll() is None:
            process.kill()
        process.wait(10)
