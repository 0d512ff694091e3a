"""nameplate-hq as an operator and a device meet it: `init`, then `serve` on loopback, then protocol v1 over real TLS from
a client that shares no code with it."""
import http.client
import json
import os
import pwd
import resource
import select
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hqclient import Device, b64, common_name_csr
from hqserver import HOST, ZONE, Hq


@pytest.fixture(scope='module')
def program(bin_dir):
    return bin_dir / 'nameplate-hq'


@pytest.fixture(scope='module')
def hq(program, tmp_path_factory):
    running = Hq(program, tmp_path_factory.mktemp('hq')).start()
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def device(hq, request):
    """A new device with a serial number of its own, not yet enrolled."""
    return hq.device(f'T-{abs(hash(request.node.name)) % 10**9}')


# ---- The operator ----

def test_init_makes_everything_once(program, tmp_path):
    hq = Hq(program, tmp_path / 'hq')
    assert 'serve --config' in hq.init.stdout
    assert oct((hq.folder / 'secrets').stat().st_mode & 0o777) == '0o700'
    for secret in (hq.folder / 'secrets').iterdir():
        assert oct(secret.stat().st_mode & 0o777) == '0o600', secret
    before = {path: path.read_bytes() for path in hq.folder.rglob('*') if path.is_file()}
    again = subprocess.run([program, 'init', '--zone', ZONE, '--url', hq.url, '--dir', hq.folder], capture_output=True,
                           text=True, check=False)
    assert again.returncode == 1
    assert 'not overwritten' in again.stderr
    assert before == {path: path.read_bytes() for path in hq.folder.rglob('*') if path.is_file()}


def test_init_names_files_from_anywhere(program, tmp_path):
    """Files that were named from where the operator stood: serve starts in another folder."""
    for name in ('ca.pem', 'line.pem'):
        (tmp_path / name).write_text('')
    subprocess.run([program, 'init', '--zone', ZONE, '--url', f'https://hq.{ZONE}', '--dir', 'hq', '--acme-anchors', 'ca.pem', '--enrol',
                    'factory-certificate', '--factory-ca', '../' + tmp_path.name + '/line.pem'], cwd=tmp_path, check=True, capture_output=True)
    conf = (tmp_path / 'hq/nameplate-hq.conf').read_text()
    assert f'acme-anchors = "{tmp_path}/ca.pem"' in conf and f'factory-ca = "{tmp_path}/line.pem"' in conf


