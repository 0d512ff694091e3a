"""Clients with a DNS server of their own: the nftables rules of docs/resolver.md, run as they stand there, on a router with
`nameplate resolver`. The server that they ask never answers DNS."""
import contextlib
import re
import socket
import subprocess
import threading
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest

from fake_hq import NAME as BOX_NAME
from lab.namespaces import Namespace, bridge, link
from lab.waiting import wait_until
from real_agent import a_box
from resolver_process import NAME, VIEW, Resolver, texts
from upstream import reply

DOCS = Path(__file__, '../../../docs/resolver.md').resolve()
ELSEWHERE = ('198.51.100.8', '2001:db8:8::8')  # the server that clients insist on
UPSTREAM = '198.51.100.53'  # the box's own
BOX4, BOX6 = '192.168.1.1', 'fd42::1'
CLIENT4, CLIENT6 = '192.168.1.7', 'fd42::7'
FREE4, FREE6 = '192.168.1.5', 'fd42::5'  # the machine that may ask whom it likes


def rules_in_docs():
    """The snippet: the fenced block that makes the table."""
    blocks = re.findall(r'^```\n(table inet nameplate\n.*?)^```$', DOCS.read_text(), re.M | re.S)
    assert len(blocks) == 1
    return blocks[0]


def printed(bin_dir, *options):
    return subprocess.run([bin_dir / 'nameplate', 'config', 'redirect', *options], capture_output=True, text=True, check=True).stdout


class Outside:
    """What is beyond the router: an upstream that answers, and a server that takes connections but answers no DNS."""

    def __init__(self, namespace):
        self.seen, self.stray = [], []
        with namespace.inside():
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind((UPSTREAM, 53))
            self.silent = []
            for address in ELSEWHERE:
                family = socket.AF_INET6 if ':' in address else socket.AF_INET
                for port in (53, 853):
                    sock = socket.socket(family, socket.SOCK_DGRAM)
                    sock.bind((address, port))
                    self.silent.append(sock)
                    self.silent.append(socket.create_server((address, port), family=family))
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self):
        with contextlib.suppress(OSError):
            while True:
                packet, peer = self.udp.recvfrom(4096)
                query = dns.message.from_wire(packet)
                self.seen.append((peer[0], query.question[0].name.to_text()))
                for answer in [reply(query, f'{query.question[0].name} 60 A 203.0.113.80')]:
                    self.udp.sendto(answer, peer)

    def asked(self, address):
        """Has a DNS query come to the server that does not answer?"""
        for sock in self.silent:
            if sock.type == socket.SOCK_DGRAM and sock.getsockname()[:2] == (address, 53):
                sock.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    return bool(sock.recv(4096))
        return False

    def close(self):
        for sock in [self.udp, *self.silent]:
            sock.close()


@pytest.fixture(scope='module')
def home(bin_dir, tmp_path_factory):
    """(client, free machine, outside, router): a router whose LAN is br-lan, the resolver running on it."""
    folder = tmp_path_factory.mktemp('redirect')
    router, client, free, world = (Namespace(f'np-redir-{role}-{folder.name[-4:]}') for role in ('r', 'c', 'f', 'w'))
    with contextlib.ExitStack() as stack:
        for namespace in (router, client, free, world):
            stack.callback(namespace.delete)
            namespace.create()
            namespace.sysctl('ipv6.conf.default.accept_dad', 0)
        bridge(router, 'br-lan')
        for port, there in (('lan1', client), ('lan2', free)):
            link(router, port, there, 'eth0')
            router.ip('link', 'set', port, 'master', 'br-lan')
        link(router, 'wan', world, 'line')
        router.sysctl('ipv4.ip_forward', 1)
        router.sysctl('ipv6.conf.all.forwarding', 1)
        for namespace, interface, addresses in (
                (router, 'br-lan', (f'{BOX4}/24', f'{BOX6}/64')), (router, 'wan', ('203.0.113.2/24', '2001:db8:1::2/64')),
                (client, 'eth0', (f'{CLIENT4}/24', f'{CLIENT6}/64')), (free, 'eth0', (f'{FREE4}/24', f'{FREE6}/64')),
                (world, 'line', ('203.0.113.1/24', '2001:db8:1::1/64')),
                (world, 'lo', (f'{UPSTREAM}/32', f'{ELSEWHERE[0]}/32', f'{ELSEWHERE[1]}/128'))):
            for address in addresses:
                namespace.ip('address', 'add', address, 'dev', interface, *(('nodad',) if ':' in address else ()))
        for machine in (client, free):
            machine.ip('route', 'add', 'default', 'via', BOX4)
            machine.ip('-6', 'route', 'add', 'default', 'via', BOX6)
        router.ip('route', 'add', 'default', 'via', '203.0.113.1')
        router.ip('-6', 'route', 'add', 'default', 'via', '2001:db8:1::1')
        world.ip('route', 'add', '192.168.1.0/24', 'via', '203.0.113.2')
        world.ip('-6', 'route', 'add', 'fd42::/64', 'via', '2001:db8:1::2')
        outside = Outside(world)
        stack.callback(outside.close)
        index = int(router.run('cat', '/sys/class/net/br-lan/ifindex'))
        interfaces = [{'index': index, 'name': 'br-lan', 'lan': True, 'v4': [f'{BOX4}/24'], 'v6': [f'{BOX6}/64']}]
        resolver = Resolver(bin_dir / 'nameplate', folder, dict(VIEW, interfaces=interfaces, upstreams=[UPSTREAM]), port=53,
                            listen=(BOX4, BOX6), prefix=router.argv())
        stack.callback(resolver.close)
        yield client, free, outside, router


