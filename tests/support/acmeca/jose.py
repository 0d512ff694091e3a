"""What an ACME server has to do with JOSE: base64url, JWK thumbprints, flattened JWS with ES256 and HS256 (RFC 7515, 7638)."""
import base64
import hashlib
import hmac
import json
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

ALPHABET = re.compile(r'[A-Za-z0-9_-]*')


class Refused(Exception):
    """An ACME problem: its type without the URN, an HTTP status, a detail, and headers."""

    def __init__(self, kind, detail, status=400, headers=()):
        super().__init__(detail)
        self.kind, self.detail, self.status, self.headers = kind, detail, status, dict(headers)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def unb64(text):
    if not isinstance(text, str) or not ALPHABET.fullmatch(text):
        raise Refused('malformed', 'not base64url')
    return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


def thumbprint(jwk):
    canonical = json.dumps({name: jwk[name] for name in ('crv', 'kty', 'x', 'y')}, separators=(',', ':'), sort_keys=True)
    return b64(hashlib.sha256(canonical.encode()).digest())


def public_key(jwk):
    if not isinstance(jwk, dict) or jwk.get('kty') != 'EC' or jwk.get('crv') != 'P-256':
        raise Refused('badPublicKey', 'only P-256 keys')
    try:
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(unb64(jwk['x']), 'big'), int.from_bytes(unb64(jwk['y']), 'big'),
                                                ec.SECP256R1())
        return numbers.public_key()
    except (KeyError, ValueError) as error:
        raise Refused('badPublicKey', f'no point on the curve: {error}') from error


class Jws:
    """A flattened JWS, read but not yet verified."""

    def __init__(self, body):
        try:
            message = body if isinstance(body, dict) else json.loads(body)
            self.protected64, self.payload64 = message['protected'], message['payload']
            self.header = json.loads(unb64(self.protected64))
            self.raw_payload = unb64(self.payload64)
            self.signature = unb64(message['signature'])
        except (ValueError, KeyError, TypeError) as error:
            raise Refused('malformed', f'not a flattened JWS: {error}') from error

    @property
    def payload(self):
        """The payload as JSON; None for POST-as-GET."""
        if not self.raw_payload:
            return None
        try:
            return json.loads(self.raw_payload)
        except ValueError as error:
            raise Refused('malformed', 'the payload is not JSON') from error

    @property
    def signed(self):
        return f'{self.protected64}.{self.payload64}'.encode()

    def verify(self, jwk):
        if self.header.get('alg') != 'ES256' or len(self.signature) != 64:
            raise Refused('badSignatureAlgorithm', 'only ES256')
        r, s = (int.from_bytes(half, 'big') for half in (self.signature[:32], self.signature[32:]))
        try:
            public_key(jwk).verify(encode_dss_signature(r, s), self.signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise Refused('unauthorized', 'the signature does not verify', 401) from error

    def verify_mac(self, key):
        if self.header.get('alg') != 'HS256':
            raise Refused('badSignatureAlgorithm', 'the external account binding is not HS256')
        if not hmac.compare_digest(hmac.new(key, self.signed, hashlib.sha256).digest(), self.signature):
            raise Refused('unauthorized', 'the external account binding does not verify', 401)
