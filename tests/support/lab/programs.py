"""nameplate-hq and the agent in the lab, set up as an operator and a vendor would set them up."""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import ssl
import time

from lab.home import LAN4, LAN_DNS_PORT, LAN_ZONE
from lab.internet import ACME_DIRECTORY, DEVICE_ZONE, HQ
from lab.namespaces import Failed, attempt
from lab.paths import BOX_UID, HQ_UID
from lab.waiting import wait_until

HQ_HOST = f'hq.{DEVICE_ZONE}'
HQ_URL = f'https://{HQ_HOST}'
SERIAL = 'NP-0001'
FIRST_BOOT_DEADLINE = 30
RESTART_DEADLINE = 15

BOX_CONF = """\
hq = "{url}"
hq-anchors = "{folder}/hq-anchors.pem"
role = router
lan = {{"br-lan"}}
state = "{folder}/state"
run = "{folder}/run"
factory-secret = "{folder}/factory-secret"
model = "lab"
forward = {{"{zone}=127.0.0.1:{port}"}}
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
        self.node.tool(self.program, self.conf, 'serve', 'device', 'factory-secret')

    def serve(self):
        self.node.daemon('hq', *unprivileged(HQ_UID), self.program, 'serve', '--config', self.conf, ready=self.serves)

    def serves(self):
        """True when both the API and the zone answer."""
        return self.node.reaches(HQ, 443) and self.node.ask(DEVICE_ZONE, 'SOA', HQ, timeout=0.3).answer

    def run(self, *words):
        """One of the operator's verbs; returns what it printed."""
        return self.node.run(*unprivileged(HQ_UID), self.program, *words, '--config', self.conf)

    def devices(self):
        return json.loads(self.run('device', 'list', '--json'))


class Box:
    """The agent on the box node: an unprivileged user that may bind low ports, and its own folder."""

    def __init__(self, home, hq, programs):
        self.node = home.box
        self.laptop = home.laptop
        self.internet = home.internet
        self.hq = hq
        self.program = programs / 'nameplate'
        self.folder = self.node.state / 'nameplate'
        self.conf = self.folder / 'nameplate.conf'
        self.root = self.node.state / 'acme-root.pem'
        self.name = None
        self.certificate = None

    def prepare(self):
        """What the vendor's image holds: configuration, HQ's anchors, the factory secret of this serial."""
        for folder in (self.folder, self.folder / 'state', self.folder / 'run'):
            folder.mkdir(mode=0o755)
            os.chown(folder, BOX_UID, BOX_UID)
        self.conf.write_text(BOX_CONF.format(url=HQ_URL, folder=self.folder, zone=LAN_ZONE, port=LAN_DNS_PORT))
        shutil.copy(self.hq.anchors, self.folder / 'hq-anchors.pem')
        secret = self.folder / 'factory-secret'
        secret.write_text(self.hq.run('factory-secret', SERIAL))
        os.chown(secret, BOX_UID, BOX_UID)
        secret.chmod(0o400)
        self.root.write_text(self.internet.acme_root())
        self.node.tool(self.program, self.conf, 'agent', 'status')

    def start(self):
        """Starts the agent; it starts the rest."""
        return self.node.daemon('agent', *unprivileged(BOX_UID), self.program, 'agent', '--config', self.conf)

    def status(self):
        """`nameplate status --json`, or {} while the agent cannot be reached."""
        status, out, _ = attempt(*self.node.argv(self.program, 'status', '--json', '--config', self.conf), timeout=10)
        return json.loads(out) if status == 0 and out.strip() else {}

    def processes(self):
        return self.node.processes('nameplate')

    def kill(self):
        """kill -9 of the agent, the front and the resolver at once; returns their pids once they are gone."""
        pids = self.processes()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        agent = self.node.daemons.pop('agent', None)
        if agent:
            agent.wait()
        wait_until(lambda: not self.processes(), 5, 'the box\'s processes are gone')
        return pids

    def stop(self):
        """The agent ends in peace; returns its exit status."""
        return self.node.end('agent')

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
        with self.laptop.tls(LAN4, self.name, self.root, timeout=1.0) as tls:
            facts, der = tls.getpeercert(), tls.getpeercert(binary_form=True)
            issuer = dict(pair[0] for pair in facts['issuer'])
            return {'serial': facts['serialNumber'], 'issuer': issuer.get('commonName', ''), 'tls': tls.version(),
                    'not_before': _iso(facts['notBefore']), 'not_after': _iso(facts['notAfter']),
                    'names': [value for kind, value in facts['subjectAltName'] if kind == 'DNS'],
                    'sha256': hashlib.sha256(der).hexdigest()}

    def _served(self, begun, deadline):
        def handshake():
            self._alive()
            return self.served_certificate()
        seen = wait_until(handshake, deadline, f'a verified handshake for {self.name} on port 443', every=0.02)
        return {'seconds': round(time.monotonic() - begun, 3), **seen}

    def _alive(self):
        agent = self.node.daemons['agent']
        if agent.poll() is not None:
            raise Failed(f'the agent ended with status {agent.returncode}:\n{self.node.tail("agent")}')


def _iso(text):
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(ssl.cert_time_to_seconds(text)))
