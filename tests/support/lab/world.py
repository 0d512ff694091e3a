"""All of the lab together: up, down, and the promise that nothing stays behind on the machine."""
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from lab import interrupts, paths
from lab.home import Home
from lab.home1 import Home1
from lab.internet import RESOLVER, Internet
from lab.namespaces import Failed, Namespace, attempt, command
from lab.paths import LOCK, LOGS, NETNS_ETC, PREFIX, STATE
from lab.programs import Box, Hq
from lab.waiting import wait_until

KEPT = STATE / 'kept'
NETNS = Path('/run/netns')


class World:
    """A running lab. `with World(bin_dir) as world:` brings it up and always takes it down again.

    After __enter__ the machines run and HQ serves; the boxes run, but their agents do not: world.box.start() is the
    first boot of home 2's, world.boot() waits until it is served. Attributes: internet, home, home1, and home 2's nodes by
    name (hq, ca, dns, isp, laptop; home.box is the box's machine, box its programs; home1.box is the NAS, nas its programs).
    """

    def __init__(self, bin_dir, keep=False, programs=True):
        self.bin_dir = Path(bin_dir)
        self.keep = keep
        self.programs = programs
        self.host_before = None
        self.internet = Internet()
        self.home = Home(self.internet)
        self.home1 = Home1(self.internet)
        self.nodes = self.internet.nodes + self.home.nodes + self.home1.nodes
        self.hq_node, self.ca, self.dns, self.isp = self.internet.hq, self.internet.ca, self.internet.dns, self.home.isp
        self.laptop = self.home.laptop
        self.hq = Hq(self.internet, STATE / 'bin')
        self.box = Box(self.home, self.hq, STATE / 'bin')
        self.nas = Box(self.home1, self.hq, STATE / 'bin', serial='NP-0002')
        self._lock = None

    def __enter__(self):
        self._lock = take_lock()
        try:
            if KEPT.exists():
                raise Failed('a lab is up (tests/lab nodes shows it): take it down first with tests/lab down')
            clean()
            self.host_before = host_state()
            self._up()
        except BaseException:
            if not KEPT.exists():
                self.down()
            self._lock.close()
            raise
        return self

    def __exit__(self, kind, value, trace):
        try:
            if self.keep and kind is None:
                KEPT.write_text('')
            else:
                self.down()
        finally:
            self._lock.close()

    def _up(self):
        shutil.rmtree(LOGS, ignore_errors=True)
        LOGS.mkdir(parents=True)
        STATE.mkdir(parents=True)
        self.internet.up()
        self.home.up()
        self.home1.up()
        if self.programs:
            _copy_programs(self.bin_dir)
            self.hq.start()
            self.box.prepare()
            self.nas.prepare()

    def boot(self):
        """First boot of the box, to the served certificate. Returns what was seen (see Box.first_boot)."""
        return self.box.first_boot()

    def wait_for_internet(self):
        """After the line was cut: the box reaches the public resolver again."""
        wait_until(lambda: self.home.box.ask('www.example', 'A', RESOLVER, timeout=0.5).answer, 20, 'the Internet is back')

    def down(self):
        clean()


def take_lock():
    """One lab at a time under one name; Failed when another one runs."""
    handle = open(LOCK, 'a+')
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip() or 'unknown'
        handle.close()
        raise Failed(f'another lab is running on this machine (process {holder}): wait for it, or end it') from None
    handle.truncate(0)
    handle.write(f'{os.getpid()}')
    handle.flush()
    return handle


def clean():
    """Removes all that a lab of this name made, also one that was killed: processes, namespaces, mounts, files."""
    with interrupts.held():
        for name in namespaces():
            Namespace(name).delete()
        for folder in NETNS_ETC.glob(PREFIX + '*'):
            shutil.rmtree(folder, ignore_errors=True)
        _kill_users({paths.BOX_UID, paths.LAPTOP_UID, paths.HQ_UID})
        _remove_if_empty(NETNS_ETC)
        if _is_iproute2s(NETNS) and not any(NETNS.iterdir()):
            subprocess.run(['umount', str(NETNS)], stderr=subprocess.DEVNULL, check=False)
            _remove_if_empty(NETNS)
        shutil.rmtree(STATE, ignore_errors=True)


def _is_iproute2s(path):
    """iproute2 mounts /run/netns over itself with the first namespace. Another mount there is somebody else's, and what is
    under it the host's: removing that would take the mounts of every other lab on the machine with it."""
    rows = [line.split() for line in Path('/proc/self/mountinfo').read_text().splitlines()]
    return any(row[4] == str(path) and row[3].endswith(f'/{path.name}') for row in rows)


def namespaces():
    """Names of the lab's namespaces that exist now."""
    return sorted(p.name for p in NETNS.glob(PREFIX + '*'))


def host_state():
    """What must be the same on the host before, during and after."""
    return {
        'resolv.conf': Path('/etc/resolv.conf').read_text() if Path('/etc/resolv.conf').exists() else None,
        'interfaces': command('ip', '-brief', 'link'),
        'addresses': sorted(line.split()[3] for line in command('ip', '-oneline', 'address').splitlines()),
        'routes': command('ip', 'route') + command('ip', '-6', 'route', 'show', 'default'),
        'forwarding': command('sysctl', 'net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'),
        'nft': attempt('nft', 'list', 'ruleset')[1],
    }


def own_listeners():
    """Sockets that listen on the host and belong to a process that we started. (Others may come and go as they like.)"""
    found = []
    for line in command('ss', '-Hlntup').splitlines():
        pids = re.findall(r'pid=(\d+)', line)
        if any(_descends(int(pid)) for pid in pids):
            found.append(line)
    return found


def _descends(pid):
    """True for a process below this one."""
    while pid > 1:
        try:
            pid = int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[1])
        except OSError:
            return False
        if pid == os.getpid():
            return True
    return False


def leftovers():
    """What of a lab is still on the machine: empty after down."""
    found = namespaces() + [str(p) for p in NETNS_ETC.glob(PREFIX + '*')]
    found += [str(p) for p in (STATE,) if p.exists()]
    found += [f'process {pid}' for pid in _pids_of({paths.BOX_UID, paths.LAPTOP_UID, paths.HQ_UID})]
    found += [line for line in Path('/proc/mounts').read_text().splitlines() if f'/{PREFIX}' in line or str(STATE) in line]
    return found


def _copy_programs(bin_dir):
    """The box's user may not be able to read the clone, so the programs run from a copy."""
    target = STATE / 'bin'
    target.mkdir()
    for name in ('nameplate', 'nameplate-hq'):
        if not (bin_dir / name).exists():
            raise Failed(f'{bin_dir / name} is not built: run sudo tests/lab build')
        shutil.copy(bin_dir / name, target / name)


def _pids_of(uids):
    found = []
    for entry in Path('/proc').iterdir():
        with contextlib.suppress(OSError):
            # Not the folder's owner: that is root for a process that is not dumpable. Zombies are nothing any more.
            status = (entry / 'status').read_text() if entry.name.isdigit() else ''
            if status and '\nState:\tZ' not in status and int(status.split('\nUid:\t')[1].split()[0]) in uids:
                found.append(int(entry.name))
    return found


def _kill_users(uids):
    """Helpers of a killed browser may live in namespaces of their own; the lab's users own nothing else."""
    def gone():
        pids = _pids_of(uids)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids
    wait_until(gone, 10, 'processes of the lab\'s users ended')


def _remove_if_empty(path):
    with contextlib.suppress(OSError):
        path.rmdir()
