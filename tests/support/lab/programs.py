"""nameplate-hq and the agent in the lab, set up as an operator and a vendor would set them up."""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import ssl
import time

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lab.internet import ACME_DIRECTORY, ACME_DIRECTORY2, DEVICE_ZONE, HQ
from lab.namespaces import Failed, attempt
from lab.nodes import records
from lab.paths import BOX_UID, HQ_UID
from lab.waiting import pause, wait_until

HQ_HOST = f'hq.{DEVICE_ZONE}'
HQ_URL = f'https://{HQ_HOST}'
SERIAL = 'NP-0001'
FIRST_BOOT_DEADLINE = 30
RESTART_DEADLINE = 15

BOX_CONF = """\
hq = "{url}"
hq-anchors = "{folder}/hq-anchors.pem"
state = "{folder}/state"
run = "{folder}/run"
factory-secret = "{folder}/factory-secret"
model = "lab"
log-level = debug
"""

# Told by the demo: the caches between HQ and a laptop forget within seconds; the log names each state of an order. And
# nobody asks as often as who waits for a change does.
HQ_CONF = """\
ttl = 5
dns-rate-limit = 0
vanity = true
log-level = debug
"""


def unprivileged(uid):
    """The words before a program that make it a user's who may do one thing more: bind low ports."""
    caps = [f'--{kind}=-all,+net_bind_service' for kind in ('inh-caps', 'ambient-caps', 'bounding-set')]
    return ['setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups', '--no-new-privs', *caps]


class Hq:
    """The manufacturer's server on the hq node, run by a user of its own that may bind low ports."""

    def __init__(self, internet, programs):
        self.node = internet.hq
        self.internet = internet
        self.program = programs / 'nameplate-hq'
        self.folder = self.node.state / 'nameplate-hq'
        self.conf = self.folder / 'nameplate-hq.conf'
        self.anchors = self.folder / 'hq-anchors.pem'
        self.ca = internet.ca

    def start(self):
        self.init()
        self.serve()

    def init(self):
        """What an operator types once."""
        self.folder.mkdir()
        os.chown(self.folder, HQ_UID, HQ_UID)
        self.node.run(*unprivileged(HQ_UID), self.program, 'init', '--zone', DEVICE_ZONE, '--url', HQ_URL, '--dir', self.folder,
                      '--nameserver', f'ns1.{DEVICE_ZONE}={HQ}', '--address', HQ, '--acme-directory', ACME_DIRECTORY,
                      '--acme-anchors', self.internet.anchors, '--agree-tos')
        with open(self.conf, 'a') as conf:
            conf.write(HQ_CONF)
        self.node.tool(self.program, self.conf, 'serve', 'device', 'order', 'claim', 'audit', 'import', 'factory-secret', 'zone', 'ca', 'stats',
                       'backup', 'restore', 'recovery')

    def serve(self):
        self.node.daemon('hq', *unprivileged(HQ_UID), self.program, 'serve', '--config', self.conf, ready=self.serves)

    def use_ca(self, node):
        """The operator changes to another CA (internet.ca, internet.ca2) and starts HQ again."""
        directories = {'ca': ACME_DIRECTORY, 'ca2': ACME_DIRECTORY2}
        self.node.end('hq')
        text = self.conf.read_text()
        self.conf.write_text(text.replace(f'"{directories[self.ca.label]}"', f'"{directories[node.label]}"'))
        self.ca = node
        self.serve()

    def serves(self):
        """True when both the API and the zone answer."""
        return self.node.reaches(HQ, 443) and self.node.ask(DEVICE_ZONE, 'SOA', HQ, timeout=0.3).answer

    def run(self, *words):
        """One of the operator's verbs; returns what it printed."""
        return self.node.run(*unprivileged(HQ_UID), self.program, *words, '--config', self.conf)

    def devices(self):
        return json.loads(self.run('device', 'list', '--json'))

    def device(self, name):
        """What HQ has stored for a name."""
        return next(device for device in self.devices() if device['name'] == name)

    def zone_serial(self):
        return int(records(self.node.ask(DEVICE_ZONE, 'SOA', HQ), 'SOA')[0].split()[2])

    def kill_at(self, trigger, later=0.0, deadline=20):
        """kill -9 of HQ and its children `later` seconds after `trigger()` is true; returns once they are gone."""
        pids = self.node.processes('nameplate-hq')
        wait_until(trigger, deadline, 'the moment to kill HQ', every=0.0002)
        pause(later)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.node.daemons.pop('hq').wait()
        wait_until(lambda: not self.node.processes('nameplate-hq'), 5, 'HQ\'s processes are gone', every=0.002)

    def query(self, sql):
        """Rows of HQ's database, also while HQ is dead."""
        with contextlib.closing(sqlite3.connect(f'file:{self.folder}/data/hq.db?mode=ro', uri=True)) as db:
            return db.execute(sql).fetchall()


