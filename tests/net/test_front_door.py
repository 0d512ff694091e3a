"""HQ behind nginx and HAProxy, on a Unix socket: who asks is carried, whoever says something else; rights, restarts, and
what a full HQ says."""
import contextlib
import grp
import http.client
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

import proxies
from hqclient import Client, Device
from hqserver import Hq

PROXIES = {'nginx': proxies.nginx, 'haproxy': proxies.haproxy}
SOCKET = 'http.sock'


class ProxiedHq(Hq):
    """An HQ that listens on a Unix socket alone, in a folder that a proxy's user can get at."""

    def __init__(self, program, folder, **settings):
        super().__init__(program, folder)
        folder.chmod(0o755)
        self.socket = folder / SOCKET
        self.configure(listen=f'unix:{self.socket}', listen_group='www-data', enrol=['open', 'factory-secret'],
                       open_enrolments=2, **settings)


class SourceClient(Client):
    """A client from an address of its choice, with headers of its own in every request."""

    def __init__(self, hq, port, source, **headers):
        super().__init__(hq.url, hq.folder / 'hq-anchors.pem', ('127.0.0.1', port))
        self.connection._create_connection = lambda _a, _t, _s: socket.create_connection(('127.0.0.1', port), 10, (source, 0))
        self.headers = headers

    def request(self, method, path, body=None, **headers):
        return super().request(method, path, body, **headers, **self.headers)


@contextlib.contextmanager
def running(bin_dir, **settings):
    folder = Path(tempfile.mkdtemp(prefix='np-front-door-'))
    try:
        hq = ProxiedHq(bin_dir / 'nameplate-hq', folder / 'hq', **settings)
        folder.chmod(0o755)
        hq.start()
        try:
            yield hq
            assert hq.stop() == 0, hq.log.read_text()
        finally:
            hq.stop(signal.SIGKILL)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope='module')
def hq(bin_dir):
    with running(bin_dir) as hq:
        yield hq


def raw(hq, text):
    """What HQ says on its socket to these bytes, all of it."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(hq.socket))
        with contextlib.suppress(BrokenPipeError):
            sock.sendall(text.encode())
        answer = b''
        while data := sock.recv(65536):
            answer += data
    return answer.decode()


class UnixClient(Client):
    """Plain HTTP on HQ's socket."""

    def __init__(self, hq):
        self.url, self.nonce = hq.url, None
        self.connection = http.client.HTTPConnection('hq', timeout=10)

        def connect(*_arguments):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(10)
            sock.connect(str(hq.socket))
            return sock
        self.connection._create_connection = connect
        self.connection.connect = lambda: setattr(self.connection, 'sock', connect())


def network(hq, name):
    """The network that HQ counted the device's enrolment for."""
    with contextlib.closing(sqlite3.connect(f'file:{hq.folder}/data/hq.db?mode=ro', uri=True)) as db:
        return db.execute('SELECT network FROM device WHERE name = ?', (name,)).fetchone()[0]


@pytest.mark.parametrize('kind', PROXIES)
def test_devices_through_a_proxy(hq, kind, tmp_path):
    """The whole protocol, over kept connections; and 'open' is counted by where the device is, not by the proxy, nor by
    what the device says of itself."""
    base = 10 if kind == 'nginx' else 20
    tmp_path.chmod(0o755)
    with PROXIES[kind](tmp_path, hq.socket, hq.folder / 'hq-tls.pem', hq.folder / 'hq-tls-key.pem') as port:
        device = Device(SourceClient(hq, port, f'127.0.{base}.1'))
        answer = device.enrol()
        assert answer.status == 201, answer.body
        assert network(hq, device.name) == f'127.0.{base}.0/24'
        assert device.post_csr(device.csr()).status == 202
        assert device.package().status == 202
        assert device.put_addresses(2, ['192.168.7.7']).status == 200
        assert hq.lookup(device.name) == ['192.168.7.7']
        assert device.session().status == 200
        # Lies about the address: in a header, in two, as others write it.
        lies = [{'X_Forwarded_For': '198.51.100.1'}, {'X_Forwarded_For': '198.51.100.2, 198.51.100.3', 'Forwarded': 'for=198.51.100.4'},
                {'x_forwarded_for': '198.51.100.5', 'X_Real_IP': '198.51.100.6'}]
        seen = [Device(SourceClient(hq, port, f'127.0.{base}.2', **lie)).enrol().status for lie in lies]
        assert seen == [201, 429, 429]
        assert Device(SourceClient(hq, port, f'127.0.{base + 1}.1')).enrol().status == 201
        # HQ dies and comes back: its socket's file is replaced, and the proxy finds it.
        hq.stop(signal.SIGKILL)
        assert hq.socket.is_socket()
        hq.log.write_text('')
        hq.start()
        device.client = SourceClient(hq, port, f'127.0.{base}.1')
        assert device.put_addresses(3, ['192.168.7.8']).status == 200
    assert 'does not say who asks' not in hq.log.read_text()


