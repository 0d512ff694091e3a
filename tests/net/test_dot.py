"""DNS over TLS for the LAN: a real front and a real resolver, joined as the agent joins them, asked by kdig and by Python."""
import contextlib
import os
import socket
import ssl
import struct

import dns.edns
import dns.message
import pytest

from front_process import NAME, Ca, Child, client_context, join, listening, reset_on_close, view
from lab.namespaces import Namespace, attempt, link
from lab.paths import PREFIX
from lab.waiting import wait_until

PORT = 853
PADDING = 12


def link_local(namespace, interface):
    words = wait_until(lambda: namespace.ip('-6', '-o', 'addr', 'show', 'dev', interface, 'scope', 'link', '-tentative').split(),
                       what=f'a link-local address on {interface}')
    return words[words.index('inet6') + 1].partition('/')[0]


class Home:
    """A box with two LANs and a client on both, for all tests; each starts front and resolver there anew."""

    def __init__(self, program, ca):
        self.program, self.ca, self.folder = program, ca, None
        self.box, self.client = (Namespace(f'{PREFIX}dot-{who}-{os.getpid()}') for who in ('box', 'client'))
        self.stack = contextlib.ExitStack()
        self.front = self.resolver = None
        # kdig 3.2 takes no certificate without a subject ("The requested data were not available").
        self.certificate = ca.certificate_frame(NAME, subject=NAME)[0]

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for namespace in (self.box, self.client):
                namespace.delete()
                namespace.create()
                stack.callback(namespace.delete)
            for i in (1, 2):
                link(self.box, f'lan{i}', self.client, f'eth{i}')
                self.box.ip('addr', 'add', f'192.168.{i}.1/24', 'dev', f'lan{i}')
                self.box.ip('-6', 'addr', 'add', f'fd4{i}::1/64', 'dev', f'lan{i}', 'nodad')
                self.client.ip('addr', 'add', f'192.168.{i}.7/24', 'dev', f'eth{i}')
                self.client.ip('-6', 'addr', 'add', f'fd4{i}::7/64', 'dev', f'eth{i}', 'nodad')
            link_local(self.client, 'eth1')
            own = [link_local(self.box, f'lan{i}') for i in (1, 2)]
            self.link_local = f'{own[0]}%eth1'
            index = [int(self.box.ip('-o', 'link', 'show', f'lan{i}').split(':')[0]) for i in (1, 2)]
            self.interfaces = [
                {'index': index[i - 1], 'name': f'lan{i}', 'lan': True, 'v4': [f'192.168.{i}.1/24'],
                 'v6': [f'fd4{i}::1/64', f'{own[i - 1]}/64']} for i in (1, 2)]
            with self.box.inside():
                self.sockets = [listening(a, PORT) for a in ('192.168.1.1', '192.168.2.1', 'fd41::1', f'{own[0]}%lan1')]
            for sock in self.sockets:
                stack.callback(sock.close)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def stop(self):
        for child in (self.front, self.resolver):
            if child and child.process.poll() is None:
                child.close()

    def view(self):
        return view(interfaces=self.interfaces)

    def begin(self, role):
        with self.box.inside():
            child = Child(self.program, f'child-{role}', self.folder / f'{role}.log')
        if role == 'front':
            for sock in self.sockets:
                child.listen('dot', sock)
            if self.certificate:
                child.send('CERT', self.certificate)
        child.send('VIEW', self.view())
        assert child.receive() == ('REDY', None)
        return child

    def start(self, folder):
        self.folder = folder
        self.front, self.resolver = self.begin('front'), self.begin('resolver')
        self.join()

    def join(self):
        join(self.front, self.resolver)
        self.front.stats()
        self.resolver.stats()

    def log(self, role):
        return (self.folder / f'{role}.log').read_text(errors='replace')

    def kdig(self, server, *options, rdtype='A', host=NAME):
        """kdig's answer records over TLS that it checked, or None when it got none."""
        root = self.folder / 'root.pem'
        root.write_text(self.ca.root_pem())
        argv = ['kdig', f'@{server}', f'+tls-ca={root}', f'+tls-host={host}', '+short', '+timeout=5', '+retry=0', *options, NAME, rdtype]
        status, out, err = attempt(*self.client.argv(*argv))
        return None if status != 0 or 'ERROR' in out + err or 'WARNING' in out + err else out.split()

    def connect(self, server='192.168.1.1', source=None):
        with self.client.inside():
            return socket.create_connection((server, PORT), 10, source_address=(source, 0) if source else None)

    def tls(self, server='192.168.1.1', name=NAME, context=None, **options):
        return (context or client_context(self.ca)).wrap_socket(self.connect(server), server_hostname=name, **options)