@pytest.fixture
def rules(home):
    """rules(text): loads them into the router; they go with the test."""
    router = home[3]
    yield lambda text: router.run('nft', '-f', '-', input=text)
    router.run('nft', 'flush', 'ruleset')


def ask(machine, server, name=NAME, tcp=False, timeout=5.0):
    send = dns.query.tcp if tcp else dns.query.udp
    with machine.inside():
        return send(dns.message.make_query(name, 'AAAA' if name == NAME and ':' in server else 'A'), server, timeout=timeout)


def unanswered(machine, server):
    with contextlib.suppress(dns.exception.Timeout):
        return not ask(machine, server, timeout=1)
    return True


def test_docs_have_what_is_printed(bin_dir):
    assert rules_in_docs() == printed(bin_dir, '--lan', 'br-lan', '--port', '53', '--reject-dot')


@pytest.mark.parametrize('tcp', [False, True], ids=['udp', 'tcp'])
@pytest.mark.parametrize('server', ELSEWHERE)
def test_client_is_answered_by_the_box(home, rules, server, tcp):
    """With the address that was asked as the answer's source, or dnspython would not take it."""
    client, _, outside, _ = home
    assert unanswered(client, server)
    rules(rules_in_docs())
    answer = ask(client, server, tcp=tcp)
    assert texts(answer.answer)[0].endswith(f' {BOX6}' if ':' in server else f' {BOX4}')
    other = f'{"tcp" if tcp else "udp"}-{"v6" if ":" in server else "v4"}.example.'
    answer = ask(client, server, other, tcp=tcp)
    assert texts(answer.answer) == [f'{other} 60 IN A 203.0.113.80']
    # The box's own question went out as ever, from its own address.
    assert ('203.0.113.2', other) in {(peer, name.lower()) for peer, name in outside.seen}


def test_what_is_asked_of_the_box_stays(home, rules):
    client, _, _, router = home
    rules(rules_in_docs())
    rules(rules_in_docs())  # a file that may be read again
    for server in (BOX4, BOX6):
        for tcp in (False, True):
            assert ask(client, server, tcp=tcp).answer
    assert router.run('nft', 'list', 'table', 'inet', 'nameplate').count('redirect to') == 1


def test_exceptions(home, rules, bin_dir):
    client, free, outside, _ = home
    rules(printed(bin_dir, '--lan', 'br-lan', '--port', '53', '--except', FREE4, '--except', f'{FREE6}/128'))
    for server in ELSEWHERE:
        while outside.asked(server):
            pass
        assert ask(client, server).answer and not outside.asked(server)
        assert unanswered(free, server) and outside.asked(server)


def test_dns_over_tls_to_others_is_refused(home, rules):
    client, _, _, _ = home

    def connect(address):
        with client.inside(), socket.create_connection((address, 853), 5):
            return True
    assert all(connect(address) for address in ELSEWHERE)
    rules(rules_in_docs())
    for address in ELSEWHERE:
        with pytest.raises(ConnectionRefusedError):
            connect(address)


# From the running agent.

def test_agent_prints_its_own(bin_dir):
    with a_box(bin_dir, 'dns-port = 5354\n') as box:
        box.start()
        wait_until(lambda: box.status().get('name') == BOX_NAME and box.status()['listeners'], 15, 'the box')
        rules = box.namespace.run(box.program, 'config', 'redirect', '--config', box.conf)
        assert 'iifname { "lan0" } ' in rules and 'redirect to :5354' in rules
        box.namespace.run('nft', '-c', '-f', '-', input=rules)
    with a_box(bin_dir, 'dns-port = 5354\nmode = own-name-only\n') as box:
        box.start()
        wait_until(lambda: box.status().get('name'), 15, 'the box')
        done = subprocess.run(box.namespace.argv(box.program, 'config', 'redirect', '--config', box.conf), capture_output=True,
                              text=True, check=False)
        assert done.returncode == 1 and not done.stdout and 'mode = own-name-only' in done.stderr
