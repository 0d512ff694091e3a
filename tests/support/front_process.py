"""Drives a real `nameplate child-front` or `child-resolver` as the agent does: frames and listening sockets over a SOCK_SEQPACKET
pair whose other end is the child's descriptor 3. And a small CA, for certificates that the front serves."""
import base64
import datetime
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME = 'nifty-babbage.devices.example'
FRAME_MAX = 128 * 1024 + 4

# Puts the channel at descriptor 3 and becomes the program: what the agent does between fork and exec.
LAUNCH = 'import os, sys; os.dup2(int(sys.argv[1]), 3); os.closerange(4, 256); os.execv(sys.argv[2], sys.argv[2:])'


class Ca:
    """A root that signs leaves for the front."""

    def __init__(self, common_name='Test Home CA'):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        self.certificate = self._sign(self.name, self.key.public_key(), [(x509.BasicConstraints(ca=True, path_length=None), True)])

    def _sign(self, subject, public_key, extensions, days=45):
        now = datetime.datetime.utcnow()
        begin = now - datetime.timedelta(hours=1) if days > 0 else now + datetime.timedelta(days=days - 1)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public_key)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begin)
        builder = builder.not_valid_after(now + datetime.timedelta(days=days))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def root_pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def certificate_frame(self, *names, subject='', days=45):
        """The JSON of a CERT frame, and the leaf's serial number. subject: its common name, none being what CAs give today.
        days: that it is valid; less than 0: it ended so many days ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        san = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        common_name = [x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else []
        leaf = self._sign(x509.Name(common_name), key.public_key(), [(san, True), (usage, False)], days)
        der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
        chain = leaf.public_bytes(serialization.Encoding.PEM).decode() + self.root_pem()
        frame = {'names': list(names), 'chain': chain, 'key': base64.urlsafe_b64encode(der).rstrip(b'=').decode()}
        return frame, leaf.serial_number


def listening(address, port=0):
    """A listening TCP socket, as the agent opens them."""
    sock = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4])  # with its scope
    sock.listen(512)
    sock.setblocking(False)
    return sock


def view(*, name=NAME, https=True, interfaces=None, **more):
    """A VIEW frame's JSON; the home's LAN is given for the page to show."""
    lan = [{'index': 7, 'name': 'br-lan', 'lan': True, 'v4': ['192.168.1.1/24'], 'v6': ['fd42::1/64', 'fe80::1/64']}]
    own = [{'name': name, 'wildcard': False, 'https': https}] if name else []
    return {'version': 1, 'role': 'router', 'own': own, 'interfaces': lan if interfaces is None else interfaces, **more}


class Child:
    """One child process of the agent, and its channel. Started in the network namespace that the caller is in. prefix: words
    before the program (taskset and the like)."""

    def __init__(self, program, role, log=None, prefix=(), level='debug'):
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in self.channel, theirs:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * FRAME_MAX)
        theirs.setblocking(False)
        fd = os.dup(theirs.fileno())
        if fd == 3:  # dup2 onto itself would leave it close-on-exec
            fd = os.dup(theirs.fileno())
        theirs.close()
        # LeakSanitizer cannot look into a sandboxed process.
        environment = {**os.environ, 'NP_LOG_LEVEL': level, 'ASAN_OPTIONS': 'detect_leaks=0'}
        out = open(log, 'ab') if log else None
        self.process = subprocess.Popen([*prefix, sys.executable, '-c', LAUNCH, str(fd), str(program), role], pass_fds=(fd,),
                                        stdin=subprocess.DEVNULL, stderr=out, env=environment)
        if out:
            out.close()
        os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, kind, payload=None, fds=()):
        data = kind.encode() + (json.dumps(payload).encode() if payload is not None else b'')
        if fds:
            socket.send_fds(self.channel, [data], list(fds))
        else:
            self.channel.send(data)

    def receive(self, deadline=10.0):
        """The next frame: (type, JSON or None)."""
        self.channel.settimeout(deadline)
        data = self.channel.recv(FRAME_MAX)
        return data[:4].decode(), json.loads(data[4:]) if data[4:] else None

    def stats(self):
        self.send('STAT')
        kind, counters = self.receive()
        assert kind == 'STAT'
        return counters

    def element(self, kind, sock):
        address, port = sock.getsockname()[:2]
        return {'address': address.partition('%')[0], 'port': port, 'kind': kind, 'ifindex': self.ifindex(sock)}

    def ifindex(self, sock):
        """The scope of a link-local address; else it does not matter."""
        name = sock.getsockname()
        return name[3] if len(name) > 3 and name[3] else 1

    def listen(self, kind, sock):
        self.send('LSTN', [self.element(kind, sock)], [sock.fileno()])

    def close(self):
        """Ends it as the agent does: by the channel. Returns the exit code."""
        self.channel.close()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        self.channel.close()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


def join(front, resolver):
    """A new stream channel between the two, as the agent makes one after every start."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for child, end in zip((front, resolver), pair):
        end.setblocking(False)
        child.send('PEER', fds=[end.fileno()])
        end.close()


