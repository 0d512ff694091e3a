"""Network namespaces, the links between them, and programs inside. Linux only, root only."""
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from pathlib import Path

from lab import interrupts
from lab.paths import NETNS_ETC
from lab.waiting import wait_until

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(RuntimeError):
    """A command of the lab failed; its message holds the command and what it said."""


def command(*argv, **options):
    """Runs a command and returns its output as text; Failed when its exit status is not 0."""
    status, out, err = attempt(*argv, **options)
    if status != 0:
        raise Failed(f'{" ".join(str(a) for a in argv)}: exit status {status}: {(err + out).strip()[-800:]}')
    return out


def attempt(*argv, input=None, timeout=60, **options):
    """Runs a command and returns (exit status, output, errors). An interrupt ends it and waits for its end."""
    process = None
    try:
        with interrupts.held():
            process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        out, err = process.communicate(input, timeout)
        return process.returncode, out, err
    except BaseException:
        if process:
            with interrupts.held():
                process.kill()
                process.communicate()
        raise


class Namespace:
    """One network namespace, named as `ip netns` knows it. Files in etc/ lie over /etc for what runs inside."""

    def __init__(self, name):
        self.name = name
        self.etc = NETNS_ETC / name

    def exists(self):
        return Path('/run/netns', self.name).exists()

    def create(self):
        self.etc.mkdir(parents=True, exist_ok=True)
        (self.etc / 'resolv.conf').write_text('')
        (self.etc / 'hosts').write_text('127.0.0.1 localhost\n::1 localhost\n')
        command('ip', 'netns', 'add', self.name)
        self.ip('link', 'set', 'lo', 'up')

    def delete(self):
        """Ends every process inside, then removes the namespace and its files. Nothing there is fine."""
        if self.exists():
            self.kill_all()
            command('ip', 'netns', 'delete', self.name)
        shutil.rmtree(self.etc, ignore_errors=True)

    def argv(self, *argv):
        return ['ip', 'netns', 'exec', self.name, *(str(a) for a in argv)]

    def run(self, *argv, **options):
        """Runs a command inside to its end and returns its output; Failed when it fails."""
        return command(*self.argv(*argv), **options)

    def ip(self, *argv):
        return command('ip', '-n', self.name, *argv)

    def spawn(self, *argv, log=None, **options):
        """Starts a program inside, in a session of its own (Ctrl-C in the terminal is the lab's to handle)."""
        out = open(log, 'ab') if log else subprocess.DEVNULL
        try:
            return subprocess.Popen(self.argv(*argv), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                    start_new_session=True, **options)
        finally:
            if log:
                out.close()

    @contextlib.contextmanager
    def inside(self):
        """The calling thread is in this namespace: sockets made here are the namespace's. Its /etc is still the host's."""
        home = os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
        try:
            there = os.open(f'/run/netns/{self.name}', os.O_RDONLY | os.O_CLOEXEC)
            try:
                _setns(there)
            finally:
                os.close(there)
            try:
                yield self
            finally:
                _setns(home)
        finally:
            os.close(home)

    def sysctl(self, key, value):
        with self.inside():
            Path('/proc/sys/net', key.replace('.', '/')).write_text(f'{value}\n')

    def pids(self):
        return [int(p) for p in command('ip', 'netns', 'pids', self.name).split()]

    def kill_all(self):
        """SIGKILL to everything inside, until nothing is left."""
        def empty():
            pids = self.pids()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            return not pids
        wait_until(empty, 10, f'no process left in {self.name}')


def link(here, name, there, peer):
    """A cable: interface `name` in namespace `here` and `peer` in `there`, both up."""
    command('ip', 'link', 'add', 'name', name, 'netns', here.name, 'type', 'veth', 'peer', 'name', peer, 'netns', there.name)
    here.ip('link', 'set', name, 'up')
    there.ip('link', 'set', peer, 'up')


def bridge(namespace, name):
    """A switch without spanning tree or snooping: it forwards from the first packet on."""
    namespace.ip('link', 'add', 'name', name, 'type', 'bridge', 'forward_delay', '0', 'stp_state', '0', 'mcast_snooping', '0')
    namespace.ip('link', 'set', name, 'up')


def _setns(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
