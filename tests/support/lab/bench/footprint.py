"""What the agent takes: the program on flash, and its three processes in memory while nothing happens, beside the programs that a
box would need instead."""
import contextlib
import http.server
import os
import re
import tempfile
import threading
import time
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from front_process import Ca
from lab.bench.figures import Row
from lab.bench.homes import OUTSIDE, Homes
from lab.namespaces import Failed, Namespace, command, link
from lab.paths import PREFIX
from lab.waiting import pause, wait_until

SETTLE_S = 125  # a boot's own work is over: the last of it is the first round of the doctor, up to 2 minutes later
SIZE_BAR, PSS_BAR, DIRTY_BAR, WAKEUPS_BAR = 2.0, 4.0, 2.0, 0.1  # MB of 1,000,000 bytes; a second
OTHERS = {'dnsmasq': '/usr/sbin/dnsmasq', 'inadyn': '/usr/sbin/inadyn', 'uacme': '/usr/bin/uacme', 'stunnel': '/usr/bin/stunnel4'}
LIBC = re.compile(r'(libc|libm|libdl|librt|libpthread|libresolv|ld-linux[^/]*)\.so\.\d+')  # what glibc is made of

NEIGHBOUR = '192.168.1.250'
DNSMASQ_CONF = """\
no-daemon
no-resolv
no-hosts
user=root
interface=lan0
bind-interfaces
server={upstream}
host-record={name},{address}
"""
INADYN_CONF = """\
iface = lan0
allow-ipv6 = false
custom bench {{
    hostname = {name}
    username = box
    password = secret
    ddns-server = {server}
    ddns-path = "/update?hostname=%h&myip=%i"
    ddns-response = "good"
    ssl = false
}}
"""
STUNNEL_CONF = """\
foreground = yes
pid =
debug = 3
[https]
accept = {address}:443
connect = 127.0.0.1:8080
cert = {pem}
"""


# ---- On flash ----

def loaded(programs):
    """The files of programs and of all libraries that they load, each once, with their sizes."""
    found = {}
    for program in programs:
        said = command('ldd', program)
        for path in [str(program), *re.findall(r'(/\S+) \(0x', said)]:
            real = os.path.realpath(path)
            found[real] = os.stat(real).st_size
    return found


def size(bench):
    with tempfile.TemporaryDirectory(prefix='nameplate-bench-') as folder:
        stripped = Path(folder, 'nameplate')
        command('strip', '-o', stripped, bench.static)
        value = stripped.stat().st_size / 1e6
    files = loaded(OTHERS.values())
    bare = {path: bytes_ for path, bytes_ in files.items() if not LIBC.fullmatch(Path(path).name)}
    own = ', '.join(f'{name} {os.stat(os.path.realpath(path)).st_size / 1e6:.2f}' for name, path in OTHERS.items())
    return [Row('size', 'static program, stripped', 'MB', value=value, bar=f'under {SIZE_BAR:g}', met=value < SIZE_BAR,
                peers={'+'.join(OTHERS): sum(files.values()) / 1e6, 'the same without libc': sum(bare.values()) / 1e6},
                notes=[f'the others: {own}, and {len(files) - len(OTHERS)} libraries that they load, each counted once'])]


# ---- In memory ----

def memory(pids):
    """(proportional set size, private dirty pages) of processes, MB."""
    total = {'Pss': 0, 'Private_Dirty': 0}
    for pid in pids:
        rollup = Path(f'/proc/{pid}/smaps_rollup').read_text()
        for name in total:
            total[name] += int(re.search(rf'^{name}:\s+(\d+) kB', rollup, re.MULTILINE).group(1))
    return tuple(kib * 1024 / 1e6 for kib in total.values())


def wakeups(pids):
    """How often processes, with all their threads, have waited and gone on since they began."""
    total = 0
    for pid in pids:
        for task in Path(f'/proc/{pid}/task').iterdir():
            total += int(re.search(r'^voluntary_ctxt_switches:\s+(\d+)', (task / 'status').read_text(), re.MULTILINE).group(1))
    return total


