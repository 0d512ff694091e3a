"""`nameplate doctor` and `nameplate events` of a real agent, against the filters of the real dnsmasq, Unbound and Knot Resolver, a
real zone (Knot DNS), and what else stands in the way of a name."""
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

import schemas
from fake_hq import NAME, Ca, pem
from home_dns import PRIVATE, PUBLIC, HomeDns
from lab.namespaces import attempt
from lab.waiting import wait_until
from real_agent import BOX, OUTSIDE, a_box

LABEL = NAME.partition('.')[0]
ZONE_AT, DNSMASQ, UNBOUND, KRESD, OLD, DEAD = (f'192.168.1.{n}' for n in (8, 11, 12, 13, 14, 99))
WHOLE_S = 5 * 2  # 5 s by itself, on a machine that may be busy


class Names(dict):
    """What the name server beside HQ knows: a resolver without a filter."""

    def get(self, name, default=None):
        for word, address in (('rebind-test', PRIVATE), ('plain-test', PUBLIC)):
            if f'.{word}.' in name:
                return address
        return super().get(name, default)


@pytest.fixture(scope='module')
def home(bin_dir):
    """A NAS that has its name and certificate, and the DNS servers of its home, by attribute `dns`."""
    with a_box(bin_dir, 'resolv-conf = "FOLDER/resolv.conf"\n') as box:
        box.conf.write_text(box.conf.read_text().replace('role = router', 'role = host').replace('FOLDER', str(box.folder)))
        box.hq.names = Names(box.hq.names)
        box.hq.names |= {'ns1.devices.example': ZONE_AT, NAME: BOX}
        box.dns = HomeDns(box.outside, 'eth0', box.folder)
        try:
            box.dns.zone(ZONE_AT, **{LABEL.replace('-', '_'): BOX})
            offer(box)
            box.start()
            wait_until(box.serial, 15, 'the first certificate')
            wait_until(lambda: box.status().get('state') == 'installed', 15, 'the box is at rest')
            yield box
        finally:
            box.dns.close()


def offer(box, *resolvers):
    """The lease names these resolvers, beside the one that the configuration has."""
    (box.folder / 'resolv.conf').write_text(''.join(f'nameserver {address}\n' for address in resolvers))


def doctor(box, expected=None):
    """Its report, checked against the schema. expected: the exit status."""
    begun = time.monotonic()
    code, out, err = attempt(*box.namespace.argv(box.program, 'doctor', '--json', '--config', box.conf), timeout=20)
    assert time.monotonic() - begun < WHOLE_S
    report = json.loads(out)
    schemas.check('doctor', report)
    assert report['took_ms'] < WHOLE_S * 1000
    assert code == {'fine': 0, 'findings': 1, 'unknown': 3}[report['verdict']], err
    if expected is not None:
        assert code == expected, out
    return report


def servers(report):
    """{address: (verdict, signature)} of the home's resolvers, with the zone's and the own one by role."""
    found = {}
    for check in report['checks']:
        if 'server' in check:
            server = check['server']
            key = server['address'] if server['role'] in ('offered', 'gateway') else server['role']
            found[key] = (check['code'], server['signature'])
    return found


def mends(report, address):
    """{kind: lines} for the check about that server."""
    check, = (c for c in report['checks'] if c.get('server', {}).get('address') == address)
    return {way['kind']: way['lines'] for way in check['mend']}


def checks(report, name):
    return [c for c in report['checks'] if c['check'] == name]


def test_all_is_well(home):
    report = doctor(home, 0)
    assert report['network'] == 'fine' and report['name'] == NAME
    assert servers(report) == {OUTSIDE: ('fine', 'none'), 'zone': ('fine', 'none'), 'self': ('fine', 'none')}
    assert checks(report, 'served')[0]['code'] == 'same' and checks(report, 'hq')[0]['level'] == 'fine'
    assert checks(report, 'certificate')[0]['code'] == 'valid'


def test_real_filters_and_what_mends_them(home):
    """Each of the three is recognised, and the lines that the doctor prints mend it, for this name alone."""
    home.dns.dnsmasq(DNSMASQ, 'stop-dns-rebind')
    home.dns.unbound(UNBOUND)
    home.dns.kresd(KRESD)
    offer(home, DNSMASQ, UNBOUND, KRESD)
    try:
        report = doctor(home, 1)
        assert report['network'] == 'filtered'
        seen = servers(report)
        assert seen[DNSMASQ] == ('filtered', 'dnsmasq') and seen[UNBOUND] == ('filtered', 'unbound')
        assert seen[KRESD] == ('filtered', 'knot-resolver') and seen[OUTSIDE] == ('fine', 'none')
        home.dns.dnsmasq(DNSMASQ, 'stop-dns-rebind', *mends(report, DNSMASQ)['dnsmasq'])
        home.dns.unbound(UNBOUND, *mends(report, UNBOUND)['unbound'])
        home.dns.kresd(KRESD, *mends(report, KRESD)['knot-resolver'])
        report = doctor(home, 0)
        assert all(servers(report)[address][0] == 'fine' for address in (DNSMASQ, UNBOUND, KRESD))
        assert all('with an exception' in c['text'] for c in report['checks']
                   if c.get('server', {}).get('address') in (DNSMASQ, UNBOUND, KRESD)), 'others are filtered still'
    finally:
        offer(home)


