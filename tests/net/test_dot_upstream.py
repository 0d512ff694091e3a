"""DNS over TLS to upstreams: a real front and a real resolver, and Unbound and Knot Resolver as the servers that they ask."""
import concurrent.futures
import contextlib
import datetime
import itertools
import json
import os
import socket
import ssl
import struct
import threading
import time

import dns.edns
import dns.message
import dns.rcode
import dns.rrset
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from front_process import Child, join, view
from lab.namespaces import Namespace, attempt, link
from lab.paths import PREFIX
from lab.waiting import stays, wait_until

BOX, SERVER, SERVER6 = '198.51.100.1', '198.51.100.53', '2001:db8:53::53'
NAME = 'dns.example'
STRICT = f'tls://{SERVER}#{NAME}'
WANTED = '203.0.113.80'
NO_REACHABLE_AUTHORITY, NETWORK_ERROR = 22, 23

UNBOUND_CONF = """\
server:
    {interfaces}
    {tls}
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    module-config: "iterator"
    local-zone: "example." redirect
    local-data: "example. A {wanted}"
    incoming-num-tcp: 100
    tcp-idle-timeout: {idle_ms}
    edns-tcp-keepalive: no
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    logfile: ""
    verbosity: 1
    num-threads: 1
remote-control:
    control-enable: no
"""

KRESD_CONF = """\
modules = {{ 'hints > iterate', 'policy' }}
net.listen('{server}', 853, {{ kind = 'tls' }})
net.tls('{pem}', '{key}')
cache.open(10 * MB, 'lmdb://{folder}/cache')
policy.add(policy.suffix(policy.ANSWER({{ [kres.type.A] = {{ rdata = kres.str2ip('{wanted}'), ttl = 300 }} }}), {{ todname('example.') }}))
"""


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def new_key(kind):
    return rsa.generate_private_key(65537, 2048) if kind == 'rsa' else ec.generate_private_key(ec.SECP256R1())


def pem_of(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


class Authority:
    """A root, an intermediate below it, and servers' certificates from that."""

    def __init__(self, title='Public Root', kind='ec'):
        self.kind = kind
        self.key, self.middle_key = new_key(kind), new_key(kind)
        ca = [(x509.BasicConstraints(ca=True, path_length=None), True)]
        self.root = self.sign(name_of(title), self.key.public_key(), name_of(title), self.key, ca)
        self.middle = self.sign(name_of('Middle'), self.middle_key.public_key(), name_of(title), self.key, ca)

    def sign(self, subject, public_key, issuer, key, extensions, begins=-1, ends=90):
        now = datetime.datetime.utcnow()
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now + datetime.timedelta(days=begins))
        builder = builder.not_valid_after(now + datetime.timedelta(days=ends))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(key, hashes.SHA256())

    def issue(self, folder, *names, **validity):
        """Writes server.pem (the chain without the root) and server.key; returns their paths."""
        key = new_key(self.kind)
        extensions = [(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False),
                      (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)]
        leaf = self.sign(name_of(names[0]), key.public_key(), name_of('Middle'), self.middle_key, extensions, **validity)
        (folder / 'server.pem').write_text(pem_of(leaf) + pem_of(self.middle))
        (folder / 'server.key').write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()))
        return folder / 'server.pem', folder / 'server.key'