class Front(Child):
    """The front, with its http and https ports."""

    def __init__(self, program, address='127.0.0.1', sockets=None):
        super().__init__(program, 'child-front')
        self.http, self.https = sockets or (listening(address), listening(address))
        self.address = address
        self.http_port = self.http.getsockname()[1]
        self.https_port = self.https.getsockname()[1]
        self.listen('http', self.http)
        self.listen('https', self.https)

    def start(self, **of_view):
        """Sends the view and waits for REDY."""
        self.send('VIEW', view(**of_view))
        assert self.receive() == ('REDY', None)

    def configure(self, **settings):
        """Sends settings: backend, backends, proxy, address_access, handshakes."""
        self.send('CONF', {key.replace('_', '-'): value for key, value in settings.items()})
        self.stats()

    def connect(self, port, source=None, timeout=10.0):
        return socket.create_connection((self.address, port), timeout, source_address=(source, 0) if source else None)

    def connect_tls(self, ca, name=NAME, source=None, context=None, **kwargs):
        """A checked TLS connection."""
        context = context or client_context(ca)
        return context.wrap_socket(self.connect(self.https_port, source), server_hostname=name, **kwargs)

    def close(self):
        self.http.close()
        self.https.close()
        return super().close()


def client_context(ca):
    return ssl.create_default_context(cadata=ca.root_pem())


def exchange(sock, request):
    """Sends, and reads until the end: the whole answer as (status, {header: value}, body)."""
    if request:
        sock.sendall(request)
    data = b''
    while chunk := sock.recv(65536):
        data += chunk
    return parse(data)


def parse(data):
    head, _, body = data.partition(b'\r\n\r\n')
    first, *lines = head.decode('latin-1').split('\r\n')
    headers = {}
    for line in lines:
        field, _, value = line.partition(':')
        headers[field.strip().lower()] = value.strip()
    return int(first.split()[1]), headers, body.decode()


def request(host, target='/', method='GET', *more, version='HTTP/1.1', close=True):
    lines = [f'{method} {target} {version}', *([f'Host: {host}'] if host is not None else []), *(['Connection: close'] if close else []), *more]
    return '\r\n'.join([*lines, '', '']).encode()


def reset_on_close(sock):
    """Closing it sends RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))


def get(front, host, target='/', method='GET', *more, **kwargs):
    with front.connect(front.http_port) as sock:
        return exchange(sock, request(host, target, method, *more, **kwargs))


def get_tls(front, ca, host=NAME, target='/', method='GET', *more):
    with front.connect_tls(ca) as sock:
        return exchange(sock, request(host, target, method, *more))


def is_closed(sock):
    """Has the peer closed, without a word?"""
    try:
        return sock.recv(1) == b''
    except ConnectionResetError:
        return True
