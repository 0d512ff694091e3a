"""A real agent as a router between namespaces, without an HQ: it answers for its aliases."""
import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype

from fake_hq import Ca, pem
from lab.namespaces import Namespace, attempt, bridge, link
from lab.programs import unprivileged
from lab.waiting import wait_until

UID = 684991  # of nobody else: the agent's and its folders'
ALIAS = 'box.home.arpa.'
LANS = 2

CONF = """\
hq = "https://hq.devices.example"
hq-anchors = "{folder}/anchors.pem"
role = router
lan = {{"lan0", "lan1"}}
alias = {{"{alias}"}}
state = "{folder}/state"
run = "{folder}/run"
log-level = debug
"""
UPSTREAM = 'upstream = {"192.168.0.7"}\n'


class AgentBox:
    """A box with the LANs lan0 and lan1, each a bridge with one client on it, which has the same number.

    The box is 192.168.N.1 and .2, fd4N::1 and ::2 on LAN N, its client 192.168.N.7 and fd4N::7."""

    def __init__(self, program, folder, more='', upstream=UPSTREAM):
        self.program, self.folder = program, folder
        self.conf, self.log_path = folder / 'nameplate.conf', folder / 'log'
        self.namespace = Namespace(f'ab-box-{folder.name[-8:]}')
        self.clients = [Namespace(f'ab-c{number}-{folder.name[-8:]}') for number in range(LANS)]
        self.process = None
        for name in ('state', 'run'):
            (folder / name).mkdir()
            os.chown(folder / name, UID, UID)
        (folder / 'anchors.pem').write_text(pem(Ca('nobody').certificate))
        self.conf.write_text(CONF.format(folder=folder, alias=ALIAS.rstrip('.')) + upstream.replace('FOLDER', str(folder)) + more)

    def create(self):
        for space in (self.namespace, *self.clients):
            space.create()
            space.sysctl('ipv6.conf.default.accept_dad', 0)
        for number in range(LANS):
            self.make_lan(number)
            client = self.clients[number]
            client.ip('addr', 'add', f'192.168.{number}.7/24', 'dev', 'eth0')
            client.ip('addr', 'add', f'fd4{number}::7/64', 'dev', 'eth0', 'nodad')
            client.ip('route', 'add', 'default', 'via', f'192.168.{number}.1')
            client.ip('-6', 'route', 'add', 'default', 'via', f'fd4{number}::1')

    def make_lan(self, number):
        """The bridge, its port and its addresses; the client keeps its own side."""
        lan, port, client = f'lan{number}', f'port{number}', self.clients[number]
        bridge(self.namespace, lan)
        ports = json.loads(self.namespace.ip('-j', 'link', 'show'))
        if not any(item['ifname'] == port for item in ports):
            link(self.namespace, port, client, 'eth0')
        self.namespace.ip('link', 'set', port, 'master', lan)
        for last in (1, 2):
            self.namespace.ip('addr', 'add', f'192.168.{number}.{last}/24', 'dev', lan)
            self.namespace.ip('addr', 'add', f'fd4{number}::{last}/64', 'dev', lan, 'nodad')

    def start(self):
        self.process = self.namespace.spawn(*unprivileged(UID), self.program, 'agent', '--config', self.conf, log=self.log_path)
        self.wait_answers('192.168.0.1')

    def stop(self):
        if self.process:
            self.process.terminate()
            assert self.process.wait(10) == 0, self.log()

    def delete(self):
        for space in (self.namespace, *self.clients):
            space.delete()

    def log(self):
        return self.log_path.read_text()

    def status(self):
        code, out, _ = attempt(*self.namespace.argv(self.program, 'status', '--json', '--config', self.conf), timeout=10)
        return json.loads(out) if code == 0 and out.strip() else {}

    def children(self):
        """{role: pid} of the agent's children."""
        found = {}
        for pid in self.namespace.pids():
            with contextlib.suppress(OSError):
                name = Path(f'/proc/{pid}/comm').read_text().strip()
                if name.startswith('np-'):
                    found[name.removeprefix('np-')] = pid
        return found

    def link_local(self, number):
        """The box's link-local address on that LAN."""
        info = json.loads(self.namespace.run('ip', '-6', '-j', 'addr', 'show', 'dev', f'lan{number}', 'scope', 'link'))
        return wait_until(lambda: [a['local'] for i in info for a in i.get('addr_info', []) if 'local' in a], what='link-local')[0]

    def ask(self, number, where, rdtype='A', name=ALIAS, tcp=False, timeout=5.0):
        """What LAN N's client gets from that address of the box. dnspython's sockets take answers from nowhere else."""
        client = self.clients[number]
        exchange = dns.query.tcp if tcp else dns.query.udp
        with client.inside():
            return exchange(dns.message.make_query(name, rdtype), where, timeout=timeout)

    def given(self, number, where, rdtype='A', **options):
        """The addresses (rdata) in the answer, sorted."""
        kind = dns.rdatatype.from_text(rdtype)
        answer = self.ask(number, where, rdtype, **options)
        return sorted(item.to_text() for rrset in answer.answer if rrset.rdtype == kind for item in rrset)

    def wait_answers(self, where, want=None, number=0, rdtype='A', deadline=15):
        """Waits until the client gets an answer, or the one that is wanted."""
        def answers():
            with contextlib.suppress(dns.exception.Timeout, OSError):
                got = self.given(number, where, rdtype, timeout=0.2)
                return got == want if want is not None else bool(got)
        wait_until(answers, deadline, f'{where} answers {want or ""}')


@contextlib.contextmanager
def agent_box(bin_dir, more='', upstream=UPSTREAM):
    """A running box. FOLDER in upstream is its folder. Not under pytest's folder: the agent's user cannot look into that."""
    folder = Path(tempfile.mkdtemp(prefix='nameplate-ab-'))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        box = AgentBox(bin_dir / 'nameplate', folder, more, upstream)
        stack.callback(box.delete)
        box.create()
        box.start()
        yield box
        box.stop()