class Scene:
    """A box with front and resolver, and a machine for DNS servers at the other end of its line."""

    def __init__(self, program):
        self.program = program
        self.box, self.net = (Namespace(f'{PREFIX}dou-{who}-{os.getpid()}') for who in ('box', 'net'))
        self.authority = Authority()
        self.front = self.resolver = self.server = None
        self.folder = None
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for namespace in (self.box, self.net):
                namespace.delete()
                namespace.create()
                stack.callback(namespace.delete)
            link(self.box, 'wan', self.net, 'eth0')
            self.box.ip('addr', 'add', f'{BOX}/24', 'dev', 'wan')
            self.net.ip('addr', 'add', f'{SERVER}/24', 'dev', 'eth0')
            self.box.ip('-6', 'addr', 'add', '2001:db8:53::1/64', 'dev', 'wan', 'nodad')
            self.net.ip('-6', 'addr', 'add', f'{SERVER6}/64', 'dev', 'eth0', 'nodad')
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    # The box

    def start(self, *upstreams, anchors=True, floor_s=0, forward=(), ahead_s=0, **clock):
        self.upstreams = upstreams
        self.forward = [{'zone': zone, 'to': [to]} for zone, to in forward]
        self.anchors, self.floor_s, self.ahead_s, self.clock = anchors, floor_s, ahead_s, clock
        with self.box.inside():
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(('127.0.0.1', 0))
        self.begin_resolver()
        self.begin_front()
        self.join()

    def begin_front(self):
        wrong = ['env', f'LD_PRELOAD={self.program.parent / "clock_ahead.so"}', f'NP_CLOCK_AHEAD={self.ahead_s}']
        with self.box.inside():
            self.front = Child(self.program, 'child-front', self.folder / 'front.log', prefix=wrong if self.ahead_s else ())
        self.tell_clock()
        if self.anchors:
            (self.folder / 'anchors.pem').write_text(self.bundle())
            with open(self.folder / 'anchors.pem', 'rb') as file:
                self.front.send('ANCH', fds=[file.fileno()])
        self.send_view(self.front)
        assert self.front.receive() == ('REDY', None)

    def tell_clock(self, **clock):
        """What time it certainly is (floor_s), and whether HQ has signed that, or the system's clock is doubted."""
        self.clock.update(clock)
        self.front.send('CLCK', {'floor': self.floor_s, 'steady': int(time.clock_gettime(time.CLOCK_BOOTTIME)),
                                 'signed': False, 'doubted': False, **self.clock})

    def begin_resolver(self):
        with self.box.inside():
            self.resolver = Child(self.program, 'child-resolver', self.folder / 'resolver.log')
        self.resolver.listen('dns-udp', self.udp)
        self.send_view(self.resolver)
        assert self.resolver.receive() == ('REDY', None)

    def bundle(self):
        return pem_of(self.authority.root)

    def join(self):
        join(self.front, self.resolver)

    def send_view(self, child):
        child.send('VIEW', view(upstreams=list(self.upstreams), forward=self.forward, cache=0))

    def stop(self):
        for child in (self.front, self.resolver):
            if child and child.process.poll() is None:
                child.close()
        self.front = self.resolver = None
        self.end_server()
        self.udp.close()

    def ask(self, name='www.example', timeout=5.0):
        """The answer of the box's resolver."""
        with self.box.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout)
            query = dns.message.make_query(name, 'A', use_edns=0)
            sock.sendto(query.to_wire(), self.udp.getsockname())
            while True:
                message = dns.message.from_wire(sock.recv(4096))
                if query.is_response(message):
                    return message

    def upstream(self, index=0):
        return self.resolver.stats()['upstreams'][index]

    def log(self, role):
        return (self.folder / f'{role}.log').read_text(errors='replace')

    # The servers

    def unbound(self, tls=True, clear=False, idle_ms=30000, authority=None, names=(NAME,), port=853, **validity):
        interfaces = [f'interface: {a}@{port}' for a in (SERVER, SERVER6) if tls]
        interfaces += [f'interface: {a}@53' for a in (SERVER, SERVER6) if clear]
        service = ''
        if tls:
            pem, key = (authority or self.authority).issue(self.folder, *names, **validity)
            service = f'tls-port: {port}\n    tls-service-pem: "{pem}"\n    tls-service-key: "{key}"'
        conf = self.folder / 'unbound.conf'
        conf.write_text(UNBOUND_CONF.format(interfaces='\n    '.join(interfaces), tls=service, wanted=WANTED, idle_ms=idle_ms, folder=self.folder))
        self.run_server('unbound', '-d', '-c', conf, ports=[port] * tls + [53] * clear)

    def run_server(self, *argv, ports):
        self.server = self.net.spawn(*argv, log=self.folder / 'server.log')

        def up():
            assert self.server.poll() is None, (self.folder / 'server.log').read_text()
            return all(self.listens(port) for port in ports)
        wait_until(up, 15, f'{argv[0]} listens')

    def listens(self, port):
        with self.net.inside(), socket.socket() as sock:
            return sock.connect_ex((SERVER, port)) == 0

    def end_server(self):
        if self.server and self.server.poll() is None:
            self.net.kill_all()
            self.server.wait(10)
        self.server = None

    @contextlib.contextmanager
    def ears(self):
        """Port 53 of the server's machine, in clear text: yields whether anything came there."""
        with self.rules('meta l4proto { udp, tcp } th dport 53 counter'):
            yield lambda: 'packets 0 ' not in self.net.run('nft', 'list', 'table', 'inet', 'test')

    @contextlib.contextmanager
    def rules(self, rule):
        """A rule of the packet filter on what comes in at the server's machine."""
        self.net.run('nft', '-f', '-', input=f'table inet test {{\nchain in {{\ntype filter hook input priority 0\n{rule}\n}}\n}}\n')
        try:
            yield
        finally:
            self.net.run('nft', 'delete', 'table', 'inet', 'test')


