"""The front's relay, with real connections: what goes to the backend and back over 443, and over 80 at an address."""
import base64
import contextlib
import hashlib
import os
import socket
import ssl
import struct
import threading
import time
from pathlib import Path

import pytest
import websocket

from backend import Backend, read_all, relaying
from front_process import NAME, client_context, exchange, get, get_tls, request, reset_on_close

FILES = f'files.{NAME}'


# Over 443


def test_relay_large_both_ways(front, ca):
    """Both directions at once, so that neither may wait for the other."""
    up, down = os.urandom(24 << 20), os.urandom(24 << 20)
    seen = {}

    def handler(sock):
        sender = threading.Thread(target=sock.sendall, args=(down,))
        sender.start()
        digest, left = hashlib.sha256(), len(up)
        while left and (chunk := sock.recv(min(left, 1 << 16))):
            digest.update(chunk)
            left -= len(chunk)
        seen['up'] = digest.hexdigest()
        sender.join()

    with relaying(front, ca, handler), front.connect_tls(ca) as sock:
        sock.settimeout(60)
        # The ssl module takes no two threads on one object: one loop, both ways.
        sock.setblocking(False)
        sent, digest, total = 0, hashlib.sha256(), 0
        deadline = time.monotonic() + 60
        done = False
        while not done and time.monotonic() < deadline:
            if sent < len(up):
                with contextlib.suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    sent += sock.send(up[sent:sent + (1 << 16)])
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                chunk = sock.recv(1 << 16)
                digest.update(chunk)
                total += len(chunk)
                done = not chunk
        assert done and total == len(down) and digest.hexdigest() == hashlib.sha256(down).hexdigest()
        assert seen['up'] == hashlib.sha256(up).hexdigest()


def test_relay_slow_reader_gets_everything(front, ca):
    """The backend is done long before the client: nothing may be cut, however long the client waits."""
    down = os.urandom(16 << 20)
    sent = threading.Event()

    def handler(sock):
        sock.sendall(down)
        sock.shutdown(socket.SHUT_WR)
        sent.set()
        sock.recv(1)

    with relaying(front, ca, handler), front.connect_tls(ca) as sock:
        assert not sent.wait(3.0), 'the front swallowed it all: no back-pressure'
        assert read_all(sock) == (len(down), hashlib.sha256(down).hexdigest())


def test_relay_slow_backend_holds_the_client_back(front, ca):
    up = os.urandom(16 << 20)
    go, result = threading.Event(), {}

    def handler(sock):
        go.wait(20)
        digest, left = hashlib.sha256(), len(up)
        while left and (chunk := sock.recv(min(left, 1 << 16))):
            digest.update(chunk)
            left -= len(chunk)
        result['up'] = digest.hexdigest()
        sock.sendall(b'done')

    with relaying(front, ca, handler), front.connect_tls(ca) as sock:
        sock.settimeout(2)
        sent = 0
        with contextlib.suppress(TimeoutError, socket.timeout):
            while sent < len(up):
                sent += sock.send(up[sent:sent + 16384])
        assert sent < len(up), 'the front swallowed it all: no back-pressure'
        go.set()
        sock.settimeout(30)
        while sent < len(up):
            sent += sock.send(up[sent:sent + 16384])
        assert sock.recv(4) == b'done'
        assert result['up'] == hashlib.sha256(up).hexdigest()


def test_backend_that_is_cut_off_is_seen_by_the_client(front, ca):
    def handler(sock):
        sock.recv(100)
        sock.sendall(b'HTTP/1.1 200 OK\r\n\r\nhalf')
        sock.recv(1)
        reset_on_close(sock)

    context = client_context(ca)
    context.options &= ~0x80  # OP_IGNORE_UNEXPECTED_EOF, on by default in Python
    with relaying(front, ca, handler), front.connect_tls(ca, context=context, suppress_ragged_eofs=False) as sock:
        sock.sendall(request(NAME))
        assert sock.recv(1000).endswith(b'half')
        sock.sendall(b'x')
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            sock.recv(1000)


