"""nameplate-hq as the tests run it: `init` in a folder of its own, then `serve` on loopback."""
import contextlib
import http.client
import os
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import dns.message
import dns.query

from hqclient import Client, Device
from ports import free_port

ZONE = 'devices.example'
HOST = f'hq.{ZONE}'


def _value(value):
    if isinstance(value, (list, tuple)):
        return '{' + ', '.join(f'"{item}"' for item in value) + '}'
    return str(value).lower() if isinstance(value, (bool, int)) else f'"{value}"'


class Hq:
    """One HQ in a folder of its own."""

    def __init__(self, program, folder, *options):
        self.program, self.folder = program, folder
        self.port, self.dns_port, self.admin_port = free_port(), free_port(), free_port()
        self.url = f'https://{HOST}:{self.port}'
        self.conf = folder / 'nameplate-hq.conf'
        self.log = folder / 'log'
        self.process = None
        self.init = subprocess.run(
            [program, 'init', '--zone', ZONE, '--url', self.url, '--dir', folder, '--listen', f'127.0.0.1:{self.port}',
             '--dns-listen', f'127.0.0.1:{self.dns_port}', '--nameserver', f'ns1.{ZONE}=127.0.0.1:{self.dns_port}',
             '--address', '127.0.0.1', '--acme-directory', 'https://127.0.0.1:9/dir', '--agree-tos',
             '--admin-listen', f'127.0.0.1:{self.admin_port}', *options],
            capture_output=True, text=True, check=True)
        with self.conf.open('a') as conf:
            conf.write('dns-rate-limit = 0\n')  # nobody asks as often as a test that waits

    def configure(self, **settings):
        """Keys of the configuration ('_' for '-'), in the place of what stands there: texts, numbers, lists of texts."""
        values = {key.replace('_', '-'): value for key, value in settings.items()}
        kept = [line for line in self.conf.read_text().splitlines() if line.split(' =')[0] not in values]
        self.conf.write_text('\n'.join([*kept, *(f'{key} = {_value(value)}' for key, value in values.items())]) + '\n')
        return self

    def start(self):
        with self.log.open('a') as log:
            self.process = subprocess.Popen([self.program, 'serve', '--config', self.conf], stderr=log)
        self.wait_for_log('ready: ')
        return self

    def wait_for_log(self, text, deadline=10):
        end = time.monotonic() + deadline
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, f'{text!r} not in the log:\n{self.log.read_text()}'
            select.select([], [], [], 0.02)

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            status = self.process.wait(10)
            if number == signal.SIGKILL:
                self._wait_for_child()
            return status
        return None

    def _wait_for_child(self):
        """The name server outlives a killed HQ by the moment in which it notices; its port is what the next one needs."""
        end = time.monotonic() + 20
        while True:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind(('127.0.0.1', self.dns_port))
                    return
                except OSError:
                    assert time.monotonic() < end, 'the name server of a killed HQ is still there'
            select.select([], [], [], 0.02)

    def run(self, *words, check=True):
        return subprocess.run([self.program, *words, '--config', self.conf], capture_output=True, text=True,
                              check=check, timeout=20)

    def admin(self, path, method='GET', body=None, **headers):
        """(status, headers, text) of the operator's listener."""
        connection = http.client.HTTPConnection('127.0.0.1', self.admin_port, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace('_', '-'): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()

    def admin_token(self):
        return (self.folder / 'admin-token').read_text().strip()

    def secret(self, serial):
        lines = dict(line.split(' = ') for line in self.run('factory-secret', serial).stdout.splitlines())
        assert lines['serial'] == f'"{serial}"'
        return bytes.fromhex(lines['secret'])

    def client(self):
        return Client(self.url, self.folder / 'hq-anchors.pem', ('127.0.0.1', self.port))

    def device(self, serial='NP-0001'):
        return Device(self.client(), serial, self.secret(serial))

    def lookup(self, name, kind='A'):
        """The rdata of name in HQ's zone, as texts."""
        answer = dns.query.udp(dns.message.make_query(name, kind), '127.0.0.1', port=self.dns_port, timeout=2)
        return sorted(item.to_text() for rrset in answer.answer for item in rrset)

    def cpu_seconds(self):
        fields = Path(f'/proc/{self.process.pid}/stat').read_text().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
