"""A device as docs/protocol.md describes it, in Python: the second opinion on protocol v1. Nothing of nameplate's own C."""
import base64
import hashlib
import hmac
import http.client
import json
import os
import socket
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

import contract


def b64(data):
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


def raw_signature(key, data):
    """ES256 (RFC 7518 section 3.4): r||s."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, 'big') + s.to_bytes(32, 'big')


class Answer:
    """Status, headers and JSON of one answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        self.json = json.loads(self.body) if self.body else None

    @property
    def problem(self):
        """The problem's word, or None."""
        kind = (self.json or {}).get('type', '')
        return kind.removeprefix('urn:nameplate:problem:') or None


class Client:
    """A kept-alive HTTPS connection to HQ at an address, whatever its name resolves to."""

    def __init__(self, url, anchors, address):
        self.url = url
        host = url.removeprefix('https://').split(':')[0]
        context = ssl.create_default_context(cafile=str(anchors))
        self.connection = http.client.HTTPSConnection(host, address[1], context=context, timeout=10)
        self.connection._create_connection = lambda _address, timeout, source: socket.create_connection(address, timeout)
        self.nonce = None

    def request(self, method, path, body=None, **headers):
        headers = {name.replace('_', '-'): value for name, value in headers.items()}
        self.connection.request(method, path, body=body, headers=headers)
        answer = Answer(self.connection.getresponse())
        contract.saw_answer(method, path, headers.get('Content-Type'), body, answer)
        self.nonce = answer.headers['Replay-Nonce']
        return answer

    def fresh_nonce(self):
        if not self.nonce:
            self.request('HEAD', '/v1/nonce')
        return self.nonce

    def close(self):
        self.connection.close()


class Device:
    """Identity, epoch and tokens, and the requests that a box makes."""

    def __init__(self, client, serial=None, secret=None, code=None, factory=None):
        self.client = client
        self.serial, self.secret, self.code = serial, secret, code
        self.factory = factory  # (key, chain), as the factory makes them
        self.identity = ec.generate_private_key(ec.SECP256R1())
        self.epoch, self.token = os.urandom(16), os.urandom(32)
        self.id = self.name = None

    def jwk(self):
        numbers = self.identity.public_key().public_numbers()
        return {'crv': 'P-256', 'kty': 'EC', 'x': b64(numbers.x.to_bytes(32, 'big')),
                'y': b64(numbers.y.to_bytes(32, 'big'))}

    def thumbprint(self):
        """RFC 7638: members in order, no white space."""
        return hashlib.sha256(json.dumps(self.jwk(), separators=(',', ':'), sort_keys=True).encode()).digest()

    def sign(self, path, payload, key=None, **changes):
        """A flattened JWS over payload; changes replace members of the protected header."""
        header = {'alg': 'ES256', 'nonce': self.client.fresh_nonce(), 'url': self.client.url + path}
        header |= {'kid': self.id} if self.id else {'jwk': self.jwk()}
        header |= changes
        header = {name: value for name, value in header.items() if value is not None}
        protected, body = b64(json.dumps(header).encode()), b64(json.dumps(payload).encode())
        signature = b64(raw_signature(key or self.identity, f'{protected}.{body}'.encode()))
        return json.dumps({'protected': protected, 'payload': body, 'signature': signature})

    def post(self, path, payload, **changes):
        return self.client.request('POST', path, self.sign(path, payload, **changes),
                                   Content_Type='application/jose+json')

    def credential(self, nonce, url):
        covered = b'nameplate enrol v1\0' + self.thumbprint() + nonce.encode() + b'\0' + url.encode()
        if self.code:
            return {'type': 'claim-code', 'code': self.code}
        if self.factory:
            key, chain = self.factory
            return {'type': 'factory-certificate', 'signature': b64(raw_signature(key, covered)),
                    'chain': [b64(certificate.public_bytes(serialization.Encoding.DER)) for certificate in chain]}
        if not self.secret:
            return {'type': 'open'}
        return {'type': 'factory-secret', 'serial': self.serial,
                'mac': b64(hmac.new(self.secret, covered, hashlib.sha256).digest())}

    def enrol(self, v4=('192.168.1.10',), v6=(), publish='public', **members):
        self.id = None
        nonce = self.client.fresh_nonce()
        payload = {'epoch': b64(self.epoch), 'token': b64(self.token),
                   'credential': self.credential(nonce, self.client.url + '/v1/devices'),
                   'addresses': {'v4': list(v4), 'v6': list(v6)}, 'model': 'test', 'version': '0.1.0',
                   'publish': publish} | members
        answer = self.post('/v1/devices', payload)
        if answer.status in (200, 201):
            self.id, self.name = answer.json['device'], answer.json['name']
        return answer

    def csr(self, names=None, key=None):
        """DER of a PKCS#10 request."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(name) for name in names or [self.name]]
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        request = request.add_extension(x509.SubjectAlternativeName(names), critical=True)
        return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def post_csr(self, der):
        return self.post(f'/v1/devices/{self.id}/csr', {'csr': b64(der)})

    def package(self, token=None, **headers):
        return self.client.request('GET', f'/v1/devices/{self.id}/package', Authorization=self.bearer(token), **headers)

    def put_addresses(self, seq, v4=(), v6=(), token=None, **members):
        body = json.dumps({'seq': seq, 'v4': list(v4), 'v6': list(v6)} | members)
        return self.client.request('PUT', f'/v1/devices/{self.id}/addresses', body, Content_Type='application/json',
                                   Authorization=self.bearer(token))

    def session(self, **changes):
        return self.post('/v1/session', {}, **changes)

    def leave(self, reason='reset'):
        return self.post(f'/v1/devices/{self.id}/leave', {'reason': reason})

    def bearer(self, token=None):
        return 'Bearer ' + b64(token or self.token)


def common_name_csr(key, name):
    """A CSR with a CN and no SAN: as some old tools make it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)
