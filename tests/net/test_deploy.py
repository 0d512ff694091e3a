"""The certificate at other servers of the box: real nginx, lighttpd and HAProxy, served and compared by a real handshake;
reloads that fail, hang, lie or break the server."""
import datetime
import hashlib
import json
import os
import shutil
import signal
import ssl
import stat
from pathlib import Path

import jsonschema
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from fake_hq import DAY, NAME
from lab.namespaces import attempt
from lab.waiting import wait_until
from real_agent import a_box

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / 'docs' / 'schema' / 'deploy.schema.json').read_text())

NGINX = '''daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{port} ssl;
        listen [::1]:{port} ssl;
        ssl_certificate {folder}/box.crt;
        ssl_certificate_key {folder}/box.key;
    }}
}}
'''
LIGHTTPD = '''server.port = {port}
server.bind = "127.0.0.1"
server.document-root = "{folder}"
server.modules = ("mod_openssl")
server.errorlog = "{folder}/error.log"
ssl.engine = "enable"
ssl.pemfile = "{folder}/box.pem"
'''
HAPROXY = '''global
    stats socket {folder}/admin.sock mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend https
    bind 127.0.0.1:{port} ssl crt {folder}/box.pem
    http-request return status 200
'''
SPLIT = 'certificate = "{folder}/box.crt"\nkey = "{folder}/box.key"\n'
BOTH = 'combined = "{folder}/box.pem"\n'
# name: port, configuration, program, files, addresses that must present the certificate
SERVERS = {
    'nginx': (8441, NGINX, ['nginx', '-e', '{folder}/error.log', '-c', '{conf}'], SPLIT, '"127.0.0.1:8441", "[::1]:8441"'),
    'lighttpd': (8442, LIGHTTPD, ['lighttpd', '-D', '-f', '{conf}'], BOTH, '"127.0.0.1:8442"'),
    'haproxy': (8443, HAPROXY, ['haproxy', '-W', '-db', '-p', '{folder}/pid', '-f', '{conf}'], BOTH, '"127.0.0.1:8443"'),
}
# lighttpd restarts itself on SIGUSR1; the other two read their files again on a signal.
SIGNALS = {'nginx': 'HUP', 'lighttpd': 'USR1', 'haproxy': 'USR2'}


class Server:
    """A server in the box's namespace that begins with a certificate of its own, and its target."""

    def __init__(self, box, name, folder, ca):
        self.box, self.name, self.folder = box, name, folder
        self.port, conf, self.program, self.files, checks = SERVERS[name]
        folder.mkdir()
        self.conf = folder / 'conf'
        self.conf.write_text(conf.format(folder=folder, port=self.port))
        self.stale = ca
        for file in ('box.crt', 'box.pem'):
            (folder / file).write_text(ca.certificate_pem if file == 'box.crt' else ca.certificate_pem + ca.key_pem)
        (folder / 'box.key').write_text(ca.key_pem)
        self.checks, self.process = checks, None
        self.target()

    def start(self):
        argv = [word.format(folder=self.folder, conf=self.conf) for word in self.program]
        self.process = self.box.namespace.spawn(*argv, log=self.folder / 'out')
        wait_until(self.leaf, 10, f'{self.name} answers')

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def signal_words(self):
        return f'{{"/bin/kill", "-{SIGNALS[self.name]}", "{self.process.pid if self.process else 1}"}}'

    def target(self, reload=None, **limits):
        """Writes the target's file: by default with the reload that this server knows."""
        lines = {'check_timeout': 8, 'attempts': 1} | limits
        path = self.box.targets / f'{self.name}.conf'
        path.write_text(self.files.format(folder=self.folder) + f'check = {{{self.checks}}}\nreload = {reload or self.signal_words()}\n'
                        + ''.join(f'{key.replace("_", "-")} = {value}\n' for key, value in lines.items()))

    def leaf(self):
        """SHA-256 of what it presents to a TLS 1.3 client, an independent look."""
        with self.box.namespace.inside():
            try:
                return hashlib.sha256(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(('127.0.0.1', self.port), timeout=2))).hexdigest()
            except OSError:
                return None


class Stale:
    """What a server has before: a certificate of nobody."""

    def __init__(self, name='router.local'):
        key = rsa.generate_private_key(65537, 2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.utcnow()
        certificate = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
                       .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=9)).sign(key, hashes.SHA256()))
        self.certificate_pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption()).decode()
        self.leaf = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


@pytest.fixture(scope='module')
def stale():
    return Stale()


@pytest.fixture(scope='module')
def enrolled(bin_dir):
    """A box with a certificate; its agent asks for deployment."""
    with a_box(bin_dir) as box:
        box.report = box.folder / 'report.json'
        box.conf.write_text(box.conf.read_text() + f'deploy-report = "{box.report}"\n')
        box.start()
        wait_until(box.serial, 15, 'the certificate')
        yield box


