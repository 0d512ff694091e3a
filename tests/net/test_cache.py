"""The resolver's cache, seen by clients and by upstreams."""
import itertools
import json
import signal
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from lab.waiting import wait_until
from resolver_process import OFFLINE_S, VIEW, edes, texts
from upstream import good, reply


def negative(query, rcode, ttl=60, minimum=60):
    """A negative answer with its SOA, as bytes."""
    answer = dns.message.make_response(query, recursion_available=True)
    answer.set_rcode(rcode)
    answer.authority.append(dns.rrset.from_text('example.', ttl, 'IN', 'SOA', f'ns.example. host.example. 1 2 3 4 {minimum}'))
    return answer.to_wire()


def ttl_of(answer):
    return [rrset.ttl for rrset in answer.answer + answer.authority]


def test_second_question_is_not_forwarded(start, upstream):
    server = upstream()
    resolver = start(upstreams=[server.address])
    for name in ('www.example', 'WWW.example', 'wWw.ExAmPlE'):
        for tcp in (False, True):
            answer = resolver.ask(name, tcp=tcp)
            assert answer.question[0].name.to_text() == f'{name}.', 'the case is the client\'s'
            assert answer.answer[0].name.to_text() == f'{name}.'
            assert [str(rdata) for rdata in answer.answer[0]] == ['198.51.100.7']
            assert answer.flags & dns.flags.RA and not answer.flags & (dns.flags.AA | dns.flags.AD)
    assert len(server.seen) == 1
    resolver.ask('www.example', 'AAAA')
    assert len(server.seen) == 2, 'another type is another question'


def test_ttl_counts_down_to_nothing(start, upstream):
    server = upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 3 A 198.51.100.7',
                                                     f'{query.question[0].name} 90000 A 198.51.100.8')])
    resolver = start(upstreams=[server.address])
    begin = time.monotonic()
    first = [3, 86400]  # longer ones are cut to a day
    seen = set()

    def gone():
        before = time.monotonic() - begin
        ttls = sorted(line.split()[1] for line in texts(resolver.ask('www.example').answer))
        after = time.monotonic() - begin
        if len(server.seen) > 1:
            return True
        ttl = int(ttls[0])
        assert first[0] - 1 - after <= ttl <= first[0] - int(before), (before, ttl)
        seen.add(ttl)
        return False
    wait_until(gone, what='the TTL has passed and the upstream is asked again')
    assert time.monotonic() - begin >= 2 and seen <= {1, 2, 3} and seen


def test_dnssec_and_cd_are_kept_apart(start, upstream):
    server = upstream(lambda query, over_tcp: [reply(
        query, f'{query.question[0].name} 60 TXT "do={bool(query.ednsflags & dns.flags.DO)} cd={bool(query.flags & dns.flags.CD)}"')])
    resolver = start(upstreams=[server.address])
    for _ in range(2):
        for do in (False, True):
            for cd in (0, dns.flags.CD):
                answer = resolver.ask('www.example', 'TXT', want_dnssec=do, use_edns=0, flags=dns.flags.RD | cd)
                assert str(answer.answer[0][0]) == f'"do={do} cd={bool(cd)}"'
                assert bool(answer.flags & dns.flags.CD) == bool(cd)
    assert len(server.seen) == 4


def test_negative_answers(start, upstream):
    rcodes = {'none': dns.rcode.NXDOMAIN, 'empty': dns.rcode.NOERROR}

    def handler(query, over_tcp):
        label = query.question[0].name.labels[0].decode().lower()
        if label == 'bare':
            return [reply(query, rcode=dns.rcode.NXDOMAIN)]
        return [negative(query, rcodes[label], ttl=600, minimum=120)]
    server = upstream(handler)
    resolver = start(upstreams=[server.address])
    for label, rcode in rcodes.items():
        for _ in range(3):
            answer = resolver.ask(f'{label}.example', use_edns=0)
            assert answer.rcode() == rcode and answer.answer == []
            assert 115 <= ttl_of(answer)[0] <= 120, 'the SOA\'s TTL is that of RFC 2308 section 5'
    assert len(server.seen) == 2
    for _ in range(2):
        assert resolver.ask('bare.example').rcode() == dns.rcode.NXDOMAIN
    assert len(server.seen) == 4, 'without an SOA nothing is kept'


def test_nothing_is_kept_of_a_ttl_of_zero(start, upstream):
    server = upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 0 A 198.51.100.7')])
    resolver = start(upstreams=[server.address])
    for _ in range(3):
        assert texts(resolver.ask('www.example').answer) == ['www.example. 0 IN A 198.51.100.7']
    assert len(server.seen) == 3


