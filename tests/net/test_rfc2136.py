"""HQ's publisher to real name servers, by UPDATE and TSIG: BIND, Knot DNS and PowerDNS on loopback. hq_driver is HQ's zone
without its front door; issuance orders from Pebble."""
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import textwrap
import threading
from pathlib import Path

import dns.rcode
import pytest

from acmeca.client import AcmeCa
from hqdriver import ZONE, Driver, Pebble
from nameservers import ACME, Bind, Key, Knot, Pdns, Resolver
from ports import free_port

VALUES = ['a' * 43, 'b' * 43]
FURNITURE = {(ZONE, 'MX'), (ZONE, 'TXT'), (ZONE, 'CAA'), (f'_nameplate.{ZONE}', 'TXT'), (f'ns1.{ZONE}', 'A'), (f'www.{ZONE}', 'A')}


class Publisher(Driver):
    """hq_driver that updates other name servers."""

    def __init__(self, bin_dir, folder, servers, zone_key, acme_key, **settings):
        folder.mkdir(exist_ok=True)
        super().__init__(bin_dir, folder, free_port(), **{
            'zone-backend': 'rfc2136', 'update-servers': [server.endpoint for server in servers],
            'update-key': zone_key.path, 'acme-update-key': acme_key.path, 'hq-address': [], 'probe-private': [],
            'probe-public': [], 'nameservers': [f'ns{n + 1}.{ZONE}={server.endpoint}' for n, server in enumerate(servers)],
        } | settings)

    def marks(self):
        """Names that are still dirty."""
        with sqlite3.connect(f'file:{self.folder}/hq.db?mode=ro', uri=True) as db:
            names = {row[0] for row in db.execute('SELECT name FROM dirty')}
        db.close()
        return names


@pytest.fixture
def keys(tmp_path):
    return Key(tmp_path, 'hq-zone'), Key(tmp_path, 'hq-acme')


@pytest.fixture
def started(tmp_path, keys, bin_dir):
    """started(Class, ...): servers and publishers that are stopped at the end."""
    running = []

    def start(kind, name='server', **options):
        server = kind(tmp_path / name, *keys, **options).start()
        running.append(server)
        return server

    def publisher(*servers, zone_key=None, **settings):
        hq = Publisher(bin_dir, tmp_path / 'hq', servers, zone_key or keys[0], keys[1], **settings)
        running.insert(0, hq)
        return hq
    start.publisher, start.running = publisher, running
    yield start
    for one in running:
        one.stop()


def expected(names):
    """{(name, type): {rdata}} of device names: {label: [addresses]}."""
    records = {}
    for label, addresses in names.items():
        name = f'{label}.{ZONE}'
        records[(name, 'MX')] = {'0 .'}
        records[(name, 'TXT')] = {'"v=spf1 -all"'}
        records[(f'_acme-challenge.{name}', 'CNAME')] = {f'{label}.{ACME}.'}
        for address in addresses:
            records.setdefault((name, 'AAAA' if ':' in address else 'A'), set()).add(address)
    return records


def devices(server):
    return {key: value for key, value in server.transfer().items() if key not in FURNITURE}


def shows(server, names):
    return devices(server) == expected(names)