def test_backend_that_does_not_answer(front, ca):
    with relaying(front, ca, lambda sock: None):
        pass  # its port is closed from here on
    status, headers, body = get_tls(front, ca)
    assert status == 502 and 'retry-after' in headers and 'do not answer' in body
    assert front.stats()['backend-failed'] == 1


def test_foreign_server_name_never_reaches_the_backend(front, ca):
    context = client_context(ca)
    context.check_hostname = False
    with relaying(front, ca, lambda sock: sock.sendall(b'backend')):
        with front.connect_tls(ca, 'evil.example', context=context) as sock:
            assert exchange(sock, request('evil.example'))[0] == 421
        with front.connect_tls(ca) as sock:
            assert sock.recv(100) == b'backend'


def test_old_connections_keep_their_backend(front, ca):
    def echo(sock):
        while data := sock.recv(1000):
            sock.sendall(data)

    with relaying(front, ca, echo), front.connect_tls(ca) as sock:
        sock.sendall(b'one')
        assert sock.recv(10) == b'one'
        front.configure()
        assert get_tls(front, ca)[0] == 200
        sock.sendall(b'two')
        assert sock.recv(10) == b'two'


# Which backend, and what it learns


def says(word):
    """A backend that answers every request with a word, and closes."""
    def handler(sock):
        sock.recv(65536)
        sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s' % (len(word), word))
    return handler


def test_backends_by_name(front, ca):
    with Backend(says(b'all')) as one, Backend(says(b'files')) as files, Backend(says(b'nas')) as nas:
        front.send('CERT', ca.certificate_frame(NAME, f'*.{NAME}', 'nas.home.arpa')[0])
        own = [{'name': NAME, 'wildcard': True, 'https': True}, {'name': 'nas.home.arpa', 'wildcard': False, 'https': True}]
        front.send('VIEW', {'version': 1, 'own': own})
        names = [{'name': 'files', 'to': files.address}, {'name': 'NAS.home.arpa', 'to': nas.address}]
        front.configure(backend=one.address, backends=names)
        for name, word in (NAME, 'all'), (FILES, 'files'), (FILES.upper(), 'files'), (f'x.{NAME}', 'all'), ('nas.home.arpa', 'nas'):
            with front.connect_tls(ca, name) as sock:
                assert exchange(sock, request(name))[2] == word
        front.configure(backends=names)  # none for all: the own page
        assert 'securely' in get_tls(front, ca)[2]
        with front.connect_tls(ca, FILES) as sock:
            assert exchange(sock, request(FILES))[2] == 'files'


def proxied(sock, size):
    """A PROXY header of that size, and the head behind it."""
    data = b''
    while not data.endswith(b'\r\n\r\n') or len(data) < size + 20:
        data += sock.recv(65536)
    return data


def test_proxy_1(front, ca):
    seen = {}

    def handler(sock):
        seen['data'] = proxied(sock, 20)
        sock.sendall(b'HTTP/1.1 200 OK\r\n\r\nok')

    with relaying(front, ca, handler, proxy='v1', **{'address-access': True}):
        with front.connect_tls(ca, source='127.0.0.5') as sock:
            port = sock.getsockname()[1]
            assert exchange(sock, request(NAME))[2] == 'ok'
        assert seen['data'].startswith(b'PROXY TCP4 127.0.0.5 127.0.0.1 %d %d\r\nGET / HTTP/1.1\r\n' % (port, front.https_port))
        with front.connect(front.http_port, '127.0.0.6') as sock:
            port = sock.getsockname()[1]
            assert exchange(sock, request('127.0.0.1', '/login'))[2] == 'ok'
        assert seen['data'].startswith(b'PROXY TCP4 127.0.0.6 127.0.0.1 %d %d\r\nGET /login HTTP/1.1\r\n' % (port, front.http_port))