class Box:
    """The agent on a home's box: an unprivileged user that may bind low ports, and its own folder.

    A home has .box, .laptop, .internet, .agent_conf and box_address(). More than one agent may live on a box: each under
    a `daemon` name and in a folder of that name.
    """

    def __init__(self, home, hq, programs, serial=SERIAL, daemon='agent', folder='nameplate'):
        self.home = home
        self.node = home.box
        self.laptop = home.laptop
        self.internet = home.internet
        self.hq = hq
        self.program = programs / 'nameplate'
        self.serial = serial
        self.daemon = daemon
        self.folder = self.node.state / folder
        self.conf = self.folder / 'nameplate.conf'
        self.root = self.node.state / f'{folder}-acme-root.pem'
        self.name = None

    def prepare(self, more=''):
        """What the vendor's image holds: configuration (`more` is added), HQ's anchors, this serial's factory secret."""
        for folder in (self.folder, self.folder / 'state', self.folder / 'run'):
            folder.mkdir(mode=0o755)
            os.chown(folder, BOX_UID, BOX_UID)
        self.conf.write_text(BOX_CONF.format(url=HQ_URL, folder=self.folder) + self.home.agent_conf + more)
        shutil.copy(self.hq.anchors, self.folder / 'hq-anchors.pem')
        secret = self.folder / 'factory-secret'
        secret.write_text(self.hq.run('factory-secret', self.serial))
        os.chown(secret, BOX_UID, BOX_UID)
        secret.chmod(0o400)
        self.root.write_text(self.internet.acme_root(self.hq.ca))
        if self.daemon == 'agent':
            self.node.tool(self.program, self.conf, 'agent', 'status', 'doctor', 'events', 'config', 'deploy', 'cert', 'name', 'renew', 'reset',
                           'support-bundle')

    def start(self):
        """Starts the agent; it starts the rest."""
        return self.node.daemon(self.daemon, *unprivileged(BOX_UID), self.program, 'agent', '--config', self.conf)

    def status(self):
        """`nameplate status --json`, or {} while the agent cannot be reached."""
        status, out, _ = attempt(*self.node.argv(self.program, 'status', '--json', '--config', self.conf), timeout=10)
        return json.loads(out) if status == 0 and out.strip() else {}

    def run(self, *words):
        """One of the verbs that a person types on the box; returns what it printed."""
        return self.node.run(self.program, *words, '--config', self.conf)

    def processes(self):
        return self.node.processes('nameplate')

    def kill(self):
        """kill -9 of the agent, the front and the resolver at once; returns their pids once they are gone."""
        pids = self.processes()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        agent = self.node.daemons.pop(self.daemon, None)
        if agent:
            agent.wait()
        wait_until(lambda: not self.processes(), 5, 'the box\'s processes are gone')
        return pids

    def stop(self):
        """The agent ends in peace; returns its exit status."""
        return self.node.end(self.daemon)

    def first_boot(self):
        """Starts the agent and waits for the served certificate. Returns name, seconds and the certificate's facts."""
        begun = time.monotonic()
        self.start()

        def enrolled():
            self._alive()
            return self.status().get('name')
        self.name = wait_until(enrolled, FIRST_BOOT_DEADLINE, 'a name from HQ', every=0.05)
        named = time.monotonic() - begun
        return {'name': self.name, 'name_seconds': round(named, 3), **self._served(begun, FIRST_BOOT_DEADLINE)}

    def boot_again(self):
        """Starts the agent on its stored state and waits until the name is served. Returns the same facts."""
        begun = time.monotonic()
        self.start()
        seen = self._served(begun, RESTART_DEADLINE)
        return {'name': wait_until(lambda: self.status().get('name'), 5, 'the status'), **seen}

    def served_certificate(self):
        """A verified handshake from the laptop; OSError while there is none. Returns the certificate's facts."""
        with self.laptop.tls(self.home.box_address(), self.name, self.root, timeout=1.0) as tls:
            facts, der = tls.getpeercert(), tls.getpeercert(binary_form=True)
            issuer = dict(pair[0] for pair in facts['issuer'])
            return {'serial': facts['serialNumber'], 'issuer': issuer.get('commonName', ''), 'tls': tls.version(),
                    'not_before': _iso(facts['notBefore']), 'not_after': _iso(facts['notAfter']),
                    'names': [value for kind, value in facts['subjectAltName'] if kind == 'DNS'],
                    'sha256': hashlib.sha256(der).hexdigest(), 'key': _key(der)}

    def _served(self, begun, deadline):
        def handshake():
            self._alive()
            return self.served_certificate()
        seen = wait_until(handshake, deadline, f'a verified handshake for {self.name} on port 443', every=0.02)
        return {'seconds': round(time.monotonic() - begun, 3), **seen}

    def _alive(self):
        agent = self.node.daemons[self.daemon]
        if agent.poll() is not None:
            raise Failed(f'the agent ended with status {agent.returncode}:\n{self.node.tail(self.daemon)}')


def _key(der):
    """SHA-256 of a certificate's public key."""
    key = x509.load_der_x509_certificate(der).public_key()
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _iso(text):
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(ssl.cert_time_to_seconds(text)))