def page(box):
    """What a person at home sees at the box's address."""
    with box.outside.inside():
        sock = socket.create_connection((BOX, 80), 5)
    with sock:
        sock.sendall(f'GET / HTTP/1.1\r\nHost: {BOX}\r\nConnection: close\r\n\r\n'.encode())
        data = b''
        while chunk := sock.recv(65536):
            data += chunk
    return data.decode()


def test_text_for_a_person(home):
    home.dns.dnsmasq(DNSMASQ, 'stop-dns-rebind')
    offer(home, DNSMASQ)
    try:
        code, out, err = attempt(*home.namespace.argv(home.program, 'doctor', '--config', home.conf), timeout=20)
        assert code == 1, err
        assert f'!!  dns          the home\'s resolver {DNSMASQ}: it takes private addresses out of answers' in out
        assert f'\n               rebind-domain-ok=/{NAME}/\n' in out
        assert out.splitlines()[-1] == '1 finding, marked with !! above.'
        status = home.status()
        assert status['doctor']['verdict'] == 'filtered' and status['doctor']['server'] == DNSMASQ
        assert any('nameplate doctor' in line for line in status['problems'])
        shown = wait_until(lambda: 'takes home addresses out' in (now := page(home)) and now, 10, 'the page says so too')
        assert DNSMASQ in shown and f'rebind-domain-ok=/{NAME}/' in shown
    finally:
        offer(home)
        doctor(home, 0)
    assert home.status()['problems'] == []


def test_unbound_that_hides_its_name(home):
    """A bare empty answer may be many: the ways that are likely are all named."""
    home.dns.unbound(UNBOUND, 'server:', '    hide-version: yes', '    hide-identity: yes')
    offer(home, UNBOUND)
    try:
        report = doctor(home, 1)
        assert servers(report)[UNBOUND] == ('filtered', 'nodata')
        assert list(mends(report, UNBOUND)) == ['fritzbox', 'openwrt', 'unbound', 'pfsense']
    finally:
        offer(home)


def test_block_list_old_answer_and_silence(home):
    home.dns.dnsmasq(DNSMASQ, f'address=/{NAME}/0.0.0.0')
    home.dns.dnsmasq(OLD, f'address=/{NAME}/192.168.1.77')
    offer(home, DNSMASQ, OLD, DEAD)
    try:
        report = doctor(home, 1)
        seen = servers(report)
        assert seen[DNSMASQ] == ('blocked', 'zeros') and seen[OLD][0] == 'stale' and seen[DEAD][0] == 'no-answer'
        assert mends(report, DNSMASQ)['adguard'] == [f'@@||{NAME}^$important']
        home.dns.dnsmasq(OLD, f'address=/{NAME}/203.0.113.66')
        assert servers(doctor(home, 1))[OLD][0] == 'hijacked'
    finally:
        offer(home)


@contextmanager
def nat(box, *rules):
    """Rules for what the box sends itself."""
    table = 'table ip nat {{\nchain output {{\ntype nat hook output priority -100\n{}\n}}\n}}\n'.format('\n'.join(rules))
    box.namespace.run('nft', '-f', '-', input=table)
    try:
        yield
    finally:
        box.namespace.run('nft', 'delete', 'table', 'ip', 'nat')


def test_port_53_is_intercepted(home):
    """The ISP leads every question to its own resolver, which answers as if it were the zone's server."""
    home.dns.dnsmasq(DNSMASQ)
    with nat(home, f'ip daddr {ZONE_AT} udp dport 53 dnat to {DNSMASQ}'):
        report = doctor(home, 1)
    assert servers(report)['zone'][0] == 'intercepted' and report['network'] == 'intercepted'


