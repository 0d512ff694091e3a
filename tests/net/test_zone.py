"""HQ's built-in zone as a real server: every type, negatives, TCP, case, truncation, refusals, broken packets, changes,
and the death of the child. Asked by dnspython, and by kdig as a second opinion."""
import os
import random
import signal
import socket
import struct
import subprocess

import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from hqdriver import ZONE, Driver
from ports import free_port

VALUES = ['a' * 43, 'b' * 43, 'c' * 43, 'd' * 43]
LONG = 'l' * 63


@pytest.fixture(scope='module')
def driver(bin_dir, tmp_path_factory):
    running = Driver(bin_dir, tmp_path_factory.mktemp('zone'), free_port()).start()
    running.say('device nifty-babbage 192.168.1.7 10.0.0.7 fd00::7')
    running.say('device odd-turing 192.168.2.2')
    running.say('device local-only')
    running.say(f'device {LONG} 192.168.3.3')
    running.say(f'challenge nifty-babbage {VALUES[0]} {VALUES[1]}')
    running.say(f'challenge {LONG} {" ".join(VALUES)}')
    yield running
    assert running.stop() == 0, running.log()[-2000:]


@pytest.fixture(autouse=True, scope='module')
def published(driver, wait_until):
    wait_until(lambda: texts(ask(driver, f'_acme-challenge.{LONG}.{ZONE}', 'TXT', tcp=True)) == set(VALUES), 5,
               'the last of the names and values')


def ask(driver, name, qtype, tcp=False, **options):
    query = dns.message.make_query(name, qtype, **options)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, '127.0.0.1', 3, port=driver.dns_port)


def texts(response):
    return {text.decode() for rrset in response.answer if rrset.rdtype == dns.rdatatype.TXT
            for rdata in rrset for text in rdata.strings}


def answers(response):
    """{(owner, type, rdata)} of the answer section."""
    return {(str(rrset.name).rstrip('.'), dns.rdatatype.to_text(rrset.rdtype), rdata.to_text())
            for rrset in response.answer for rdata in rrset}


def soa_owner(response):
    return [str(rrset.name).rstrip('.') for rrset in response.authority if rrset.rdtype == dns.rdatatype.SOA]


def at(name, qtype, *rdata):
    return {(name, qtype, text) for text in rdata}


N = f'nifty-babbage.{ZONE}'
POSITIVE = [
    (ZONE, 'NS', at(ZONE, 'NS', f'ns1.{ZONE}.')),
    (ZONE, 'CAA', at(ZONE, 'CAA', '0 issue "ca.example"')),
    (f'ns1.{ZONE}', 'A', at(f'ns1.{ZONE}', 'A', '127.0.0.1')),
    (f'hq.{ZONE}', 'A', at(f'hq.{ZONE}', 'A', '198.51.100.10')),
    (f'hq.{ZONE}', 'AAAA', at(f'hq.{ZONE}', 'AAAA', '2001:db8:1::10')),
    (N, 'A', at(N, 'A', '192.168.1.7', '10.0.0.7')),
    (N, 'AAAA', at(N, 'AAAA', 'fd00::7')),
    (N, 'MX', at(N, 'MX', '0 .')),
    (N, 'TXT', at(N, 'TXT', '"v=spf1 -all"')),
    (N, 'ANY', at(N, 'HINFO', '"RFC8482" ""')),
    (f'_acme-challenge.{N}', 'TXT', at(f'_acme-challenge.{N}', 'CNAME', f'nifty-babbage.acme.{ZONE}.')
     | at(f'nifty-babbage.acme.{ZONE}', 'TXT', f'"{VALUES[0]}"', f'"{VALUES[1]}"')),
    (f'_acme-challenge.odd-turing.{ZONE}', 'CNAME', at(f'_acme-challenge.odd-turing.{ZONE}', 'CNAME', f'odd-turing.acme.{ZONE}.')),
    (f'acme.{ZONE}', 'NS', at(f'acme.{ZONE}', 'NS', f'ns1.{ZONE}.')),
    (f'x.y.rebind-test.{ZONE}', 'A', at(f'x.y.rebind-test.{ZONE}', 'A', '192.168.0.1')),
    (f'x.rebind-test.{ZONE}', 'AAAA', at(f'x.rebind-test.{ZONE}', 'AAAA', 'fd00::1')),
    (f'x.plain-test.{ZONE}', 'A', at(f'x.plain-test.{ZONE}', 'A', '192.0.2.1')),
]