def test_sizes(start, upstream):
    """A kept answer is cut to each client's size, and whole over TCP."""
    server = upstream(lambda query, over_tcp: [reply(query, *(f'{query.question[0].name} 60 TXT "{"x" * 100}{i}"' for i in range(9)))])
    resolver = start(upstreams=[server.address])
    for _ in range(2):
        answer = resolver.ask('www.example', 'TXT')
        assert answer.flags & dns.flags.TC and answer.answer == [] and len(answer.to_wire()) <= 512
        answer = resolver.ask('www.example', 'TXT', use_edns=0, payload=1232)
        assert not answer.flags & dns.flags.TC and len(answer.answer[0]) == 9
        assert len(resolver.ask('www.example', 'TXT', tcp=True).answer[0]) == 9
    assert len(server.seen) == 1


def test_view_changes(start, upstream):
    """A new view keeps the cache, whatever its size, unless the filter would say something else."""
    server = upstream()
    resolver = start(upstreams=[server.address])

    def load(view, serial):
        resolver.view_path.write_text(json.dumps(dict(view, serial=serial)))
        resolver.process.send_signal(signal.SIGHUP)
        wait_until(lambda: f'serial {serial}' in resolver.log(), what='the view is read')
    resolver.ask('www.example')
    for serial, cache in ((101, 4 << 20), (102, 64 << 20), (103, 256 << 10)):
        load(dict(VIEW, cache=cache, primary={'v4': ['192.168.1.77'], 'v6': []}), serial)
        assert resolver.ask('www.example').answer
    assert len(server.seen) == 1
    load(dict(VIEW, cache=0), 104)
    resolver.ask('www.example')
    resolver.ask('www.example')
    assert len(server.seen) == 3, 'no cache is wanted'


def test_filtered_answers(start, upstream):
    """What the filter blocks is blocked from the cache, too, and asked again when the filter is another one."""
    server = upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 60 A 192.168.1.9')])
    resolver = start(upstreams=[server.address])
    for _ in range(3):
        answer = resolver.ask('evil.example', use_edns=0)
        assert answer.answer == [] and edes(answer) == [15] and texts(answer.authority)
    assert len(server.seen) == 1
    resolver.view_path.write_text(json.dumps(dict(VIEW, role='host', serial=18)))
    resolver.process.send_signal(signal.SIGHUP)
    wait_until(lambda: 'serial 18' in resolver.log(), what='the view is read')
    assert resolver.ask('evil.example').answer
    resolver.view_path.write_text(json.dumps(dict(VIEW, serial=19)))
    resolver.process.send_signal(signal.SIGHUP)
    wait_until(lambda: 'serial 19' in resolver.log(), what='the view is read')
    assert resolver.ask('evil.example').answer == []


def test_cache_option(start, upstream):
    server = upstream(good)
    resolver = start(upstreams=[server.address], options=['--cache', '0'])
    resolver.ask('www.example')
    resolver.ask('www.example')
    assert len(server.seen) == 2


# When there is no answer.

class Moody:
    """An upstream that does as it is told: 'good', 'servfail' or 'silent', each answer with its own number in it."""

    def __init__(self, ttl=1):
        self.mood, self.ttl, self.answers = 'good', ttl, 0

    def __call__(self, query, over_tcp):
        if self.mood == 'silent':
            return []
        if self.mood == 'servfail':
            return [reply(query, rcode=dns.rcode.SERVFAIL)]
        self.answers += 1
        return [reply(query, f'{query.question[0].name} {self.ttl} A 198.51.100.{self.answers}')]


def address(answer):
    return [str(rdata) for rrset in answer.answer for rdata in rrset]


def until_expired(resolver, server, name):
    """Asks until the answer from the cache has run out, and so until the upstream was asked again."""
    before = len(server.seen)
    wait_until(lambda: resolver.ask(name) and len(server.seen) > before, what='the TTL has passed')


def test_failures_are_remembered(start, upstream):
    mood = Moody(ttl=60)
    server = upstream(mood)
    resolver = start(upstreams=[server.address])
    mood.mood = 'servfail'
    assert edes(resolver.ask('www.example', use_edns=0)) == []

    def remembered():
        asked = len(server.seen)
        answer = resolver.ask('www.example', use_edns=0)
        assert answer.rcode() == dns.rcode.SERVFAIL and edes(answer) == ([13] if len(server.seen) == asked else [])
        return len(server.seen) == asked
    wait_until(remembered, what='an answer without asking')
    asked = len(server.seen)
    assert resolver.ask('www.example', 'AAAA', use_edns=0).rcode() == dns.rcode.SERVFAIL
    assert len(server.seen) > asked, 'another type is another question'
    mood.mood = 'good'
    wait_until(lambda: resolver.ask('www.example').answer, what='it is asked again after a moment')