@pytest.fixture
def box(enrolled, tmp_path):
    enrolled.targets = tmp_path / 'deploy.d'
    enrolled.targets.mkdir()
    enrolled.report.unlink(missing_ok=True)
    yield enrolled


@pytest.fixture
def server(box, stale, tmp_path, request):
    running = Server(box, getattr(request, 'param', 'nginx'), tmp_path / 'server', stale)
    try:
        running.start()
        running.target()
        assert running.leaf() == stale.leaf
        yield running
    finally:
        running.stop()


def deploy(box, code=0):
    """One run as root: (report, log)."""
    argv = box.namespace.argv(box.program, 'deploy', '--json', '--config', box.conf, '--targets', box.targets, '--report', box.report)
    status, out, err = attempt(*argv, timeout=90)
    assert status == code, err
    report = json.loads(out)
    jsonschema.validate(report, SCHEMA)
    assert json.loads(box.report.read_text()) == report
    return report, err


def near_its_end(box):
    """The box begins anew with a certificate in its last quarter, and looks for a newer one every now and then."""
    box.stop()
    for generation in box.generations():
        shutil.rmtree(generation)
    box.hq.package = box.hq.old_chain
    box.start()
    wait_until(box.serial, 15, 'the certificate')


def renew(box):
    """A new certificate, with which it is content. Returns its leaf."""
    box.hq.package = box.hq.good_chain
    box.restart()
    wait_until(lambda: x509.load_der_x509_certificate(own_certificate(box)).not_valid_after - datetime.datetime.utcnow() > 30 * DAY, 30,
               'the renewed certificate')
    return own_leaf(box)


def own_certificate(box):
    """What its own front presents, DER."""
    with box.outside.inside():
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(('192.168.1.1', 443), timeout=5))


def own_leaf(box):
    return hashlib.sha256(own_certificate(box)).hexdigest()


@pytest.mark.parametrize('server', SERVERS, indirect=True)
def test_real_server_presents_it(box, server):
    report, _ = deploy(box)
    assert report['name'] == NAME and report['leaf_sha256'] == own_leaf(box)
    assert report['targets'] == [{'target': server.name, 'outcome': 'served', 'wrote': True, 'attempts': 1, 'why': ''}]
    assert server.leaf() == own_leaf(box)
    key = server.folder / ('box.key' if server.name == 'nginx' else 'box.pem')
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and key.stat().st_uid == 0
    # A second run has nothing to do: no file is written, nobody is reloaded.
    before = key.stat().st_ino
    report, _ = deploy(box)
    assert report['targets'][0] == {'target': server.name, 'outcome': 'served', 'wrote': False, 'attempts': 0, 'why': ''}
    assert key.stat().st_ino == before
    assert not list(server.folder.glob('*.nameplate-new'))


def test_reload_that_does_nothing(box, server, stale):
    server.target('{"/bin/true"}', check_timeout=1)
    report, err = deploy(box, 1)
    target = report['targets'][0]
    assert (target['outcome'], target['wrote'], target['attempts']) == ('not-served', True, 1)
    assert '127.0.0.1:8441 presents another certificate' in target['why'] and 'presents another' in err
    assert server.leaf() == stale.leaf
    # The agent tells the owner.
    shown = box.complains('nginx does not present the certificate (not-served)')
    assert shown and box.status()['deploy']['state'] == 'trouble'
    _, out, _ = attempt(*box.namespace.argv(box.program, 'doctor', '--json', '--config', box.conf), timeout=20)
    assert [check['code'] for check in json.loads(out)['checks'] if check['check'] == 'deploy'] == ['not-served']
    # Mended: the files are there already, only the reload is made up for.
    server.target()
    report, _ = deploy(box)
    assert (report['targets'][0]['outcome'], report['targets'][0]['wrote']) == ('served', False)
    assert box.status()['deploy'] == {'state': 'served', 'targets': [{'target': 'nginx', 'outcome': 'served', 'why': ''}]}


def test_reload_that_fails_is_rolled_back(box, server, stale):
    files = {file: (server.folder / file).read_bytes() for file in ('box.crt', 'box.key')}
    modes = {file: stat.S_IMODE((server.folder / file).stat().st_mode) for file in files}
    server.target('{"/bin/sh", "-c", "echo no such unit >&2; exit 5"}', attempts=2)
    report, err = deploy(box, 1)
    target = report['targets'][0]
    # Its reload fails with the old files too, so all that can be said is that the old certificate is served on.
    assert target['outcome'] == 'failed' and target['attempts'] == 2
    assert 'status 5: no such unit' in target['why'] and 'the reload says: no such unit' in err
    assert {file: (server.folder / file).read_bytes() for file in files} == files
    assert {file: stat.S_IMODE((server.folder / file).stat().st_mode) for file in files} == modes
    assert server.leaf() == stale.leaf