@pytest.mark.parametrize('tcp', [False, True], ids=['udp', 'tcp'])
@pytest.mark.parametrize('name, qtype, expected', POSITIVE, ids=[f'{n}-{t}' for n, t, _ in POSITIVE])
def test_positive(driver, name, qtype, expected, tcp):
    response = ask(driver, name, qtype, tcp=tcp)
    assert response.rcode() == dns.rcode.NOERROR
    assert response.flags & dns.flags.AA and not response.flags & (dns.flags.RA | dns.flags.AD | dns.flags.TC)
    assert answers(response) == expected


NEGATIVE = [
    (N, 'HTTPS', 'NOERROR', ZONE), (N, 'SOA', 'NOERROR', ZONE), (N, 'CAA', 'NOERROR', ZONE), (N, 'NS', 'NOERROR', ZONE),
    (N, 'TYPE65280', 'NOERROR', ZONE),
    (f'local-only.{ZONE}', 'A', 'NOERROR', ZONE), (f'odd-turing.{ZONE}', 'AAAA', 'NOERROR', ZONE),
    (f'rebind-test.{ZONE}', 'A', 'NOERROR', ZONE), (f'x.plain-test.{ZONE}', 'AAAA', 'NOERROR', ZONE),
    (f'acme.{ZONE}', 'DS', 'NOERROR', ZONE), (f'acme.{ZONE}', 'TXT', 'NOERROR', f'acme.{ZONE}'),
    (f'nifty-babbage.acme.{ZONE}', 'A', 'NOERROR', f'acme.{ZONE}'),
    (f'nobody.{ZONE}', 'A', 'NXDOMAIN', ZONE), (f'www.{N}', 'A', 'NXDOMAIN', ZONE), (f'*.{ZONE}', 'A', 'NXDOMAIN', ZONE),
    (f'_acme-challenge.nobody.{ZONE}', 'TXT', 'NXDOMAIN', ZONE), (f'odd-turing.acme.{ZONE}', 'TXT', 'NXDOMAIN', f'acme.{ZONE}'),
]


@pytest.mark.parametrize('name, qtype, rcode, soa', NEGATIVE, ids=[f'{n}-{t}' for n, t, _, _ in NEGATIVE])
def test_negative(driver, name, qtype, rcode, soa):
    response = ask(driver, name, qtype)
    assert dns.rcode.to_text(response.rcode()) == rcode
    assert response.flags & dns.flags.AA and not response.answer
    assert soa_owner(response) == [soa]


def test_rcode_at_the_end_of_a_chain(driver):
    response = ask(driver, f'_acme-challenge.odd-turing.{ZONE}', 'TXT')
    assert response.rcode() == dns.rcode.NXDOMAIN  # RFC 6604: the target's
    assert len(response.answer) == 1 and soa_owner(response) == [f'acme.{ZONE}']


@pytest.mark.parametrize('name, qtype', [('example', 'A'), ('www.other.example', 'A'), ('.', 'NS'), (f'x{ZONE}', 'A'),
                                         (ZONE, 'AXFR'), (ZONE, 'IXFR'), (f'acme.{ZONE}', 'AXFR'), (ZONE, 'MAILB')])
def test_refused(driver, name, qtype):
    query = dns.message.make_query(name, qtype)
    for send in (dns.query.udp, dns.query.tcp):
        try:
            response = send(query, '127.0.0.1', 3, port=driver.dns_port, one_rr_per_rrset=True)
        except dns.exception.FormError:
            continue
        assert response.rcode() == dns.rcode.REFUSED and not response.answer and not response.flags & dns.flags.AA


def test_case_is_kept(driver):
    name = f'NiFTy-bABBage.DevICes.exAMPle'
    query = dns.message.make_query(name, 'A')
    response = dns.query.udp(query, '127.0.0.1', 3, port=driver.dns_port)
    assert response.question[0].name.to_text(True) == name
    assert response.answer[0].name.to_text(True) == name
    assert {rdata.to_text() for rdata in response.answer[0]} == {'192.168.1.7', '10.0.0.7'}


def test_truncation(driver):
    name = f'_acme-challenge.{LONG}.{ZONE}'
    plain = ask(driver, name, 'TXT')
    assert plain.flags & dns.flags.TC and len(plain.to_wire()) <= 512
    edns = ask(driver, name, 'TXT', use_edns=0, payload=4096)
    assert not edns.flags & dns.flags.TC and texts(edns) == set(VALUES) and edns.payload == 1232
    assert texts(ask(driver, name, 'TXT', tcp=True)) == set(VALUES)


