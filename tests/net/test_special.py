"""Names that never leave the home: answered by `nameplate resolver`, or by the home's own DNS server (a real dnsmasq)."""
import contextlib
import subprocess

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.reversename
import dns.rrset
import pytest

from lab.waiting import wait_until
from ports import free_port
from resolver_process import NAME, VIEW, texts

SPECIAL = ['a.localhost', 'x.invalid', 'x.test', 'x.onion', 'x.alt', 'printer.local', 'x.home.arpa', 'x.service.arpa',
           '_dns.resolver.arpa', '9.9.0.10.in-addr.arpa', '9.9.20.172.in-addr.arpa', '9.9.168.192.in-addr.arpa',
           '9.9.64.100.in-addr.arpa', '9.0.0.127.in-addr.arpa', '9.9.254.169.in-addr.arpa', '9.2.0.192.in-addr.arpa',
           'x.d.f.ip6.arpa', 'x.8.e.f.ip6.arpa', 'x.8.b.d.0.1.0.0.2.ip6.arpa', 'x.0.f.f.f.3.ip6.arpa', 'use-application-dns.net',
           'a.use-application-dns.net', 'wpad', 'printer']
ORDINARY = ['example.com', 'x.example', 'ipv4only.arpa', '170.0.0.192.in-addr.arpa', '9.9.32.172.in-addr.arpa', 'x.local.example']


def zones_seen(server):
    return {message.question[0].name.to_text().lower().rstrip('.') for _, message, _ in server.seen}


def test_special_names_stay_here(start, upstream):
    server = upstream()
    resolver = start(upstreams=[server.address])
    for name in SPECIAL:
        for rdtype in ('A', 'AAAA', 'PTR', 'SVCB') if '.' in name else ('A', 'AAAA', 'HTTPS'):
            answer = resolver.ask(name, rdtype)
            assert answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN), (name, rdtype)
            assert answer.answer or answer.authority, f'{name} {rdtype}: a negative answer without SOA is kept very long'
    assert not zones_seen(server)
    for name in ORDINARY:
        assert resolver.ask(name).answer, name
    assert zones_seen(server) == set(ORDINARY)


def test_canary(start, upstream):
    server = upstream()
    assert start(upstreams=[server.address]).ask('use-application-dns.net').rcode() == dns.rcode.NXDOMAIN
    assert start(dict(VIEW, canary=False), [server.address]).ask('use-application-dns.net').answer


def test_lone_labels_of_a_host_are_its_routers(start, upstream):
    """Behind the home's router its names of one label are the router's to know."""
    server = upstream(lambda query, over_tcp: [reply_to(query)])
    assert start(dict(VIEW, role='host'), [server.address]).ask('printer').answer
    assert not start(upstreams=[server.address]).ask('printer').answer


def reply_to(query):
    answer = dns.message.make_response(query, recursion_available=True)
    answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, 'IN', 'A', '192.168.1.60'))
    return answer.to_wire()


@pytest.fixture(scope='module')
def dhcp_dns(tmp_path_factory):
    """The home's dnsmasq, which knows what it leased; its address."""
    folder, port = tmp_path_factory.mktemp('dnsmasq'), free_port()
    (folder / 'hosts').write_text('192.168.1.50 laptop.home.arpa laptop\nfd42::50 laptop.home.arpa\n')
    argv = ['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--user=root', '--pid-file=', '--no-resolv', '--no-hosts',
            f'--port={port}', '--listen-address=127.0.0.1', '--bind-interfaces', f'--addn-hosts={folder}/hosts', '--domain=home.arpa',
            '--local=/home.arpa/', '--local=/168.192.in-addr.arpa/', '--local=/d.f.ip6.arpa/', '--local=/lan/',
            '--host-record=nas.lan,192.168.1.51']
    with open(folder / 'log', 'w') as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def answers():
        assert process.poll() is None, (folder / 'log').read_text()
        with contextlib.suppress(dns.exception.Timeout, OSError):
            return dns.query.udp(dns.message.make_query('laptop.home.arpa', 'A'), '127.0.0.1', port=port, timeout=0.2).answer
    try:
        wait_until(answers, what='dnsmasq answers')
        yield f'127.0.0.1:{port}'
    finally:
        process.terminate()
        process.wait(10)


def test_zones_sent_to_the_dhcp_server(start, upstream, dhcp_dns):
    server = upstream()
    zones = ('home.arpa', '168.192.in-addr.arpa', 'd.f.ip6.arpa', 'lan')
    view = dict(VIEW, forward=[{'zone': zone, 'to': [dhcp_dns]} for zone in zones])
    resolver = start(view, [server.address])
    assert texts(resolver.ask('laptop.home.arpa').answer)[0].endswith('IN A 192.168.1.50')
    assert texts(resolver.ask('laptop.home.arpa', 'AAAA').answer)[0].endswith('IN AAAA fd42::50')
    assert texts(resolver.ask('nas.lan').answer)[0].endswith('IN A 192.168.1.51')
    assert texts(resolver.ask('50.1.168.192.in-addr.arpa', 'PTR').answer)[0].endswith('IN PTR laptop.home.arpa.')
    reverse6 = dns.reversename.from_address('fd42::50').to_text()
    assert texts(resolver.ask(reverse6, 'PTR').answer)[0].endswith('IN PTR laptop.home.arpa.')
    # The box's own address is the box's to name, whoever has the rest of its zone.
    assert texts(resolver.ask('1.1.168.192.in-addr.arpa', 'PTR').answer) == [f'1.1.168.192.in-addr.arpa. 10 IN PTR {NAME}']
    assert resolver.ask('99.1.168.192.in-addr.arpa', 'PTR').rcode() == dns.rcode.NXDOMAIN
    assert resolver.ask('9.9.0.10.in-addr.arpa', 'PTR').rcode() == dns.rcode.NXDOMAIN, 'not sent anywhere: answered here'
    assert not zones_seen(server)