def test_server_that_does_not_come_back_is_rolled_back(box, server, stale, tmp_path):
    """A reload that kills the server with the new files, and starts it again with the old ones."""
    script, second = tmp_path / 'reload', tmp_path / 'second'
    old = hashlib.sha256((server.folder / 'box.crt').read_bytes()).hexdigest()
    script.write_text(f'''#!/bin/sh
master=$(cat {server.folder}/pid)
workers=$(pgrep -P $master)
kill -9 $master $workers
if [ "$(sha256sum < {server.folder}/box.crt | cut -d' ' -f1)" = {old} ]; then
    setsid nginx -e {server.folder}/error.log -c {server.conf} >/dev/null 2>&1 < /dev/null &
    echo $! > {second}
fi
exit 0
''')
    script.chmod(0o755)
    server.target(f'{{"{script}"}}', check_timeout=2)
    try:
        report, _ = deploy(box, 1)
        assert report['targets'][0]['outcome'] == 'rolled-back', report
        assert 'presents none' in report['targets'][0]['why']
        assert server.leaf() == stale.leaf
    finally:
        os.killpg(int(second.read_text()), signal.SIGKILL)


def test_reload_that_hangs_is_killed(box, server, tmp_path):
    child = f'sleep 98765.{os.getpid()}'  # not `tail -f`, which ends by itself when nobody reads it any more
    script = tmp_path / 'reload'
    script.write_text(f'#!/bin/sh\n{child} &\nwait\n')
    script.chmod(0o755)
    server.target(f'{{"{script}"}}', reload_timeout=1, check_timeout=1)
    report, _ = deploy(box, 1)
    assert 'did not end within 1 s and was killed' in report['targets'][0]['why']
    assert attempt('pgrep', '-f', child)[0] == 1, 'its children are gone too'


def test_new_certificate_of_the_agent(box, server):
    """The whole way: a renewal, the trigger that the service manager watches, the oneshot."""
    near_its_end(box)
    trigger = box.folder / 'run' / 'deploy'
    wrote = trigger.stat().st_mtime_ns
    leaf = renew(box)
    wait_until(lambda: trigger.stat().st_mtime_ns != wrote and box.status()['deploy']['state'] == 'waiting', 10, 'the trigger')
    assert server.leaf() != leaf
    deploy(box)
    assert server.leaf() == leaf and box.status()['deploy']['state'] == 'served'


def test_follows_the_agent(box, server, tmp_path):
    """Without a service manager: it deploys at the start and after each request, and tells a program."""
    log, after = tmp_path / 'log', tmp_path / 'after'
    after.write_text(f'#!/bin/sh\necho "$1 $2" >> {tmp_path}/told\n')
    after.chmod(0o755)
    told = tmp_path / 'told'
    near_its_end(box)
    process = box.namespace.spawn(box.program, 'deploy', '--follow', '--after', after, '--config', box.conf, '--targets', box.targets, log=log)
    try:
        wait_until(lambda: told.exists() and told.read_text() == f'0 {NAME}\n', 20, 'the first run')
        leaf = renew(box)
        wait_until(lambda: server.leaf() == leaf, 30, 'the renewed certificate at the server')
        wait_until(lambda: told.read_text().count(f'0 {NAME}\n') >= 2, 10, 'the program is told')
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_full_disk_changes_nothing(box, server, stale, tmp_path):
    """The key's folder has no room: the old pair stays, also the half that would have had room."""
    server.files = f'certificate = "{server.folder}/box.crt"\nkey = "/proc/box.key"\n'
    server.target()
    before = (server.folder / 'box.crt').read_bytes()
    report, _ = deploy(box, 1)
    assert report['targets'][0]['outcome'] == 'failed' and 'box.key' in report['targets'][0]['why']
    assert (server.folder / 'box.crt').read_bytes() == before and not list(server.folder.glob('*.nameplate-new'))
    assert server.leaf() == stale.leaf


