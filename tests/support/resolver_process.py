"""`nameplate resolver` as a process on loopback, and a view to give it."""
import json
import socket
import struct
import subprocess

import dns.edns
import dns.message
import dns.query

from lab.waiting import wait_until
from ports import free_port

NAME = 'nifty-babbage.devices.example.'
VIEW = {
    'version': 1, 'role': 'router', 'zone': 'devices.example', 'ttl': 10, 'serial': 17,
    'own': [{'name': NAME.rstrip('.'), 'wildcard': False, 'https': True}],
    'interfaces': [{'index': 4000, 'name': 'br-lan', 'lan': True, 'v4': ['192.168.1.1/24'], 'v6': ['fd42::1/64', 'fe80::1/64']}],
    'primary': {'v4': ['192.168.1.1'], 'v6': ['fd42::1']},
}
OFFLINE_S = 2.0  # DESIGN, "The resolver's rules" 8


class Resolver:
    """One running `nameplate resolver`."""

    def __init__(self, program, folder, view, upstreams=(), listen=('127.0.0.1',), prefix=(), options=(), port=None):
        self.port = port or free_port()
        self.view_path = folder / f'view-{self.port}.json'
        self.view_path.write_text(json.dumps(view))
        argv = [*prefix, str(program), 'resolver', '--view', str(self.view_path), '--port', str(self.port)]
        for address in listen:
            argv += ['--listen', address]
        for upstream in upstreams:
            argv += ['--upstream', upstream]
        argv += options
        self.log_path = folder / f'log-{self.port}'
        with open(self.log_path, 'w') as log:
            self.process = subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(lambda: self.log().count('(TCP)') >= len(listen) or self.process.poll() is not None, what='listening')
        assert self.process.poll() is None, self.log()

    def log(self):
        return self.log_path.read_text()

    def ask(self, name, rdtype='A', tcp=False, timeout=5.0, where='127.0.0.1', **options):
        query = dns.message.make_query(name, rdtype, **options)
        send = dns.query.tcp if tcp else dns.query.udp
        return send(query, where, port=self.port, timeout=timeout)

    def raw(self, packet, timeout=5.0):
        """The answer to raw bytes over UDP, None when there is none."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout)
            sock.sendto(packet, ('127.0.0.1', self.port))
            try:
                return sock.recv(65535)
            except TimeoutError:
                return None

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.wait(10) == 0, self.log()


def edes(message):
    return [int(option.code) for option in message.options if isinstance(option, dns.edns.EDEOption)]


def texts(rrsets):
    return sorted(' '.join(line.split()) for rrset in rrsets for line in rrset.to_text().splitlines())


def read_messages(sock, count):
    """count messages from a stream, one by one."""
    stream = sock.makefile('rb')
    for _ in range(count):
        yield dns.message.from_wire(stream.read(struct.unpack('>H', stream.read(2))[0]))


def frame(query):
    """The query as it goes over TCP."""
    wire = query.to_wire()
    return struct.pack('>H', len(wire)) + wire


def index_of(namespace, link):
    """The kernel's number of an interface."""
    return json.loads(namespace.run('ip', '-j', 'link', 'show', link))[0]['ifindex']
