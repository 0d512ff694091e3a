"""A real agent whose HQ answers badly, moves, or changes its certificate: what was installed stays and is served, nothing is
deleted, calls and memory are bounded, `nameplate status` says what is wrong, and the box recovers by itself."""
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from fake_hq import HOST, ZONE, Ca, _Server, pem
from lab.waiting import wait_until
from real_agent import OUTSIDE, a_box

MOVED = '192.168.1.8'
SECOND = f'hq2.{ZONE}'
HTML = b'<html><body>Please log in</body></html>'
MEGABYTES_100 = 100 * 1024 * 1024


@pytest.fixture(scope='module')
def installed(bin_dir):
    """A box whose certificate is in its last quarter: it looks for a newer one at each start. It knows two CAs and two URLs."""
    with a_box(bin_dir, f'hq-second = "https://{SECOND}"\n') as running:
        hq = running.hq
        hq.next_root = Ca('Vendor CA 2')
        (running.folder / 'anchors.pem').write_text(pem(hq.root.certificate, hq.next_root.certificate) + hq.time_pem())
        hq.usual = hq.package = hq.old_chain
        running.outside.ip('address', 'add', f'{MOVED}/24', 'dev', 'eth0')
        running.start()
        wait_until(running.serial, 15, 'the first certificate')
        yield running


@pytest.fixture
def box(installed):
    installed.hq.behave()
    installed.hq.names = {HOST: OUTSIDE}
    wait_until(lambda: installed.status().get('state') == 'installed', 30, 'the box is at rest')
    yield installed


def answer(status, body=HTML, **headers):
    return status, {name.replace('_', '-'): content for name, content in headers.items()}, body


def problem(status, word, **headers):
    return answer(status, {'type': f'urn:nameplate:problem:{word}', 'status': status, 'detail': 'no'}, **headers)


REFUSALS = {
    'not found': (answer(404), 'with 404'),
    'gone, says a stranger': (answer(410), 'with 410'),
    'payment required': (answer(402), 'with 402'),
    'too many requests': (problem(429, 'rate-limited', Retry_After='2'), 'with 429 rate-limited'),
    'busy': (problem(503, 'busy', Retry_After='2'), 'with 503 busy'),
    'down': (answer(503), 'with 503'),
    'a login page': (answer(200, HTML, Content_Type='text/html'), 'cannot be used'),
    '100 MB': (b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % MEGABYTES_100 + bytes(MEGABYTES_100), 'longer than'),
}


def peak_kib(box):
    status = Path(f'/proc/{box.status()["processes"]["agent"]["pid"]}/status').read_text()
    return int(next(line for line in status.splitlines() if line.startswith('VmHWM')).split()[1])


@pytest.mark.parametrize('kind', REFUSALS)
def test_refusal(box, kind):
    given, reason = REFUSALS[kind]
    before, stored = box.serial(), [(path / 'state').read_bytes() for path in box.generations()]
    box.stop()
    box.hq.answers = {'*': given}
    box.hq.seen.clear()
    box.start()
    box.complains(reason)
    status = box.status()
    assert len(box.hq.seen) <= 8, box.hq.seen
    assert status['certificate']['valid'] and status['problems']
    assert (status['level'], status['levels']['hq'], status['levels']['certificate']) == ('yellow', 'yellow', 'green')
    assert wait_until(box.serial, 5, 'the front') == before
    assert [(path / 'state').read_bytes() for path in box.generations()] == stored
    assert peak_kib(box) < 16 * 1024
    box.hq.behave()
    wait_until(lambda: box.serial() != before, 30, 'a newer certificate, now that HQ is itself again')


def test_trickle(box):
    """An answer that comes a byte at a time and never ends: given up after a fixed time, however regularly they come, with memory
    and calls bounded. The box serves all the while."""
    before, over = box.serial(), threading.Event()
    sent = []

    def trickle(_body):
        yield b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'
        while not over.wait(0.25):
            sent.append(1)
            yield b'1\r\n \r\n'
    box.stop()
    box.hq.answers = {'*': trickle}
    box.hq.seen.clear()
    box.start()
    try:
        wait_until(lambda: len(sent) >= 20, 20, 'a slow answer')
        assert box.serial() == before
        wait_until(lambda: any('did not answer in time' in line for line in box.status()['problems']), 60, 'the answer is given up')
        assert len(box.hq.seen) <= 3 and peak_kib(box) < 16 * 1024
    finally:
        over.set()
    box.hq.behave()
    wait_until(lambda: box.serial() != before, 40, 'a newer certificate, now that HQ is itself again')


def test_captive_portal(box):
    """HQ's name leads to a machine that speaks HTTP in clear where TLS is expected."""
    before = box.serial()
    box.stop()
    box.hq.names[HOST] = MOVED
    box.hq.seen.clear()
    with box.outside.inside():
        portal = socket.create_server((MOVED, 443))

    def redirect():
        with suppress(OSError):
            while True:
                client, _ = portal.accept()
                client.sendall(b'HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 0\r\n\r\n')
                client.close()
    threading.Thread(target=redirect, daemon=True).start()
    try:
        box.start()
        box.complains(f'no connection to HQ at {HOST}')
        assert box.hq.seen == [] and wait_until(box.serial, 5, 'the front') == before
        assert box.status()['levels']['hq'] == 'yellow'
    finally:
        portal.shutdown(socket.SHUT_RDWR)
        portal.close()
    box.hq.names[HOST] = OUTSIDE
    wait_until(lambda: box.serial() != before, 30, 'a newer certificate without the portal')


def test_address_changed(box):
    before = box.serial()
    with box.outside.inside():
        moved = _Server((MOVED, 443), box.hq)
    threading.Thread(target=moved.serve_forever, daemon=True).start()
    try:
        box.hq.names[HOST] = MOVED
        box.restart()
        wait_until(lambda: box.serial() != before, 15, 'a newer certificate from the new address')
    finally:
        moved.shutdown()
        moved.server_close()


def test_certificate_of_the_second_anchor(box):
    before = box.serial()
    box.hq.present(box.hq.next_root)
    box.restart()
    wait_until(lambda: box.serial() != before, 15, 'a newer certificate from HQ with its next CA')


def test_second_url(box):
    """HQ's first name is gone from the DNS; its second leads to the same HQ."""
    before = box.serial()
    box.stop()
    box.hq.present(None, HOST, SECOND)
    box.hq.names = {SECOND: OUTSIDE}
    box.start()
    wait_until(lambda: box.serial() != before, 15, 'a newer certificate over the second URL')


def test_renew(box):
    """A person asks: HQ is asked at once; another key is made on demand, and the old certificate serves until it has one."""
    older = box.serial()
    box.hq.package = box.hq.usual = box.hq.good_chain
    box.restart()
    before = wait_until(lambda: (serial := box.serial()) != older and serial, 15, 'a certificate of full length')
    key = box.hq.key.public_numbers()
    wait_until(lambda: (box.status()['hq']['next_checkin_seconds'] or 0) > 3600, 10, 'nothing to do')
    box.hq.seen.clear()
    box.namespace.run(box.program, 'renew', '--config', box.conf)
    wait_until(lambda: 'checkin' in box.hq.seen, 10, 'the check-in')
    said = box.namespace.run(box.program, 'renew', '--new-key', '--config', box.conf)
    assert 'Another key is made' in said
    wait_until(lambda: box.hq.key.public_numbers() != key and box.serial() != before, 15, 'a certificate for another key')