@pytest.mark.parametrize('kind', [Bind, Knot, Pdns])
def test_publish_change_delete(kind, started, wait_until):
    """Everything that HQ says about a name, on each server; and that the operator's own records stay."""
    server = started(kind)
    hq = started.publisher(server).start()
    hq.say('device a-b 10.0.0.1 10.0.0.2 fd00::1')
    hq.say('device local-only')
    hq.say(f'device {"l" * 63} 10.0.0.3')
    names = {'a-b': ['10.0.0.1', '10.0.0.2', 'fd00::1'], 'local-only': [], 'l' * 63: ['10.0.0.3']}
    wait_until(lambda: shows(server, names), 10, 'the names')
    hq.say('device a-b 10.0.0.9')
    names['a-b'] = ['10.0.0.9']
    wait_until(lambda: shows(server, names), 10, 'the new address')
    hq.say('retire local-only')
    del names['local-only']
    wait_until(lambda: shows(server, names), 10, 'the name gone')
    assert server.ask(f'local-only.{ZONE}', 'A').rcode() == dns.rcode.NXDOMAIN
    assert {key for key in server.transfer() if key in FURNITURE} == FURNITURE
    assert server.lookup(f'www.{ZONE}') == ['192.0.2.80']
    assert server.lookup(ZONE, 'CAA') == ['0 issue "ca.example"']
    hq.say(f'challenge a-b {" ".join(VALUES)}')
    wait_until(lambda: server.lookup(f'a-b.{ACME}', 'TXT') == [f'"{value}"' for value in VALUES], 10, 'challenge values')
    hq.say('challenge a-b')
    wait_until(lambda: server.ask(f'a-b.{ACME}', 'TXT').rcode() == dns.rcode.NXDOMAIN, 10, 'no challenge values')
    wait_until(lambda: not hq.marks(), 5, 'no marks left')
    assert 'does not take updates' not in hq.log()


@pytest.mark.parametrize('kind', [Bind, Knot, Pdns])
def test_crashes_lose_nothing(kind, started, wait_until):
    """Server and HQ are killed at random moments while names come, change and go; in the end the zone is the store."""
    seed = random.randrange(10**6)
    print(f'seed {seed}')
    dice = random.Random(seed)
    server = started(kind)
    hq = started.publisher(server).start()
    names, address = {}, 0
    for _round in range(6):
        for _change in range(dice.randrange(5, 40)):
            address += 1
            label = f'n-{dice.randrange(60)}'
            if dice.random() < 0.2 and label in names:
                hq.say(f'retire {label}')
                del names[label]
            else:
                names[label] = [f'10.{dice.randrange(256)}.{address >> 8}.{address & 255}']
                hq.say(f'device {label} {names[label][0]}')
        victim = dice.random()
        if victim < 0.4:
            # What was not committed is the driver's loss, not the publisher's: ask for the last change's answer first.
            wait_until(lambda: stored(hq) == names, 5, 'the changes in the store', every=0.001)
            hq.kill()
            hq.start()
        elif victim < 0.8:
            server.kill()
            server.start()
    wait_until(lambda: shows(server, names), 20, f'zone and store agree (seed {seed})')
    wait_until(lambda: not hq.marks(), 10, 'no marks left')


def stored(hq):
    with sqlite3.connect(f'file:{hq.folder}/hq.db?mode=ro', uri=True) as db:
        names = {name.split('.')[0]: published.split() for name, published in
                 db.execute('SELECT name, published FROM device WHERE state = 0')}
    db.close()
    return names


class PickyBind(Bind):
    """Lets HQ write everything but one name."""

    def policy(self):
        return f'deny "{self.zone_key.name}" name bad-name.{ZONE} ANY; ' + super().policy()


def test_a_refused_name_holds_nobody_up(started, wait_until):
    server = started(PickyBind)
    hq = started.publisher(server).start()
    names = {}
    for n in range(50):
        label = 'bad-name' if n == 20 else f'good-{n}'
        hq.say(f'device {label} 10.0.0.{n}')
        names[label] = [f'10.0.0.{n}']
    del names['bad-name']
    wait_until(lambda: shows(server, names), 10, 'all names but the refused one')
    wait_until(lambda: hq.marks() == {f'bad-name.{ZONE}'}, 5, 'one mark left')
    log = hq.log()
    assert log.count(f'refuses bad-name.{ZONE}: not published') == 1 and 'update-policy' in log
    assert 'does not take updates' not in log
    hq.say('device later 10.0.1.1')
    wait_until(lambda: server.lookup(f'later.{ZONE}') == ['10.0.1.1'], 5, 'a name after that')


class ClosedBind(Bind):
    """Knows the keys, and lets them write nothing."""

    def policy(self):
        return 'grant "nobody" zonesub ANY;'


