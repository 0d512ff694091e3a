"""Our DNS parsers beside two others, ldns (in a process of its own: it crashes on some packets) and dnspython, over the fuzz
corpora and thousands of seeded mutations: where ours says good, all three see the same, before and after our rewriting."""
import collections
import contextlib
import json
import os
import random
import struct
import subprocess

import dns.edns
import dns.exception
import dns.message
import dns.rrset
import pytest

from lab.paths import BUILD, ROOT

CORPUS = ROOT / 'tests' / 'fuzz' / 'corpus'
MUTATIONS, MUTATIONS_LONG = 5000, 40000
GOOD, FAILED = 0, 1  # enum np_response_verdict
QUERY_GOOD = 0       # enum np_query_verdict
OPT = 41


class Helper:
    """A program that answers each packet with a line of JSON; started anew when a packet has killed it."""

    def __init__(self, program):
        self.program, self.crashes = program, []
        self.process = None

    def ask(self, packet, kind=b''):
        """What it says; None where the packet is none to it, or killed it."""
        if self.process is None:
            env = dict(os.environ, ASAN_OPTIONS='detect_leaks=0')
            self.process = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(kind + struct.pack('>I', len(packet)) + packet)
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            if line.endswith(b'\n'):
                return json.loads(line)
        self.close()
        self.crashes.append(packet)
        return None

    def close(self):
        if self.process:
            self.process.kill()
            with contextlib.suppress(BrokenPipeError):
                self.process.communicate()
        self.process = None


@pytest.fixture(scope='module')
def helpers(bin_dir):
    def find(name):
        return next(path for path in (bin_dir / name, BUILD / 'release' / 'bin' / name) if path.exists())
    both = Helper(find('dns_differ')), Helper(find('ldns_oracle'))
    yield both
    for helper in both:
        helper.close()


# The same form for both oracles: the question, and the records as (section, owner, type, class, ttl, rdata), names and rdata
# in small letters and without compression, OPT left out.

def low(name):
    return name.canonicalize().to_wire().hex()


def by_dnspython(packet):
    try:
        message = dns.message.from_wire(packet, one_rr_per_rrset=True)
    except (dns.exception.DNSException, ValueError, struct.error, UnicodeError, IndexError):
        return None
    records = [(section, low(rrset.name), int(rrset.rdtype), int(rrset.rdclass), rrset.ttl, rdata.to_digestable().lower().hex())
               for section in (1, 2, 3) for rrset in message.sections[section] for rdata in rrset]
    return {'id': message.id, 'rcode': int(message.rcode()), 'edns': message.edns >= 0,
            'question': [(low(rrset.name), int(rrset.rdtype), int(rrset.rdclass)) for rrset in message.question], 'records': records}


def by_ldns(helper, packet):
    said = helper.ask(packet)
    if said is None:
        return None
    rows = said['records']
    return {'id': said['id'], 'rcode': said['rcode'], 'edns': said['edns'], 'do': said['do'], 'size': said['size'],
            'question': [tuple(row[1:]) for row in rows if row[0] == 0],
            'records': [(*row[:5], bytes.fromhex(row[5]).lower().hex()) for row in rows if row[0] > 0]}


# Packets.

RECORDS = """\
www.example. 60 CNAME a.b.example.
a.b.example. 60 A 192.0.2.1
a.b.example. 61 A 192.0.2.2
a.b.example. 0 AAAA 2001:db8::1
example. 3600 NS ns.example.
example. 3600 NS ns.other.test.
example. 86400 SOA ns.example. hostmaster.example. 1 7200 900 1209600 60
example. 60 MX 10 mail.example.
example. 60 TXT "one" "two with blanks"
_sip._tcp.example. 60 SRV 1 2 5060 sip.example.
example. 60 NAPTR 10 20 "s" "SIP+D2T" "" _sip._tcp.example.
example. 60 HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1
example. 60 HTTPS 0 svc.example.
_dns.example. 60 SVCB 1 dot.example. alpn=dot port=853
example. 60 CAA 0 issue "ca.example"
d.example. 60 DNAME target.example.
1.2.0.192.in-addr.arpa. 60 PTR www.example.
example. 60 HINFO "RFC8482" ""
_443._tcp.example. 60 TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
example. 60 DS 1 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
example. 60 RRSIG A 13 1 60 20300101000000 20200101000000 1 example. AAAA
example. 60 NSEC www.example. A MX RRSIG NSEC
example. 60 TYPE65280 \\# 5 0102030405
""".splitlines()