def test_nobody_there_is_remembered(start, upstream):
    mood = Moody()
    server = upstream(mood)
    resolver = start(upstreams=[server.address])
    mood.mood = 'silent'
    assert edes(resolver.ask('www.example', use_edns=0)) == [22]
    asked = len(server.seen)
    begin = time.monotonic()
    answer = resolver.ask('www.example', use_edns=0)
    assert answer.rcode() == dns.rcode.SERVFAIL and edes(answer) == [22]
    assert len(server.seen) == asked or time.monotonic() - begin > 0.9


def test_stale_when_the_upstream_fails(start, upstream):
    mood = Moody()
    server = upstream(mood)
    resolver = start(upstreams=[server.address])
    resolver.ask('www.example')
    until_expired(resolver, server, 'www.example')
    mood.mood = 'servfail'
    want = f'198.51.100.{mood.answers}'
    answer = wait_until(lambda: [a for a in [resolver.ask('www.example', use_edns=0)] if edes(a)], what='stale')[0]
    assert answer.rcode() == dns.rcode.NOERROR and edes(answer) == [3] and address(answer) == [want] and ttl_of(answer) == [30]
    assert resolver.ask('never.example').rcode() == dns.rcode.SERVFAIL
    mood.mood = 'good'
    wait_until(lambda: address(resolver.ask('www.example')) != [want], what='the answer comes anew')
    assert edes(resolver.ask('www.example', use_edns=0)) == []


def test_stale_when_the_upstream_is_silent(start, upstream):
    mood = Moody()
    server = upstream(mood)
    resolver = start(upstreams=[server.address])
    resolver.ask('www.example')
    until_expired(resolver, server, 'www.example')
    mood.mood = 'silent'
    want = f'198.51.100.{mood.answers}'
    answer = wait_until(lambda: [a for a in [resolver.ask('www.example', use_edns=0)] if edes(a)], what='stale')[0]
    assert edes(answer) == [3] and address(answer) == [want]
    begin = time.monotonic()
    assert edes(resolver.ask('www.example', use_edns=0)) == [3]
    assert time.monotonic() - begin < OFFLINE_S
    mood.mood = 'good'
    wait_until(lambda: address(resolver.ask('www.example')) != [want], what='the answer comes anew')


def test_slow_upstream(start, upstream):
    """A known name whose answer takes long gets the old one after 1.8 s; the new one is there for the next client."""
    release, slow = threading.Event(), threading.Event()
    mood = Moody()

    def handler(query, over_tcp):
        if slow.is_set():
            release.wait(20)
        return mood(query, over_tcp)
    server = upstream(handler)
    resolver = start(upstreams=[server.address])
    resolver.ask('www.example')
    until_expired(resolver, server, 'www.example')
    want = f'198.51.100.{mood.answers}'
    slow.set()
    answer = wait_until(lambda: [a for a in [resolver.ask('www.example', use_edns=0)] if edes(a)], what='stale')[0]
    assert edes(answer) == [3] and address(answer) == [want] and ttl_of(answer) == [30]
    mood.ttl = 60
    slow.clear()
    release.set()
    wait_until(lambda: edes(resolver.ask('www.example', use_edns=0)) == [], what='the new answer')
    assert address(resolver.ask('www.example')) != [want]


def test_prefetch(start, upstream):
    """A name that is asked for all the time is asked for anew before it has run out, and nobody waits for that."""
    release = threading.Event()
    mood = Moody(ttl=10)

    def handler(query, over_tcp):
        if mood.answers > 0:
            release.wait(20)
        return mood(query, over_tcp)
    server = upstream(handler)

    def prefetched():
        """The answer during which the upstream was asked again; EDE 3 when this machine slept through the last second."""
        release.clear()
        mood.answers = 0
        resolver = start(upstreams=[server.address])
        resolver.ask('www.example')
        before = len(server.seen)
        answer = wait_until(lambda: [a for a in [resolver.ask('www.example', use_edns=0)] if len(server.seen) > before],
                            deadline=20, what='the upstream is asked again')[0]
        if edes(answer):
            release.set()
            return False
        assert address(answer) == ['198.51.100.1'] and ttl_of(answer) == [1]
        release.set()
        wait_until(lambda: address(resolver.ask('www.example')) == ['198.51.100.2'], what='the new answer')
        assert len(server.seen) == before + 1
        return True
    assert any(prefetched() for _ in range(4))


def test_trusted_upstream(start, upstream):
    """AD comes from upstreams that are trusted, fresh and from the cache, for clients that ask for it."""
    server = upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 60 A 198.51.100.7', flags=dns.flags.AD)])
    for trusted in (False, True):
        resolver = start(upstreams=[server.address + (' trust-ad' if trusted else '')])
        for _ in range(2):
            for do, ad in itertools.product((False, True), (0, dns.flags.AD)):
                answer = resolver.ask('www.example', want_dnssec=do, flags=dns.flags.RD | ad)
                assert bool(answer.flags & dns.flags.AD) == (trusted and (do or bool(ad)))
