"""A PostgreSQL server of the tests' own: a new cluster in a folder, on a unix socket in it, as a user that is not root."""
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from lab.waiting import wait_until

USER = 'postgres'  # whom Debian's package makes; the server does not run as root


def programs():
    """The folder of initdb and postgres."""
    found = sorted(Path('/usr/lib/postgresql').glob('*/bin/initdb'))
    assert found, 'PostgreSQL is not installed: sudo tests/lab install'
    return found[-1].parent


class Postgres:
    """One server. Enter to make and start it."""

    def __init__(self):
        self.bin = programs()
        self.process = None
        self.folder = None

    def __enter__(self):
        account = pwd.getpwnam(USER)
        self.folder = Path(tempfile.mkdtemp(prefix='np-pg-'))
        os.chown(self.folder, account.pw_uid, account.pw_gid)
        self.folder.chmod(0o755)
        self.log = self.folder / 'log'
        self.data = self.folder / 'data'
        self._run('initdb', '-D', self.data, '-A', 'trust', '-U', USER, '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync')
        # A name, as other users may have passwords: everybody else is trusted, since only we can reach the socket.
        hba = self.data / 'pg_hba.conf'
        hba.write_text('local all locked scram-sha-256\nlocal all all trust\n')
        self.start()
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program, *words):
        return subprocess.run([self.bin / program, *words], user=USER, group=USER, extra_groups=[], cwd='/', check=True,
                              capture_output=True, text=True, timeout=120)

    def start(self):
        with self.log.open('a') as log:
            self.process = subprocess.Popen(
                [self.bin / 'postgres', '-D', self.data, '-c', 'listen_addresses=', '-k', self.folder, '-c', 'fsync=off',
                 '-c', 'max_connections=40', '-c', 'shared_buffers=32MB'],
                user=USER, group=USER, extra_groups=[], cwd='/', stdout=log, stderr=log, start_new_session=True)
        wait_until(self.answers, 60, 'PostgreSQL to answer')

    def stop(self, number=signal.SIGINT):
        """SIGINT: connections are cut, the server ends in order."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)
        self.process = None

    def copy(self):
        """Remembers the whole cluster as it is now, with a short restart."""
        self.stop()
        subprocess.run(['cp', '-a', self.data, self.folder / 'copy'], check=True)
        self.start()

    def go_back(self):
        """What another server does that takes over with a copy which was behind: all since copy() is lost."""
        self.stop()
        shutil.rmtree(self.data)
        (self.folder / 'copy').rename(self.data)
        self.start()

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        return subprocess.run([self.bin / 'pg_isready', '-q', '-h', self.folder], check=False).returncode == 0

    def processes(self):
        """The server and its children."""
        children = Path(f'/proc/{self.process.pid}/task/{self.process.pid}/children').read_text().split()
        return [self.process.pid, *map(int, children)]

    def signal_all(self, number):
        for pid in self.processes():
            os.kill(pid, number)

    def sql(self, text, database=USER):
        """Runs text; the rows as lines, columns between '|'."""
        return subprocess.run([self.bin / 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-h', self.folder, '-U',
                               USER, '-d', database, '-c', text],
                              check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def create(self, name):
        """A new database; its URL."""
        self.sql(f'CREATE DATABASE {name}')
        return self.url(name)

    def url(self, name, user=USER, password=''):
        secret = f':{password}' if password else ''
        return f'postgresql://{user}{secret}@/{name}?host={self.folder}'