def responses(rng):
    """Made by dnspython, with its compression: one for each kind of record, and mixed ones."""
    rrsets = [dns.rrset.from_text(owner, int(ttl), 'IN', rdtype, rdata) for owner, ttl, rdtype, rdata in
              (line.split(None, 3) for line in RECORDS)]
    for i in range(60):
        first = rrsets[i % len(rrsets)]
        query = dns.message.make_query(first.name, first.rdtype, use_edns=0 if i % 2 else None)
        message = dns.message.make_response(query, recursion_available=True)
        if i >= len(rrsets):
            message.set_rcode(rng.choice((0, 0, 0, 2, 3, 5)))
        for section in (message.answer, message.authority, message.additional):
            section += rng.sample(rrsets, rng.randrange(0, 5))
        if i % 3 == 0:
            message.answer.insert(0, first)
        yield message.to_wire(max_size=65535)


def corpus(name):
    return [path.read_bytes()[1:] for path in sorted((CORPUS / name).iterdir())]


def mutated(rng, seeds, count):
    for _ in range(count):
        packet = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            at = rng.randrange(2, max(3, len(packet)))
            kind = rng.randrange(7)
            if kind < 3:
                packet[at:at + 1] = bytes([rng.choice((0, 1, 4, 0x3f, 0x40, 0xc0, 0xff, rng.randrange(256)))])
            elif kind == 3:
                packet[at:at + 2] = struct.pack('>H', 0xc000 | rng.randrange(12, max(13, len(packet))))
            elif kind == 4 and len(packet) > 12:
                packet[5 + 2 * rng.randrange(4)] ^= rng.choice((1, 2, 3))
            elif kind == 5:
                del packet[at:]
            else:
                packet[at:at] = rng.randbytes(rng.randrange(1, 8))
        yield bytes(packet)


def packets(rng, name, more):
    seeds = [packet for packet in (*corpus(name), *more) if len(packet) > 12]
    yield from seeds
    yield from mutated(rng, seeds, MUTATIONS_LONG if os.environ.get('NAMEPLATE_LONG') else MUTATIONS)


# What must agree.

def without_opt(seen):
    return [record for record in seen['records'] if record[2] != OPT]


def same(now, was):
    """The same records in the same order, with TTLs that were only cut (to a day, and an SOA's to its minimum)."""
    assert [(*row[:4], row[5]) for row in now] == [(*row[:4], row[5]) for row in was]
    # dnspython takes a TTL with its highest bit set for 0, as RFC 2181 did; RFC 8767 section 4 has it cut.
    assert all(new[4] <= old[4] or old[4] == 0 for new, old in zip(now, was))


def check_given(before, after, said, given, edns):
    """What a client is given says what the upstream said: all of answer and authority, as much of additional as fits."""
    assert after is not None, 'what we give is a message'
    assert after['id'] == 0x4242 and after['question'] == before['question']
    assert after['rcode'] & 15 == before['rcode'] & 15 and after['edns'] == edns
    was, now = without_opt(before), without_opt(after)
    if given[2] & 0x02 and not now:
        return  # TC, and nothing else
    for section in (1, 2):
        same([row for row in now if row[0] == section], [row for row in was if row[0] == section])
    more, all_of_it = ([row for row in rows if row[0] == 3] for rows in (now, was))
    same(more, all_of_it[:len(more)])
    assert [sum(row[0] == section for row in was) for section in (1, 2, 3)] == said['counts']


