"""The cache before a real name server that signs its zone: its answers, its coming and going, floods of names."""
import contextlib
import subprocess
import time

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from lab.waiting import wait_until
from ports import free_port
from resolver_child import ResolverChild
from resolver_process import OFFLINE_S, VIEW, edes, texts

CACHE = 1 << 20
FLOOD = 200_000
RSS_MAX = 8 << 20  # of the whole process, with a cache of 4 MB in use (issue's table)


class Knot:
    """A knotd that signs up.example and can be stopped and started."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None
        lines = ['$ORIGIN up.example.', '$TTL 2', '@ 300 SOA ns hostmaster 1 7200 900 1209600 60', '@ NS ns', 'ns A 198.51.100.1',
                 'www A 198.51.100.7', 'long 3600 A 198.51.100.8', 'two 3600 A 198.51.100.9', 'two 3600 A 198.51.100.10',
                 '*.flood 3600 A 198.51.100.11', 'chain 3600 CNAME long', 'text 3600 TXT "a" "b"']
        lines += [f'h{i} 3600 A 198.51.100.{i % 250}' for i in range(500)]
        (folder / 'up.zone').write_text('\n'.join(lines) + '\n')
        (folder / 'knot.conf').write_text(
            f'server:\n  listen: 127.0.0.1@{self.port}\n  rundir: {folder}\ndatabase:\n  storage: {folder}\n'
            f'zone:\n  - domain: up.example\n    file: {folder}/up.zone\n    zonefile-load: difference\n    zonefile-sync: -1\n'
            f'    dnssec-signing: on\n')

    def answers(self):
        with contextlib.suppress(dns.exception.Timeout, ConnectionError):
            query = dns.message.make_query('up.example', 'SOA', want_dnssec=True)
            return len(dns.query.udp(query, '127.0.0.1', port=self.port, timeout=0.2).answer) == 2
        return False

    def start(self):
        with open(self.folder / 'log', 'a') as log:
            self.process = subprocess.Popen(['knotd', '-c', str(self.folder / 'knot.conf')], stdout=log, stderr=log)
        wait_until(self.answers, deadline=30, what='knotd answers and has signed')

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(20)
        self.process = None


@pytest.fixture
def knot(tmp_path):
    server = Knot(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def resolver(bin_dir, tmp_path, knot):
    with ResolverChild(bin_dir / 'nameplate', tmp_path / 'resolver-log') as child:
        child.port = child.listen('127.0.0.1')[1]
        child.view(dict(VIEW, cache=CACHE, upstreams=[f'127.0.0.1:{knot.port}']))
        yield child


def ask(resolver, name, rdtype='A', **options):
    return dns.query.udp(dns.message.make_query(name, rdtype, **options), '127.0.0.1', port=resolver.port, timeout=10)


def asked(resolver):
    return resolver.stats()['forward']['asked']


def types(answer):
    return sorted({dns.rdatatype.to_text(rrset.rdtype) for rrset in answer.answer + answer.authority})


def test_answers_are_the_servers(resolver, knot):
    """What comes from the cache is what the server would have said, but for TTL, AA and the addresses' order."""
    names = ['www', 'long', 'two', 'chain', 'text', 'none', 'h1', 'x.flood', '']
    questions = [(name, rdtype, do) for name in names for rdtype in ('A', 'TXT', 'MX', 'SOA') for do in (False, True)]
    compared = 0
    for turn in range(2):
        for name, rdtype, do in questions:
            query = dns.message.make_query(f'{name}.up.example'.lstrip('.'), rdtype, want_dnssec=do, payload=1232)
            direct = dns.query.udp(query, '127.0.0.1', port=knot.port, timeout=10)
            answer = ask(resolver, query.question[0].name, rdtype, want_dnssec=do, payload=1232)
            without_ttl = [[' '.join(line.split(' ')[:1] + line.split(' ')[2:]) for line in texts(section)]
                           for message in (direct, answer) for section in (message.answer, message.authority)]
            assert answer.rcode() == direct.rcode()
            assert without_ttl[:2] == without_ttl[2:]
            for rrset in answer.answer + answer.authority:
                old = next(o for o in direct.answer + direct.authority if o.match(rrset.name, rrset.rdclass, rrset.rdtype, rrset.covers))
                assert rrset.ttl <= old.ttl
            compared += 1
    assert compared == 144
    stats = resolver.stats()
    assert stats['cache']['hits'] >= 70 - 18, 'www ends after 2 s'
    assert stats['forward']['answered'] <= 72 + 18