def test_who_is_told_what(started, keys, tmp_path, wait_until):
    """Each cause has its own words; and when it is gone, what was waiting is published."""
    server = started(Bind)
    hq = started.publisher(server, zone_key=Key(tmp_path, 'stranger')).start()
    hq.say('device a-b 10.0.0.1')
    wait_until(lambda: "BADKEY: it does not know the TSIG key 'stranger'" in hq.log(), 10, 'BADKEY')
    hq.stop()
    liar = Key(tmp_path / 'server', 'hq-zone')  # the same name, another secret
    hq = started.publisher(server, zone_key=liar).start()
    wait_until(lambda: "BADSIG: its TSIG key 'hq-zone' has another secret" in hq.log(), 10, 'BADSIG')
    hq.stop()
    hq = started.publisher(server, zone_key=keys[1]).start()
    wait_until(lambda: "REFUSED: its policy does not let the TSIG key 'hq-acme' write this" in hq.log(), 10, 'REFUSED')
    hq.stop()
    hq = started.publisher(server, zone='other.example', url='https://hq.other.example').start()
    wait_until(lambda: 'NOTAUTH: it does not serve other.example as a primary' in hq.log(), 10, 'NOTAUTH')
    hq.stop()
    server.stop()
    hq = started.publisher(server).start()
    wait_until(lambda: 'Connection refused' in hq.log() or 'connection refused' in hq.log(), 10, 'nobody there')
    server.start()
    wait_until(lambda: shows(server, {'a-b': ['10.0.0.1']}), 40, 'the name, once the server is up')
    wait_until(lambda: f'takes updates of {ZONE} again' in hq.log(), 5, 'the good news')


def test_powerdns_and_knot_are_told_apart(started, keys, tmp_path, wait_until):
    for kind, texts in ((Knot, ['BADKEY']), (Pdns, ['REFUSED without a signature', "'stranger'"])):
        server = started(kind, kind.__name__)
        hq = started.publisher(server, zone_key=Key(tmp_path, 'stranger')).start()
        wait_until(lambda: all(text in hq.log() for text in texts), 10, kind.__name__)
        hq.stop()


def test_clocks_apart(started, wait_until):
    """BADTIME, by how much, and in which direction. HQ's clock is the one that is wrong here: no difference to TSIG."""
    server = started(Bind)
    for offset, text in (('+1000s', 'behind'), ('-1000s', 'ahead of')):
        hq = started.publisher(server)
        program, hq.program = hq.program, hq.folder / 'at-another-time'
        hq.program.write_text(f'#!/bin/sh\nexec faketime -f {offset} {program} "$@"\n')
        hq.program.chmod(0o755)
        hq.start()
        hq.say('device a-b 10.0.0.1')
        wait_until(lambda: re.search(rf'BADTIME: its clock is (999|1000|1001) s {text} HQ.s', hq.log()), 10, 'BADTIME')
        wait_until(lambda: hq.marks() == {f'a-b.{ZONE}'}, 5, 'the name waits')
        hq.stop()
    hq = started.publisher(server).start()
    wait_until(lambda: shows(server, {'a-b': ['10.0.0.1']}), 10, 'the name, with the right time')