def test_responses(helpers):
    differ, ldns = helpers
    rng = random.Random(8914)
    seen = collections.Counter()
    for packet in packets(rng, 'dns_response', responses(rng)):
        said = differ.ask(packet, b'R')
        assert said is not None, f'our own parser died on {packet.hex()}'
        if said['verdict'] not in (GOOD, FAILED):
            seen['not good to us'] += 1
            continue
        for name, oracle in (('dnspython', by_dnspython), ('ldns', lambda data: by_ldns(ldns, data))):
            before = oracle(packet)
            if before is None:
                seen[f'good to us, not to {name}'] += 1
                continue
            seen[f'good to us and {name}'] += 1
            try:
                assert before['question'] == [(said['qname'], said['qtype'], said['qclass'])]
                for form, edns in (('stream', True), ('plain', False)):
                    given = bytes.fromhex(said[form])
                    check_given(before, oracle(given), said, given, edns)
            except AssertionError as error:
                raise AssertionError(f'{name} on {packet.hex()}: {error}') from error
    print(f'\n{dict(seen)}, {len(ldns.crashes)} packets killed ldns')
    assert not differ.crashes
    assert seen['good to us and dnspython'] > 1000 and seen['good to us and ldns'] > 1000


def queries(rng):
    """Made by dnspython: names, types, EDNS with options."""
    names = ('nifty-babbage.devices.example', 'a.nifty-babbage.devices.example', 'x.w.example', 'www.example', 'localhost', '.',
             '1.1.168.192.in-addr.arpa', 'MiXeD.devices.EXAMPLE', '.'.join(['x' * 60] * 4))
    for name in names:
        for rdtype in ('A', 'AAAA', 'HTTPS', 'SOA', 'PTR', 'ANY', 'TXT'):
            edns = rng.choice((None, 0, 0))
            options = [dns.edns.GenericOption(10, bytes(8))] if rng.random() < 0.3 else []
            query = dns.message.make_query(name, rdtype, use_edns=edns, payload=rng.choice((400, 512, 1232, 4096)) if edns == 0 else None,
                                           want_dnssec=edns == 0 and rng.random() < 0.3, options=options if edns == 0 else None)
            yield query.to_wire()


def test_queries(helpers):
    """A query that is good to us is the same question to both; and every answer of ours is a message to both."""
    differ, ldns = helpers
    rng = random.Random(1035)
    seen = collections.Counter()
    for packet in packets(rng, 'dns_query', queries(rng)):
        said = differ.ask(packet, b'Q')
        assert said is not None, f'our own parser died on {packet.hex()}'
        good = said['verdict'] == QUERY_GOOD
        given = bytes.fromhex(said.get('answer', ''))
        for name, oracle in (('dnspython', by_dnspython), ('ldns', lambda data: by_ldns(ldns, data))):
            try:
                asked = oracle(packet) if good else None
                if asked:
                    seen[f'good to us and {name}'] += 1
                    assert asked['question'] == [(said['qname'], said['qtype'], said['qclass'])]
                    assert asked['edns'] == said['edns']
                    if name == 'ldns' and asked['edns']:
                        assert asked['do'] == said['do'] and max(asked['size'], 512) == said['size']
                elif good:
                    seen[f'good to us, not to {name}'] += 1
                if given and not (name == 'dnspython' and given[2] & 0x78):  # dnspython judges other opcodes by their own rules
                    answer = oracle(given)
                    assert answer is not None, f'our answer {given.hex()}'
                    assert answer['id'] == struct.unpack('>H', packet[:2])[0] and len(given) <= 1232
                    assert not good or answer['question'] == [(said['qname'], said['qtype'], said['qclass'])]
                    seen[f'answers read by {name}'] += 1
            except AssertionError as error:
                raise AssertionError(f'{name} on {packet.hex()}: {error}') from error
    print(f'\n{dict(seen)}, {len(ldns.crashes)} packets killed ldns')
    assert not differ.crashes
    assert seen['good to us and dnspython'] > 1000 and seen['good to us and ldns'] > 1000