def test_dnssec_apart(resolver, knot):
    for _ in range(3):
        assert types(ask(resolver, 'long.up.example')) == ['A']
        assert types(ask(resolver, 'long.up.example', want_dnssec=True)) == ['A', 'RRSIG']
        assert types(ask(resolver, 'none.up.example')) == ['SOA']
        assert types(ask(resolver, 'none.up.example', want_dnssec=True)) == ['NSEC', 'RRSIG', 'SOA']
    assert asked(resolver) == 4


def test_server_away_and_back(resolver, knot):
    known = {name: texts(ask(resolver, f'{name}.up.example').answer) for name in ('www', 'long')}
    ask(resolver, 'none.up.example')
    before = asked(resolver)
    knot.stop()
    wait_until(lambda: ask(resolver, 'www.up.example') and asked(resolver) > before, what='the TTL of www has passed')
    begin = time.monotonic()
    answer = ask(resolver, 'www.up.example', use_edns=0)
    assert time.monotonic() - begin < OFFLINE_S
    assert edes(answer) == [3] and [rrset.ttl for rrset in answer.answer] == [30]
    assert [line.split()[-1] for line in texts(answer.answer)] == [line.split()[-1] for line in known['www']]
    assert edes(ask(resolver, 'long.up.example', use_edns=0)) == [], 'this one is good for an hour'
    assert ask(resolver, 'none.up.example').rcode() == dns.rcode.NXDOMAIN
    begin = time.monotonic()
    assert ask(resolver, 'never.up.example').rcode() == dns.rcode.SERVFAIL
    assert time.monotonic() - begin < OFFLINE_S
    assert resolver.stats()['cache']['stale'] >= 1
    # A snapshot with other addresses, as they come when a line fails, loses nothing.
    resolver.view(dict(VIEW, serial=18, cache=CACHE, primary={'v4': ['192.168.1.9'], 'v6': []}, upstreams=[f'127.0.0.1:{knot.port}']))
    assert edes(ask(resolver, 'www.up.example', use_edns=0)) == [3]
    assert edes(ask(resolver, 'long.up.example', use_edns=0)) == []
    knot.start()
    wait_until(lambda: edes(ask(resolver, 'www.up.example', use_edns=0)) == [], what='the server is found again')
    wait_until(lambda: ask(resolver, 'never.up.example').rcode() == dns.rcode.NXDOMAIN, what='nothing bad is remembered')


def rss(resolver):
    """Resident bytes; 0 of a sanitizers' build, which keeps what was freed."""
    if 'libasan' in resolver.proc('maps') or '__asan' in resolver.proc('maps'):
        return 0
    return next(int(line.split()[1]) * 1024 for line in resolver.proc('status').splitlines() if line.startswith('VmRSS'))


def test_flood_of_unique_names(resolver, knot, tmp_path):
    """200,000 names that are asked for once take no memory for good and push out nothing that the home uses."""
    hot = [f'h{i}.up.example' for i in range(500)]
    for _ in range(2):
        for name in hot:
            ask(resolver, name)
    (tmp_path / 'flood').write_text(''.join(f'n{i}.flood.up.example A\n' for i in range(FLOOD)))
    before = rss(resolver)
    out = subprocess.run(['dnsperf', '-s', '127.0.0.1', '-p', str(resolver.port), '-d', str(tmp_path / 'flood'), '-n', '1', '-q', '100',
                          '-t', '20'], capture_output=True, text=True, timeout=240, check=True).stdout
    assert f'Queries completed:    {FLOOD}' in out, out
    stats = resolver.stats()
    cache = stats['cache']
    assert cache['size'] == CACHE and cache['bytes'] <= CACHE and cache['entries'] < CACHE / 50
    assert cache['inserted'] >= FLOOD and cache['evicted'] > FLOOD - CACHE / 50
    assert rss(resolver) < before + CACHE + (1 << 20), 'the forwarding engine has its buffers'
    forwarded = asked(resolver)
    for name in hot:
        assert ask(resolver, name).answer
    assert asked(resolver) - forwarded <= len(hot) / 100


def test_memory(resolver, knot, tmp_path):
    """10,000 names in the cache of the usual size."""
    resolver.view(dict(VIEW, serial=18, upstreams=[f'127.0.0.1:{knot.port}']))
    (tmp_path / 'names').write_text(''.join(f'n{i}.flood.up.example A\n' for i in range(10000)))
    subprocess.run(['dnsperf', '-s', '127.0.0.1', '-p', str(resolver.port), '-d', str(tmp_path / 'names'), '-n', '1', '-q', '50', '-t', '20'],
                   capture_output=True, timeout=120, check=True)
    cache = resolver.stats()['cache']
    assert cache['entries'] >= 10000 and cache['evicted'] == 0 and cache['size'] == 4 << 20
    assert rss(resolver) < RSS_MAX
