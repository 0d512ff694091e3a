"""An HQ that can be told to do what the real one never does, and the name server that leads to it; for a real agent in a
network namespace. It speaks protocol v1 as docs/protocol.md has it, as far as a device needs it, and judges nothing."""
import datetime
import json
import os
import socket
import ssl
import tempfile
import threading
import time
import types
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dns.message
import dns.rrset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

import contract
from hqclient import b64, unb64

ZONE = 'devices.example'
HOST = f'hq.{ZONE}'
NAME = f'nifty-babbage.{ZONE}'
HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)


def pem(*certificates):
    return ''.join(one.public_bytes(serialization.Encoding.PEM).decode() for one in certificates)


class Ca:
    """A CA: a key and its certificate, signed by itself or by another CA."""

    def __init__(self, name, parent=None, begin=-DAY * 365, end=DAY * 365):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = parent or self
        self.certificate = signer._sign(self.name, self.key.public_key(), begin, end,
                                        x509.BasicConstraints(ca=True, path_length=None))

    def _sign(self, subject, public_key, begin, end, *extensions):
        now = datetime.datetime.utcnow()
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public_key)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now + begin).not_valid_after(now + end)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, public_key, *names, begin=-HOUR, end=DAY * 45):
        """A leaf for these names."""
        return self._sign(x509.Name([]), public_key, begin, end, x509.BasicConstraints(ca=False, path_length=None),
                          x509.SubjectAlternativeName([x509.DNSName(name) for name in names]))