@pytest.mark.parametrize('options, text', [
    (['--url', 'http://hq.devices.example'], 'must be https://'),
    (['--url', 'https://192.0.2.1'], 'host name'),
    (['--url', 'https://hq.devices.example', '--zone', 'Devices.example.'], 'zone'),
    (['--url', 'https://hq.devices.example', '--listen', 'nonsense'], 'listen = nonsense'),
    (['--url', 'https://hq.devices.example', '--enrol', 'everybody'], 'claim-code or open'),
    (['--url', 'https://hq.devices.example', '--nameserver', 'ns1.devices.example'], 'NAME=ADDRESS'),
])
def test_init_says_what_is_wrong(program, tmp_path, options, text):
    done = subprocess.run([program, 'init', '--zone', ZONE, '--dir', tmp_path / 'hq', *options], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1
    assert text in done.stderr
    assert not (tmp_path / 'hq' / 'secrets').exists()


def test_usage(program):
    for words, code in ((['--help'], 0), (['version'], 0), ([], 2), (['sevre'], 2), (['init'], 2), (['device'], 2)):
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        assert done.returncode == code, words
    assert "did you mean 'serve'" in subprocess.run([program, 'sevre'], capture_output=True, text=True,
                                                    check=False).stderr


@pytest.mark.parametrize('verb', ['init', 'serve', 'device', 'factory-secret', 'zone', 'version'])
def test_each_verb_has_its_own_help(program, verb):
    texts = [subprocess.run([program, *words], capture_output=True, text=True, check=True)
             for words in ([verb, '--help'], [verb, '-h'], ['help', verb])]
    assert {done.stdout for done in texts} == {texts[0].stdout} and not texts[0].stderr
    assert texts[0].stdout.startswith(f'nameplate-hq {verb}')
    if verb != 'version':
        wrong = subprocess.run([program, verb, '--wrong'], capture_output=True, text=True, check=False)
        assert wrong.returncode == 2
        assert wrong.stderr == (f"nameplate-hq {verb}: unrecognized option '--wrong'\n"
                                f'see nameplate-hq {verb} --help\n')


def test_serve_says_what_is_wrong(program, tmp_path):
    hq = Hq(program, tmp_path / 'hq')
    good = hq.conf.read_text()

    def fails_with(text):
        done = hq.run('serve', check=False)
        assert done.returncode == 1
        assert text in done.stderr, done.stderr

    hq.conf.write_text(good + 'tll = 3\n')
    fails_with("unknown key 'tll', did you mean 'ttl'?")
    hq.conf.write_text(good.replace('"' + str(hq.folder / 'secrets'), '"/nowhere'))
    fails_with('/nowhere/pepper: No such file or directory; ')
    hq.conf.write_text(good)
    with socket.create_server(('127.0.0.1', hq.port)):
        fails_with(f'cannot listen on 127.0.0.1:{hq.port}')
    (hq.folder / 'secrets' / 'pepper').write_text('short\n')
    fails_with('64 hex digits')


def test_own_certificate_is_made_anew(program, tmp_path):
    """A leaf that is missing (or near its end, or not of its key) is signed by the private CA at the start."""
    hq = Hq(program, tmp_path / 'hq')
    old = (hq.folder / 'hq-tls.pem').read_text()
    (hq.folder / 'hq-tls-key.pem').write_text('no key\n')
    hq.start()
    try:
        assert hq.client().request('GET', '/v1/nonce').status == 204
        assert (hq.folder / 'hq-tls.pem').read_text() != old
    finally:
        assert hq.stop() == 0


def test_becomes_another_user(program):
    """The keys stay root's, the database becomes the user's, and the process is the user's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        hq = Hq(program, Path(folder) / 'hq', '--user', 'nobody')
        nobody = pwd.getpwnam('nobody').pw_uid
        # As an operator would get it wrong.
        os.chown(hq.folder / 'data', 0, 0)
        done = hq.run('serve', check=False)
        assert done.returncode == 1 and "opened as user 'nobody'" in done.stderr
        os.chown(hq.folder / 'data', nobody, -1)
        hq.start()
        try:
            status = Path(f'/proc/{hq.process.pid}/status').read_text()
            uids = next(line for line in status.splitlines() if line.startswith('Uid:')).split()[1:]
            assert uids == [str(nobody)] * 4
            assert next(line for line in status.splitlines() if line.startswith('CapEff:')).split()[1].strip('0') == ''
            assert (hq.folder / 'data' / 'hq.db').stat().st_uid == nobody
            assert (hq.folder / 'secrets').stat().st_uid == 0
            assert hq.device().enrol().status == 201
        finally:
            assert hq.stop() == 0
    done = subprocess.run([program, 'init', '--zone', ZONE, '--url', hq.url, '--dir', '/tmp/np-nowhere', '--user', 'no-such'],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and 'there is no such user' in done.stderr
    Path('/tmp/np-nowhere').rmdir()


def test_full_disk(program, tmp_path):
    """Nothing can be written: 503 with Retry-After or a cut connection, never a promise that is not kept."""
    hq = Hq(program, tmp_path / 'hq').start()
    first, second = hq.device('D-1'), hq.device('D-2')
    try:
        assert first.enrol().status == 201
        resource.prlimit(hq.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        try:
            answer = second.enrol()
            assert answer.status == 503 and answer.headers['Retry-After'], answer.json
        except (ConnectionError, http.client.HTTPException):
            pass
        client = hq.client()
        assert client.request('GET', '/v1/nonce').status == 204
        resource.prlimit(hq.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        first.client = second.client = client  # every connection of that moment was cut
        assert second.enrol().status == 201
        assert first.package().status == 202
        assert {row['name'] for row in json.loads(hq.run('device', 'list', '--json').stdout)} == {first.name, second.name}
    finally:
        assert hq.stop() == 0, hq.log.read_text()


def test_service_manager_is_told(program, tmp_path):
    hq = Hq(program, tmp_path / 'hq')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / 'notify'))
        manager.settimeout(10)
        with hq.log.open('w') as log:
            hq.process = subprocess.Popen([hq.program, 'serve', '--config', hq.conf], stderr=log,
                                          env=os.environ | {'NOTIFY_SOCKET': str(tmp_path / 'notify')})
        try:
            assert manager.recv(100) == b'READY=1'
            assert f'https 127.0.0.1:{hq.port}; dns 127.0.0.1:{hq.dns_port}' in hq.log.read_text()
        finally:
            assert hq.stop() == 0
        assert manager.recv(100) == b'STOPPING=1'


# ---- A device ----

def test_enrolment(hq, device):
    answer = device.enrol(v4=['192.168.7.1', '203.0.113.9'], v6=['fd00::7'])
    assert answer.status == 201, answer.json
    assert answer.headers['Cache-Control'] == 'no-store'
    assert device.name.endswith('.' + ZONE) and device.name.count('.') == 2
    assert answer.json['san'] == [device.name]
    assert answer.json['nameservers'] == [f'ns1.{ZONE}']
    assert abs(answer.json['time'] - time.time()) < 5
    assert hq.lookup(device.name, 'A') == ['192.168.7.1']
    assert hq.lookup(device.name, 'AAAA') == ['fd00::7']
    again = device.enrol(v4=['192.168.7.2'])
    assert (again.status, again.json['device'], again.json['name']) == (200, answer.json['device'], answer.json['name'])
    listed = {row['id']: row for row in json.loads(hq.run('device', 'list', '--json').stdout)}[device.id]
    assert listed['name'] == device.name
    assert listed['published'] == ['192.168.7.2']
    assert device.name in hq.run('device', 'list').stdout
    # A factory reset: the same identity in a new epoch gets a name of its own.
    old = device.name
    device.epoch = os.urandom(16)
    assert device.enrol().status == 201
    assert device.name != old


def test_credentials(hq, device):
    device.secret = os.urandom(32)
    assert device.enrol().problem == 'bad-credential'
    device.secret = None
    assert device.enrol().problem == 'credential-unsupported'
    device.secret = hq.secret(device.serial)
    answer = device.enrol(credential={'type': 'claim-code', 'code': '1'})
    assert (answer.status, answer.problem) == (403, 'credential-unsupported')
    # A credential is good for its own request alone.
    stolen = device.credential(device.client.fresh_nonce(), device.client.url + '/v1/devices')
    thief = Device(device.client)
    assert thief.enrol(credential=stolen).problem == 'bad-credential'


def test_signatures(hq, device):
    assert device.enrol().status == 201
    other = ec.generate_private_key(ec.SECP256R1())
    assert device.session(key=other).problem == 'bad-signature'
    wrong_url = device.session(url=hq.url + '/v1/devices')
    assert (wrong_url.status, wrong_url.problem) == (400, 'bad-url')
    assert device.session(alg='none').problem == 'bad-signature'
    assert device.session(kid='nobody').problem == 'unknown-device'
    assert device.session(kid=None).problem == 'malformed'
    assert device.session(kid=None, jwk=device.jwk()).problem == 'malformed'
    assert device.session(crit=['exp'], exp=1).problem == 'bad-signature'
    assert device.session(nonce='AAAA').problem == 'bad-nonce'
    answer = device.session()
    assert answer.status == 200 and answer.json['n'] == 0 and answer.json['device'] == device.id
    # The same signed request again.
    body = device.sign('/v1/session', {})
    assert device.client.request('POST', '/v1/session', body, Content_Type='application/jose+json').status == 200
    again = device.client.request('POST', '/v1/session', body, Content_Type='application/jose+json')
    assert again.problem == 'bad-nonce' and again.headers['Replay-Nonce']


def test_csr(hq, device):
    assert device.enrol().status == 201
    assert device.package().json['state'] == 'none'
    key = ec.generate_private_key(ec.SECP256R1())
    for der, word in ((device.csr(names=['other.' + ZONE]), 'bad-csr'),
                      (device.csr(names=[device.name, 'other.' + ZONE]), 'bad-csr'),
                      (device.csr(key=device.identity), 'key-reused'),
                      (common_name_csr(key, device.name), 'bad-csr'),
                      (device.csr()[:-1], 'bad-csr'),
                      (b'', 'malformed')):
        assert device.post_csr(der).problem == word
    der = device.csr(key=key)
    first = device.post_csr(der)
    assert (first.status, first.problem) == (202, None), first.json
    assert int(first.headers['Retry-After']) >= 1
    assert device.post_csr(der).json['order'] == first.json['order']
    assert device.post_csr(device.csr(key=key)).json['order'] == first.json['order']
    pending = device.package()
    assert (pending.status, pending.json['state'] in ('queued', 'backoff')) == (202, True), pending.json
    assert int(pending.headers['Retry-After']) >= 1
    # Another device with the same TLS key, and this key as an identity.
    other = hq.device(device.serial + '-b')
    assert other.enrol().status == 201
    assert other.post_csr(other.csr(key=key)).problem == 'key-reused'
    third = hq.device(device.serial + '-c')
    third.identity = key
    assert third.enrol().problem == 'key-reused'
    # Only so many new keys a week.
    for _ in range(2):
        assert device.post_csr(device.csr()).status == 202
    limited = device.post_csr(device.csr())
    assert (limited.status, limited.problem) == (429, 'rate-limited')
    assert 6 * 86400 < int(limited.headers['Retry-After']) <= 7 * 86400 + 1


def test_addresses(hq, device, wait_until):
    assert device.enrol(v4=['192.168.1.1']).status == 201
    answer = device.put_addresses(1, ['10.1.2.3', '100.64.0.1', '127.0.0.1'], ['fe80::1', 'fd00::5', '2001:4860::1'])
    assert answer.status == 200, answer.json
    assert answer.json['published'] == {'v4': ['10.1.2.3'], 'v6': ['fd00::5']}
    assert len(answer.json['rejected']) == 4
    assert all(': ' in why for why in answer.json['rejected'])
    assert device.put_addresses(1, ['10.1.2.3', '100.64.0.1', '127.0.0.1'],
                                ['fe80::1', 'fd00::5', '2001:4860::1']).status == 200
    stale = device.put_addresses(1, ['10.1.2.4'])
    assert (stale.status, stale.problem, stale.json['seq']) == (409, 'stale-seq', 1)
    wait_until(lambda: hq.lookup(device.name) == ['10.1.2.3'], 2, 'the pushed address')
    assert device.put_addresses(5, ['10.1.2.4']).status == 200
    assert device.put_addresses(4, ['10.1.2.4']).json['seq'] == 5
    assert device.put_addresses(6).problem == 'malformed'
    assert device.put_addresses(6, withdraw=True).status == 200
    assert hq.lookup(device.name) == []
    assert device.put_addresses(7, ['10.1.2.4'], token=os.urandom(32)).problem == 'unknown-token'
    assert device.put_addresses(8, ['10.1.2.5', '10.1.2.5', '10.1.2.6', '10.1.2.7']).json['published']['v4'] == [
        '10.1.2.5', '10.1.2.6']
    # What the zone shows follows at once.
    end = time.monotonic() + 5
    while hq.lookup(device.name) != ['10.1.2.5', '10.1.2.6']:
        assert time.monotonic() < end


def test_local_only_stays_out_of_the_zone(hq, device):
    assert device.enrol(publish='local-only').status == 201
    assert hq.lookup(device.name) == []
    answer = device.put_addresses(1, ['10.1.2.3'])
    assert answer.json['published'] == {'v4': [], 'v6': []}
    assert 'local-only' in answer.json['rejected'][0]


def test_tokens(hq, device):
    assert device.enrol().status == 201
    other = hq.device(device.serial + '-b')
    assert other.enrol().status == 201
    for token in (other.token, os.urandom(32), b'short'):
        answer = device.package(token)
        assert (answer.status, answer.problem) == (401, 'unknown-token')
        assert answer.headers['WWW-Authenticate'] == 'Bearer'
    assert device.client.request('GET', f'/v1/devices/{device.id}/package').problem == 'unknown-token'
    device.id = 'x' * 22
    assert device.package().problem == 'unknown-device'


def test_http(hq):
    client = hq.client()
    for method, path, problem, status in (('GET', '/', 'not-found', 404), ('GET', '/v1/devices/../x', 'not-found', 404),
                                          ('DELETE', '/v1/nonce', 'method-not-allowed', 405),
                                          ('GET', '/v1/devices', 'method-not-allowed', 405),
                                          ('POST', '/v1/devices', 'unsupported-media', 415)):
        answer = client.request(method, path, body='{}' if method == 'POST' else None)
        assert (answer.status, answer.problem) == (status, problem), (method, path)
        assert answer.headers['Content-Type'] == 'application/problem+json'
        assert answer.json['detail'] and answer.json['status'] == status
        assert answer.headers['Replay-Nonce']
    head = client.request('HEAD', '/v1/nonce')
    assert head.status == 204 and head.body == b''
    assert client.request('GET', '/v1/devices').headers['Allow'] == 'POST'
    big = client.request('POST', '/v1/devices', 'x' * 8193, Content_Type='application/jose+json')
    assert (big.status, big.problem) == (413, 'too-large')
    fits = client.request('POST', '/v1/devices', 'x' * 8192, Content_Type='application/jose+json')
    assert (fits.status, fits.problem) == (400, 'malformed')
    for body in ('', '{', '[]', '{"protected":1}', '{"a":1,"a":2}', '\0', b'\xff\xfe'):
        assert client.request('POST', '/v1/devices', body, Content_Type='application/jose+json').problem == 'malformed'


def test_parallel_enrolments_get_different_names(hq):
    def enrol(number):
        device = hq.device(f'P-{number}')
        assert device.enrol().status == 201
        return device.name
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(enrol, range(24)))
    assert len(set(names)) == 24


def test_kill_loses_nothing(program, tmp_path):
    """What was answered is there after kill -9."""
    hq = Hq(program, tmp_path / 'hq').start()
    device = hq.device()
    try:
        assert device.enrol().status == 201
        device.put_addresses(3, ['10.9.9.9'])
        hq.stop(signal.SIGKILL)
        hq.log.write_text('')
        hq.start()
        device.client = hq.client()
        answer = device.enrol(v4=['10.9.9.9'])
        assert (answer.status, answer.json['seq']) == (200, 3)
        assert hq.lookup(device.name) == ['10.9.9.9']
    finally:
        hq.stop()


# ---- Bad clients ----

def test_half_open_connections_cost_nothing(hq):
    """Silent after a ClientHello, after half of one, after nothing: the others are served, and no CPU is burnt."""
    context = ssl.create_default_context(cafile=str(hq.folder / 'hq-anchors.pem'))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    held = []
    try:
        for number in range(45):
            held.append(socket.create_connection(('127.0.0.1', hq.port)))
            held[-1].sendall((hello, hello[:100], b'')[number % 3])
        client = hq.client()
        assert client.request('GET', '/v1/nonce').status == 204
        before, begun = hq.cpu_seconds(), time.monotonic()
        select.select([], [], [], 2)
        used = (hq.cpu_seconds() - before) / (time.monotonic() - begun)
        assert used < 0.05, f'{used:.0%} of a core for half-open connections'
        assert client.request('GET', '/v1/nonce').status == 204
        # Their deadline ends them.
        end = time.monotonic() + 15
        for connection in held:
            connection.settimeout(max(0.1, end - time.monotonic()))
            while connection.recv(4096):
                pass
    finally:
        for connection in held:
            connection.close()


def test_one_address_has_a_share(hq):
    """The 65th connection of one address is closed at once; after others have gone there is room again."""
    held = [socket.create_connection(('127.0.0.1', hq.port)) for _ in range(64)]
    try:
        with socket.create_connection(('127.0.0.1', hq.port), timeout=5) as late:
            try:
                assert late.recv(1) == b''
            except ConnectionResetError:
                pass
    finally:
        for connection in held:
            connection.close()
    end = time.monotonic() + 5
    while True:
        try:
            assert hq.client().request('GET', '/v1/nonce').status == 204
            break
        except OSError:
            assert time.monotonic() < end


def test_not_tls_at_all(hq):
    for data in (b'GET / HTTP/1.1\r\n\r\n', b'\0' * 100, b'\x16\x03\x01\xff\xff' + b'x' * 200):
        with socket.create_connection(('127.0.0.1', hq.port), timeout=12) as connection:
            connection.sendall(data)
            try:
                while connection.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    assert hq.client().request('GET', '/v1/nonce').status == 204


@pytest.mark.filterwarnings('ignore:ssl.TLSVersion.TLSv1')
def test_tls_versions_and_resumption(hq):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=str(hq.folder / 'hq-anchors.pem'))
        context.minimum_version = context.maximum_version = version
        session = None
        for attempt in range(2):
            with socket.create_connection(('127.0.0.1', hq.port)) as raw, \
                    context.wrap_socket(raw, server_hostname=HOST, session=session) as tls:
                tls.sendall(b'GET /v1/nonce HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
                text = b''
                while data := tls.recv(4096):
                    text += data
                assert text.startswith(b'HTTP/1.1 204')
                assert tls.session_reused == bool(attempt)
                session = tls.session
    old = ssl.create_default_context(cafile=str(hq.folder / 'hq-anchors.pem'))
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers('ALL:@SECLEVEL=0')
    with socket.create_connection(('127.0.0.1', hq.port)) as raw, pytest.raises((ssl.SSLError, ConnectionResetError)):
        old.wrap_socket(raw, server_hostname=HOST)


def test_pipelined_requests_and_a_slow_reader(hq):
    """Two hundred requests at once, and nobody reads for a while: all are answered in the end, in order."""
    context = ssl.create_default_context(cafile=str(hq.folder / 'hq-anchors.pem'))
    count = 200
    with socket.create_connection(('127.0.0.1', hq.port), timeout=20) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with context.wrap_socket(raw, server_hostname=HOST) as tls:
            tls.sendall(b'GET /v1/nonce HTTP/1.1\r\nHost: x\r\n\r\n' * (count - 1)
                        + b'GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
            assert hq.client().request('GET', '/v1/nonce').status == 204
            text = b''
            while data := tls.recv(512):
                text += data
    assert text.count(b'HTTP/1.1 204') == count - 1
    assert text.count(b'HTTP/1.1 404') == 1 and text.endswith(b'}')


def test_answer_before_the_body_is_through(hq):
    """Far too large a body: the connection ends, HQ goes on."""
    context = ssl.create_default_context(cafile=str(hq.folder / 'hq-anchors.pem'))
    with socket.create_connection(('127.0.0.1', hq.port), timeout=10) as raw:
        with context.wrap_socket(raw, server_hostname=HOST) as tls:
            tls.sendall(b'POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n')
            with pytest.raises(OSError):
                for _ in range(10000):
                    tls.sendall(b'x' * 16384)
    assert hq.client().request('GET', '/v1/nonce').status == 204


def test_token_never_reaches_the_log(hq, device):
    assert device.enrol().status == 201
    device.package()
    log = hq.log.read_text()
    assert b64(device.token) not in log
