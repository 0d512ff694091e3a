"""The chain on the whole world: a box with a name, a certificate and an address, seen from the laptop and from the WAN."""
import json
import os
import signal
import ssl
from pathlib import Path

import pytest

from lab import browser
from lab.home import ISP_LINE, LAN4, LAN6, LAN_ZONE
from lab.internet import CA, HQ, RESOLVER, WWW
from lab.namespaces import attempt
from lab.nodes import rcode, records
from lab.world import host_state, own_listeners

INTERNET_NAME = 'www.example'
OWN = {'A': [LAN4], 'AAAA': [LAN6], 'HTTPS': ['1 .'], 'TXT': ['"v=spf1 -all"'], 'MX': ['0 .']}


@pytest.fixture
def name(world):
    return world.box.name


@pytest.fixture
def line_cut(world):
    """The ISP's cable is out during the test; afterwards the Internet is reached again."""
    world.home.cut_line()
    yield
    world.home.mend_line()
    world.wait_for_internet()


# Enrolment and what HQ knows

def test_name_lies_in_the_device_zone(name):
    label, _, zone = name.partition('.')
    assert zone == 'devices.example' and '-' in label


def test_hq_lists_the_device(world, name):
    assert name in json.dumps(world.hq.devices())


def test_status_says_what_is_so(world, name):
    status = world.box.status()
    assert status['name'] == name
    assert LAN4 in json.dumps(status)


def test_one_order_at_the_ca(world):
    assert world.internet.orders() == 1


# Public DNS

def test_public_resolver_answers_the_lan_address(world, name, wait_until):
    found = wait_until(lambda: records(world.laptop.ask(name, 'A', RESOLVER), 'A'), 10, 'the A record in public DNS')
    assert found == [LAN4]


def test_hq_publishes_no_wan_address(world, name):
    answer = world.laptop.ask(name, 'ANY', HQ, tcp=True)
    assert world.home.wan_address() not in answer.to_text()


def test_challenge_is_gone_afterwards(world, name):
    answer = world.laptop.ask(f'_acme-challenge.{name}', 'TXT', HQ)
    assert records(answer, 'TXT') == []


# The certificate and the front

def test_certificate_holds_for_the_name_alone(world, name):
    served = world.box.served_certificate()
    assert served['names'] == [name]
    with pytest.raises(ssl.SSLCertVerificationError):
        world.laptop.tls(LAN4, 'www.example', world.box.root)


def test_front_serves_ipv6_too(world, name):
    with world.laptop.tls(LAN6, name, world.box.root) as tls:
        assert tls.version() in ('TLSv1.2', 'TLSv1.3')


def test_http_is_sent_to_https(world, name):
    status, headers, _ = world.laptop.get(LAN4, name, '/some/page?q=1')
    assert (status, headers['location']) == (301, f'https://{name}/some/page?q=1')


@pytest.mark.parametrize('host', ['www.example', 'evil.devices.example', '192.0.2.1'])
def test_foreign_host_is_misdirected(world, name, host):
    status, headers, _ = world.laptop.get(LAN4, host)
    assert status == 421 and 'location' not in headers
    status, _, _ = world.laptop.get(LAN4, host, port=443, tls_name=name, anchors=world.box.root)
    assert status == 421


def test_page_is_served(world, name):
    status, _, body = world.laptop.get(LAN4, name, port=443, tls_name=name, anchors=world.box.root)
    assert status == 200 and body


def test_page_at_the_address_knows_the_box(world, name):
    """What the agent knows reaches the pages: the certificate, that HQ answers, the addresses that the box has had."""
    status, headers, body = world.laptop.get(LAN4, LAN4, '/.nameplate/status.json')
    told = json.loads(body)
    assert status == 200 and headers['content-type'].startswith('application/json')
    assert told['url'] == f'https://{name}/' and told['online'] is True and told['certificate']['not_after'] > 0
    assert LAN4 in told['addresses'] and any(LAN4 in entry['addresses'] and entry['at'] > 0 for entry in told['history'])


def test_browser_trusts_it(world, name, tmp_path):
    seen = browser.open_url(world.laptop, f'http://{name}/', world.internet.acme_root(), tmp_path / 'seen.png')
    assert seen['url'] == f'https://{name}/' and seen['error'] == ''
    assert seen['security_state'] == 'secure' and seen['is_secure_context'] is True and seen['sandbox'] is True
    assert (tmp_path / 'seen.png').read_bytes().startswith(b'\x89PNG')