class FakeHq:
    """Answers on a port of an address; what it is asked is in `seen`.

    `answers` replaces the answer to a step ('nonce', 'enrol', 'csr', 'package', 'addresses', 'checkin', 'session', 'leave', 'time'; '*' for
    all of them): (status, headers, JSON value or bytes), bytes that are sent as they are before the connection is closed, a
    generator of such bytes, or a function that returns one of them. `package` makes the chain from the key that the device's CSR had."""

    def __init__(self, address):
        self.root, self.public_root = Ca('Vendor CA'), Ca('Public Root')
        self.public_ca = Ca('Public CA', self.public_root)
        self.answers, self.seen = {}, []
        self.key = None  # of the newest CSR
        self.time_key, self.ahead = ec.generate_private_key(ec.SECP256R1()), DAY * 0  # what it signs the time with; how wrong that is
        self.packages = 0
        self.seq = 0
        self.token = os.urandom(32)
        self.package = self.usual = self.good_chain
        self.names = {HOST: address}  # what its name server knows: A records
        self.present()
        self.server = _Server((address, 443), self)
        self.resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.resolver.bind((address, 53))
        self.address = address
        for target in (self.server.serve_forever, self._answer_dns):
            threading.Thread(target=target, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.resolver.close()

    def present(self, ca=None, *names, **dates):
        """From now on this certificate is shown: of another CA, for other names, with other dates."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = (ca or self.root).issue(key.public_key(), *(names or (HOST,)), **dates)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0
        with tempfile.NamedTemporaryFile('w') as file:
            file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption()).decode() + pem(leaf))
            file.flush()
            context.load_cert_chain(file.name)
        self.context = context

    def behave(self):
        """Good again in every way, with the usual package."""
        self.answers = {}
        self.package = self.usual
        self.present()

    # Packages

    def leaf(self, *names, key=None, ca=None, **dates):
        return (ca or self.public_ca).issue(key or self.key, *(names or (NAME,)), **dates)

    def good_chain(self):
        return pem(self.leaf(), self.public_ca.certificate)

    def old_chain(self):
        """Valid, but in the last quarter of its life: the device looks for a newer one when it starts."""
        return pem(self.leaf(begin=-DAY * 80, end=DAY * 10), self.public_ca.certificate)

    # Answers

    def answer(self, step, body):
        self.seen.append(step)
        given = self.answers.get(step, self.answers.get('*', getattr(self, f'_{step}')))
        return given(body) if callable(given) else given

    def _nonce(self, _body):
        return 204, {}, b''

    def _enrol(self, _body):
        return 201, {}, {'device': 'A' * 22, 'name': NAME, 'san': [NAME], 'ttl': 60, 'seq': self.seq, 'seed': b64(os.urandom(32)),
                         'nameservers': [f'ns1.{ZONE}'], 'grant': 'e30.e30.AAAA',
                         'intervals': {'poll': 1, 'checkin': 86400, 'boot_jitter': 600}}

    def _csr(self, body):
        request = x509.load_der_x509_csr(unb64(json.loads(unb64(json.loads(body)['payload']))['csr']))
        assert request.is_signature_valid
        self.key = request.public_key()
        return 202, {'Retry-After': '1'}, {'order': 'o1', 'eta': 0, 'position': 0}

    def _package(self, _body):
        self.packages += 1
        return 200, {'ETag': f'"{self.packages}"'}, {'chain': self.package(), 'auth_token': b64(self.token), 'n': 1}

    def _addresses(self, body):
        stated = json.loads(body)
        self.seq = stated['seq']
        return 200, {}, {'seq': self.seq, 'serial': 1, 'published': {'v4': stated['v4'], 'v6': stated['v6']}, 'rejected': []}

    def _checkin(self, _body):
        return 200, {}, {'certificate': 'fetch', 'seq': self.seq, 'next': 86400,
                         'intervals': {'poll': 1, 'checkin': 86400, 'boot_jitter': 600}}

    def _session(self, _body):
        return 200, {}, {'device': 'A' * 22, 'name': NAME, 'auth_token': b64(self.token), 'n': 1, 'seq': self.seq}

    def _time(self, body):
        def part(value):
            return b64(json.dumps(value).encode())
        told = int(time.time() + self.ahead.total_seconds())
        text = f'{part({"alg": "ES256", "typ": "nameplate-time+jwt"})}.{part({"nonce": json.loads(body)["nonce"], "iat": told})}'
        r, s = decode_dss_signature(self.time_key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return 200, {}, {'signed': f'{text}.{b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))}'}

    def time_pem(self):
        """What a device knows that key by, beside its anchors."""
        return self.time_key.public_key().public_bytes(serialization.Encoding.PEM,
                                                       serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    def _leave(self, _body):
        return 204, {}, b''

    def _answer_dns(self):
        """The name server: `names`, HQ's host among them, and nothing else."""
        with suppress(OSError):
            while True:
                packet, peer = self.resolver.recvfrom(4096)
                query = dns.message.from_wire(packet)
                answer = dns.message.make_response(query, recursion_available=True)
                question = query.question[0]
                known = self.names.get(question.name.to_text(omit_final_dot=True).lower())
                if known and question.rdtype == 1:
                    answer.answer.append(dns.rrset.from_text(question.name, 5, 'IN', 'A', known))
                self.resolver.sendto(answer.to_wire(), peer)


STEPS = {'nonce': 'nonce', 'devices': 'enrol', 'session': 'session'}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def setup(self):
        self.request = self.server.hq.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self):
        super().finish()
        with suppress(OSError):
            self.request.settimeout(1)
            self.request.unwrap()
        self.request.close()  # the server knows only the socket that was wrapped

    def _respond(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        contract.saw_request(self.command, self.path, self.headers, body)
        last = self.path.rpartition('/')[2]
        given = self.server.hq.answer(STEPS.get(last, last), body)
        if isinstance(given, (bytes, types.GeneratorType)):
            self.close_connection = True
            for chunk in [given] if isinstance(given, bytes) else given:
                self.wfile.write(chunk)
            return
        status, headers, value = given
        text = value if isinstance(value, bytes) else json.dumps(value | {'time': int(time.time())}).encode()
        self.send_response(status)
        for name, content in {'Replay-Nonce': b64(os.urandom(32)), 'Cache-Control': 'no-store', 'Content-Type': 'application/json',
                              'Content-Length': str(len(text)), **headers}.items():
            self.send_header(name, content)
        self.end_headers()
        self.wfile.write(text if self.command != 'HEAD' else b'')

    do_GET = do_HEAD = do_POST = do_PUT = _respond

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address, hq, handler=_Handler):
        self.hq = hq
        super().__init__(address, handler)

    def handle_error(self, request, client_address):
        """A device that refuses the certificate ends the handshake: that is no news."""
