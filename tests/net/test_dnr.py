"""`nameplate config dnr`: a real dnsmasq gives out what it prints, and clients read it back (RFC 9463)."""
import os
import socket
import struct
from pathlib import Path

import dns.name
import pytest

from lab.namespaces import Namespace, attempt, link
from lab.paths import PREFIX
from lab.waiting import wait_until

NAME = 'nifty-babbage.devices.example'
V4, V6 = '192.168.1.1', 'fd42::1'
DNSMASQ_CONF = """\
port=0
interface=lan
bind-interfaces
dhcp-range=192.168.1.100,192.168.1.199,255.255.255.0,1h
dhcp-range=fd42::,ra-stateless
dhcp-authoritative
no-ping
leasefile-ro
"""
SCRIPT = '#!/bin/sh\n[ "$1" = bound ] && env > "$DUMP"\nexit 0\n'
ALL_SERVERS, CLIENT_PORT, SERVER_PORT = 'ff02::1:2', 546, 547
INFORMATION_REQUEST, REPLY = 11, 7
OPTION_CLIENTID, OPTION_ORO, OPTION_DNR = 1, 6, 144


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, count):
        part, self.data = self.data[:count], self.data[count:]
        assert len(part) == count
        return part

    def number(self, count):
        return int.from_bytes(self.take(count), 'big')


def params(data):
    """SvcParams (RFC 9460): {key: value}, in ascending order."""
    reader, found = Reader(data), {}
    while reader.data:
        key = reader.number(2)
        assert not found or key > max(found)
        found[key] = reader.take(reader.number(2))
    return found


def decode4(data):
    """DHCPv4 option 162: (priority, name, addresses, params) of its one instance."""
    reader = Reader(data)
    instance = Reader(reader.take(reader.number(2)))
    assert not reader.data
    priority, name = instance.number(2), instance.take(instance.number(1))
    addresses = instance.take(instance.number(1))
    return priority, name_of(name), [socket.inet_ntop(socket.AF_INET, addresses[i:i + 4]) for i in range(0, len(addresses), 4)], params(instance.data)


def decode6(data):
    """DHCPv6 option 144."""
    reader = Reader(data)
    priority, name = reader.number(2), reader.take(reader.number(2))
    addresses = reader.take(reader.number(2))
    return priority, name_of(name), [socket.inet_ntop(socket.AF_INET6, addresses[i:i + 16]) for i in range(0, len(addresses), 16)], params(reader.data)


def name_of(wire):
    name, used = dns.name.from_wire(wire, 0)
    assert used == len(wire)
    return name.to_text(omit_final_dot=True)


@pytest.fixture(scope='module')
def lan():
    box, client = (Namespace(f'{PREFIX}dnr-{who}-{os.getpid()}') for who in ('box', 'client'))
    try:
        for namespace in (box, client):
            namespace.delete()
            namespace.create()
        link(box, 'lan', client, 'eth0')
        box.ip('addr', 'add', f'{V4}/24', 'dev', 'lan')
        box.ip('-6', 'addr', 'add', f'{V6}/64', 'dev', 'lan', 'nodad')
        wait_until(lambda: client.ip('-6', '-o', 'addr', 'show', 'dev', 'eth0', 'scope', 'link', '-tentative'), what='a link-local address')
        yield box, client
    finally:
        box.delete()
        client.delete()


def config_dnr(bin_dir, *words):
    status, out, err = attempt(bin_dir / 'nameplate', 'config', 'dnr', *words, '--name', NAME, '--address', V4, '--address', V6)
    assert status == 0, err
    return out


@pytest.fixture
def serve(lan, bin_dir, tmp_path):
    """serve(options): dnsmasq with the lines for them."""
    box, _ = lan
    started = []

    def begin(*options):
        conf = tmp_path / 'dnsmasq.conf'
        conf.write_text(DNSMASQ_CONF + config_dnr(bin_dir, 'dnsmasq', *options))
        started.append(box.spawn('dnsmasq', '-k', '--user=root', '--pid-file=', f'--conf-file={conf}', log=tmp_path / 'dnsmasq.log'))

        def up():
            assert started[0].poll() is None, (tmp_path / 'dnsmasq.log').read_text()
            return ':67 ' in box.run('ss', '-Hlun') and ':547 ' in box.run('ss', '-Hlun')
        wait_until(up, what='dnsmasq serves DHCP')
    yield begin
    for process in started:
        process.terminate()
        process.wait(10)


