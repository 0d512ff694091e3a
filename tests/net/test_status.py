"""`nameplate status` of a real agent: its JSON against docs/schema, the resolver's counters in it, and that it answers whatever
the resolver does."""
import contextlib
import json
import os
import pty
import signal
import subprocess
import threading
import time

import dns.flags
import dns.message
import dns.query
import pytest

import schemas
from fake_hq import NAME
from lab.namespaces import attempt
from lab.waiting import wait_until
from real_agent import BOX, OUTSIDE, a_box


def check(status):
    return schemas.check('status', status)


@pytest.fixture(scope='module')
def box(bin_dir):
    with a_box(bin_dir, 'alias = {"nas.home.arpa"}\n') as running:
        running.hq.names |= {'www.example': '198.51.100.7', 'evil.example': '192.168.9.9', 'worse.example': '127.0.0.1'}
        running.start()
        wait_until(running.serial, 15, 'the first certificate')
        wait_until(lambda: running.status().get('state') == 'installed', 15, 'the box is at rest')
        yield running


def ask(box, name, rdtype='A', **options):
    query = dns.message.make_query(name, rdtype, **options)
    with box.outside.inside():
        return dns.query.udp(query, BOX, timeout=5)


def text(box):
    code, out, err = attempt(*box.namespace.argv(box.program, 'status', '--config', box.conf), timeout=10)
    assert code == 0, err
    return out


def resolver_pid(box):
    return box.status()['processes']['resolver']['pid']


def test_json_is_as_the_schema_says(box):
    status = check(box.status())
    assert status['name'] == NAME and status['names'] == [NAME, 'nas.home.arpa']
    assert status['problems'] == []
    assert status['upstreams'] == [f'{OUTSIDE}:53']


def test_before_enrolment(bin_dir):
    with a_box(bin_dir) as running:
        running.hq.answers['*'] = (503, {'Retry-After': '60'}, {})
        running.start()
        status = check(running.status())
        assert status['name'] is None and status['names'] == [] and status['certificate'] is None


def test_counters(box):
    before = box.status()['resolver']
    for _ in range(40):
        assert ask(box, NAME).answer
    assert ask(box, 'www.example').answer
    assert ask(box, 'printer.local').answer == []
    for name in ('evil.example', 'EVIL.example', 'worse.example'):
        assert ask(box, name).answer == []
    assert ask(box, 'www.example', flags=0).rcode() == 5
    after = check(box.status())['resolver']

    def grown(group, name):
        return after[group][name] - before[group][name]
    assert grown('answers', 'own') == 40 and grown('answers', 'special') == 1 and grown('answers', 'errors') == 1
    assert grown('answers', 'blocked') == 3
    assert grown('server', 'udp_in') == grown('server', 'udp_out') == 46
    upstream, = (item for item in after['upstreams'] if item['zone'] == '.')
    assert upstream['address'] == f'{OUTSIDE}:53' and upstream['alive'] and upstream['answers'] >= 3 and upstream['srtt_us'] >= 0
    counts = {item['name']: item['count'] for item in after['blocked']}
    assert counts['evil.example'] == 2 and counts['worse.example'] == 1
    first = after['blocked'][0]
    assert (first['name'], first['address'], first['type'], first['error']) == ('evil.example', '192.168.9.9', 1, 0)
    assert first['last_seconds'] < 60


def test_latency(box):
    def histograms():
        return box.status()['resolver']['latency']
    for _ in range(40):
        assert ask(box, NAME).answer
    for _ in range(40):
        assert ask(box, 'www.example').answer
    for i in range(5):
        ask(box, f'unknown-{i}.example')
    seen = histograms()
    for histogram in seen.values():
        assert histogram['count'] == sum(count for _, count in histogram['buckets'])
        assert histogram['buckets'] == sorted(histogram['buckets'])
        assert 0 < histogram['p50_ns'] <= histogram['p99_ns']
        assert histogram['sum_ns'] <= sum(bound * count for bound, count in histogram['buckets'])
    # One answer in 17 that needs no upstream is timed, every forwarded one.
    assert seen['local']['count'] >= 2 and seen['cached']['count'] >= 2 and seen['forwarded']['count'] >= 5
    assert seen['local']['p50_ns'] < seen['forwarded']['p50_ns'], 'nobody was asked, so it took less'


def test_text(box):
    ask(box, NAME)
    ask(box, 'evil.example')
    shown = text(box)
    lines = dict(line.split(None, 1) for line in shown.splitlines() if line[:1].strip())
    assert 'own' in lines['resolver'] and 'blocked' in lines['resolver']
    assert lines['latency'].startswith('local p50 ')
    assert lines['upstreams'].startswith(f'{OUTSIDE}:53: alive, ')
    assert lines['blocked'].startswith('evil.example, ') and lines['blocked'].endswith(' for 192.168.9.9')
    assert lines['problems'] == 'none'