@pytest.fixture(scope='module')
def lines(bin_dir):
    with Scene(bin_dir / 'nameplate') as running:
        yield running


@pytest.fixture
def scene(lines, tmp_path):
    lines.folder = tmp_path
    try:
        yield lines
        for child in (lines.front, lines.resolver):
            assert child is None or child.process.poll() is None, lines.log('front') + lines.log('resolver')
    finally:
        lines.stop()


def good(message):
    return message.rcode() == dns.rcode.NOERROR and [r.to_text() for rrset in message.answer for r in rrset] == [WANTED]


def failure(message):
    """The EDE codes of a SERVFAIL."""
    assert message.rcode() == dns.rcode.SERVFAIL, message
    return [option.code for option in message.options if option.otype == dns.edns.OptionType.EDE]


# Strict


@pytest.mark.parametrize('upstream', [STRICT, f'tls://[{SERVER6}]#{NAME.upper()}'])
def test_strict(scene, upstream):
    """Asked over TLS, checked, and not a byte in clear text."""
    scene.unbound()
    with scene.ears() as heard:
        scene.start(upstream)
        for i in range(20):
            assert good(scene.ask(f'host{i}.example'))
        assert not heard()
    stats = scene.resolver.stats()
    assert stats['forward']['sent_tls'] == 20 and stats['forward']['sent_udp'] == stats['forward']['sent_tcp'] == 0
    assert stats['upstreams'][0]['tls'] == 'works' and stats['upstreams'][0]['tls_opened'] == 1
    assert scene.front.stats()['upstream-opened'] == 1


def test_strict_knot_resolver(scene):
    pem, key = scene.authority.issue(scene.folder, NAME)
    conf = scene.folder / 'kresd.conf'
    conf.write_text(KRESD_CONF.format(server=SERVER, pem=pem, key=key, folder=scene.folder, wanted=WANTED))
    scene.run_server('kresd', '-n', '-c', conf, scene.folder, ports=[853])
    scene.start(STRICT)
    for i in range(20):
        assert good(scene.ask(f'host{i}.example'))
    assert scene.upstream()['tls_opened'] == 1


def test_strict_rsa(scene):
    """A server whose whole chain is RSA, as many public ones are."""
    authority = Authority('RSA Root', 'rsa')
    scene.unbound(authority=authority)
    scene.bundle, bundle = lambda: pem_of(scene.authority.root) + pem_of(authority.root), scene.bundle
    try:
        scene.start(STRICT)
        assert good(scene.ask())
    finally:
        scene.bundle = bundle


@pytest.mark.parametrize('what, state, says', [
    ('name', 'name-mismatch', 'the certificate is for another name'),
    ('issuer', 'untrusted', 'unknown issuer'),
    ('expired', 'expired', 'expired or not yet valid'),
    ('future', 'expired', 'expired or not yet valid'),
    ('anchors', 'untrusted', 'there are no certificates to check it by (dot-anchors)'),
    ('clear', 'no-tls', 'no TLS: '),
    ('nobody', 'refused', 'Connection refused'),
])
def test_strict_refuses(scene, what, state, says):
    """Whatever is wrong: SERVFAIL, a reason in log and counters, and nothing in clear text."""
    options = {'name': {'names': ['other.example', f'x.{NAME}']}, 'issuer': {'authority': Authority()}, 'expired': {'begins': -9, 'ends': -1},
               'future': {'begins': 1}}.get(what, {})
    if what == 'clear':  # it answers on 853, but not with TLS
        scene.run_server('python3', '-m', 'http.server', '--bind', SERVER, '853', ports=[853])
    elif what != 'nobody':
        scene.unbound(**options)
    with scene.ears() as heard:
        scene.start(STRICT, anchors=what != 'anchors')
        for i in range(3):
            assert failure(scene.ask(f'host{i}.example')) == [NETWORK_ERROR if what == 'nobody' else NO_REACHABLE_AUTHORITY]
        assert not heard()
    upstream = scene.upstream()
    assert upstream['tls'] == state and upstream['tls_opened'] == 0 and upstream['tls_failed'] >= 1
    assert scene.front.stats()['upstream-failed'][state] == upstream['tls_failed']
    lines = [line for line in scene.log('resolver').splitlines() if 'no TLS: ' in line]
    assert len(lines) == 1 and says in lines[0] and f'upstream tls://{SERVER}:853#{NAME}' in lines[0], lines