def test_browser_without_the_root_does_not(world, name, tmp_path):
    """The check can fail: with another root the same browser refuses."""
    other = (world.internet.anchors).read_text()
    seen = browser.open_url(world.laptop, f'http://{name}/', other, tmp_path / 'seen.png')
    assert seen['error'] == 'net::ERR_CERT_AUTHORITY_INVALID' and seen['is_secure_context'] is False


# DNS in the home

@pytest.mark.parametrize('tcp', [False, True], ids=['udp', 'tcp'])
@pytest.mark.parametrize('server', [LAN4, LAN6])
def test_own_name_every_type(world, name, server, tcp):
    for rdtype, expected in OWN.items():
        answer = world.laptop.ask(name, rdtype, server, tcp=tcp)
        assert (rcode(answer), records(answer, rdtype)) == ('NOERROR', expected), rdtype
    assert len(records(world.laptop.ask(name, 'SOA', server, tcp=tcp), 'SOA')) == 1


def test_unknown_type_is_nodata_with_soa(world, name):
    answer = world.laptop.ask(name, 'SRV', LAN4)
    assert rcode(answer) == 'NOERROR' and not answer.answer and answer.authority


def test_below_the_own_name_is_nothing(world, name):
    answer = world.laptop.ask(f'nothing.{name}', 'A', LAN4)
    assert rcode(answer) == 'NXDOMAIN' and answer.authority


@pytest.mark.parametrize('rdtype', ['A', 'AAAA', 'HTTPS', 'TXT', 'SOA', 'MX'])
def test_internet_name_every_type(world, rdtype):
    through = world.laptop.ask(INTERNET_NAME, rdtype, LAN4)
    direct = world.laptop.ask(INTERNET_NAME, rdtype, RESOLVER)
    assert records(through, rdtype) == records(direct, rdtype) != []


def test_missing_internet_name(world):
    assert rcode(world.laptop.ask('missing.example', 'A', LAN4)) == 'NXDOMAIN'


def test_lan_names_come_from_dhcp(world):
    answer = world.laptop.ask(f'laptop.{LAN_ZONE}', 'A', LAN4)
    assert records(answer, 'A') == [world.home.laptop_address()]


def over_tls(world, asked, rdtype, server, host=None):
    """The records that kdig shows over DNS over TLS, with the certificate checked by the CA's root; None without any."""
    argv = ['kdig', f'@{server}', f'+tls-ca={world.box.root}', f'+tls-host={host or world.box.name}', '+short', '+timeout=3', '+retry=0']
    status, out, err = attempt(*world.laptop.argv(*argv, asked, rdtype))
    return None if status != 0 or 'WARNING' in out + err or 'ERROR' in out + err else out.split()


def box_link_local(world):
    words = world.home.box.ip('-6', '-o', 'address', 'show', 'dev', 'br-lan', 'scope', 'link').split()
    return words[words.index('inet6') + 1].partition('/')[0] + '%eth0'


def test_dns_over_tls(world, name):
    """With the box's own certificate, at every address of the LAN."""
    for server in (LAN4, LAN6, box_link_local(world)):
        assert over_tls(world, name, 'A', server) == [LAN4]
        assert over_tls(world, name, 'AAAA', server) == [LAN6]
        assert over_tls(world, INTERNET_NAME, 'A', server) == records(world.laptop.ask(INTERNET_NAME, 'A', RESOLVER), 'A')
    assert over_tls(world, name, 'A', LAN4, host='box.local') is None  # kdig does look at the name


def test_dnr_names_what_serves(world, name):
    """What `config dnr` prints is where kdig finds it."""
    told = json.loads(world.box.run('config', 'dnr', '--json'))
    assert told['name'] == name and [lan['interface'] for lan in told['interfaces']] == ['br-lan']
    lan = told['interfaces'][0]
    assert sorted(lan['addresses']) == sorted([LAN4, LAN6]) and lan['port'] == 853
    assert bytes.fromhex(lan['dhcpv4_162'].replace(':', ''))[-6:] == b'\0\4\3dot'
    for address in lan['addresses']:
        assert over_tls(world, name, 'A', address) == [LAN4]


# Without the Internet