def on_a_terminal(box, **environment):
    """The lines of `nameplate status` there, by their label."""
    leader, follower = pty.openpty()
    with open(leader, 'rb', buffering=0) as terminal:
        try:
            subprocess.run(box.namespace.argv(box.program, 'status', '--config', box.conf), stdout=follower, timeout=10, check=True,
                           env={**os.environ, 'TERM': 'xterm', 'NO_COLOR': '', **environment})
        finally:
            os.close(follower)
        shown = b''
        with contextlib.suppress(OSError):  # EIO: nobody writes any more
            while part := terminal.read(4096):
                shown += part
    return dict(line.split(None, 1) for line in shown.decode().splitlines() if line[:1].strip())


LEVELLED = ['name', 'certificate', 'answered', 'HQ', 'clock', 'processes', 'listeners']


def test_levels(box):
    """A word beside each part, in its colour: on a terminal only, and without colours where somebody wants none."""
    status = box.status()
    assert {part for part, level in status['levels'].items() if level != 'green'} == {'doctor'}
    assert status['levels']['doctor'] == status['level'] == 'yellow', 'there is no way to the Internet here'
    lines = on_a_terminal(box)
    for label in LEVELLED:
        assert lines[label].startswith('\x1b[32mgreen\x1b[0m   '), lines
    for plain in (on_a_terminal(box, NO_COLOR='1'), on_a_terminal(box, TERM='dumb')):
        assert all(plain[label].startswith('green   ') for label in LEVELLED) and '\x1b' not in ''.join(plain.values())
    assert 'green' not in text(box) and '\x1b' not in text(box)


def test_why(box):
    """Every address of the box, with what becomes of it and why."""
    box.namespace.ip('address', 'add', '192.168.1.2/24', 'dev', 'lan0')
    box.namespace.ip('address', 'add', '10.7.7.7/32', 'dev', 'lo')
    try:
        def rows():
            status = check(box.status())
            return {(link['interface'], address['address']): address for link in status['interfaces'] for address in link['addresses']}
        seen = wait_until(lambda: (now := rows()).get(('lan0', '192.168.1.2'), {}).get('hq') and now, 20, 'HQ took the second address')
        assert seen['lan0', BOX]['answered'] and seen['lan0', BOX]['offered'] and seen['lan0', BOX]['hq'] == 'published'
        assert seen['lo', '10.7.7.7']['answered_code'] == seen['lo', '10.7.7.7']['offered_code'] == 'not-lan'
        assert seen['lo', '127.0.0.1']['answered_why'] == 'loopback' and seen['lo', '127.0.0.1']['hq'] is None
        links = {link['interface']: link for link in box.status()['interfaces']}
        assert (links['lan0']['code'], links['lan0']['lan']) == ('named', True) and links['lo']['code'] == 'loopback'
        code, out, err = attempt(*box.namespace.argv(box.program, 'status', '--why', '--config', box.conf), timeout=10)
        assert code == 0, err
        assert 'lan0: LAN: lan = names it\n' in out and 'lo: no LAN: loopback\n' in out
        assert f'  {BOX}/24\n    answered to clients on this interface, and on LAN interfaces without an address\n    published by HQ\n' in out
        assert '  10.7.7.7/32\n    not answered: its interface is not a LAN interface\n    not published: for the same reason\n' in out
    finally:
        box.namespace.ip('address', 'del', '192.168.1.2/24', 'dev', 'lan0')
        box.namespace.ip('address', 'del', '10.7.7.7/32', 'dev', 'lo')


def test_status_waits_for_nobody(box):
    """A resolver that does not answer costs half a second and its counters; the rest is told, to every client."""
    pid = resolver_pid(box)
    os.kill(pid, signal.SIGSTOP)
    try:
        answers, begin = [], time.monotonic()
        threads = [threading.Thread(target=lambda: answers.append(box.status())) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(answers) == 6 and time.monotonic() - begin < 5
        for status in answers:
            check(status)
            assert status['resolver'] is None and status['name'] == NAME
            assert any('does not tell its counters' in line for line in status['problems'])
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: box.status()['resolver'], 10, 'the counters again')


def test_dead_resolver(box):
    os.kill(resolver_pid(box), signal.SIGKILL)
    check(box.status())
    status = wait_until(lambda: (now := box.status())['resolver'] and now, 10, 'the next resolver')
    assert status['processes']['resolver']['restarts'] == 1
    assert status['resolver']['answers']['blocked'] == 0, 'counters run from the start of the resolver'


def test_silent_upstreams_are_a_problem(box):
    box.hq.names, names = {}, box.hq.names
    box.outside.ip('link', 'set', 'eth0', 'down')
    try:
        def asked():
            with box.namespace.inside():
                dns.query.udp(dns.message.make_query('www.example', 'A'), BOX, timeout=5)
            return any('no DNS server that is forwarded to answers' in line for line in box.status()['problems'])
        wait_until(asked, 20, 'the problem is told')
    finally:
        box.outside.ip('link', 'set', 'eth0', 'up')
        box.hq.names = names