def test_strict_recovers(scene):
    """The server's certificate is mended: it is asked again by itself, and this is said."""
    scene.unbound(names=['other.example'])
    scene.start(STRICT)
    failure(scene.ask())
    scene.end_server()
    scene.unbound()
    wait_until(lambda: scene.ask().rcode() == dns.rcode.NOERROR, 60, 'the server is trusted', every=0.3)
    assert 'TLS works again' in scene.log('resolver')


def test_clock_that_is_not_believed(scene):
    """Before anybody has told the time: what is not yet valid passes, what has expired does not."""
    day = 86400
    scene.unbound(begins=3)
    scene.start(STRICT, floor_s=int(time.time()) + 2 * day)  # the system's clock lies before it
    assert good(scene.ask())
    scene.stop()
    scene.unbound(ends=1)
    scene.start(STRICT, floor_s=int(time.time()) + 2 * day)
    failure(scene.ask())
    assert scene.upstream()['tls'] == 'expired'


def test_clock_that_runs_ahead(scene):
    """By the system's clock the server's certificate ended years ago. That is believed, unless it is doubted, or HQ has signed
    another time; what was opened in doubt ends with it."""
    scene.unbound()
    scene.start(STRICT, floor_s=int(time.time()), ahead_s=5 * 365 * 86400)
    failure(scene.ask())
    assert scene.upstream()['tls'] == 'expired'
    scene.tell_clock(doubted=True)
    wait_until(lambda: scene.ask().rcode() == dns.rcode.NOERROR, 60, 'the server is judged by the floor', every=0.3)
    scene.tell_clock(doubted=False)
    wait_until(lambda: scene.ask(f'host{time.monotonic_ns()}.example').rcode() == dns.rcode.SERVFAIL, 20, 'nothing is left of the doubt')
    scene.tell_clock(signed=True)
    wait_until(lambda: scene.ask().rcode() == dns.rcode.NOERROR, 60, 'the server is judged by the signed time', every=0.3)


# Opportunistic


def test_opportunistic_with_tls(scene):
    """Encrypted, whoever it is."""
    scene.unbound(clear=True, authority=Authority('Nobody'), names=['whatever.example'])
    scene.start(f'opportunistic://{SERVER}', anchors=False)
    for i in range(10):
        assert good(scene.ask(f'host{i}.example'))
    stats = scene.resolver.stats()
    assert stats['forward']['sent_tls'] == 10 and stats['forward']['sent_udp'] == 0
    assert stats['upstreams'][0]['tls'] == 'works'


def test_opportunistic_without_tls(scene):
    """In clear text at once where nobody listens on 853, and not tried again with each question."""
    scene.unbound(tls=False, clear=True)
    with scene.ears() as heard:
        scene.start(f'opportunistic://{SERVER}')
        for i in range(10):
            assert good(scene.ask(f'host{i}.example'))
        assert heard()  # the ears do hear
    stats = scene.resolver.stats()
    assert stats['upstreams'][0]['tls'] == 'refused' and stats['upstreams'][0]['tls_failed'] == 1
    assert stats['forward']['sent_udp'] == 10
    assert 'it is asked in clear text for now' in scene.log('resolver')


def test_opportunistic_with_a_black_hole(scene):
    """853 swallows everything: no client waits longer than it would for a lost packet or two."""
    scene.unbound(tls=False, clear=True)
    with scene.rules('tcp dport 853 drop'):
        scene.start(f'opportunistic://{SERVER}')
        assert good(scene.ask())
        assert good(scene.ask('again.example'))
        wait_until(lambda: scene.upstream()['tls'] == 'unreachable', 15, 'the front has given up')
        assert good(scene.ask('more.example'))


# Connections


