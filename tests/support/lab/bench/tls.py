"""What TLS costs: the agent's front as a relay beside stunnel, hitch and nginx, on the same certificate, with the same backend.

Everything runs in one namespace on loopback, servers on one CPU, clients and the backend on the other. All relay bytes: nginx by
its stream module. TLS 1.2 with ECDHE-ECDSA, AES-128-GCM, for all, since that is what the front speaks.
"""
import base64
import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from front_process import NAME, Ca, Child, listening, view
from lab import interrupts
from lab.bench.figures import Row, median
from lab.bench.place import memory_kib
from lab.bench.tls_backend import PIECE
from lab.namespaces import Failed, Namespace
from lab.paths import PREFIX
from lab.waiting import wait_until

HOST = '127.0.0.1'
CIPHER = 'ECDHE-ECDSA-AES128-GCM-SHA256'
PACKAGES = 'stunnel4', 'hitch', 'nginx-light', 'libnginx-mod-stream'
IDLE = 160  # connections that say nothing, from addresses with 20 each


class Backend:
    """tls_backend.py, on the clients' CPU."""

    def __init__(self, bench):
        words = ['taskset', '-c', bench.client_cpu, sys.executable, Path(__file__).with_name('tls_backend.py')]
        with interrupts.held():
            self.process = subprocess.Popen(bench.space.argv(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


class Server:
    """A TLS relay in a process of its own (or several)."""
    name = None

    def __init__(self, bench):
        self.bench = bench
        self.folder = bench.folder / self.name
        self.folder.mkdir(exist_ok=True)
        self.process = None
        with bench.space.inside(), listening(HOST) as sock:
            self.port = sock.getsockname()[1]

    def argv(self):
        raise NotImplementedError

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def __enter__(self):
        self.process = self.bench.space.spawn('taskset', '-c', self.bench.server_cpu, *self.argv(), log=self.folder / 'log')
        wait_until(self.ready, 20, f'{self.name} answers')
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

    def ready(self):
        with contextlib.suppress(OSError), self.bench.connect(self):
            return True
        if self.process.poll() is not None:
            raise Failed(f'{self.name}: ' + (self.folder / 'log').read_text()[-500:])
        return False

    def pids(self):
        """Itself and its workers."""
        found = [self.process.pid]
        for pid in found:
            for task in Path(f'/proc/{pid}/task').iterdir():
                with contextlib.suppress(FileNotFoundError):  # a thread for each connection comes and goes
                    found += [int(child) for child in (task / 'children').read_text().split()]
        return found


class Stunnel(Server):
    name = 'stunnel'

    def argv(self):
        conf = (f'foreground = yes\npid =\ndebug = 3\n[relay]\naccept = {HOST}:{self.port}\nconnect = {HOST}:{self.bench.backend.port}\n'
                f'cert = {self.bench.pem}\nsslVersionMax = TLSv1.2\nciphers = {CIPHER}\n')
        return ['stunnel4', self.write('stunnel.conf', conf)]


class Hitch(Server):
    name = 'hitch'

    def argv(self):
        conf = (f'frontend = "[{HOST}]:{self.port}"\nbackend = "[{HOST}]:{self.bench.backend.port}"\npem-file = "{self.bench.pem}"\n'
                f'workers = 1\ndaemon = off\nquiet = on\nuser = "nobody"\ngroup = "nogroup"\nciphers = "{CIPHER}"\ntls-protos = TLSv1.2\n'
                'ocsp-dir = ""\n')
        return ['hitch', f'--config={self.write("hitch.conf", conf)}']


class Nginx(Server):
    name = 'nginx'

    def argv(self):
        conf = (f'load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nuser nobody nogroup;\nworker_processes 1;\n'
                f'pid {self.folder}/pid;\nerror_log stderr error;\nevents {{ worker_connections 1024; }}\nstream {{\n'
                f'  ssl_session_cache shared:relay:1m;\n'
                f'  server {{\n    listen {HOST}:{self.port} ssl;\n    proxy_pass {HOST}:{self.bench.backend.port};\n'
                f'    ssl_certificate {self.bench.pem};\n    ssl_certificate_key {self.bench.pem};\n    ssl_protocols TLSv1.2;\n'
                f'    ssl_ciphers {CIPHER};\n  }}\n}}\n')
        return ['nginx', '-e', 'stderr', '-p', self.folder, '-c', self.write('nginx.conf', conf)]


class Nameplate(Server):
    """The agent's front, as the agent starts it: sandboxed, with the limit of handshakes out of reach."""
    name = 'nameplate'

    def __enter__(self):
        prefix = ['taskset', '-c', self.bench.server_cpu]
        with interrupts.held(), self.bench.space.inside():
            self.child = Child(self.bench.program, 'child-front', self.folder / 'log', prefix, 'warning')
            with listening(HOST, self.port) as sock:
                self.child.listen('https', sock)
        self.process = self.child.process
        self.child.send('CONF', {'backend': f'{HOST}:{self.bench.backend.port}', 'handshakes': 10000})
        self.child.send('CERT', self.bench.frame)
        self.child.send('VIEW', view())
        if self.child.receive() != ('REDY', None):
            raise Failed('the front is not ready')
        return self

    def __exit__(self, *_):
        self.child.close()


SERVERS = Nameplate, Stunnel, Hitch, Nginx


class Bench:
    """The namespace, the certificate, the backend, and what is measured there."""

    def __init__(self, program, stack, quick):
        self.program, self.quick = program, quick
        self.seconds, self.rounds, self.pieces = (1, 1, 2048) if quick else (3, 5, 4096)
        self.folder = Path(tempfile.mkdtemp(prefix='nameplate-bench-tls-'))
        self.folder.chmod(0o755)
        stack.callback(shutil.rmtree, self.folder)
        self.space = Namespace(f'{PREFIX}tls')
        stack.callback(self.space.delete)
        self.space.create()
        self.client_cpu, self.server_cpu = two_cpus()
        self.ca = Ca()
        self.frame = self.ca.certificate_frame(NAME)[0]
        key = serialization.load_der_private_key(base64.urlsafe_b64decode(self.frame['key'] + '=='), None)
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
        self.pem = self.folder / 'server.pem'
        self.pem.write_text(text + self.frame['chain'])
        self.backend = Backend(self)
        stack.callback(self.backend.close)
        self.context = ssl.create_default_context(cadata=self.ca.root_pem())
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_ciphers(CIPHER)

    def connect(self, server, source=HOST):
        with self.space.inside():
            raw = socket.create_connection((HOST, server.port), 10, (source, 0))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(raw, server_hostname=NAME)

    def handshake_us(self, server, reuse):
        """The server's CPU time a handshake with its relayed connection, in us."""
        words = ['openssl', 's_time', '-connect', f'{HOST}:{server.port}', '-reuse' if reuse else '-new', '-tls1_2', '-time',
                 str(self.seconds)]
        before = cpu_ns(server.pids())
        said = self.space.run('taskset', '-c', self.client_cpu, *words, timeout=60)
        spent = cpu_ns(server.pids()) - before
        count = int(re.search(r'(\d+) connections in [\d.]+ real seconds', said).group(1))
        return spent / 1000 / count

    def throughput(self, server):
        """(CPU ns a byte, MB/s as the client had it) of a download."""
        with self.connect(server) as sock:
            wanted, buffer = self.pieces * PIECE, bytearray(1 << 18)
            before, begun = cpu_ns(server.pids()), time.monotonic()
            sock.sendall(b'D%d' % self.pieces)
            total = 0
            while total < wanted:
                total += sock.recv_into(buffer)
            took, spent = time.monotonic() - begun, cpu_ns(server.pids()) - before
        return max(spent, 1) / wanted, wanted / took / 1e6

    def memory(self, server):
        """(PSS idle, PSS a connection that is relayed and says nothing), KiB."""
        idle = memory_kib(server.pids())[1]
        with contextlib.ExitStack() as stack:
            for i in range(IDLE):
                stack.enter_context(self.connect(server, f'127.0.0.{10 + i // 20}'))
            full = memory_kib(server.pids())[1]
        return idle, (full - idle) / IDLE

    def rounds_of(self, measure):
        """Each server in turn, round after round; the lists by name."""
        found = {server.name: [] for server in SERVERS}
        for _ in range(self.rounds):
            for kind in SERVERS:
                with kind(self) as server:
                    found[server.name].append(measure(server))
        return found


def cpu_ns(pids):
    """CPU time with that of threads that have ended; to a tick."""
    fields = [Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split() for pid in pids]
    return sum(int(f[11]) + int(f[12]) for f in fields) * 10**9 // os.sysconf('SC_CLK_TCK')


def two_cpus():
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise Failed('two CPUs are needed: one for the server, one for its clients')
    return str(cpus[0]), str(cpus[1])


def _split(found):
    values = {name: median(list_) for name, list_ in found.items()}
    return values.pop('nameplate'), values


def _handshakes(bench, reuse):
    key, what = ('resumed', 'resumed handshakes') if reuse else ('handshakes', 'full handshakes')
    found = {name: [1e6 / us for us in times] for name, times in bench.rounds_of(lambda s: bench.handshake_us(s, reuse)).items()}
    value, peers = _split(found)
    return [Row(key, f'{what}, one core', '/s', value, peers=peers, notes=['by the CPU time of each, its relayed connection included'])]


def handshakes(bench):
    return _handshakes(bench, False)


def resumed(bench):
    return _handshakes(bench, True)


def throughput(bench):
    found = bench.rounds_of(bench.throughput)
    value, peers = _split({name: [1e3 / cost for cost, _ in runs] for name, runs in found.items()})
    seen = ', '.join(f'{name} {median([rate for _, rate in runs]):.0f}' for name, runs in found.items())
    return [Row('throughput', 'download, one core', 'MB/s', value, peers=peers, notes=[f'by CPU time; as one client saw it: {seen}'])]


def memory(bench):
    found = bench.rounds_of(bench.memory)
    rows = []
    for i, name in enumerate(('process, idle', 'a relayed connection, idle')):
        value, peers = _split({server: [run[i] for run in runs] for server, runs in found.items()})
        bar = 'less than each of the others'
        rows.append(Row('memory', name, 'KiB', value, peers=peers, bar=bar, met=all(value < other for other in peers.values())))
    return rows