def test_proxy_2(front, ca):
    seen = {}

    def handler(sock):
        seen['data'] = proxied(sock, 28)
        sock.sendall(b'HTTP/1.1 200 OK\r\n\r\nok')

    with relaying(front, ca, handler, proxy='v2'), front.connect_tls(ca, source='127.0.0.5') as sock:
        port = sock.getsockname()[1]
        assert exchange(sock, request(NAME))[2] == 'ok'
    data = seen['data']
    assert data[:14] == b'\r\n\r\n\0\r\nQUIT\n\x21\x11'
    length, = struct.unpack('!H', data[14:16])
    assert data[16 + length:].startswith(b'GET / HTTP/1.1\r\n')
    assert struct.unpack('!4s4sHH', data[16:28]) == (socket.inet_aton('127.0.0.5'), socket.inet_aton('127.0.0.1'), port, front.https_port)
    fields, rest = {}, data[28:16 + length]
    while rest:
        kind, size = struct.unpack('!BH', rest[:3])
        fields[kind], rest = rest[3:3 + size], rest[3 + size:]
    assert fields[0x02] == NAME.encode() and fields[0x01] == b'http/1.1'
    assert fields[0x20][0] == 1 and fields[0x20].endswith(b'TLSv1.2')


# WebSocket, and long streams


def websocket_echo(sock):
    """The server's side of RFC 6455, for one unfragmented frame after another."""
    head = b''
    while not head.endswith(b'\r\n\r\n'):
        head += sock.recv(65536)
    key = next(line.split(b': ')[1] for line in head.split(b'\r\n') if line.lower().startswith(b'sec-websocket-key'))
    accept = base64.b64encode(hashlib.sha1(key + b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest())
    sock.sendall(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + accept + b'\r\n\r\n')
    stream = sock.makefile('rb')
    while frame := stream.read(2):
        length = frame[1] & 0x7f
        if length == 126:
            length, = struct.unpack('!H', stream.read(2))
        mask, payload = stream.read(4), stream.read(length)
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        sock.sendall(bytes([frame[0]]) + (bytes([length]) if length < 126 else b'\x7e' + struct.pack('!H', length)) + payload)
        if frame[0] & 0x0f == 8:
            return


@pytest.mark.parametrize('secure', [True, False])
def test_websocket(front, ca, secure):
    with relaying(front, ca, websocket_echo, **{'address-access': True}):
        if secure:
            raw, url = front.connect_tls(ca), f'wss://{NAME}/chat'
        else:
            raw, url = front.connect(front.http_port), 'ws://127.0.0.1/chat'
        client = websocket.create_connection(url, socket=raw, timeout=10)
        for message in 'hello', 'x' * 40000:
            client.send(message)
            assert client.recv() == message
        client.close()


def peak_kib(front):
    lines = Path(f'/proc/{front.process.pid}/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM'))


def digest_of(piece, count):
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(piece)
    return digest.hexdigest()


@pytest.mark.parametrize('megabytes', [64, pytest.param(1024, marks=pytest.mark.long)])
def test_a_long_download_needs_little_memory(front, ca, megabytes):
    """Through a front that holds a few buffers: its peak grows by less than a megabyte."""
    piece = os.urandom(1 << 16)

    def handler(sock):
        sock.recv(65536)
        for _ in range(16 * megabytes):
            sock.sendall(piece)

    with relaying(front, ca, handler), front.connect_tls(ca) as sock:
        sock.sendall(b'GET')
        first = sock.recv(1)
        before, digest, total = peak_kib(front), hashlib.sha256(first), 1
        while chunk := sock.recv(1 << 16):
            digest.update(chunk)
            total += len(chunk)
        assert total == 16 * megabytes * len(piece) and digest.hexdigest() == digest_of(piece, 16 * megabytes)
        assert peak_kib(front) - before < 1024


@pytest.mark.parametrize('megabytes', [16, pytest.param(1024, marks=pytest.mark.long)])
def test_a_long_upload_needs_little_memory(front, ca, megabytes):
    piece, size = os.urandom(1 << 16), megabytes << 20

    def handler(sock):
        digest, left = hashlib.sha256(), size
        while left and (chunk := sock.recv(min(left, 1 << 16))):
            digest.update(chunk)
            left -= len(chunk)
        sock.sendall(digest.hexdigest().encode())

    with relaying(front, ca, handler), front.connect_tls(ca) as sock:
        sock.sendall(piece)
        before = peak_kib(front)
        for _ in range(16 * megabytes - 1):
            sock.sendall(piece)
        told = b''
        while chunk := sock.recv(100):
            told += chunk
        assert told.decode() == digest_of(piece, 16 * megabytes)
        assert peak_kib(front) - before < 1024