class UdpOnly(threading.Thread):
    """Passes UDP on to a server, each packet twice, and lets no TCP through: its port refuses."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.host, self.port = '127.0.0.1', free_port()
        self.endpoint = f'127.0.0.1:{self.port}'
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', self.port))
        self.start()

    def run(self):
        while True:
            packet, client = self.socket.recvfrom(65535)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
                there.settimeout(3)
                for _copy in range(2):
                    there.sendto(packet, (self.server.host, self.server.port))
                try:
                    answer = there.recv(65535)
                except TimeoutError:
                    continue
            self.socket.sendto(answer, client)


def test_without_tcp(started, wait_until):
    server = started(Bind)
    hq = started.publisher(UdpOnly(server), nameservers=[f'ns1.{ZONE}={server.endpoint}']).start()
    names = {}
    for n in range(30):
        names[f'n-{n}'] = [f'10.0.0.{n}', f'fd00::1:{n}']
        hq.say(f'device n-{n} 10.0.0.{n} fd00::1:{n}')
    wait_until(lambda: shows(server, names), 20, 'the names, by UDP')
    wait_until(lambda: not hq.marks(), 10, 'no marks left')


def test_another_publisher_is_fenced_out(started, wait_until):
    """An HQ that was paused with an update on its way does not undo what its successor wrote."""
    server = started(Bind)
    old = started.publisher(server).start()
    old.say('device a-b 10.0.0.1')
    wait_until(lambda: shows(server, {'a-b': ['10.0.0.1']}), 10, 'the name')
    epoch = server.lookup(f'_nameplate.{ZONE}', 'TXT')
    os.kill(old.process.pid, signal.SIGSTOP)
    new = Publisher(old.program.parent, old.folder.parent / 'new', [server], server.zone_key, server.acme_key).start()
    new.say('device a-b 10.0.0.2')
    wait_until(lambda: shows(server, {'a-b': ['10.0.0.2']}), 10, 'its new address')
    assert server.lookup(f'_nameplate.{ZONE}', 'TXT') != epoch
    new.stop()
    os.kill(old.process.pid, signal.SIGCONT)
    old.say('device c-d 10.0.0.3')
    wait_until(lambda: server.lookup(f'c-d.{ZONE}') == ['10.0.0.3'], 10, 'the first one takes up its work')
    assert 'NXRRSET: its epoch' in old.log()


def test_one_of_two_servers_is_dead(started, wait_until):
    """Both are primaries. What the dead one missed is written when it is back, through restarts of HQ."""
    first, second = started(Bind, 'first'), started(Knot, 'second')
    hq = started.publisher(first, second).start()
    names = {'a-b': ['10.0.0.1']}
    hq.say('device a-b 10.0.0.1')
    wait_until(lambda: shows(first, names) and shows(second, names), 10, 'the name at both')
    second.kill()
    for n in range(40):
        names[f'n-{n}'] = [f'10.0.1.{n}']
        hq.say(f'device n-{n} 10.0.1.{n}')
    wait_until(lambda: shows(first, names), 10, 'the names at the first')
    wait_until(lambda: len(hq.marks()) == 40, 5, 'marks kept for the second one')
    hq.kill()
    hq.start()
    hq.say('device a-b 10.0.0.2')
    names['a-b'] = ['10.0.0.2']
    wait_until(lambda: shows(first, names), 10, 'the change at the first')
    second.start()
    wait_until(lambda: shows(second, names), 40, 'everything at the second')
    wait_until(lambda: not hq.marks(), 10, 'no marks left')


def test_dead_server_does_not_stop_issuance(started, tmp_path, wait_until):
    """One of two primaries dies. After a while (here 3 s) it is alarmed and left out of what a challenge waits for, and what
    it missed is there when it is back."""
    first, second = started(Bind, 'first'), started(Knot, 'second')
    with AcmeCa(tmp_path / 'ca', first.port) as ca:
        hq = started.publisher(first, second, **{'acme-directory': ca.directory, 'acme-anchors': ca.certificate,
                                                 'nameserver-skip-after': 3}).start()
        hq.say('device both 10.0.0.1')
        hq.say('order both')
        hq.wait_line('chain both', 30)
        assert 'challenges go on without' not in hq.log()
        second.kill()
        hq.say('device one 10.0.0.2')
        hq.say('order one')
        hq.wait_line('chain one', 60)
        log = hq.log()
        assert re.search(rf'ns2\.{re.escape(ZONE)} has not answered for 3 s: challenges go on without it', log)
        assert re.search(rf'{re.escape(second.endpoint)} has failed for 3 s: challenges go on without it', log), log[-2000:]
        # The next ones do not wait for it again.
        for n in range(4):
            hq.say(f'device more-{n} 10.0.1.{n}')
            hq.say(f'order more-{n}')
        for n in range(4):
            hq.wait_line(f'chain more-{n}', 30)
        second.start()
        hq.say('device back 10.0.0.3')
        hq.say('order back')
        hq.wait_line('chain back', 60)
        wait_until(lambda: second.lookup(f'one.{ZONE}') == ['10.0.0.2'] and not hq.marks(), 60, 'what it missed')
        wait_until(lambda: orders_again(hq, 'again') and f'ns2.{ZONE} answers again' in hq.log(), 60, 'it counts again', every=0.5)


def orders_again(hq, label):
    """One more order, whose challenge asks every name server."""
    hq.say(f'device {label} 10.0.0.4')
    hq.say(f'order {label}')
    return True


def test_silent_name_server(started, keys, tmp_path, dns_port, bin_dir):
    """The built-in zone with a second name server that takes packets and says nothing: skipped and alarmed likewise."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, AcmeCa(tmp_path / 'ca', dns_port) as ca:
        silent.bind(('127.0.0.1', 0))
        hq = Driver(bin_dir, tmp_path, dns_port, **{
            'nameservers': [f'ns1.{ZONE}=127.0.0.1:{dns_port}', f'ns2.{ZONE}=127.0.0.1:{silent.getsockname()[1]}'],
            'acme-directory': ca.directory, 'acme-anchors': ca.certificate, 'nameserver-skip-after': 2}).start()
        started.running.insert(0, hq)
        hq.say('device alone 10.0.0.1')
        hq.say('order alone')
        hq.wait_line('chain alone', 40)
        assert f'ns2.{ZONE} has not answered for 2 s: challenges go on without it' in hq.log()


