"""Where the measuring happens: a server's host and a client's host with a cable between them, each on a core of its own."""
import contextlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from lab import interrupts
from lab.bench import figures
from lab.namespaces import Failed, attempt, link
from lab.nodes import Node
from lab.paths import LAB, find_bin_dir
from lab.waiting import wait_until
from lab.world import clean, take_lock

SERVER, CLIENT = '192.168.1.1', '192.168.1.2'
NAME = 'nifty-babbage.devices.example'
UPSTREAM_PORT = 5300
CLIENTS_MAX = 200  # addresses of the client's host, from CLIENT on

NICE = -15  # so that the measured programs are not kept waiting by whatever else the machine does
WORLD_NICE = -10  # the same for a whole world, in which nothing is to starve
DNSPERF_DEADLINE = 120


class Place:
    """`with Place() as place:` is a home's LAN: `server` is the router at 192.168.1.1, `client` a host with 200 addresses. In
    the server's host an upstream listens on loopback. Everything is gone afterwards, also after Ctrl-C."""

    def __init__(self, bin_dir=None):
        self.bin_dir = Path(bin_dir or find_bin_dir())
        self.server, self.client = Node('bserver'), Node('bclient')
        self.folder = None
        self._own_questions = None
        self._lock = None
        self.client_cpu, self.server_cpu = _two_cpus()

    def __enter__(self):
        self._lock = take_lock()
        try:
            clean()
            self._up()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        with interrupts.held():
            try:
                clean()
                if self.folder:
                    shutil.rmtree(self.folder, ignore_errors=True)
            finally:
                self._lock.close()

    def _up(self):
        # In memory where possible: Knot Resolver's cache is a file, and a disk is not what is measured.
        shm = Path('/dev/shm')
        self.folder = Path(tempfile.mkdtemp(prefix=f'nameplate-bench-{LAB}-', dir=shm if os.access(shm, os.W_OK) else None))
        for node in (self.server, self.client):
            node.create()
        link(self.server, 'lan', self.client, 'eth')
        self.server.address('lan', f'{SERVER}/24')
        self.client.ip('-batch', self._addresses())
        for node, interface in ((self.server, 'lan'), (self.client, 'eth')):
            wait_until(lambda n=node, i=interface: 'state UP' in n.ip('link', 'show', i), 10, 'the cable is up')

    def _addresses(self):
        path = self.folder / 'addresses'
        prefix, last = CLIENT.rsplit('.', 1)
        path.write_text(''.join(f'address add {prefix}.{int(last) + i}/24 dev eth\n' for i in range(CLIENTS_MAX)))
        return path

    def ifindex(self):
        return int(re.match(r'(\d+):', self.server.ip('-oneline', 'link', 'show', 'lan')).group(1))

    def program(self, name):
        path = self.bin_dir / name
        if not path.exists():
            raise Failed(f'{path} is not built: run sudo tests/lab build')
        return path

    def start(self, name, *argv, ready, deadline=20, env=None):
        """Starts a server on the server's core and waits until it is ready. Returns the process."""
        return self.server.daemon(name, *preferred(self.server_cpu), *argv, ready=ready, deadline=deadline, env=env)

    def start_beside(self, name, *argv, ready):
        """Starts what is not measured, on the client's core, and at once when it has something to do."""
        return self.server.daemon(name, *preferred(self.client_cpu, realtime=2), *argv, ready=ready)

    def end(self, name):
        self.server.end(name)

    @contextlib.contextmanager
    def upstream(self, delay_ms=0):
        """The Internet, delay_ms away."""
        self.start_beside('upstream', self.program('bench_upstream'), f'127.0.0.1:{UPSTREAM_PORT}', delay_ms, ready=self._served)
        self._own_questions = 0
        try:
            yield
        finally:
            self._own_questions = None
            self.end('upstream')

    def upstream_cpu_ns(self):
        """CPU time of the upstream so far; 0 while there is none."""
        return cpu_ns([self.server.daemons['upstream'].pid]) if 'upstream' in self.server.daemons else 0

    def forwarded(self):
        """Queries that the upstream has got from the servers; 0 while there is no upstream."""
        if self._own_questions is None:
            return 0
        self._own_questions += 1
        return int(self._served()) - self._own_questions

    def _served(self):
        """What the upstream has answered, ourselves included, as a string: '0' is true."""
        answer = self.server.ask('served.bench', 'TXT', '127.0.0.1', port=UPSTREAM_PORT, timeout=2.0)
        return answer.answer[0][0].strings[0].decode()

    def answers(self, port, name=NAME, rdtype='A', tcp=False):
        """True when a server answers the client's host."""
        return bool(self.client.ask(name, rdtype, SERVER, port=port, tcp=tcp, timeout=0.05).answer)

    def dnsperf(self, port, file, *, seconds=None, rate=None, outstanding=100, sockets=4, mode='udp', once=False, options=()):
        """Runs dnsperf on the client's core. Returns a Run."""
        argv = ['dnsperf', '-s', SERVER, '-p', port, '-d', file, '-m', mode, '-q', outstanding, '-c', sockets, '-t', 1]
        argv += ['-l', seconds] if seconds else []
        argv += ['-n', 1] if once else []
        argv += ['-Q', rate] if rate else []
        before = os.times()
        status, out, err = attempt(*self.client.argv(*preferred(self.client_cpu), *argv, *options), timeout=DNSPERF_DEADLINE,
                                   start_new_session=True)
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        if status != 0:
            raise Failed(f'dnsperf: exit status {status}: {(err + out).strip()[-500:]}')
        return Run(out, cpu)

    def load(self, port, file, *, sources, rate, seconds, realtime=0):
        """Runs bench_load on the client's core. Returns its JSON as a dict."""
        argv = [self.program('bench_load'), f'{SERVER}:{port}', CLIENT, sources, rate, seconds, file]
        return json.loads(self.client.run(*preferred(self.client_cpu, realtime), *argv, timeout=DNSPERF_DEADLINE, start_new_session=True))


