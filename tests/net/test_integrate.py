"""Beside another resolver: nameplate with mode = own-name-only, and the real dnsmasq, Unbound and Knot Resolver with the lines
that `nameplate config integrate` and `nameplate config rebind` print."""
import contextlib
import itertools
import json
import signal
import subprocess
import time

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from fake_hq import NAME as BOX_NAME
from lab.namespaces import Namespace
from lab.waiting import wait_until
from ports import free_port
from real_agent import BOX, a_box
from resolver_process import NAME, VIEW, Resolver, edes, texts
from upstream import Upstream, reply

TTL = 3  # the view's, instead of 10: how long a cache may lag behind
ALIAS = 'nas.home.arpa.'
PUBLIC = '8.8.4.4'  # dnsmasq takes the addresses for documentation for private ones
OWN_VIEW = dict(VIEW, mode='own-name-only', ttl=TTL, own=[*VIEW['own'], {'name': ALIAS.rstrip('.')}])


def world(query, over_tcp=False):
    """An upstream that has an address for every name, private ones among them, and knows the own names otherwise."""
    name = query.question[0].name.to_text().lower()
    address = '192.168.66.6' if 'evil' in name or name.endswith('devices.example.') else PUBLIC
    return [reply(query, f'{name} 60 A {address}')]


class Dnsmasq:
    kind = 'dnsmasq'
    cached = True

    def argv(self, folder, port, upstream, lines):
        host, upstream_port = upstream.split(':')
        (folder / 'dnsmasq.conf').write_text(
            f'port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nstop-dns-rebind\nlocal=/home.arpa/\n'
            f'server={host}#{upstream_port}\n{lines}')
        return ['dnsmasq', '--keep-in-foreground', '--user=root', '--pid-file=', '--log-facility=-', '--log-queries',
                f'--conf-file={folder}/dnsmasq.conf']


class Unbound:
    """With a trust anchor for the device zone where the lines say what may be unsigned there: all else may not."""
    kind = 'unbound'
    cached = False

    def argv(self, folder, port, upstream, lines):
        (folder / 'unbound.conf').write_text(f"""\
server:
    directory: "{folder}"
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    interface: 127.0.0.1@{port}
    port: {port}
    do-not-query-localhost: no
    module-config: "validator iterator"
    {f'trust-anchor: "devices.example. DS 4711 13 2 {"ab" * 32}"' if 'domain-insecure' in lines else ''}
    private-address: 10.0.0.0/8
    private-address: 192.168.0.0/16
    private-address: fd00::/8
forward-zone:
    name: "."
    forward-addr: {upstream.replace(':', '@')}
remote-control:
    control-enable: no
{lines}""")
        return ['unbound', '-d', '-c', f'{folder}/unbound.conf']


class KnotResolver:
    kind = 'knot-resolver'
    cached = False

    def argv(self, folder, port, upstream, lines):
        (folder / 'kresd').mkdir(exist_ok=True)
        (folder / 'kresd.conf').write_text(f"""\
net.listen('127.0.0.1', {port})
cache.size = 10*MB
trust_anchors.remove('.')
modules.load('rebinding < iterate')
{lines}
policy.add(policy.all(policy.STUB({{'{upstream.replace(':', '@')}'}})))
""")
        return ['kresd', '-n', '-c', f'{folder}/kresd.conf', f'{folder}/kresd']


PROGRAMS = [Dnsmasq(), Unbound(), KnotResolver()]


class Forwarder:
    """One of the programs, running on loopback."""

    def __init__(self, program, folder, upstream, lines):
        self.program, self.port, self.log_path = program, free_port(), folder / f'{program.kind}.log'
        with open(self.log_path, 'w') as log:
            self.process = subprocess.Popen(program.argv(folder, self.port, upstream, lines), cwd=folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)

        def up():
            assert self.process.poll() is None, self.log_path.read_text()
            with contextlib.suppress(dns.exception.Timeout):
                return self.ask('www.example', timeout=0.5, tries=1)
        wait_until(up, 15, f'{program.kind} answers')

    def ask(self, name, rdtype='A', timeout=2.0, tries=3):
        """As a stub resolver asks: again, when a packet got lost."""
        for left in reversed(range(tries)):
            try:
                return dns.query.udp(dns.message.make_query(name, rdtype, use_edns=0), '127.0.0.1', port=self.port, timeout=timeout)
            except dns.exception.Timeout:
                if left == 0:
                    raise

    def records(self, name, rdtype='A'):
        return sorted(record.to_text() for rrset in self.ask(name, rdtype).answer for record in rrset)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


