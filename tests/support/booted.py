"""A Debian in a folder, booted: systemd as the first process of namespaces of its own (mount, pid, network, cgroup, ipc, uts).

Not systemd-nspawn: that wants a systemd on the host, or the cgroups as one would leave them. A cgroup of its own in the
unified hierarchy is all that is needed, also where the controllers are elsewhere.
"""
import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path

from lab.namespaces import Failed, attempt, command
from lab.waiting import wait_until

# Inside the new namespaces: the folder becomes the root, with what a machine has beside its disk. Nothing of the kernel that is
# everybody's can be changed from in there: /proc/sys and /sys are read-only, and so is the clock.
BEGIN = '''
set -e
mount --make-rprivate /
mount --rbind "$1" "$1"
cd "$1"
mkdir -p proc sys run dev tmp
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "dev/${node%%:*}" c 1 "${node#*:}"
done
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm run/host
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs dev/shm
ip link set lo up
pivot_root . run/host
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 setpriv --bounding-set -sys_module,-sys_time,-sys_rawio,-sys_boot,-syslog \\
    /usr/sbin/chroot . /bin/sh -c 'umount -l /run/host && exec /lib/systemd/systemd --system --unit=multi-user.target --show-status=no'
'''
BOOT_S = 120
STOP_S = 60


class Booted:
    """with Booted(folder) as machine: until the end of the block its systemd runs. log: what it says."""

    def __init__(self, folder, log):
        self.folder, self.log = folder, log
        self._stack = contextlib.ExitStack()
        self.pid = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            hierarchy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='nameplate-cgroup-')))
            command('mount', '-t', 'cgroup2', 'cgroup2', hierarchy)
            stack.callback(command, 'umount', '-l', hierarchy)
            group = hierarchy / f'nameplate-{os.getpid()}'
            group.mkdir()
            stack.callback(_remove, group)
            out = stack.enter_context(open(self.log, 'wb'))
            outer = subprocess.Popen(['unshare', '--mount', '--pid', '--fork', '--kill-child', '--cgroup', '--ipc', '--uts', '--net', 'sh', '-c', BEGIN,
                                      'begin', self.folder], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                     preexec_fn=lambda: (group / 'cgroup.procs').write_text(str(os.getpid())), start_new_session=True)
            stack.callback(self._end, outer)
            self.pid = wait_until(lambda: self._first(outer), 20, 'the machine began')
            wait_until(lambda: self.systemctl('is-system-running').strip() in ('running', 'degraded'), BOOT_S, 'the machine has booted')
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        self._stack.close()

    def _first(self, outer):
        """systemd's process id out here."""
        if outer.poll() is not None:
            raise Failed('the machine does not boot: ' + self.log.read_text(errors='replace'))
        children = Path(f'/proc/{outer.pid}/task/{outer.pid}/children').read_text().split()
        return int(children[0]) if children and Path(f'/proc/{children[0]}/comm').read_text().strip() == 'systemd' else None

    def _end(self, outer):
        """It is switched off as a machine is; what does not end then is killed."""
        if outer.poll() is None and self.pid:
            os.kill(self.pid, signal.SIGRTMIN + 4)  # poweroff
            with contextlib.suppress(AssertionError):
                wait_until(lambda: outer.poll() is not None, STOP_S, 'the machine is off')
        outer.kill()
        outer.wait()

    def argv(self, *argv):
        return ['nsenter', '--target', str(self.pid), '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup', '--root', '--wd=/', 'env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
                *(str(word) for word in argv)]

    @contextlib.contextmanager
    def running(self, *argv):
        """A program that runs there until the end of the block."""
        with subprocess.Popen(self.argv(*argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.kill()

    def ip(self, *argv):
        """The host's ip, in the machine's network."""
        return command('nsenter', '--target', self.pid, '--net', 'ip', *argv)

    def run(self, *argv, **options):
        return command(*self.argv(*argv), **options)

    def systemctl(self, *argv):
        """What it prints, whatever its status."""
        return attempt(*self.argv('systemctl', '--no-pager', *argv))[1]

    def show(self, unit, *names):
        """Properties of a unit, as text."""
        lines = self.systemctl('show', unit, *(f'--property={name}' for name in names)).splitlines()
        return dict(line.split('=', 1) for line in lines)

    def journal(self, unit):
        return attempt(*self.argv('journalctl', '--no-pager', '-n', '25', '-u', unit))[1]


def _remove(group):
    """A cgroup and all below it; the last processes may still be ending."""
    def empty():
        with contextlib.suppress(OSError):
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)
        return not group.exists()
    wait_until(empty, 20, 'the cgroup is empty')