# Over 80 at an address


def at_address(front, ca, handler):
    return relaying(front, ca, handler, **{'address-access': True})


def test_backend_at_the_address(front, ca):
    """The page first; who chooses to stay is at the backend, whose pages all work; the own pages stay where they are."""
    seen = []

    def handler(sock):
        head = b''
        while not head.endswith(b'\r\n\r\n'):
            head += sock.recv(65536)
        seen.append(head.decode())
        sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nbackend')

    with at_address(front, ca, handler):
        status, _, body = get(front, '127.0.0.1')
        assert status == 200 and 'href="/.nameplate/continue"' in body and not seen
        status, headers, _ = get(front, '127.0.0.1', '/.nameplate/continue')
        assert (status, headers['location']) == (303, '/')
        cookie = 'Cookie: ' + headers['set-cookie'].partition(';')[0]
        assert get(front, '127.0.0.1', '/', 'GET', cookie)[2] == 'backend'
        assert 'Connection: close' in seen[-1] and cookie in seen[-1]
        assert get(front, 'box.local', '/login?a=b')[2] == 'backend'
        assert seen[-1].startswith('GET /login?a=b HTTP/1.1\r\nHost: box.local\r\n')
        assert get(front, '127.0.0.1', '/.nameplate/', 'GET', cookie)[2].startswith('<!DOCTYPE')
        count = len(seen)
        assert get(front, 'evil.example', '/login', 'GET', cookie)[0] == 421
        assert get(front, NAME, '/login', 'GET', cookie)[0] == 301
        # Two requests in one packet: the second one is not looked at, and the first is the connection's last.
        with front.connect(front.http_port) as sock:
            sock.sendall(request('127.0.0.1', '/one', close=False) + request('evil.example', '/two', close=False))
            assert sock.recv(65536).endswith(b'backend') and sock.recv(1) == b''
        assert count < len(seen)
    assert get(front, '127.0.0.1', '/login')[0] == 502
    assert get(front, '127.0.0.1')[0] == 200
    front.configure()
    assert get(front, '127.0.0.1', '/login')[0] == 404


def test_without_a_certificate_the_backend_can_be_used(front):
    """A router that is to be set up has no Internet, so no certificate, and must be reached all the same."""
    with Backend(says(b'set me up')) as backend:
        front.configure(backend=backend.address, address_access=True)
        assert get(front, '127.0.0.1', '/setup')[2] == 'set me up'
        front.configure(backend=backend.address)  # its vendor does not want that
        assert get(front, '127.0.0.1', '/setup')[0] == 404


def test_upload_and_half_close_at_the_address(front, ca):
    up = os.urandom(8 << 20)

    def handler(sock):
        digest = hashlib.sha256()
        stream = sock.makefile('rb')
        while stream.readline() != b'\r\n':
            pass
        while chunk := stream.read(1 << 16):  # until the client's end
            digest.update(chunk)
        sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n' + digest.hexdigest().encode())

    with at_address(front, ca, handler), front.connect(front.http_port) as sock:
        sock.settimeout(30)
        sock.sendall(b'POST /up HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n' % len(up) + up)
        sock.shutdown(socket.SHUT_WR)
        assert exchange(sock, b'')[2] == hashlib.sha256(up).hexdigest()


def test_half_close_before_the_backend_is_there(front, ca):
    """The client has sent all and closed its side before the front has connected."""
    with at_address(front, ca, lambda sock: sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n%d' % len(sock.makefile('rb').read()))):
        for _ in range(20):
            with front.connect(front.http_port) as sock:
                sock.sendall(request('127.0.0.1', '/x'))
                sock.shutdown(socket.SHUT_WR)
                assert int(exchange(sock, b'')[2]) > 20
