"""Boxes on one LAN with their HQ, for the rows about the whole agent: real agents, a real nameplate-hq and a real Pebble.

HQ, CA and name server are one machine (a namespace) with a switch; each box is a machine of its own on it. A box's upstream
is the name server that has HQ's zone: there is nothing else that it needs to look up.
"""
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from hqdriver import Pebble
from hqserver import HOST, ZONE
from lab.bench.place import before_all
from lab.namespaces import Failed, Namespace, attempt, bridge, link
from lab.paths import BOX_UID, PREFIX
from lab.programs import unprivileged
from lab.waiting import wait_until
from nameservers import ACME, Key, Knot, Resolver
from real_hq import RealHq

OUTSIDE = '192.168.1.7'
FIRST, EACH = 10, 20  # the first box has 192.168.1.10 to .29, the next one the 20 after that
BOXES_MAX = 12

CONF = """\
hq = "https://{host}"
hq-anchors = "{hq}/hq-anchors.pem"
role = router
lan = {{"lan0"}}
state = "{folder}/state"
run = "{folder}/run"
factory-secret = "{folder}/factory-secret"
resolv-conf = "{folder}/etc/resolv.conf"
model = "bench"
"""


class ZoneKnot(Knot):
    """On the LAN too, with the records by which boxes find HQ."""

    def write_zones(self):
        super().write_zones()
        zone = self.folder / 'zone'
        zone.write_text(zone.read_text().replace('127.0.0.1', OUTSIDE) + f'hq A {OUTSIDE}\n')

    def prepare(self):
        super().prepare()
        self.conf.write_text(self.conf.read_text().replace(f'listen: {self.host}@{self.port}',
                                                           f'listen: [ {self.host}@{self.port}, {OUTSIDE}@53 ]'))


class Box:
    """A box. It has never been switched on before boot()."""

    def __init__(self, homes, number, program):
        self.homes, self.program, self.number = homes, program, number
        self.namespace = Namespace(f'{PREFIX}box{number}')
        self.folder = homes.folder / f'box{number}'
        self.conf, self.log_path = self.folder / 'nameplate.conf', self.folder / 'log'
        self.process = self.name = None
        self.turn = self.lives = 0

    def create(self):
        space = self.namespace
        space.create()
        space.sysctl('ipv6.conf.default.accept_dad', 0)
        link(space, 'lan0', self.homes.outside, f'port{self.number}')
        self.homes.outside.ip('link', 'set', f'port{self.number}', 'master', 'lan')
        space.ip('address', 'add', f'{self.address}/24', 'dev', 'lan0')
        space.ip('address', 'add', f'fd4e::{self.number + 1:x}/64', 'dev', 'lan0', 'nodad')
        self.renew()

    def renew(self):
        """A new box in the place of the old one: no state, a serial of its own."""
        self.stop()
        self.lives += 1
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.folder, self.folder / 'state', self.folder / 'run', self.folder / 'etc'):
            folder.mkdir(mode=0o755)
            os.chown(folder, BOX_UID, BOX_UID)
        # Not the machine's /etc, in which others work: the agent watches the folder that this file is in.
        (self.folder / 'etc' / 'resolv.conf').write_text(f'nameserver {OUTSIDE}\n')
        self.conf.write_text(CONF.format(host=HOST, hq=self.homes.hq.folder, folder=self.folder))
        secret = self.folder / 'factory-secret'
        secret.write_text(self.homes.hq.run('factory-secret', f'BENCH-{self.number}-{self.lives}').stdout)
        secret.chmod(0o400)
        os.chown(secret, BOX_UID, BOX_UID)

    @property
    def address(self):
        return f'192.168.1.{FIRST + EACH * self.number + self.turn % EACH}'

    def boot(self):
        """First boot: seconds from the agent's start to a verified handshake with its name."""
        begun = time.monotonic()
        self.process = self.namespace.spawn(*before_all(), *unprivileged(BOX_UID), self.program, 'agent', '--config', self.conf, log=self.log_path)
        self.name = wait_until(lambda: self.status().get('name'), 30, f'a name for {self.namespace.name}')
        wait_until(self.is_served, 60, f'a certificate for {self.name}', every=0.01)
        return time.monotonic() - begun

    def is_served(self):
        """True; OSError while there is no certificate that holds."""
        if self.process.poll() is not None:
            raise Failed(f'the agent has ended:\n{self.log_path.read_text()[-800:]}')
        with self.homes.outside.inside():
            raw = socket.create_connection((self.address, 443), 2)
        with raw, self.homes.context.wrap_socket(raw, server_hostname=self.name):
            return True

    def status(self):
        code, out, _ = attempt(*self.namespace.argv(self.program, 'status', '--json', '--config', self.conf), timeout=20)
        return json.loads(out) if code == 0 and out.strip() else {}

    def doctor(self):
        """A round; its exit status says whether something is in the way, which does not matter here."""
        code, out, err = attempt(*self.namespace.argv(self.program, 'doctor', '--json', '--config', self.conf), timeout=60)
        if not out.strip():
            raise Failed(f'nameplate doctor: exit status {code}: {err[-500:]}')

    def pids(self):
        """Of agent, resolver and front."""
        found = [pid for pid in self.namespace.pids()
                 if Path(os.readlink(f'/proc/{pid}/exe').removesuffix(' (deleted)')).name == 'nameplate']
        if len(found) != 3:
            raise Failed(f'{len(found)} processes of nameplate instead of three:\n{self.log_path.read_text()[-800:]}')
        return found

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