@pytest.fixture(scope='module')
def network(bin_dir):
    with Home(bin_dir / 'nameplate', Ca()) as running:
        yield running


@pytest.fixture
def home(network, tmp_path):
    try:
        network.start(tmp_path)
        yield network
        for child in (network.front, network.resolver):
            assert child.process.poll() is None, network.log('front') + network.log('resolver')
    finally:
        network.stop()


def frame(query):
    wire = query if isinstance(query, bytes) else query.to_wire()
    return struct.pack('!H', len(wire)) + wire


def read_exactly(sock, count):
    data = b''
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        if not chunk:
            raise EOFError(f'{len(data)} of {count} bytes')
        data += chunk
    return data


def read_message(sock):
    return read_exactly(sock, struct.unpack('!H', read_exactly(sock, 2))[0])


def ask(sock, name=NAME, rdtype='A', **options):
    sock.sendall(frame(dns.message.make_query(name, rdtype, **options)))
    return dns.message.from_wire(read_message(sock))


def addresses(message):
    return sorted(record.to_text() for rrset in message.answer for record in rrset)


def is_closed(sock):
    """Has the other side closed, without a word of DNS?"""
    try:
        return sock.recv(1) == b''
    except (ConnectionResetError, ssl.SSLEOFError):
        return True


def test_answers_by_interface(home):
    """The resolver knows where the client came in, though the front accepted it."""
    for server, rdtype, want in (('192.168.1.1', 'A', '192.168.1.1'), ('192.168.2.1', 'A', '192.168.2.1'),
                                 ('192.168.2.1', 'AAAA', 'fd42::1'), ('fd41::1', 'A', '192.168.1.1'),
                                 ('fd41::1', 'AAAA', 'fd41::1'), (home.link_local, 'AAAA', 'fd41::1')):
        assert home.kdig(server, rdtype=rdtype) == [want], server
    stats = home.resolver.stats()['server']
    assert stats['tls_accepted'] == 6 and stats['tls_in'] == 6 and stats['tls_refused'] == 0
    counters = home.front.stats()
    assert counters['dot-accepted'] == 6 and counters['dot-handshakes'] == 6 and counters['dot-handshakes-failed'] == 0


def test_name_is_checked_by_the_client(home):
    """kdig refuses us under another name: what it accepts above means something."""
    assert home.kdig('192.168.1.1') == ['192.168.1.1']
    assert home.kdig('192.168.1.1', host='box.local') is None  # served, but the certificate has another name


def test_server_name_and_alpn(home):
    """Our own name, or none; ALPN dot, or none."""
    for protocols, name, served in ((['dot'], NAME, True), (None, NAME, True), (['h2', 'dot'], NAME.upper(), True),
                                    (None, None, True), (None, 'other.example', False)):
        context = client_context(home.ca)
        context.check_hostname = False
        if protocols:
            context.set_alpn_protocols(protocols)
        with home.tls(name=name, context=context) as sock:
            assert sock.selected_alpn_protocol() == ('dot' if protocols else None)
            if served:
                assert addresses(ask(sock)) == ['192.168.1.1']
            else:
                assert is_closed(sock)
    context = client_context(home.ca)
    context.set_alpn_protocols(['http/1.1'])
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        home.tls(context=context)