def test_edns_versions_and_options(driver):
    query = dns.message.make_query(ZONE, 'SOA')
    query.use_edns(1)
    response = dns.query.udp(query, '127.0.0.1', 3, port=driver.dns_port)
    assert response.rcode() == dns.rcode.BADVERS and not response.answer
    response = ask(driver, ZONE, 'SOA', use_edns=0, want_dnssec=True)
    assert response.rcode() == dns.rcode.NOERROR and response.ednsflags & dns.flags.DO
    assert ask(driver, ZONE, 'SOA').edns == -1


def test_pipelined_tcp(driver):
    names = [f'nobody-{n}.{ZONE}' for n in range(20)]
    with socket.create_connection(('127.0.0.1', driver.dns_port), 3) as sock:
        queries = [dns.message.make_query(name, 'A') for name in names]
        wire = [query.to_wire() for query in queries]
        sock.sendall(b''.join(struct.pack('!H', len(w)) + w for w in wire))
        for query in queries:
            response, _ = dns.query.receive_tcp(sock, None)
            assert response.rcode() == dns.rcode.NXDOMAIN


def test_kdig_agrees(driver):
    out = subprocess.run(['kdig', '@127.0.0.1', '-p', str(driver.dns_port), '+norec', '+edns', '+tcp', ZONE, 'SOA'],
                         capture_output=True, text=True, timeout=10).stdout
    assert 'status: NOERROR' in out and 'Flags: qr aa;' in out and f'ns1.{ZONE}. hostmaster.{ZONE}.' in out
    out = subprocess.run(['kdig', '@127.0.0.1', '-p', str(driver.dns_port), ZONE, 'AXFR'],
                         capture_output=True, text=True, timeout=10)
    assert 'REFUSED' in out.stdout + out.stderr


def test_broken_packets(driver):
    """Truncated, bent and random packets get FORMERR, NOTIMP or silence, and the server goes on."""
    random.seed(1)
    good = dns.message.make_query(N, 'A', use_edns=0).to_wire()
    packets = [good[:n] for n in range(len(good))]
    packets += [good[:n] + bytes([good[n] ^ 1 << random.randrange(8)]) + good[n + 1:] for n in range(2, len(good))]
    packets += [bytes(random.randrange(256) for _ in range(random.randrange(1, 200))) for _ in range(200)]
    packets.append(good[:12] + b'\xc0\x0c' + good[-15:])  # a name that points at itself
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(('127.0.0.1', driver.dns_port))
        sock.settimeout(0.005)
        sent = set()
        for packet in packets:
            sock.send(packet)
            sent.add(packet[:2])
            try:
                answer = sock.recv(4096)
            except TimeoutError:
                continue  # silence, or an answer that comes with the next ones
            assert len(answer) >= 12 and answer[:2] in sent and answer[2] & 0x80
    for packet in (b'', b'\0', b'\0\5abc', b'\xff\xff' + good, struct.pack('!H', len(good)) + good[:-3]):
        with socket.create_connection(('127.0.0.1', driver.dns_port), 3) as sock:
            sock.sendall(packet)
    assert answers(ask(driver, N, 'AAAA')) == at(N, 'AAAA', 'fd00::7')
    assert 'ended' not in driver.log()


def test_other_opcodes(driver):
    for opcode in (dns.opcode.NOTIFY, dns.opcode.UPDATE, dns.opcode.STATUS):
        query = dns.message.make_query(ZONE, 'SOA')
        query.set_opcode(opcode)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(3)
            sock.sendto(query.to_wire(), ('127.0.0.1', driver.dns_port))
            answer = sock.recv(512)
        assert answer[3] & 15 == dns.rcode.NOTIMP


def serial(driver, zone=ZONE):
    return ask(driver, zone, 'SOA').answer[0][0].serial


def test_changes_are_published(driver, wait_until):
    before, challenges_before = serial(driver), serial(driver, f'acme.{ZONE}')
    driver.say('device new-name 10.1.1.1')
    name = f'new-name.{ZONE}'
    wait_until(lambda: answers(ask(driver, name, 'A')) == at(name, 'A', '10.1.1.1'), 2, 'the new name')
    driver.say('device new-name 10.1.1.2 fd00::2')
    wait_until(lambda: answers(ask(driver, name, 'A')) == at(name, 'A', '10.1.1.2'), 2, 'its new address')
    assert serial(driver) > before
    driver.say(f'challenge new-name {VALUES[3]}')
    wait_until(lambda: texts(ask(driver, f'_acme-challenge.{name}', 'TXT')) == {VALUES[3]}, 2, 'its challenge')
    assert serial(driver, f'acme.{ZONE}') > challenges_before
    driver.say('challenge new-name')
    wait_until(lambda: ask(driver, f'new-name.acme.{ZONE}', 'TXT').rcode() == dns.rcode.NXDOMAIN, 2, 'its challenge gone')
    driver.say('retire new-name')
    wait_until(lambda: ask(driver, name, 'A').rcode() == dns.rcode.NXDOMAIN, 2, 'the name gone')