class Homes:
    """`with Homes(bin_dir) as homes:` an HQ and a Pebble; box() adds a box. `knot`: HQ's zone is Knot's, else its own server's."""

    def __init__(self, bin_dir, knot=False):
        self.bin_dir, self.knot = bin_dir, knot
        self.outside = Namespace(f'{PREFIX}hq')
        self.folder = self.hq = self.pebble = self.server = self.context = None
        self.boxes = []
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            self._up()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _up(self):
        self.folder = Path(tempfile.mkdtemp(prefix='nameplate-bench-homes-'))
        self.folder.chmod(0o755)  # the boxes' user looks into it
        self._stack.callback(shutil.rmtree, self.folder)
        self._stack.callback(self.outside.delete)
        self.outside.create()
        bridge(self.outside, 'lan')
        self.outside.ip('address', 'add', f'{OUTSIDE}/24', 'dev', 'lan')
        self.hq = RealHq(self.bin_dir / 'nameplate-hq', self.folder / 'hq', self.outside, OUTSIDE)
        with self.outside.inside():
            port = self._knot() if self.knot else self._builtin()
            (self.folder / 'ca').mkdir()
            self.pebble = Pebble(self.folder / 'ca', port, life_s=90 * 86400, PEBBLE_AUTHZREUSE='0')
            self._stack.callback(self.pebble.stop)
            self.pebble.start()
            self.hq.configure(acme_directory=self.pebble.directory, acme_anchors=str(self.pebble.certificate), log_level='notice')
            self._stack.callback(self.hq.stop)
            self.hq.start()
            roots = urllib.request.urlopen(f'https://127.0.0.1:{self.pebble.management_port}/roots/0', timeout=10,
                                           context=ssl._create_unverified_context()).read().decode()
        self.context = ssl.create_default_context(cadata=roots)

    def _builtin(self):
        self.hq.configure(dns_listen=[f'{OUTSIDE}:53', '127.0.0.1:53'])
        return 53

    def _knot(self):
        """Returns the port of a resolver that follows the zone's CNAMEs, which the CA asks."""
        keys = Key(self.folder, 'zone'), Key(self.folder, 'acme')
        self.server = ZoneKnot(self.folder / 'knot', *keys)
        self._stack.callback(self.server.stop)
        self.server.start()
        resolver = Resolver(self.folder / 'resolver', *keys, servers={ZONE: self.server, ACME: self.server})
        self._stack.callback(resolver.stop)
        resolver.start()
        conf = self.hq.conf
        conf.write_text('\n'.join(line for line in conf.read_text().splitlines() if not line.startswith('dns-listen')) + '\n')
        self.hq.configure(zone_backend='rfc2136', update_servers=[self.server.endpoint], nameservers=[f'ns1.{ZONE}={OUTSIDE}:53'],
                          update_key=str(keys[0].path), acme_update_key=str(keys[1].path))
        return resolver.port

    def box(self, program=None):
        """Another box, with the program of this or another build."""
        if len(self.boxes) == BOXES_MAX:
            raise Failed(f'more than {BOXES_MAX} boxes')
        number = len(self.boxes)
        # In a folder of its own: a build lies where the boxes' user cannot look.
        bin_dir = self.folder / f'bin{number}'
        bin_dir.mkdir()
        copy = shutil.copy(program or self.bin_dir / 'nameplate', bin_dir / 'nameplate')
        box = Box(self, number, Path(copy))
        self.boxes.append(box)
        self._stack.callback(box.namespace.delete)
        self._stack.callback(box.stop)
        box.create()
        return box