def test_captive_portal_and_no_internet(home):
    home.dns.dnsmasq(OLD, 'address=/#/192.168.1.14')
    everything = f'udp dport 53 ip daddr != {BOX} dnat to {OLD}'
    with nat(home, everything, f'ip daddr {OUTSIDE} tcp dport 443 dnat to {OLD}'):
        report = doctor(home, 1)
        assert report['network'] == 'captive-portal', report['summary']
        assert checks(report, 'hq')[0]['code'] == 'unreachable'
    home.outside.ip('link', 'set', 'eth0', 'down')
    try:
        report = doctor(home, 1)
        assert report['network'] == 'no-internet'
        assert checks(report, 'internet')[0]['level'] == 'finding' and checks(report, 'link')[0]['code'] == 'no-carrier'
        assert servers(report)['self'] == ('fine', 'none'), 'who asks this box finds it all the same'
    finally:
        home.outside.ip('link', 'set', 'eth0', 'up')
    wait_until(lambda: doctor(home)['network'] == 'fine', 20, 'all is well again')


@contextmanager
def tls_server(box, port, certificate, key):
    """On another port of the box, a server with another certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, text in (('cert', certificate), ('key', key)):
        (box.folder / f'other.{name}').write_text(text)
    context.load_cert_chain(box.folder / 'other.cert', box.folder / 'other.key')
    with box.namespace.inside():
        listener = socket.create_server((BOX, port))
    listener.settimeout(0.2)
    over = threading.Event()

    def serve():
        while not over.is_set():
            with suppress(OSError):
                raw, _ = listener.accept()
                raw.settimeout(5)
                with context.wrap_socket(raw, server_side=True) as tls:
                    tls.recv(1)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        listener.close()


def test_another_certificate_is_served(home):
    """Renewed but not served: what clients get is not what is installed."""
    other = Ca('Other')
    key = other.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with tls_server(home, 8443, pem(other.issue(other.key.public_key(), NAME)), key.decode()):
        with nat(home, f'ip daddr {BOX} tcp dport 443 dnat to {BOX}:8443'):
            assert checks(doctor(home, 1), 'served')[0]['code'] == 'another'
        with nat(home, f'ip daddr {OUTSIDE} tcp dport 443 dnat to {BOX}:8443'):
            assert checks(doctor(home, 1), 'hq')[0]['code'] == 'impostor'
    assert checks(doctor(home, 0), 'served')[0]['code'] == 'same'


def test_front_that_hangs(home):
    """Nothing may make the doctor wait."""
    pid = home.status()['processes']['front']['pid']
    os.kill(pid, signal.SIGSTOP)
    try:
        report = doctor(home, 1)
        assert checks(report, 'served')[0]['code'] == 'no-handshake'
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: doctor(home)['verdict'] == 'fine', 20, 'all is well again')


def test_port_held_by_another(bin_dir):
    holder = 'import socket, sys; s = socket.create_server(("192.168.1.1", 80)); print("up", flush=True); sys.stdin.read()'
    with a_box(bin_dir) as box:
        process = subprocess.Popen(box.namespace.argv(sys.executable, '-c', holder), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline() == b'up\n'
            box.start()
            wait_until(box.serial, 15, 'the first certificate')
            found, = (c for c in checks(doctor(box, 1), 'listener') if c['code'] == 'in-use')
            assert found['listener'] == {'kind': 'http', 'address': BOX, 'port': 80}
            child = int(Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()[0]) \
                if Path(f'/proc/{process.pid}/comm').read_text().strip() == 'ip' else process.pid
            assert f'(pid {child})' in found['holder'] and found['holder'] in found['text']
        finally:
            process.stdin.close()
            process.wait(10)


def test_before_there_is_a_name(bin_dir):
    with a_box(bin_dir) as box:
        box.hq.answers['*'] = (503, {'Retry-After': '60'}, {})
        box.start()
        report = doctor(box, 1)
        assert report['name'] is None and checks(report, 'name')[0]['code'] == 'none'
        assert report['network'] == 'not-tested'
        box.stop()
        code, out, err = attempt(*box.namespace.argv(box.program, 'doctor', '--config', box.conf), timeout=10)
        assert code == 3 and 'not running' in err and out == ''


# Events

def events(box):
    code, out, err = attempt(*box.namespace.argv(box.program, 'events', '--json', '--config', box.conf), timeout=10)
    assert code == 0, err
    answer = json.loads(out)
    schemas.check('events', answer)
    assert [e['number'] for e in answer['events']] == list(range(1, answer['last'] + 1))[-128:]
    return answer['events']


def of_change(box, number):
    return [e for e in events(box) if e['change'] == number]


@contextmanager
def following(box):
    """`events --follow --json` beside; yields a list of what it prints, as it comes."""
    process = subprocess.Popen(box.namespace.argv(box.program, 'events', '--follow', '--json', '--config', box.conf),
                               stdout=subprocess.PIPE, text=True)
    lines = []
    thread = threading.Thread(target=lambda: lines.extend(json.loads(line) for line in process.stdout))
    thread.start()
    try:
        yield lines
    finally:
        process.kill()
        process.wait(10)
        thread.join()
        process.stdout.close()


def test_change_from_seen_to_visible(home):
    """The zone follows only when this test says so: visible is what the name servers show, not what HQ promised."""
    other = '192.168.1.2'
    before = max(e['change'] or 0 for e in events(home))
    wait_until(lambda: events(home)[-1]['event'] != 'pushed', 20, 'nothing is under way')
    with following(home) as followed:
        home.namespace.ip('address', 'add', f'{other}/24', 'dev', 'lan0')
        try:
            number = before + 1
            wait_until(lambda: [e['event'] for e in of_change(home, number)] == ['seen', 'answered', 'pushed'], 20, 'HQ took it')
            assert f'{BOX} {other}' in of_change(home, number)[0]['text']
            asking = checks(doctor(home), 'visible')[0]
            assert asking['code'] == 'asking' and asking['level'] == 'note'
            assert len(of_change(home, number)) == 3
            home.dns.publish(LABEL, BOX, other)
            wait_until(lambda: len(of_change(home, number)) == 4, 40, 'the zone shows it')
            told = of_change(home, number)
            assert [e['event'] for e in told] == ['seen', 'answered', 'pushed', 'visible']
            took = [e['took_ms'] for e in told]
            assert took[0] == 0 and took == sorted(took) and took[2] >= 900, 'a push waits out its debounce'
            wait_until(lambda: [e for e in followed if e['change'] == number] == told, 10, 'followed')
        finally:
            home.namespace.ip('address', 'del', f'{other}/24', 'dev', 'lan0')
            home.dns.publish(LABEL, BOX)
    wait_until(lambda: len(of_change(home, before + 2)) == 4, 40, 'and back')


def test_events_for_a_person(home):
    code, out, err = attempt(*home.namespace.argv(home.program, 'events', '--config', home.conf), timeout=10)
    assert code == 0, err
    lines = out.splitlines()
    assert len(lines) == len(events(home)) and lines[0].endswith('starts')
    assert any('  seen        #1 ' in line for line in lines) and any(f'this box is {NAME}' in line for line in lines)


def test_a_lost_zone_is_told_by_the_doctor(home):
    home.dns.publish(LABEL)
    try:
        report = doctor(home, 1)
        assert servers(report)['zone'][0] == 'stale' and 'what HQ has confirmed' in report['summary']
    finally:
        home.dns.publish(LABEL, BOX)


def test_the_clock_is_set(home):
    """To the time that it has: the box looks at everything anew."""
    time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME))
    wait_until(lambda: any(e['event'] == 'clock' for e in events(home)), 10, 'it is noticed')
    assert doctor(home, 0)['network'] == 'fine'


def test_a_restless_network(home):
    """Renewals push nothing. Of many changes HQ hears three at once and then one in 10 s, and the last; the box itself answers
    each at once, and nothing empty is ever pushed."""
    pushes = []

    def taken(body):
        pushes.append((time.monotonic(), json.loads(body)))
        return home.hq._addresses(body)
    home.hq.answers['addresses'] = taken
    before = max(e['change'] or 0 for e in events(home))
    try:
        for _ in range(20):
            home.namespace.ip('address', 'change', f'{BOX}/24', 'dev', 'lan0', 'valid_lft', '3600', 'preferred_lft', '1800')
        begun, number = time.monotonic(), 20
        while time.monotonic() - begun < 13:
            number += 1
            home.namespace.ip('address', 'add', f'192.168.1.{number}/24', 'dev', 'lan0')
            wait_until(lambda: f'192.168.1.{number}' in str(home.status()['addresses']['answered']), 10, 'answered')
            home.namespace.ip('address', 'del', f'192.168.1.{number}/24', 'dev', 'lan0')
            wait_until(lambda: f'192.168.1.{number}' not in str(home.status()['addresses']['answered']), 10, 'gone')
        home.namespace.ip('address', 'add', '192.168.1.2/24', 'dev', 'lan0')
        wait_until(lambda: pushes and pushes[-1][1]['v4'] == [BOX, '192.168.1.2'], 30, 'the last state')
        changes = max(e['change'] or 0 for e in events(home)) - before
        assert changes == 2 * (number - 20) + 1, 'each was seen once, and renewals are none'
    finally:
        home.namespace.ip('address', 'flush', 'dev', 'lan0', 'scope', 'global')
        home.namespace.ip('address', 'add', f'{BOX}/24', 'dev', 'lan0')
        del home.hq.answers['addresses']
    times = [at for at, _ in pushes]
    assert number > 23 and all(later - earlier > 9.5 for earlier, later in zip(times, times[4:])), times
    assert all(message['v4'] and not message.get('withdraw') for _, message in pushes)
    assert [m['seq'] for _, m in pushes] == sorted({m['seq'] for _, m in pushes}), 'each push has a number of its own'