def lines_for(bin_dir, verb, kind, *options):
    return subprocess.run([bin_dir / 'nameplate', 'config', verb, kind, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=True).stdout


@pytest.fixture(params=PROGRAMS, ids=lambda program: program.kind)
def beside(request, bin_dir, tmp_path):
    """(nameplate, forwarder with the printed lines, upstream of the forwarder)."""
    with contextlib.ExitStack() as stack:
        server = Upstream(world)
        stack.callback(server.close)
        resolver = Resolver(bin_dir / 'nameplate', tmp_path, OWN_VIEW)
        stack.callback(resolver.close)
        lines = lines_for(bin_dir, 'integrate', request.param.kind, '--name', NAME.rstrip('.'), '--name', ALIAS.rstrip('.'),
                          '--address', f'127.0.0.1:{resolver.port}')
        forwarder = Forwarder(request.param, tmp_path, server.address, lines)
        stack.callback(forwarder.close)
        yield resolver, forwarder, server


def asked_upstream(server):
    return {message.question[0].name.to_text().lower() for _, message, _ in server.seen}


def every_type(forwarder):
    for name in (NAME, ALIAS):
        assert forwarder.records(name) == ['192.168.1.1']
        assert forwarder.records(name, 'AAAA') == ['fd42::1']
        assert forwarder.records(name, 'TXT') == ['"v=spf1 -all"']
        assert forwarder.records(name, 'MX') == ['0 .']
        assert forwarder.records(name, 'SOA') == [f'{name} hostmaster.{name} 17 3600 600 86400 {TTL}']
        for question in ((name, 'SRV'), (name, 'CAA')):
            answer = forwarder.ask(*question)
            assert answer.rcode() == dns.rcode.NOERROR and not answer.answer, question
            assert texts(answer.authority)[0].startswith(f'{name} ') and ' SOA ' in texts(answer.authority)[0]
        answer = forwarder.ask(f'below.{name}')
        assert answer.rcode() == dns.rcode.NXDOMAIN and ' SOA ' in texts(answer.authority)[0]
    assert forwarder.records(NAME, 'HTTPS') == ['1 .']


def test_every_type(beside):
    _, forwarder, server = beside
    every_type(forwarder)
    assert not [name for name in asked_upstream(server) if name.endswith((NAME, ALIAS)) and not name.startswith('_acme')]


def test_only_the_own_name(beside):
    """Other names go where they went before, and what the program filtered is filtered still."""
    resolver, forwarder, server = beside
    assert forwarder.records('www.example') == [PUBLIC]
    assert forwarder.records('evil.example') == []
    assert forwarder.records('other.devices.example') == []
    assert 'www.example.' in asked_upstream(server)
    answer = resolver.ask('www.example', use_edns=0)
    assert answer.rcode() == dns.rcode.REFUSED and edes(answer) == [20] and not answer.flags & dns.flags.RA


def test_renumbering_within_the_ttl(beside):
    resolver, forwarder, _ = beside
    assert forwarder.records(NAME) == ['192.168.1.1'] and forwarder.records(NAME, 'AAAA') == ['fd42::1']
    view = dict(OWN_VIEW, serial=18, primary={'v4': ['192.168.77.1'], 'v6': ['fd77::1']})
    resolver.view_path.write_text(json.dumps(view))
    resolver.process.send_signal(signal.SIGHUP)
    wait_until(lambda: texts(resolver.ask(NAME).answer)[0].endswith('192.168.77.1'), what='the box has the new view')
    begin = time.monotonic()
    wait_until(lambda: forwarder.records(NAME) == ['192.168.77.1'] and forwarder.records(NAME, 'AAAA') == ['fd77::1'], 15,
               'the new addresses')
    if not forwarder.program.cached:
        assert forwarder.records(NAME) == ['192.168.77.1']
    else:
        assert time.monotonic() - begin < TTL + 2


def test_offline(beside):
    _, forwarder, server = beside
    server.handler = lambda query, over_tcp: []
    every_type(forwarder)
    server.handler = world


@pytest.mark.parametrize('program', PROGRAMS, ids=lambda program: program.kind)
def test_exception_from_the_filter(program, bin_dir, tmp_path):
    """`config rebind`: through the program's own upstream, without nameplate."""
    with contextlib.ExitStack() as stack:
        server = Upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 60 A 192.168.1.1')])
        stack.callback(server.close)
        lines = lines_for(bin_dir, 'rebind', program.kind, '--name', NAME.rstrip('.'))
        forwarder = Forwarder(program, tmp_path, server.address, lines)
        stack.callback(forwarder.close)
        assert forwarder.records(NAME) == ['192.168.1.1']
        for name in ('other.devices.example', 'x.rebind-test.devices.example', 'evil.example', 'devices.example'):
            assert forwarder.records(name) == [], name


# With clients in several LANs.

def dnsmasq_for_lans(folder, lines):
    assert '# With clients in several LANs add-subnet=32,128 ' in lines
    (folder / 'dnsmasq.conf').write_text('no-resolv\nno-hosts\nstop-dns-rebind\nadd-subnet=32,128\n' + lines)
    return ['dnsmasq', '--keep-in-foreground', '--user=root', '--pid-file=', f'--conf-file={folder}/dnsmasq.conf']


def unbound_for_lans(folder, lines):
    """The lines in comments are no comments any more."""
    wanted = ''.join(line.removeprefix('#') + '\n' for line in lines.splitlines() if line.startswith('#     '))
    assert 'client-subnet-zone' in wanted
    (folder / 'unbound.conf').write_text(f"""\
server:
    directory: "{folder}"
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
    interface: 0.0.0.0
    access-control: 192.168.0.0/16 allow
    private-address: 192.168.0.0/16
{wanted}
remote-control:
    control-enable: no
{lines}""")
    return ['unbound', '-d', '-c', f'{folder}/unbound.conf']


@pytest.mark.parametrize('argv_for', [dnsmasq_for_lans, unbound_for_lans], ids=['dnsmasq', 'unbound'])
def test_answers_follow_the_clients_lan(argv_for, bin_dir, tmp_path):
    box, client = (Namespace(f'np-integrate-{role}-{tmp_path.name[-6:]}') for role in ('b', 'c'))
    with contextlib.ExitStack() as stack:
        for namespace in (box, client):
            stack.callback(namespace.delete)
            namespace.create()
        for i in (1, 2):
            box.ip('link', 'add', f'lan{i}', 'type', 'veth', 'peer', 'name', f'eth{i}', 'netns', client.name)
            box.ip('addr', 'add', f'192.168.{i}.1/24', 'dev', f'lan{i}')
            client.ip('addr', 'add', f'192.168.{i}.7/24', 'dev', f'eth{i}')
            box.ip('link', 'set', f'lan{i}', 'up')
            client.ip('link', 'set', f'eth{i}', 'up')
        view = dict(OWN_VIEW, interfaces=[{'index': 10 + i, 'name': f'lan{i}', 'lan': True, 'v4': [f'192.168.{i}.1/24'], 'v6': []}
                                          for i in (1, 2)])
        resolver = Resolver(bin_dir / 'nameplate', tmp_path, view, prefix=box.argv())
        stack.callback(resolver.close)
        kind = argv_for.__name__.partition('_')[0]
        lines = lines_for(bin_dir, 'integrate', kind, '--name', NAME.rstrip('.'), '--address', f'127.0.0.1:{resolver.port}')
        program = box.spawn(*argv_for(tmp_path, lines), log=tmp_path / f'{kind}.log')
        stack.callback(program.wait)
        stack.callback(program.terminate)

        def address(i):
            with client.inside(), contextlib.suppress(dns.exception.Timeout):
                answer = dns.query.udp(dns.message.make_query(NAME, 'A'), f'192.168.{i}.1', timeout=1)
                return [record.to_text() for rrset in answer.answer for record in rrset]
        wait_until(lambda: address(1), what=f'{kind} answers')
        for _, i in itertools.product(range(3), (1, 2)):
            assert wait_until(lambda: address(i), what='an answer') == [f'192.168.{i}.1']


# The whole box: the agent's configuration, and what it prints of itself.

def test_agent_beside_dnsmasq(bin_dir, tmp_path):
    with a_box(bin_dir, 'mode = own-name-only\ndns-port = 5354\nalias = {"nas.home.arpa"}\n') as box:
        box.start()
        wait_until(lambda: box.status().get('name'), 15, 'the name')
        lines = box.namespace.run(box.program, 'config', 'integrate', 'dnsmasq', '--config', box.conf)
        assert f'server=/{BOX_NAME}/127.0.0.1#5354' in lines.splitlines()
        assert f'rebind-domain-ok=/{BOX_NAME}/nas.home.arpa/' in lines.splitlines()
        described = json.loads(box.namespace.run(box.program, 'config', 'integrate', '--json', '--config', box.conf))
        assert {item['kind'] for item in described} == {'dnsmasq', 'openwrt', 'unbound', 'adguard', 'pihole', 'knot-resolver'}
        assert all(item['server'] == '127.0.0.1:5354' and item['names'] == [BOX_NAME, 'nas.home.arpa'] for item in described)
        (tmp_path / 'dnsmasq.conf').write_text('no-resolv\nno-hosts\nstop-dns-rebind\n' + lines)
        dnsmasq = box.namespace.spawn('dnsmasq', '--keep-in-foreground', '--user=root', '--pid-file=',
                                      f'--conf-file={tmp_path}/dnsmasq.conf')
        try:
            def address(name=BOX_NAME, server=BOX):
                with box.outside.inside():
                    answer = dns.query.udp(dns.message.make_query(name, 'A'), server, timeout=1)
                return [record.to_text() for rrset in answer.answer for record in rrset]

            def reached(wanted, server):
                with contextlib.suppress(dns.exception.Timeout):
                    return address(server=server) == wanted
            wait_until(lambda: reached([BOX], BOX), 10, 'the name through dnsmasq')
            assert address('nas.home.arpa') == [BOX]
            # The box renumbers: dnsmasq has nothing to be told.
            box.namespace.sysctl('ipv4.conf.lan0.promote_secondaries', 1)
            box.namespace.ip('address', 'add', '192.168.1.99/24', 'dev', 'lan0')
            box.namespace.ip('address', 'del', f'{BOX}/24', 'dev', 'lan0')
            wait_until(lambda: reached(['192.168.1.99'], '192.168.1.99'), 20, 'the new address through dnsmasq')
            status = box.status()
            assert any(item['address'] == '127.0.0.1' and item['error'] is None for item in status['listeners'])
            assert all(item['kind'] != 'dot' for item in status['listeners'])  # devices would pass dnsmasq by
        finally:
            dnsmasq.terminate()
            dnsmasq.wait(10)
