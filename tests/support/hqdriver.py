"""hq_driver as the tests use it: its configuration, its events, its end, and the Pebble that it orders from."""
import contextlib
import datetime
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.waiting import wait_until
from ports import free_port

ZONE = 'devices.example'


class Driver:
    """One hq_driver: start, say, wait for lines, kill, start again on the same database."""

    def __init__(self, bin_dir, folder, dns_port, **settings):
        self.program = bin_dir / 'hq_driver'
        self.folder = Path(folder)
        self.dns_port = dns_port
        self.config = self.folder / 'hq.conf'
        (self.folder / 'secrets').mkdir(exist_ok=True)
        values = {
            'zone': ZONE, 'url': f'https://hq.{ZONE}', 'nameservers': [f'ns1.{ZONE}=127.0.0.1:{dns_port}'],
            'dns-listen': [f'127.0.0.1:{dns_port}'], 'dns-rate-limit': 0, 'hq-address': ['198.51.100.10', '2001:db8:1::10'],
            'caa': ['ca.example'], 'acme-directory': 'https://localhost/dir', 'acme-terms-agreed': True,
            'probe-private': ['192.168.0.1', 'fd00::1'], 'probe-public': ['192.0.2.1'],
            'database': self.folder / 'hq.db', 'secrets': self.folder / 'secrets', **settings,
        }
        self.config.write_text(''.join(f'{key} = {self._value(value)}\n' for key, value in values.items()))
        self.process = None
        self.lines = []
        self.log_path = self.folder / 'hq.log'

    @staticmethod
    def _value(value):
        if isinstance(value, list):
            return '{' + ', '.join(f'"{v}"' for v in value) + '}'
        return str(value).lower() if isinstance(value, (bool, int)) else f'"{value}"'

    def start(self):
        self.lines = []
        with self.log_path.open('ab') as log:
            self.process = subprocess.Popen([self.program, self.config], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=log, text=True, bufsize=1)
        threading.Thread(target=self._read, args=(self.process, self.lines), daemon=True).start()
        self.wait_line('zone ready')
        return self

    @staticmethod
    def _read(process, lines):
        for line in process.stdout:
            lines.append(line.rstrip('\n'))

    def say(self, text):
        self.process.stdin.write(text + '\n')
        self.process.stdin.flush()

    def find(self, start):
        return next((line for line in list(self.lines) if line.startswith(start)), None)

    def wait_line(self, start, deadline=20.0):
        """The first line that begins so, once it has come."""
        process = self.process

        def there():
            ended = process.poll() is not None
            line = self.find(start)
            assert line or not ended, f'hq_driver has ended before a line "{start}":\n{self.log()[-2000:]}'
            return line

        return wait_until(there, deadline, f'a line "{start}" of hq_driver (log: {self.log_path})', every=0.002)

    def child_pid(self):
        """Of the newest DNS child."""
        return int([line for line in self.lines if line.startswith('zone ready')][-1].split()[2])

    def kill(self):
        """And its DNS child ends, which may take it a moment: the next life needs the port."""
        self.process.kill()
        self.process.wait()
        wait_until(self._port_is_free, 20, f'port {self.dns_port} free again', every=0.002)

    def _port_is_free(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(('127.0.0.1', self.dns_port))
        return True

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return self.process.returncode if self.process else None

    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ''


def make_certificate(folder, host='localhost'):
    """A self-signed certificate and key for Pebble's own HTTPS; returns their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.utcnow()
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=30))
                   .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
                   .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                   .sign(key, hashes.SHA256()))
    cert_path, key_path = Path(folder) / 'ca-tls.pem', Path(folder) / 'ca-tls.key'
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()))
    return cert_path, key_path


class Pebble:
    """Debian's pebble on loopback, validating over the DNS server that it is given."""

    def __init__(self, folder, dns_port, life_s=None, eab=None, **environment):
        self.folder = Path(folder)
        self.port, self.management_port = free_port(), free_port()
        self.certificate, key = make_certificate(folder)
        self.log_path = self.folder / 'pebble.log'
        self.config = self.folder / 'pebble.json'
        self.dns_port = dns_port
        self.environment = {'PEBBLE_VA_NOSLEEP': '1', **environment}
        life = {'certificateValidityPeriod': life_s} if life_s else {}
        self.config.write_text(json.dumps({'pebble': life | {
            'listenAddress': f'127.0.0.1:{self.port}', 'managementListenAddress': f'127.0.0.1:{self.management_port}',
            'certificate': str(self.certificate), 'privateKey': str(key), 'httpPort': 5002, 'tlsPort': 5001,
            'ocspResponderURL': '', 'externalAccountBindingRequired': bool(eab),
            'externalAccountMACKeys': eab or {}}}))
        self.process = None

    @property
    def directory(self):
        return f'https://localhost:{self.port}/dir'

    def start(self):
        with self.log_path.open('ab') as log:
            self.process = subprocess.Popen(['pebble', '-config', self.config, '-dnsserver', f'127.0.0.1:{self.dns_port}'],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.environment})
        wait_until(lambda: socket.create_connection(('127.0.0.1', self.port), 1).close() or True, 10, 'Pebble')
        return self

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def count(self, text):
        return self.log_path.read_text().count(text)

    def orders(self):
        """Orders that were made in all of its life."""
        return self.count('Added order ')

    def invalidated(self):
        """Orders that failed their validation."""
        return self.count(' set INVALID by invalid authz ')

    def certificates(self):
        return self.count('Issued certificate serial')

    def status(self, serial):
        """What the CA says of a certificate: Status, and Reason where it is revoked."""
        context = ssl._create_unverified_context()
        url = f'https://127.0.0.1:{self.management_port}/cert-status-by-serial/{serial:x}'
        with urllib.request.urlopen(url, context=context, timeout=5) as answer:
            return json.load(answer)

    def is_revoked(self, serial):
        return self.status(serial)['Status'] == 'Revoked'

    def is_stuck(self):
        """Does it hold its own store's lock for ever? What it never issued is a 404 otherwise."""
        try:
            self.status(1)
        except urllib.error.HTTPError:
            return False
        except OSError:
            return True
        return False

    @contextlib.contextmanager
    def paused(self):
        """Nothing answers, nothing is forgotten."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)
