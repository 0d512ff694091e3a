"""AcmeCa: the CA as a test runs it, a process of its own with its control endpoint."""
import contextlib
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from hqdriver import make_certificate
from lab.waiting import wait_until
from ports import free_port

# One fault a line: what HQ meets, and how often.
BAD_NONCE = {'status': 400, 'type': 'badNonce'}


class AcmeCa:
    """Settings may be given at once or later by set()."""

    def __init__(self, folder, dns_port, label='Own Test', **settings):
        self.folder, self.dns_port, self.label = Path(folder), dns_port, label
        self.folder.mkdir(exist_ok=True)
        self.port, self.control_port = free_port(), free_port()
        self.certificate, self.key = make_certificate(self.folder)
        self.roots = self.folder / 'roots.pem'
        self.settings = settings
        self.process = None

    @property
    def directory(self):
        return f'https://localhost:{self.port}/dir'

    def start(self):
        with (self.folder / 'acmeca.log').open('ab') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'acmeca', '--port', str(self.port), '--control-port', str(self.control_port),
                 '--certificate', self.certificate, '--key', self.key, '--dns', f'127.0.0.1:{self.dns_port}',
                 '--label', self.label, '--roots', self.roots],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=Path(__file__).resolve().parents[1])
        for port in (self.port, self.control_port):
            wait_until(lambda port=port: socket.create_connection(('127.0.0.1', port), 1).close() or True, 20, 'acmeca')
        if self.settings:
            self.set(**self.settings)
        return self

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _control(self, path, value=None):
        data = None if value is None else json.dumps(value).encode()
        with urllib.request.urlopen(f'http://127.0.0.1:{self.control_port}/{path}', data, timeout=10) as answer:
            return json.load(answer)

    def set(self, **settings):
        self._control('set', settings)

    def limits(self, **rules):
        """kind=(count, seconds): orders, domain, names, failures."""
        self._control('limits', rules)

    def faults(self, *faults):
        """Each a dict as in acmeca.server; they replace those before."""
        self._control('faults', faults)

    def stats(self):
        return self._control('stats')

    def orders(self):
        return self.stats()['orders']

    def certificates(self):
        return self.stats()['certificates']

    def requests(self, resource):
        return self.stats()['requests'].get(resource, 0)

    @contextlib.contextmanager
    def paused(self):
        """Nothing answers, nothing is forgotten."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)