def _two_cpus():
    """Two CPUs, if possible not of one core."""
    first, *rest = sorted(os.sched_getaffinity(0))
    if not rest:
        raise Failed('bench needs two CPUs, one for the server and one for the client')
    core = Path(f'/sys/devices/system/cpu/cpu{first}/topology/core_cpus')
    siblings = int(core.read_text().replace(',', ''), 16) if core.exists() else 0
    apart = [cpu for cpu in rest if not siblings >> cpu & 1] or rest
    return str(first), str(apart[0])


def preferred(cpu, realtime=0):
    """The words before a program that pin it to a CPU and put it before all others. It must begin a session: where the kernel
    shares the CPUs out by session first (sched_autogroup), nice alone would mean nothing. realtime: above all that has none."""
    script = f'echo {NICE} >/proc/self/autogroup; '
    script += f'chrt --fifo --pid {realtime} $$; ' if realtime else ''
    return ['sh', '-c', f'{{ {script}}} >/dev/null 2>&1; exec "$@"', 'bench', 'taskset', '-c', cpu, 'nice', '-n', str(NICE)]


def before_all():
    """The words before a program that begins a session: as before_others()."""
    return ['sh', '-c', f'{{ echo {WORLD_NICE} >/proc/self/autogroup; }} 2>/dev/null; exec "$@"', 'bench', 'nice', '-n', WORLD_NICE]


@contextlib.contextmanager
def before_others():
    """What is measured goes before whatever else the machine does: by this session where the kernel shares the CPUs out by
    session (sched_autogroup), and by process."""
    group, before = Path('/proc/self/autogroup'), None
    with contextlib.suppress(OSError, AttributeError):
        before = re.search(r'nice (-?\d+)', group.read_text()).group(1)
        group.write_text(str(WORLD_NICE))
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, WORLD_NICE)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        if before is not None:
            with contextlib.suppress(OSError):
                group.write_text(before)


def make_realtime(pids, priority=1):
    """What is running gets it too. For latencies alone: a server that takes all of its CPU would starve the kernel's threads."""
    for pid in pids:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(priority))


class Run:
    """What dnsperf said."""

    def __init__(self, text, cpu_s):
        self.completed = int(self._number(text, 'Queries completed'))
        self.lost = int(self._number(text, 'Queries lost'))
        self.rate = self._number(text, 'Queries per second')
        self.seconds = self._number(text, r'Run time \(s\)')
        self.latency_us = self._number(text, r'Average Latency \(s\)') * 1e6
        self.rcodes = {code: int(count) for code, count in re.findall(r'([A-Z0-9]+) (\d+) \(', self._line(text, 'Response codes'))}
        self.client_load = cpu_s / self.seconds if self.seconds else 0.0

    @staticmethod
    def _line(text, label):
        found = re.search(rf'^\s*{label}:(.*)$', text, re.MULTILINE)
        return found.group(1) if found else ''

    def _number(self, text, label):
        found = re.search(r'[\d.]+', self._line(text, label))
        return float(found.group()) if found else 0.0

    def failed(self):
        """Answers that are none: neither NOERROR nor NXDOMAIN."""
        return sum(count for code, count in self.rcodes.items() if code not in ('NOERROR', 'NXDOMAIN'))


def cpu_ns(pids):
    """CPU time of processes with all their threads since they began, in ns; from the scheduler, which counts exactly."""
    total = 0
    for pid in pids:
        for task in Path(f'/proc/{pid}/task').iterdir():
            total += int((task / 'schedstat').read_text().split()[0])
    return total


def memory_kib(pids):
    """(resident, proportional) set size of processes in KiB."""
    rss = pss = 0
    for pid in pids:
        rollup = Path(f'/proc/{pid}/smaps_rollup').read_text()
        rss += int(rollup.split('\nRss:')[1].split()[0])
        pss += int(rollup.split('\nPss:')[1].split()[0])
    return rss, pss


def versions():
    return {'dnsmasq': figures.version('dnsmasq-base'), 'unbound': figures.version('unbound'),
            'knot-resolver': figures.version('knot-resolver'), 'dnsperf': figures.version('dnsperf')}
