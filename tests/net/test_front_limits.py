"""How much of the front one client can have: places, handshakes; and that a new certificate costs nobody a connection."""
import concurrent.futures
import contextlib
import socket
import ssl
import threading

import pytest

from backend import relaying
from front_process import NAME, client_context, exchange, get, get_tls, is_closed, parse, request

PLACES, SHARE = 256, 32


def test_a_client_that_wants_more_than_its_share_ends_its_own_oldest(serving, wait_until):
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(serving.connect(serving.http_port, '127.0.0.2')) for _ in range(SHARE + 8)]
        wait_until(lambda: serving.stats()['evicted'] == 8)
        assert all(is_closed(sock) for sock in socks[:8])
        assert exchange(socks[-1], request(NAME))[0] == 301
        assert serving.stats()['refused'] == 0
    wait_until(lambda: serving.stats()['connections'] == 0)


def test_a_client_whose_connections_are_busy_gets_no_more(front, ca):
    def echo(sock):
        while data := sock.recv(1000):
            sock.sendall(data)

    with relaying(front, ca, echo), contextlib.ExitStack() as stack:
        socks = []
        for _ in range(SHARE):
            socks.append(stack.enter_context(front.connect_tls(ca, source='127.0.0.2')))
            socks[-1].sendall(b'one')
            assert socks[-1].recv(10) == b'one'
        with front.connect(front.https_port, '127.0.0.2') as more:
            assert is_closed(more)
        with front.connect_tls(ca, source='127.0.0.3') as other:
            other.sendall(b'two')
            assert other.recv(10) == b'two'
        for sock in socks:
            sock.sendall(b'three')
            assert sock.recv(10) == b'three'
        assert front.stats()['refused'] == 1 and front.stats()['evicted'] == 0


@pytest.mark.parametrize('tls', [False, True])
def test_many_silent_clients_make_room(serving, ca, wait_until, tls):
    """Every place is taken by clients that say nothing: each newcomer gets one of theirs, until all have as many."""
    port = serving.https_port if tls else serving.http_port
    with contextlib.ExitStack() as stack:
        for i in range(PLACES):
            stack.enter_context(serving.connect(port, f'127.0.1.{i // SHARE + 1}'))
        wait_until(lambda: serving.stats()['connections'] == PLACES)
        for i in range(10):
            assert get(serving, NAME)[0] == 301
            assert get_tls(serving, ca)[0] == 200
        stats = serving.stats()
        assert stats['refused'] == 0 and stats['evicted'] >= 1
        # Where all have the same, nobody is evicted for nothing.
        for i in range(300):
            stack.enter_context(serving.connect(port, f'127.0.2.{i % 60 + 1}'))
        wait_until(lambda: serving.stats()['accepted'] + serving.stats()['refused'] >= PLACES + 20 + 300)
        assert serving.stats()['connections'] <= PLACES
    wait_until(lambda: serving.stats()['connections'] == 0)
    assert get_tls(serving, ca)[0] == 200


def test_handshakes_over_the_limit_wait(serving, ca):
    """A client that opens connections without end waits for its turn; another one does not."""
    serving.configure(handshakes=16)
    with contextlib.ExitStack() as stack:
        for _ in range(SHARE - 8):  # its burst of 16, and 8 more
            stack.enter_context(serving.connect(serving.https_port, '127.0.0.2'))
        with serving.connect_tls(ca, source='127.0.0.2') as sock:  # the 25th: 4 a second are its share
            assert exchange(sock, request(NAME))[0] == 200
        stats = serving.stats()
        assert stats['waited'] >= 9 and stats['waiting'] == 0 and stats['refused'] == 0


def test_the_limit_over_all(serving, ca, wait_until):
    serving.configure(handshakes=16)
    with contextlib.ExitStack() as stack:
        for i in range(40):
            stack.enter_context(serving.connect(serving.https_port, f'127.0.3.{i + 1}'))
        wait_until(lambda: serving.stats()['accepted'] == 40)
        assert serving.stats()['waited'] >= 16
        assert get(serving, NAME)[0] == 301  # port 80 does not wait
        wait_until(lambda: serving.stats()['waiting'] == 0)


def test_waiting_clients_may_leave(serving, wait_until):
    serving.configure(handshakes=1)
    with contextlib.ExitStack() as stack:
        for _ in range(SHARE):
            stack.enter_context(serving.connect(serving.https_port, '127.0.0.2'))
        wait_until(lambda: serving.stats()['waiting'] >= 10)
    with serving.connect(serving.https_port, '127.0.0.2') as sock:
        serving.send('FRGT')  # nobody is served now; then those that waited are let go
        serving.configure(handshakes=10000)
        assert is_closed(sock)
    wait_until(lambda: serving.stats()['connections'] == 0)
    assert serving.stats()['waiting'] == 0


def test_the_own_limit_is_measured(serving):
    assert 4 <= serving.stats()['handshake-limit'] <= 10000


def handshake(front, context, session=None):
    raw = front.connect(front.https_port)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a resumed session's request would wait for an ACK of its Finished
    with context.wrap_socket(raw, server_hostname=NAME, session=session) as sock:
        answer = exchange(sock, request(NAME, '/.nameplate/alive'))
        return answer[0], sock.session, sock.session_reused


def shake(front, ca, count, done):
    """Handshakes one after the other, every second one with the session of the one before."""
    context = client_context(ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    resumed, session = 0, None
    for i in range(count):
        status, session, reused = handshake(front, context, session if i % 2 else None)
        assert status == 204
        resumed += reused
    done.set()
    return resumed


def go_on(socks):
    for sock in socks:
        sock.sendall(request(NAME, '/.nameplate/alive', close=False))
        assert parse(sock.recv(65536))[0] == 204


def swaps(front, ca, count):
    """count handshakes while certificates and keys change all the time, and streams that were open before go on."""
    front.configure(handshakes=10000)
    frames = [ca.certificate_frame(NAME)[0] for _ in range(8)]
    done = threading.Event()
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(1) as pool:
        old = [stack.enter_context(front.connect_tls(ca)) for _ in range(4)]
        running = pool.submit(shake, front, ca, count, done)
        changed = 0
        while not running.done():
            front.send('CERT', frames[changed % len(frames)])
            changed += 1
            if changed % 50 == 0:
                go_on(old)
            done.wait(0.02)
        assert running.result() > 0  # resumed, where no change came between
        go_on(old)
    stats = front.stats()
    assert stats['handshakes-failed'] == 0 and stats['handshakes'] == count + 4
    return changed


def test_swaps_cost_no_handshake(serving, ca):
    assert swaps(serving, ca, 1000) > 20


@pytest.mark.long
def test_swaps_cost_no_handshake_of_ten_thousand(serving, ca):
    assert swaps(serving, ca, 10000) > 200