def lease4(client, folder):
    """What udhcpc was given as option 162."""
    script, dump = folder / 'script', folder / 'dump'
    script.write_text(SCRIPT)
    script.chmod(0o755)
    client.run('udhcpc', '-f', '-q', '-n', '-i', 'eth0', '-s', script, '-O', '162', '-t', '10', '-T', '1', env={**os.environ, 'DUMP': str(dump)})
    words = dict(line.split('=', 1) for line in Path(dump).read_text().splitlines() if '=' in line)
    return bytes.fromhex(words['opt162'])


def information6(client):
    """DHCPv6 option 144 by an Information-request."""
    duid = struct.pack('!HH', 3, 1) + b'\2\0\0\0\0\1'
    with client.inside():
        index = socket.if_nametoindex('eth0')
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.bind(('::', CLIENT_PORT))
    sock.settimeout(1)
    with sock:
        transaction = os.urandom(3)
        request = bytes([INFORMATION_REQUEST]) + transaction + struct.pack('!HH', OPTION_CLIENTID, len(duid)) + duid
        request += struct.pack('!HHH', OPTION_ORO, 2, OPTION_DNR)

        def answer():
            sock.sendto(request, (ALL_SERVERS, SERVER_PORT, 0, index))
            reply = sock.recv(4096)
            return reply if reply[0] == REPLY and reply[1:4] == transaction else None
        reader = Reader(wait_until(answer, 15, 'a reply to the Information-request')[4:])
    while reader.data:
        code, value = reader.number(2), reader.take(reader.number(2))
        if code == OPTION_DNR:
            return value
    raise AssertionError('no option 144')


@pytest.mark.parametrize('options, wanted', [((), {1: b'\3dot'}), (('--port', '8853'), {1: b'\3dot', 3: struct.pack('!H', 8853)})],
                         ids=['853', 'another port'])
def test_dnsmasq_gives_it_out(lan, serve, tmp_path, options, wanted):
    _, client = lan
    serve(*options)
    assert decode4(lease4(client, tmp_path)) == (1, NAME, [V4], wanted)
    assert decode6(information6(client)) == (1, NAME, [V6], wanted)


def test_what_is_printed(bin_dir):
    """The pieces of the long form are those of the short ones; standard output alone is good for a file."""
    everything, dnsmasq, odhcpd = config_dnr(bin_dir), config_dnr(bin_dir, 'dnsmasq'), config_dnr(bin_dir, 'odhcpd')
    assert all(line in everything for line in dnsmasq.splitlines() + odhcpd.splitlines())
    assert all(line.startswith('dhcp-option=') for line in dnsmasq.splitlines()) and len(dnsmasq.splitlines()) == 2
    assert f"uci add_list dhcp.lan.dnr='1 {NAME} {V4},{V6} alpn=dot'" in odhcpd


@pytest.mark.parametrize('words, says', [
    (['--name', NAME], 'go together'),
    (['--address', V4], 'go together'),
    (['--name', 'not a name', '--address', V4], 'is not a host name'),
    (['--name', NAME, '--address', 'fe80::1'], 'is no address for'),
    (['--name', NAME, '--address', '127.0.0.1'], 'is no address for'),
    (['--name', NAME, '--address', V4, '--port', '0'], 'is no port'),
    (['dnsmask', '--name', NAME, '--address', V4], "did you mean 'dnsmasq'?"),
    (['dnsmasq', 'odhcpd'], 'unexpected'),
])
def test_errors(bin_dir, words, says):
    status, out, err = attempt(bin_dir / 'nameplate', 'config', 'dnr', *words)
    assert status == 2 and out == '' and says in err
