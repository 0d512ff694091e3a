"""The own name from every side of a real agent's box: each address of each LAN, asked from each LAN, over UDP and TCP; and
while addresses and bridges come and go."""
import contextlib
import itertools
import json
import os
import signal
import socket
import ssl
import threading
import urllib.request

import dns.flags
import dns.message
import dns.query
import pytest

from agent_box import ALIAS, agent_box
from fake_hq import NAME, pem
from lab.waiting import wait_until
from real_agent import BOX, a_box

V4 = [['192.168.0.1', '192.168.0.2'], ['192.168.1.1', '192.168.1.2']]
V6 = [['fd40::1', 'fd40::2'], ['fd41::1', 'fd41::2']]


@pytest.fixture(scope='module')
def box(bin_dir):
    with agent_box(bin_dir) as running:
        running.wait_answers('192.168.1.2', V4[1], number=1)
        yield running


@pytest.mark.parametrize('tcp', [False, True], ids=['udp', 'tcp'])
@pytest.mark.parametrize('number', [0, 1])
def test_every_address_from_every_lan(box, number, tcp):
    """Whichever address is asked, the addresses of the LAN that the question came in on are given, from that address."""
    for where in itertools.chain(*V4, *V6):
        assert box.given(number, where, 'A', tcp=tcp) == V4[number]
        assert box.given(number, where, 'AAAA', tcp=tcp) == V6[number]
    where = f'{box.link_local(number)}%eth0'
    assert box.given(number, where, 'AAAA', tcp=tcp) == V6[number]
    assert box.given(number, where, 'A', tcp=tcp) == V4[number]


def test_every_type(box):
    for rdtype, want in (('MX', ['0 .']), ('TXT', ['"v=spf1 -all"']), ('HTTPS', []), ('CAA', []), ('TYPE65280', [])):
        assert box.given(0, '192.168.0.1', rdtype) == want
    assert box.given(1, 'fd41::1', 'PTR', name='2.0.168.192.in-addr.arpa.') == [ALIAS]
    assert box.given(1, 'fd41::1', 'PTR', name='1.' + '0.' * 25 + '0.4.d.f.ip6.arpa.') == []
    reverse = '2.' + '0.' * 27 + '1.4.d.f.ip6.arpa.'
    assert box.given(0, '192.168.0.1', 'PTR', name=reverse) == [ALIAS]


def test_what_a_certificate_makes_known(bin_dir):
    """Once there is a certificate, HTTPS and the service of DNS over TLS are told, with the addresses; and can be had."""
    with a_box(bin_dir) as box:
        def ask(name, rdtype):
            with box.outside.inside():
                answer = dns.query.udp(dns.message.make_query(name, rdtype), BOX, timeout=5)
            more = [str(item) for rrset in answer.additional for item in rrset]
            return answer.rcode(), [str(item) for rrset in answer.answer for item in rrset], more
        box.start()
        try:
            wait_until(box.serial, 60, 'the certificate')
        except AssertionError as late:
            raise AssertionError(f'{late}\n{box.log()}') from None
        wait_until(lambda: ask(NAME, 'HTTPS') == (0, ['1 .'], [BOX]), what='HTTPS')
        assert ask(f'_dns.{NAME}', 'SVCB') == (0, [f'1 {NAME}. alpn="dot"'], [BOX])
        assert ask(f'_dns.{NAME}', 'A') == (0, [], [])
        with box.outside.inside():
            query = dns.message.make_query(NAME, 'A')
            context = ssl.create_default_context(cadata=pem(box.hq.public_root.certificate))
            assert dns.query.tls(query, BOX, timeout=10, server_hostname=NAME, ssl_context=context).answer


class Asker:
    """A client that asks without pause, each question once; every one must be answered."""

    def __init__(self, box, number, where):
        self.answers, self.errors, self.stop = 0, [], False
        self.where = where
        with box.clients[number].inside():
            self.sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        self.sock.settimeout(10)
        try:
            self.sock.connect(socket.getaddrinfo(self.where, 53, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4])
            while not self.stop:
                query = dns.message.make_query(ALIAS, 'A')
                self.sock.send(query.to_wire())
                answer = dns.message.from_wire(self.sock.recv(4096))
                assert answer.id == query.id
                assert answer.answer, f"{answer.to_text()} after {self.answers}"
                self.answers += 1
        except Exception as error:  # told by close
            self.errors.append(error)

    def close(self):
        self.stop = True
        self.thread.join(15)
        self.sock.close()
        assert not self.errors, str(self.errors[0])


def test_renumbering(bin_dir):
    """Addresses come and go under load: a client that asks at an address that stays loses nothing, and what is given
    follows."""
    with agent_box(bin_dir, 'rate-limit = 0\n') as box, contextlib.ExitStack() as stack:
        asker = Asker(box, 0, 'fd40::1')
        stack.callback(asker.close)
        for number in range(20):
            new, old = f'192.168.0.{100 + number}', f'192.168.0.{99 + number}' if number else '192.168.0.2'
            box.namespace.ip('addr', 'add', f'{new}/24', 'dev', 'lan0')
            box.wait_answers(new)
            box.namespace.ip('addr', 'del', f'{old}/24', 'dev', 'lan0')
            box.wait_answers('192.168.0.1', ['192.168.0.1', new])
        assert asker.answers > 200


def test_rate_limit_is_a_key(bin_dir):
    """The limit of the configuration is the resolver's, and the status counts what it did."""
    with agent_box(bin_dir, 'rate-limit = 10\n') as box, box.clients[0].inside():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.connect(('192.168.0.1', 53))
            for _ in range(200):
                sock.send(dns.message.make_query(ALIAS, 'A').to_wire())
            wait_until(lambda: dns.message.from_wire(sock.recv(4096)).flags & dns.flags.TC, what='a truncated answer', every=0)
        answers = wait_until(lambda: box.status().get('resolver', {}).get('answers'), what='the counters')
        assert answers['truncated'] > 0 and answers['over_rate'] > 0
        assert box.given(0, '192.168.0.1', tcp=True) == V4[0], 'over TCP it is served'


def test_bridge_made_anew(bin_dir):
    """A bridge is made anew, with the same addresses, before the agent has looked: its sockets are good for the new one."""
    with agent_box(bin_dir) as box:
        for _ in range(2):
            os.kill(box.process.pid, signal.SIGSTOP)
            box.namespace.ip('link', 'del', 'lan0')
            box.make_lan(0)
            os.kill(box.process.pid, signal.SIGCONT)
            for where in (V4[0][0], V6[0][1]):
                box.wait_answers(where, V4[0])
            box.wait_answers(f'{box.link_local(0)}%eth0', V4[0])
        assert 'in use' not in box.log(), box.log()


def test_page_says_what_the_agent_knows(box):
    """Without an HQ: no name, nothing gets through; and the addresses that the box has."""
    with box.clients[0].inside(), urllib.request.urlopen('http://192.168.0.1/.nameplate/status.json', timeout=10) as answer:
        told = json.load(answer)
    assert told['verdict'] == 'no-name' and told['online'] is False and told['url'] is None
    assert set(V4[0]) <= set(told['history'][0]['addresses']) and told['history'][0]['at'] > 1700000000