def test_socket_has_the_rights_of_the_configuration(hq):
    status = hq.socket.stat()
    assert stat.S_IMODE(status.st_mode) == 0o660
    assert status.st_gid == grp.getgrnam('www-data').gr_gid
    assert f'http unix:{hq.socket}' in hq.log.read_text()


def test_nobody_says_who_asks(hq):
    """A proxy that is set up badly: what depends on the address is refused, the rest goes on; the log says what to do."""
    device = Device(UnixClient(hq))
    answer = device.enrol()
    assert (answer.status, answer.problem) == (503, 'busy') and 'X-Forwarded-For' in answer.json['detail']
    assert int(answer.headers['Retry-After']) > 0
    known = Device(UnixClient(hq), 'FD-1', hq.secret('FD-1'))
    assert known.enrol().status == 201
    assert known.put_addresses(2, ['192.168.1.1']).status == 200
    assert hq.log.read_text().count('does not say who asks') == 1
    # Nonsense is nobody's address.
    text = raw(hq, 'GET /v1/nonce HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: nobody\r\nConnection: close\r\n\r\n')
    assert text.startswith('HTTP/1.1 204')


def test_header_means_nothing_over_tls(bin_dir, tmp_path):
    """From the Internet, anybody can send it."""
    hq = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq', '--enrol', 'open').start()
    try:
        device = Device(SourceClient(hq, hq.port, '127.0.30.1', X_Forwarded_For='198.51.100.9'))
        assert device.enrol().status == 201
        assert network(hq, device.name) == '127.0.30.0/24'
    finally:
        assert hq.stop() == 0


@pytest.mark.parametrize('kind', PROXIES)
def test_full(bin_dir, kind, tmp_path):
    """More connections than HQ takes, all at work: the proxy's clients get 503 with Retry-After, not the proxy's own 502."""
    tmp_path.chmod(0o755)
    with running(bin_dir, connections=4) as hq, contextlib.ExitStack() as held, \
            PROXIES[kind](tmp_path, hq.socket, hq.folder / 'hq-tls.pem', hq.folder / 'hq-tls-key.pem') as port:
        for _ in range(4):
            sock = held.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(hq.socket))
            sock.sendall(b'POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Le')
        answer = SourceClient(hq, port, '127.0.0.1').request('GET', '/v1/nonce')
        assert (answer.status, answer.problem) == (503, 'busy')
        assert int(answer.headers['Retry-After']) > 0
        assert raw(hq, 'GET / HTTP/1.1\r\n\r\n').startswith('HTTP/1.1 503 ')


@pytest.mark.parametrize('line, text', [
    ('listen = "unix:relative"', 'must be unix:/PATH'),
    ('listen = "unix:/' + 'x' * 120 + '"', 'at most 107 characters'),
    ('listen = "unix:/tmp/x"\nlisten-mode = "rw"', 'listen-mode = rw: must be octal'),
    ('listen = "unix:/tmp/nowhere/x"', 'cannot listen on unix:/tmp/nowhere/x'),
    ('listen = "unix:/tmp/np-x"\nlisten-group = "nobody-has-this"', "no group 'nobody-has-this'"),
    ('listen = "unix:/tmp/np-x"\nlisten-owner = "nobody-has-this"', "no user 'nobody-has-this'"),
])
def test_configuration_says_what_is_wrong(bin_dir, tmp_path, line, text):
    hq = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq')
    kept = [kept for kept in hq.conf.read_text().splitlines() if not kept.startswith('listen')]
    hq.conf.write_text('\n'.join([*kept, line]) + '\n')
    done = subprocess.run([hq.program, 'serve', '--config', hq.conf], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0 and text in done.stderr, done.stderr
    assert not Path('/tmp/np-x').exists()