def test_many_questions_few_connections(scene):
    scene.unbound()
    scene.start(STRICT)
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda i: scene.ask(f'host{i}.example', timeout=15), range(500)))
    assert all(good(answer) for answer in answers)
    assert scene.front.stats()['upstream-opened'] <= 2
    assert scene.resolver.stats()['forward']['sent_tls'] >= 500


def test_connections_that_the_server_ends(scene):
    """The server ends what is idle: the next question gets a connection with the old session."""
    scene.unbound(idle_ms=300)
    scene.start(STRICT)
    assert good(scene.ask())
    for i in range(3):
        wait_until(lambda: scene.front.stats()['upstreams'] == 0, 10, 'the server has ended the connection')
        assert good(scene.ask(f'host{i}.example'))
    counters = scene.front.stats()
    assert counters['upstream-opened'] == 4 and counters['upstream-resumed'] == 3


@pytest.mark.long
def test_idle_connections_end(scene):
    """Ours end what is idle after 15 s."""
    scene.unbound()
    scene.start(STRICT)
    assert good(scene.ask())
    assert scene.front.stats()['upstreams'] == 1
    wait_until(lambda: scene.front.stats()['upstreams'] == 0, 30, 'the connection was closed')


def test_server_begins_anew(scene):
    scene.unbound()
    scene.start(STRICT)
    assert good(scene.ask())
    scene.end_server()
    scene.unbound()
    wait_until(lambda: good(scene.ask('after.example')), 10, 'answers again')
    assert good(scene.ask('more.example'))


def test_server_vanishes_silently(scene):
    """A connection that was forgotten on the way (NAT) is found out, and the question asked on another one."""
    scene.unbound()
    scene.start(STRICT)
    assert good(scene.ask())
    ports = [line.split()[3].rpartition(':')[2] for line in scene.box.run('ss', '-Htn', 'dport', '=', ':853').splitlines()]
    assert len(ports) == 1
    with scene.rules(f'tcp sport {ports[0]} drop'):
        assert good(scene.ask('lost.example', timeout=10))
    assert scene.front.stats()['upstream-opened'] == 2


def test_front_begins_anew(scene):
    """A question that comes while there is no front waits for the next one."""
    scene.unbound()
    scene.start(STRICT)
    assert good(scene.ask())
    scene.front.kill()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(scene.ask, 'meanwhile.example')
        scene.begin_front()
        scene.join()
        assert good(waiting.result())
    assert good(scene.ask('after.example'))


def test_resolver_begins_anew(scene):
    scene.unbound()
    scene.start(STRICT)
    assert good(scene.ask())
    scene.resolver.kill()
    wait_until(lambda: scene.front.stats()['upstreams'] == 0, 10, 'the front has ended the streams of the dead')
    scene.begin_resolver()
    scene.join()
    assert good(scene.ask('after.example'))


def test_failover(scene):
    """A strict server that is down, and one that is not: no question is lost, in clear text or otherwise."""
    scene.unbound()
    scene.start(f'tls://198.51.100.54#{NAME}', f'tls://[{SERVER6}]#{NAME}')
    for i in range(10):
        assert good(scene.ask(f'host{i}.example'))


def test_forwarded_zone(scene):
    """A zone may have a server over TLS of its own."""
    scene.unbound()
    scene.start('198.51.100.99', forward=[('corp.example', STRICT)])
    assert good(scene.ask('www.corp.example'))
    assert scene.resolver.stats()['forward']['sent_tls'] == 1


def test_new_view_changes_servers(scene):
    """Servers change while questions are asked; the front may learn of it after the resolver."""
    scene.unbound()
    scene.start(f'tls://198.51.100.54#{NAME}')
    scene.upstreams = [STRICT]
    scene.send_view(scene.resolver)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(scene.ask)
        wait_until(lambda: scene.front.stats()['upstreams'] == 1, 5, 'the front was asked')
        scene.send_view(scene.front)
        assert good(waiting.result())


def test_front_connects_to_nobody_else(scene):
    """A resolver that was taken over gets streams to the view's servers alone."""
    scene.unbound()
    scene.start('192.0.2.1')
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    scene.front.send('PEER', fds=[theirs.fileno()])
    theirs.close()
    text = f'opportunistic://{SERVER}:853'.encode()
    ours.send(b'OPEN' + struct.pack('!IH', 7, len(text)) + text)
    ours.settimeout(10)
    answer = ours.recv(1000)
    assert answer[:4] == b'FAIL' and struct.unpack('!I', answer[4:8]) == (7,) and b'no such upstream' in answer
    assert scene.front.stats()['upstream-failed']['unknown-upstream'] == 1
    ours.close()