class Neighbour:
    """dnsmasq, inadyn and stunnel on a machine like the boxes', each set up for what nameplate does there."""

    def __init__(self, homes, stack):
        self.space = Namespace(f'{PREFIX}peer')
        stack.callback(self.space.delete)
        self.space.create()
        link(self.space, 'lan0', homes.outside, 'portpeer')
        homes.outside.ip('link', 'set', 'portpeer', 'master', 'lan')
        self.space.ip('address', 'add', f'{NEIGHBOUR}/24', 'dev', 'lan0')
        self.folder = homes.folder / 'peer'
        self.folder.mkdir()
        self.updates = []
        values = {'name': 'peer.devices.example', 'address': NEIGHBOUR, 'upstream': OUTSIDE, 'pem': self._pem(),
                  'server': self._provider(homes, stack)}
        self.processes = {}
        for name, text, words in (('dnsmasq', DNSMASQ_CONF, ['--conf-file=']), ('stunnel', STUNNEL_CONF, []),
                                  ('inadyn', INADYN_CONF, ['-n', '--no-pidfile', f'--cache-dir={self.folder}', '-f'])):
            conf = self.folder / f'{name}.conf'
            conf.write_text(text.format(**values))
            conf.chmod(0o600)
            words = [*words[:-1], f'{words[-1]}{conf}'] if words and words[-1].endswith('=') else [*words, conf]
            process = self.space.spawn(OTHERS[name], *words, log=self.folder / f'{name}.log')
            stack.callback(process.wait)
            stack.callback(process.kill)
            self.processes[name] = process
        wait_until(self._ready, 60, 'dnsmasq, inadyn and stunnel are at work')

    def _pem(self):
        ca = Ca()
        key = ca.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
        path = self.folder / 'server.pem'
        path.write_text(key + ca.root_pem())
        return path

    def _provider(self, homes, stack):
        """A DynDNS provider for inadyn: everything is good."""
        updates = self.updates

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                updates.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'good\n')

            def log_message(self, *_):
                pass
        with homes.outside.inside():
            server = http.server.HTTPServer((OUTSIDE, 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        return f'{OUTSIDE}:{server.server_port}'

    def _ready(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise Failed(f'{name}: ' + (self.folder / f'{name}.log').read_text()[-500:])
        sockets = self.space.run('ss', '-Hnltu')
        return self.updates and f'{NEIGHBOUR}:443 ' in sockets and f'{NEIGHBOUR}:53 ' in sockets

    def pids(self):
        return [process.pid for process in self.processes.values()]


class Watched:
    """A box whose memory and wake-ups are noted."""

    def __init__(self, label, box):
        self.label, self.box, self.moments = label, box, {}
        self.pids, self.woken, self.clock_sets = [], 0, 0

    def note(self, moment):
        self.moments[moment] = memory(self.pids)

    def worst(self, what):
        return max(values[what] for values in self.moments.values())

    def told(self, what):
        return ', '.join(f'{values[what]:.2f} {moment}' for moment, values in self.moments.items())

    def look(self):
        """Wake-ups so far, and how often the machine's clock was set, which wakes the agent as it must."""
        return wakeups(self.pids), self.box.log_path.read_text().count('the clock was set or the machine was suspended')


def idle(bench):
    seconds = bench.idle_s
    with contextlib.ExitStack() as stack:
        homes = stack.enter_context(Homes(bench.bin_dir))
        watched = [Watched('static', homes.box(bench.static)), Watched('release', homes.box())]
        neighbour = Neighbour(homes, stack)
        for one in watched:
            one.box.boot()
            one.pids = one.box.pids()
            pause(1.0)  # what follows the first handshake: the report of the visible address
            one.note('after the first boot')
        booted = time.monotonic()
        for one in watched:
            one.box.doctor()
            one.note('after a round of the doctor')
        pause(0.0 if bench.quick else max(0.0, booted + SETTLE_S - time.monotonic()))
        before, theirs = [one.look() for one in watched], wakeups(neighbour.pids())
        begun = time.monotonic()
        pause(seconds)
        took = time.monotonic() - begun
        others = (wakeups(neighbour.pids()) - theirs) / took
        for one, (woken, sets) in zip(watched, before):
            now = one.look()
            one.woken, one.clock_sets = (now[0] - woken) / took, now[1] - sets
            one.note('after that')
        beside = memory(neighbour.pids())
    name = '+'.join(other for other in OTHERS if other in neighbour.processes)
    rows = []
    for one in watched:
        for i, (what, bar) in enumerate((('PSS', PSS_BAR), ('private dirty', DIRTY_BAR))):
            rows.append(Row('idle', f'three processes idle, {one.label} build: {what}', 'MB', value=one.worst(i), peers={name: beside[i]},
                            bar=f'under {bar:g}', met=one.worst(i) < bar, notes=[one.told(i)]))
        rows.append(Row('idle', f'the same: wake-ups over {took / 60:.1f} min', '/s', value=one.woken, peers={name: others},
                        bar=f'at most {WAKEUPS_BAR:g}', met=one.woken <= WAKEUPS_BAR,
                        notes=[f'{one.woken * took:.0f} in all'
                               + (f'; the machine\'s clock was set {one.clock_sets} times meanwhile' if one.clock_sets else '')]))
    return rows