def test_certificate_over_secondaries(started, keys, tmp_path, wait_until):
    """BIND as a hidden primary, Knot as the secondary that the world (and the CA) asks; the challenge zone has a key of
    its own that may not write the device zone."""
    primary = Bind(tmp_path / 'primary', *keys)
    secondary = Knot(tmp_path / 'secondary', *keys, primary=primary)
    primary.notifies(secondary)
    for server in (primary, secondary):
        started.running.append(server.start())
    resolver = started(Resolver, 'resolver', servers={ZONE: secondary, ACME: secondary})
    pebble = Pebble(tmp_path, resolver.port).start()
    try:
        hq = started.publisher(primary, nameservers=[f'ns1.{ZONE}={secondary.endpoint}'], **{
            'acme-directory': pebble.directory, 'acme-anchors': pebble.certificate, 'acme-terms-agreed': 'true'}).start()
        hq.say('device nifty-babbage 10.0.0.1')
        hq.say('order nifty-babbage wildcard')
        hq.wait_line('chain nifty-babbage', 40)
        assert secondary.lookup(f'_acme-challenge.nifty-babbage.{ZONE}', 'CNAME') == [f'nifty-babbage.{ACME}.']
        wait_until(lambda: secondary.ask(f'nifty-babbage.{ACME}', 'TXT').rcode() == dns.rcode.NXDOMAIN, 10, 'values gone')
    finally:
        pebble.stop()


def test_the_manuals_recipes(keys, tmp_path):
    """What docs/operations.md tells to configure is taken by the servers that it is for."""
    text = (Path(__file__).resolve().parents[2] / 'docs/operations.md').read_text()
    blocks = [textwrap.dedent(block) for block in re.findall(r'(?:^    .*\n|^\n(?=    ))+', text, re.MULTILINE)]
    bind = next(block for block in blocks if 'update-policy' in block)
    zones = next(block for block in blocks if '$ORIGIN' in block).strip()
    knot = next(block for block in blocks if block.strip().startswith('key:'))
    device_zone, challenge_zone = re.split(r'\n\n(?=\$ORIGIN)', zones)
    (tmp_path / ZONE).write_text(device_zone + '\n')
    (tmp_path / ACME).write_text(challenge_zone + '\n')
    for key in keys:
        bind = bind.replace(f'/etc/bind/{key.name}.key', str(key.path))
        knot = knot.replace('secret: ...', f'secret: {key.secret}', 1)
    (tmp_path / 'named.conf').write_text(bind.replace('/var/lib/bind', str(tmp_path)))
    (tmp_path / 'knot.conf').write_text('server:\n    rundir: /tmp\n' + knot)
    for argv in (['named-checkconf', '-z', 'named.conf'], ['knotc', '-c', 'knot.conf', 'conf-check'],
                 ['named-checkzone', ZONE, ZONE], ['named-checkzone', ACME, ACME]):
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
