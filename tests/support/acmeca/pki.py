"""The chains: an ECDSA root, a second root that cross-signs the same intermediate, leaves with or without a CN."""
import datetime
import hashlib
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


class Authority:
    """A root's or an intermediate's key and name."""

    def __init__(self, name):
        self.name = name
        self.key = ec.generate_private_key(ec.SECP256R1())

    def certify(self, subject, public, path_length):
        """A CA certificate for another authority (or itself)."""
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(name_of(subject)).issuer_name(name_of(self.name)).public_key(public)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + 3650 * DAY)
                   .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
                   .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False))
        return builder.sign(self.key, hashes.SHA256())


class Pki:
    """chains: the ends of the chains on offer, the default one first, each a list of certificates above the leaf."""

    def __init__(self, label):
        roots = [Authority(f'{label} Root X1'), Authority(f'{label} Root X2')]
        self.issuing = Authority(f'{label} Intermediate E1')
        self.roots = [root.certify(root.name, root.key.public_key(), None) for root in roots]
        self.chains = [[root.certify(self.issuing.name, self.issuing.key.public_key(), 0)] for root in roots]

    def issue(self, csr, names, life_s, common_name):
        """A leaf. Without a CN the subject is empty and the SAN critical (RFC 5280 section 4.2.1.6)."""
        now = datetime.datetime.utcnow().replace(microsecond=0)
        subject = name_of(names[0]) if common_name else x509.Name([])
        # The first byte of some serials has its high bit set, so that DER puts a zero byte before it: ARI's id shows it.
        serial = int.from_bytes(bytes([os.urandom(1)[0] | 1]) + os.urandom(15), 'big')
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(name_of(self.issuing.name)).public_key(csr.public_key())
                   .serial_number(serial).not_valid_before(now).not_valid_after(now + datetime.timedelta(seconds=life_s - 1))
                   .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                   .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True)
                   .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.issuing.key.public_key()), critical=False)
                   .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=not common_name))
        return builder.sign(self.issuing.key, hashes.SHA256())

    def key_identifier(self):
        return x509.SubjectKeyIdentifier.from_public_key(self.issuing.key.public_key()).digest


def der_serial(certificate):
    """The serial number's DER content bytes, as ARI's certificate id has them (RFC 9773 section 4.1)."""
    number = certificate.serial_number
    return number.to_bytes(number.bit_length() // 8 + 1, 'big')


def fingerprint(certificate):
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