def test_own_name_without_the_internet(world, name, line_cut):
    test_own_name_every_type(world, name, LAN4, False)
    assert world.box.served_certificate()['names'] == [name]
    assert world.laptop.get(LAN4, name)[0] == 301
    assert over_tls(world, name, 'A', LAN4) == [LAN4]


# The WAN gets nothing

@pytest.mark.parametrize('firewall', [True, False], ids=['firewall', 'no firewall'])
def test_wan_gets_nothing(world, name, firewall):
    """Neither at the WAN address nor at the LAN address by way of the WAN, and not only thanks to the firewall."""
    world.home.firewall(firewall)
    wan = world.home.wan_address()
    world.isp.ip('route', 'replace', '192.168.1.0/24', 'via', wan)
    try:
        for address in (wan, LAN4):
            for port in (80, 443, 853):
                assert not _speaks(world, address, port, name), f'{address} port {port}'
            assert not _answers(world, address, name, tcp=False)
            assert not _answers(world, address, name, tcp=True)
    finally:
        world.isp.ip('route', 'del', '192.168.1.0/24')
        world.home.firewall(True)


def _speaks(world, address, port, name):
    """True when anything comes back on a TCP connection from the ISP's side."""
    try:
        with world.isp.connect(address, port, timeout=0.5, source=ISP_LINE) as sock:
            sock.settimeout(0.5)
            sock.sendall(f'GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n'.encode())
            return sock.recv(1) != b''
    except OSError:
        return False


def _answers(world, address, name, tcp):
    try:
        return bool(world.isp.ask(name, 'A', address, tcp=tcp, timeout=0.5, source=ISP_LINE))
    except (OSError, EOFError):
        return False


def test_lan_is_not_hurt_by_the_same_check(world, name):
    """_speaks and _answers can say yes: the laptop's side."""
    assert world.laptop.reaches(LAN4, 80) and world.laptop.reaches(LAN4, 443)
    assert world.isp.reaches(WWW, 53) and world.isp.reaches(CA, 14000)


# Processes

def test_processes_are_unprivileged(world):
    """One user, and the right to bind low ports in the agent alone."""
    able = 0
    pids = world.box.processes()
    assert len(pids) == 3
    for pid in pids:
        lines = Path(f'/proc/{pid}/status').read_text().splitlines()
        status = dict(line.split(':\t', 1) for line in lines if ':\t' in line)
        assert status['Uid'].split()[0] != '0'
        able += int(status['CapEff'], 16) != 0
        assert int(status['CapEff'], 16) in (0, 1 << 10)
        assert int(status['CapBnd'], 16) & ~(1 << 10) == 0
    assert able <= 1


def test_restart_keeps_name_and_certificate(world, name):
    before, orders = world.box.served_certificate(), world.internet.orders()
    assert len(world.box.kill()) == 3
    assert not world.laptop.reaches(LAN4, 443)
    again = world.box.boot_again()
    assert (again['name'], again['serial']) == (name, before['serial'])
    assert world.internet.orders() == orders


def test_restart_without_the_internet(world, name, line_cut):
    before = world.box.served_certificate()
    world.box.kill()
    again = world.box.boot_again()
    assert (again['name'], again['serial']) == (name, before['serial'])
    assert records(world.laptop.ask(name, 'A', LAN4), 'A') == [LAN4]


@pytest.mark.parametrize('role', ['child-front', 'child-resolver'])
def test_killed_child_comes_back(world, name, role, wait_until):
    pid = next(p for p in world.box.processes() if role in Path(f'/proc/{p}/cmdline').read_text())
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(world.box.processes()) == 3 and pid not in world.box.processes(), 10, f'a new {role}')
    wait_until(world.box.served_certificate, 10, 'served again')
    wait_until(lambda: records(world.laptop.ask(name, 'A', LAN4, timeout=0.3), 'A') == [LAN4], 10, 'answered again')
    wait_until(lambda: over_tls(world, name, 'A', LAN4) == [LAN4], 10, 'answered over TLS again')


def test_stop_in_peace(world, name, wait_until):
    assert world.box.stop() == 0
    wait_until(lambda: not world.box.processes(), 5, 'children ended with the agent')
    assert world.box.boot_again()['name'] == name


# The machine that all this runs on

def test_host_is_unchanged(world):
    assert host_state() == world.host_before
    assert own_listeners() == []