def test_strict_stays_silent_in_clear_text(scene):
    """Its connections die under questions, and what listens on 853 then has no TLS: it hears nothing but handshakes."""
    scene.unbound()
    scene.start(STRICT)
    with concurrent.futures.ThreadPoolExecutor(80) as pool:
        assert all(good(answer) for answer in pool.map(lambda i: scene.ask(f'host{i}.example', timeout=15), range(200)))
        scene.end_server()
        with scene.net.inside():
            listener = socket.create_server((SERVER, 853))
        heard = []

        def listen():
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    sock.settimeout(5)
                    with sock, contextlib.suppress(OSError):
                        heard.append(sock.recv(1))
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            for answer in pool.map(lambda i: scene.ask(f'more{i}.example', timeout=15), range(60)):
                failure(answer)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()
    assert heard and set(heard) <= {b'\x16', b''}, heard


def test_resolver_alone_has_no_tls(bin_dir, tmp_path):
    """`nameplate resolver` has no front: it says so instead of asking in clear text."""
    path = tmp_path / 'view.json'
    path.write_text(json.dumps(view(upstreams=[STRICT])))
    for view_path, more, says in ((path, [], 'works under `nameplate agent` alone'), (path, ['--upstream', STRICT], 'works under `nameplate agent` alone'),
                                  (path, ['--upstream', 'tls://9.9.9.9'], 'needs the name')):
        status, _, err = attempt(bin_dir / 'nameplate', 'resolver', '--view', view_path, '--listen', '127.0.0.1', '--port', '5399', *more)
        assert status != 0 and says in err, err


# A server that can do what no real one does


class Odd:
    """A TLS server on the server's machine; behave(connection) runs for each client."""

    def __init__(self, scene, behave):
        pem, key = scene.authority.issue(scene.folder, NAME)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem, key)
        with scene.net.inside():
            self.listener = socket.create_server((SERVER, 853))
        self.behave, self.clients, self.open = behave, 0, []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
                self.open.append(sock)
                self.clients += 1
                threading.Thread(target=self.serve, args=(sock,), daemon=True).start()
            except OSError:
                return

    def serve(self, sock):
        with contextlib.suppress(OSError, EOFError):
            self.behave(self.context.wrap_socket(sock, server_side=True))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.open:
            with contextlib.suppress(OSError):
                sock.close()


@pytest.fixture
def odd(scene):
    servers = []

    def begin(behave):
        servers.append(Odd(scene, behave))
        return servers[-1]
    yield begin
    for server in servers:
        server.close()


def read_exactly(sock, count):
    data = b''
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def read_query(sock):
    return read_exactly(sock, struct.unpack('!H', read_exactly(sock, 2))[0])


def answer_to(wire):
    message = dns.message.make_response(dns.message.from_wire(wire))
    message.answer = [dns.rrset.from_text(message.question[0].name, 300, 'IN', 'A', WANTED)]
    return message.to_wire()


def test_queries_are_padded(scene, odd):
    """To 128 bytes (RFC 8467), with the client's own options left behind."""
    sizes = []

    def behave(sock):
        assert sock.selected_alpn_protocol() in (None, 'dot')
        while True:
            wire = read_query(sock)
            sizes.append(len(wire))
            assert dns.message.from_wire(wire).options[-1].otype == 12
            reply = answer_to(wire)
            sock.sendall(struct.pack('!H', len(reply)) + reply)
    odd(behave)
    scene.start(STRICT)
    for name in ('a.example', 'a-name-of-some-length.example', '.'.join(['a' * 60] * 3) + '.example'):
        assert good(scene.ask(name))
    assert sizes == [128, 128, 256]


def test_answers_out_of_order_in_odd_pieces(scene, odd):
    """Answers in another order, each in records of one byte."""
    def behave(sock):
        queries = [read_query(sock) for _ in range(5)]
        for wire in reversed(queries):
            reply = answer_to(wire)
            for byte in struct.pack('!H', len(reply)) + reply:
                sock.send(bytes([byte]))
        read_query(sock)
    odd(behave)
    scene.start(STRICT)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        assert all(good(answer) for answer in pool.map(lambda i: scene.ask(f'host{i}.example'), range(5)))


