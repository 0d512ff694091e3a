"""A vendor's factory: its root, a production line's CA, and boxes' certificates below that."""
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FOREVER = datetime.datetime(9999, 12, 31, 23, 59, 59)  # RFC 5280 section 4.1.2.5: no end is meant


def pem(*certificates):
    return b''.join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates).decode()


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def now():
    return datetime.datetime.utcnow()


class Factory:
    def __init__(self):
        self.root_key, self.line_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = self.sign('Vendor Root', self.root_key.public_key(), 'Vendor Root', self.root_key, ca=True)
        self.line = self.sign('Line 7', self.line_key.public_key(), 'Vendor Root', self.root_key, ca=True)

    @staticmethod
    def sign(subject, key, issuer, signer, ca=False, serial=None, until=FOREVER):
        names = [x509.NameAttribute(NameOID.COMMON_NAME, subject)]
        if serial:
            names.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial))
        builder = x509.CertificateBuilder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]), x509.Name(names), key, x509.random_serial_number(),
            now() - datetime.timedelta(days=3650), until)
        return builder.add_extension(x509.BasicConstraints(ca, None), critical=True).sign(signer, hashes.SHA256())

    def box(self, serial, until=FOREVER):
        """A box's key and its chain, leaf first, without the root."""
        key = ec.generate_private_key(ec.SECP256R1())
        return key, [self.sign(serial, key.public_key(), 'Line 7', self.line_key, serial=serial, until=until), self.line]