def test_the_child_dies(driver, wait_until):
    """The parent starts it again with everything, the challenges too; a change made meanwhile is not lost."""
    pid = driver.child_pid()
    os.kill(pid, signal.SIGKILL)
    driver.say('device born-meanwhile 10.9.9.9')
    wait_until(lambda: driver.child_pid() != pid, 10, 'another child')
    name = f'born-meanwhile.{ZONE}'

    def all_there():
        return (answers(ask(driver, name, 'A')) == at(name, 'A', '10.9.9.9')
                and answers(ask(driver, N, 'AAAA')) == at(N, 'AAAA', 'fd00::7')
                and texts(ask(driver, f'_acme-challenge.{N}', 'TXT')) == set(VALUES[:2]))
    wait_until(all_there, 5, 'all names and challenges')


def test_the_child_has_nothing(driver):
    """No descriptor but its channel, its sockets and its loop's; not even a writable standard output."""
    links = [os.readlink(f'/proc/{driver.child_pid()}/fd/{fd}') for fd in os.listdir(f'/proc/{driver.child_pid()}/fd')]
    assert not [link for link in links if link.startswith('/') and link not in ('/dev/null', str(driver.log_path))]
    assert open(f'/proc/{driver.child_pid()}/environ').read() in ('', 'ASAN_OPTIONS=detect_leaks=0\0')


def flood(driver, names, qtype='A'):
    """Asks for all the names at once, by UDP; what came back: whole answers, truncated ones."""
    whole, cut = 0, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(('127.0.0.1', driver.dns_port))
        sock.settimeout(0.5)
        for name in names:
            sock.send(dns.message.make_query(name, qtype, use_edns=0).to_wire())
        try:
            while True:
                answer = dns.message.from_wire(sock.recv(4096))
                truncated = bool(answer.flags & dns.flags.TC)
                assert not (truncated and (answer.answer or answer.authority)) and answer.edns == 0
                cut, whole = cut + truncated, whole + (not truncated)
        except TimeoutError:
            return whole, cut


def test_response_rate_limiting(bin_dir, tmp_path, wait_until):
    driver = Driver(bin_dir, tmp_path, free_port(), **{'dns-rate-limit': 10}).start()
    try:
        for n in range(100):
            driver.say(f'device n-{n} 10.0.0.{n}')
        wait_until(lambda: answers(ask(driver, f'n-99.{ZONE}', 'A', tcp=True)), 5, 'the last name')
        whole, cut = flood(driver, [f'n-0.{ZONE}'] * 100)
        assert 10 <= whole <= 60 and 15 <= cut <= 50  # a second's worth, and what a slow machine's time brings
        assert answers(ask(driver, f'n-0.{ZONE}', 'A', tcp=True))  # who is real comes over TCP
        assert flood(driver, [f'n-{n}.{ZONE}' for n in range(1, 100)]) == (99, 0)  # others have accounts of their own
        whole, _ = flood(driver, [f'random-{n}.{ZONE}' for n in range(100)])
        assert 10 <= whole <= 60  # names that are not there are one matter
        whole, cut = flood(driver, [f'n{n}.other.example' for n in range(100)])
        assert 10 <= whole <= 60 and cut == 0  # so are refusals, which are not worth a second question
        assert 'responses were not sent, the last one to 127.0.0.0/24' in driver.log()
    finally:
        driver.stop()


def test_serials_never_go_back(bin_dir, tmp_path, wait_until):
    """More changes than seconds, then kill -9: both serials go on from above where they were."""
    driver = Driver(bin_dir, tmp_path, free_port()).start()
    try:
        driver.say('device n 10.0.0.1')
        for n in range(40):
            value = chr(ord('a') + n % 26) * 43
            driver.say(f'challenge n {value}')
            driver.say(f'device n 10.0.1.{n}')
            wait_until(lambda value=value: texts(ask(driver, f'_acme-challenge.n.{ZONE}', 'TXT')) == {value}, 5, value)
        before = serial(driver), serial(driver, f'acme.{ZONE}')
        driver.kill()
        driver.start()
        driver.say('challenge n ' + 'z' * 43)
        driver.say('device n 10.0.2.1')
        wait_until(lambda: serial(driver) > before[0] and serial(driver, f'acme.{ZONE}') > before[1], 5, 'greater serials')
    finally:
        driver.stop()