def test_server_that_ends_after_each_answer(scene, odd):
    """Every question gets its answer all the same."""
    def behave(sock):
        wire = read_query(sock)
        reply = answer_to(wire)
        sock.sendall(struct.pack('!H', len(reply)) + reply)
        sock.unwrap()
        sock.close()
    server = odd(behave)
    scene.start(STRICT)
    for i in range(8):
        assert good(scene.ask(f'host{i}.example'))
    assert server.clients >= 8


def test_server_that_says_nothing(scene, odd):
    """TLS stands, and then nothing: SERVFAIL in time, and the next question is asked on another connection."""
    def behave(sock):
        sock.recv(1)
        threading.Event().wait(30)
    odd(behave)
    scene.start(STRICT)
    began = time.monotonic()
    failure(scene.ask(timeout=10))
    assert time.monotonic() - began < 8
    assert scene.upstream()['failures'] >= 1


@pytest.mark.parametrize('behave', [lambda sock: (read_query(sock), sock.close()), lambda sock: sock.close(), lambda sock: threading.Event().wait(30)],
                         ids=['ends', 'ends at once', 'silent'])
def test_opportunistic_with_tls_but_no_dns(scene, odd, behave):
    """Something on 853 completes handshakes and answers nothing: clear text serves, from the first question on."""
    scene.unbound(tls=False, clear=True)
    server = odd(behave)
    scene.start(f'opportunistic://{SERVER}')
    for i in range(10):
        assert good(scene.ask(f'host{i}.example'))
    upstream = scene.upstream()
    assert upstream['tls'] == 'no-dns' and upstream['tls_failed'] >= 1
    assert server.clients <= 4  # not one for each question
    assert 'it is asked in clear text for now' in scene.log('resolver')


def test_strict_server_that_ends_without_an_answer(scene, odd):
    """It is not paid a handshake with each question, and is asked again once it answers."""
    count = itertools.count()
    dumb = threading.Event()
    dumb.set()

    def behave(sock):
        wire = read_query(sock)
        if not dumb.is_set():
            reply = answer_to(wire)
            sock.sendall(struct.pack('!H', len(reply)) + reply)
            read_query(sock)
        sock.close()

    def fails():
        failure(scene.ask(f'host{next(count)}.example', timeout=10))
        return True
    server = odd(behave)
    scene.start(STRICT)
    with scene.ears() as heard:
        for _ in range(5):
            fails()
        upstream = scene.upstream()
        assert upstream['tls'] == 'no-dns' and upstream['failures'] >= 1
        wait_until(lambda: fails() and scene.upstream()['tls_failed'] >= 2, 30, 'it is tried again', every=0.1)
        assert server.clients < next(count)
        dumb.clear()
        wait_until(lambda: good(scene.ask(timeout=10)), 60, 'it is asked again', every=0.3)
        assert not heard()
    assert scene.upstream()['tls'] == 'works' and 'answers over TLS again' in scene.log('resolver')


def test_stream_that_floods(scene, odd):
    """Answers that nobody asked for end the stream, and nothing else."""
    def behave(sock):
        wire = read_query(sock)
        junk = answer_to(dns.message.make_query('junk.example', 'A').to_wire())
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                sock.sendall(struct.pack('!H', len(junk)) + junk)
        del wire
    odd(behave)
    scene.start(STRICT)
    failure(scene.ask(timeout=10))
    wait_until(lambda: scene.front.stats()['upstreams'] == 0, 30, 'the stream has ended')
    stays(lambda: scene.front.process.poll() is None and scene.resolver.process.poll() is None, 0.3, 'both live')


def test_nothing_leaks(scene):
    """Many connections come and go; descriptors do not pile up."""
    scene.unbound(idle_ms=50)
    scene.start(STRICT)
    pids = [child.process.pid for child in (scene.front, scene.resolver)]

    def descriptors():
        return [len(os.listdir(f'/proc/{pid}/fd')) for pid in pids]
    assert good(scene.ask())
    wait_until(lambda: scene.front.stats()['upstreams'] == 0, 10, 'the server has ended the connection')
    before = descriptors()
    for i in range(15):
        assert good(scene.ask(f'host{i}.example'))
        wait_until(lambda: scene.front.stats()['upstreams'] == 0, 10, 'the server has ended the connection')
    wait_until(lambda: descriptors() == before, 10, 'no descriptor is left')