@pytest.mark.parametrize('text, said', [
    ('', 'give certificate = and key =, or combined ='),
    ('combined = "box.pem"\n', 'whole path'),
    ('combined = "/tmp/box.pem"\n', 'that a reload succeeded proves nothing'),
    ('combined = "/tmp/box.pem"\ncheck = {"example"}\n', 'check = takes ADDRESS[:PORT]'),
    ('combined = "/tmp/box.pem"\ncheck = {"127.0.0.1:443"}\nmode = "0644"\n', 'let everybody read the key'),
    ('combined = "/tmp/box.pem"\ncheck = {"127.0.0.1:443"}\nowner = "root:nosuchgroup"\n', "no group 'nosuchgroup'"),
    ('combined = "/tmp/box.pem"\ncheck = {"127.0.0.1:443"}\nreload = {"systemctl reload nginx"}\n', 'whole path; arguments are words'),
    ('combined = "/tmp/box.pem"\ncheck = {"127.0.0.1:443"}\nreload = {"/tmp/evil-reload"}\n', 'must belong to root'),
    ('combined = "/tmp/box.pem"\nchek = {"127.0.0.1:443"}\n', "did you mean 'check'?"),
])
def test_wrong_targets(box, text, said):
    Path('/tmp/evil-reload').write_text('#!/bin/sh\n')
    os.chmod('/tmp/evil-reload', 0o777)
    try:
        (box.targets / 'x.conf').write_text(text)
        status, out, err = attempt(box.program, 'deploy', '--check', '--targets', box.targets)
        assert status == 2 and said in err and 'x.conf' in err + said, err
        assert out == ''
    finally:
        os.unlink('/tmp/evil-reload')


def test_foreign_target_is_refused(box):
    path = box.targets / 'x.conf'
    path.write_text('combined = "/etc/shadow"\ncheck = {"127.0.0.1:443"}\n')
    os.chown(path, 65534, 65534)
    status, _, err = attempt(box.program, 'deploy', '--check', '--targets', box.targets)
    assert status == 2 and 'must belong to root' in err


def test_foreign_folder_is_refused(box, tmp_path):
    """Whoever may write the folder could lead root elsewhere."""
    folder = tmp_path / 'service'
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    (box.targets / 'x.conf').write_text(f'combined = "{folder}/box.pem"\ncheck = {{"127.0.0.1:443"}}\n')
    status, _, err = attempt(box.program, 'deploy', '--check', '--targets', box.targets)
    assert status == 2 and 'must be there, belong to root' in err and str(folder) in err


def test_link_is_not_followed(box, server):
    (server.folder / 'box.crt').unlink()
    (server.folder / 'box.crt').symlink_to('/etc/passwd')
    before = Path('/etc/passwd').read_bytes()
    report, _ = deploy(box, 1)
    assert report['targets'][0]['outcome'] == 'failed' and 'no plain file' in report['targets'][0]['why']
    assert Path('/etc/passwd').read_bytes() == before and (server.folder / 'box.crt').is_symlink()


def test_second_half_that_cannot_be_put_in_place(box, server, stale):
    """The chain is in place when the key's rename fails (it is a mount): the old chain comes back."""
    before = (server.folder / 'box.crt').read_bytes()
    key = server.folder / 'box.key'
    argv = box.namespace.argv('sh', '-c', f'mount --bind {key} {key} && exec "$@"', 'sh', box.program, 'deploy', '--json', '--config', box.conf,
                              '--targets', box.targets)
    status, out, err = attempt(*argv, timeout=60)
    assert status == 1, err
    result = json.loads(out)['targets'][0]
    assert result['outcome'] == 'failed' and 'box.key' in result['why']
    assert (server.folder / 'box.crt').read_bytes() == before and server.leaf() == stale.leaf
    assert not list(server.folder.glob('*.nameplate-new'))


def test_chain_that_does_not_hold_is_not_deployed(box, server, stale, tmp_path):
    """The state folder is another user's: a state with a right checksum, but a chain that nobody signed."""
    whole = (box.generations()[-1] / 'state').read_bytes()
    body = bytearray(whole[:-32])
    assert hashlib.sha256(body).digest() == whole[-32:]
    at = body.index(b'-----END CERTIFICATE') - 30  # in the leaf's signature
    body[at] = ord('A') if body[at] != ord('A') else ord('B')
    folder = tmp_path / 'state' / 'generation-1'
    folder.mkdir(parents=True)
    (folder / 'state').write_bytes(bytes(body) + hashlib.sha256(body).digest())
    conf = tmp_path / 'forged.conf'
    conf.write_text(box.conf.read_text().replace(f'state = "{box.folder}/state"', f'state = "{tmp_path}/state"'))
    status, _, err = attempt(*box.namespace.argv(box.program, 'deploy', '--config', conf, '--targets', box.targets))
    assert status == 1 and 'is not deployed' in err, err
    assert server.leaf() == stale.leaf


def test_nothing_to_do(box, tmp_path):
    status, _, err = attempt(box.program, 'deploy', '--targets', tmp_path / 'none')
    assert status == 0 and 'no target' in err


def test_no_certificate_yet(box, server, tmp_path):
    conf = tmp_path / 'new.conf'
    conf.write_text(box.conf.read_text().replace(f'state = "{box.folder}/state"', f'state = "{tmp_path}"'))
    status, _, err = attempt(box.program, 'deploy', '--config', conf, '--targets', box.targets)
    assert status == 1 and 'no certificate' in err