def test_sessions_are_resumed(home):
    context = client_context(home.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with home.tls(context=context) as sock:
        ask(sock)
        session = sock.session
        assert not sock.session_reused
    with home.tls(context=context, session=session) as sock:
        assert sock.session_reused and addresses(ask(sock)) == ['192.168.1.1']


def test_pipelining_and_odd_pieces(home):
    """Many queries in one record, one query in many records."""
    queries = [dns.message.make_query(NAME, rdtype, id=number) for number, rdtype in enumerate(('A', 'AAAA', 'TXT', 'SOA') * 15)]
    with home.tls() as sock:
        sock.sendall(b''.join(frame(query) for query in queries))
        answers = {message.id: message for message in (dns.message.from_wire(read_message(sock)) for _ in queries)}
        assert all(query.is_response(answers[query.id]) for query in queries)
        for byte in frame(queries[0]):
            sock.sendall(bytes([byte]))
        assert addresses(dns.message.from_wire(read_message(sock))) == ['192.168.1.1']


def test_padding(home):
    """Answers are padded to 468 for those who pad, over TLS alone (RFC 8467)."""
    option = dns.edns.GenericOption(PADDING, bytes(20))
    for name, rdtype in ((NAME, 'A'), (NAME, 'NULL'), (f'x.{NAME}', 'A'), ('localhost', 'A'), ('www.example', 'A')):
        padded = dns.message.make_query(name, rdtype, use_edns=0, options=[option])
        with home.tls() as sock:
            sock.sendall(frame(padded))
            wire = read_message(sock)
            answer = dns.message.from_wire(wire)
            assert len(wire) % 468 == 0, (name, len(wire))
            assert [o.otype for o in answer.options][-1] == PADDING
            for plain in (dns.message.make_query(name, rdtype, use_edns=0), dns.message.make_query(name, rdtype)):
                sock.sendall(frame(plain))
                assert all(o.otype != PADDING for o in dns.message.from_wire(read_message(sock)).options)


def test_garbage_ends_the_connection(home):
    for garbage in (b'\xff\xff', b'\0\0', b'GET / HTTP/1.1\r\n\r\n'):
        with home.tls() as sock:
            sock.sendall(garbage)
            assert is_closed(sock), garbage
    with home.connect() as sock:
        sock.sendall(frame(dns.message.make_query(NAME, 'A')))  # DNS in clear text on 853
        assert is_closed(sock)
    with home.tls() as sock:
        assert addresses(ask(sock)) == ['192.168.1.1']


def test_ends_are_clean(home):
    """However a client goes, nothing of it stays behind on either side."""
    for way in ('close_notify', 'fin', 'reset', 'early'):
        sock = home.tls()
        ask(sock)
        if way == 'close_notify':
            sock.sendall(frame(dns.message.make_query('slow.example', 'A')))
            with contextlib.suppress(ssl.SSLError, OSError):
                sock.unwrap()
        elif way == 'fin':
            socket.socket(fileno=os.dup(sock.fileno())).shutdown(socket.SHUT_WR)
            assert is_closed(sock)
        elif way == 'reset':
            reset_on_close(sock)
        sock.close()
    for _ in range(3):
        home.connect().close()  # before its handshake
    wait_until(lambda: home.front.stats()['connections'] == 0, what='the front has let go of everybody')
    pids = [child.process.pid for child in (home.front, home.resolver)]

    def sockets():
        return [len(os.listdir(f'/proc/{pid}/fd')) for pid in pids]
    before = sockets()
    for _ in range(20):
        with home.tls() as sock:
            ask(sock)
    wait_until(lambda: home.front.stats()['connections'] == 0 and sockets() == before, what='no descriptor is left')


@pytest.mark.long
def test_idle_connections_end(home):
    """The resolver ends a connection that asks nothing any more; the client sees a close_notify."""
    with home.tls() as sock:
        ask(sock)
        sock.settimeout(45)
        assert sock.recv(1) == b''
    wait_until(lambda: home.front.stats()['connections'] == 0, what='the front has let go')


def test_a_new_certificate_disturbs_nobody(home):
    with home.tls() as old:
        ask(old)
        frame_of_new, serial = home.ca.certificate_frame(NAME)
        home.front.send('CERT', frame_of_new)
        home.front.stats()
        assert addresses(ask(old)) == ['192.168.1.1']
        with home.tls() as new:
            shown = ssl.DER_cert_to_PEM_cert(new.getpeercert(True))
            assert int(new.getpeercert()['serialNumber'], 16) == serial, shown
            assert addresses(ask(new)) == ['192.168.1.1']
        assert addresses(ask(old)) == ['192.168.1.1']


def test_without_a_certificate(home):
    """There is none yet, or it was taken away: refused at once."""
    home.front.send('FRGT')
    home.front.stats()
    with home.connect() as sock:
        assert is_closed(sock)
    assert home.front.stats()['dot-refused'] == 1
    home.front.send('CERT', home.certificate)
    home.front.stats()
    assert home.kdig('192.168.1.1') == ['192.168.1.1']


def test_front_begins_anew(home):
    """The front dies; the resolver lives on, and serves the next front's clients."""
    with home.tls() as sock:
        ask(sock)
        home.front.kill()
        assert is_closed(sock)
    home.front = home.begin('front')
    with home.connect() as sock:
        assert is_closed(sock)  # nobody has joined them yet
    home.join()
    assert home.kdig('192.168.1.1') == ['192.168.1.1']
    assert home.resolver.stats()['server']['tls_accepted'] == 2


def test_resolver_begins_anew(home):
    with home.tls() as sock:
        ask(sock)
        home.resolver.kill()
        assert is_closed(sock)
    with home.connect() as sock:
        assert is_closed(sock)
    home.resolver = home.begin('resolver')
    home.join()
    assert home.kdig('192.168.1.1') == ['192.168.1.1']


def test_limits(home):
    """One address has 16 connections; another one is still served."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(home.tls()) for _ in range(16)]
        for sock in socks:
            assert addresses(ask(sock)) == ['192.168.1.1']
        with home.connect() as sock:
            assert is_closed(sock)
        with home.tls('192.168.2.1') as sock:
            assert addresses(ask(sock)) == ['192.168.2.1']
        assert addresses(ask(socks[0])) == ['192.168.1.1']


@pytest.mark.long
def test_silent_clients_are_cut(home):
    """A handshake has 10 s."""
    with home.connect() as sock:
        sock.settimeout(25)
        sock.sendall(b'\x16\x03\x01')
        assert is_closed(sock)
    wait_until(lambda: home.front.stats()['dot-handshakes-failed'] == 1, what='the failure is counted')


def test_strangers_are_not_admitted(home):
    """A source outside the LAN's subnets gets nothing, before any TLS."""
    home.client.ip('addr', 'add', '203.0.113.7/32', 'dev', 'eth1')
    home.box.ip('route', 'add', '203.0.113.7/32', 'dev', 'lan1')
    with home.connect(source='203.0.113.7') as sock:
        assert is_closed(sock)
    assert home.front.stats()['not-admitted'] == 1


def test_resolver_admits_by_itself(home):
    """What the front hands over is checked again: here the front's view calls lan2 LAN, and the resolver's does not."""
    first = [dict(home.interfaces[0]), dict(home.interfaces[1], lan=False)]
    home.resolver.send('VIEW', view(interfaces=first))
    home.resolver.stats()
    with home.tls('192.168.2.1') as sock:
        assert is_closed(sock)
    assert home.resolver.stats()['server']['not_admitted'] == 1
    assert home.kdig('192.168.1.1') == ['192.168.1.1']


def test_slow_reader(home):
    """A client that does not read what it asks for stops being read, and harms nobody."""
    query = frame(dns.message.make_query(NAME, 'A', use_edns=0, options=[dns.edns.GenericOption(PADDING, b'')]))
    slow = home.tls()
    slow.settimeout(0.5)
    with contextlib.suppress(TimeoutError, ssl.SSLError, OSError):
        for _ in range(40_000):
            slow.sendall(query)
    with home.tls() as sock:
        assert addresses(ask(sock)) == ['192.168.1.1']
    slow.close()
    wait_until(lambda: home.front.stats()['connections'] == 0, 20, what='the front has let go')


def test_resolver_cannot_be_fooled_by_a_frame(home):
    """Nonsense on the channel ends the channel, and nothing else."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    home.resolver.send('PEER', fds=[theirs.fileno()])
    theirs.close()
    ours.send(b'CLNT nonsense')
    ours.settimeout(10)
    assert ours.recv(10) == b''
    ours.close()
    assert 'stream channel: malformed input' in home.log('resolver')
    home.join()
    assert home.kdig('192.168.1.1') == ['192.168.1.1']


def test_children_stop_while_clients_talk(home):
    """Stopping with open connections is quick, and the exit codes are good."""
    socks = [home.tls() for _ in range(3)]
    for sock in socks:
        ask(sock)
    assert home.front.close() == 0
    assert home.resolver.close() == 0
    home.front, home.resolver = home.begin('front'), home.begin('resolver')
    for sock in socks:
        sock.close()
