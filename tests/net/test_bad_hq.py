"""A real agent and an HQ that does what the real one never does: packages, certificates and answers that are wrong. The
old certificate stays and is served, `nameplate status` says why, and the box recovers by itself once HQ is good again."""
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fake_hq import DAY, HOST, HOUR, NAME, ZONE, Ca, pem
from lab.waiting import wait_until
from real_agent import OUTSIDE, a_box


@pytest.fixture
def new_box(bin_dir):
    with a_box(bin_dir) as running:
        yield running


@pytest.fixture(scope='module')
def installed(bin_dir):
    """A box with a certificate in the last quarter of its life: at each start it looks for a newer one."""
    with a_box(bin_dir) as running:
        running.hq.usual = running.hq.package = running.hq.old_chain
        running.start()
        wait_until(running.serial, 15, 'the first certificate')
        yield running


@pytest.fixture
def box(installed):
    """The same, with a good HQ before and after each test, and nothing left to do."""
    installed.hq.behave()
    wait_until(lambda: installed.status().get('state') == 'installed', 15, 'the box is at rest')
    yield installed
    installed.hq.behave()


# Packages

def chain_of_another_ca(hq):
    return pem(hq.leaf(ca=Ca('Public CA')), hq.public_ca.certificate)


def chain_with_ended_issuer(hq):
    ca = Ca('Public CA', hq.public_root, begin=-9 * DAY, end=-2 * DAY)
    return pem(hq.leaf(ca=ca), ca.certificate)


def another_key():
    return ec.generate_private_key(ec.SECP256R1()).public_key()


PACKAGES = {
    'issuer first': (lambda hq: pem(hq.public_ca.certificate, hq.leaf()), 'another key'),
    'issuers in the wrong order': (lambda hq: pem(hq.leaf(), hq.public_root.certificate, hq.public_ca.certificate),
                                   'certificate 1 is not signed by certificate 2'),
    'signed by another CA of that name': (chain_of_another_ca, 'certificate 1 is not signed by certificate 2'),
    'a leaf as its issuer': (lambda hq: pem(hq.leaf(), hq.leaf()), "certificate 2 is not a CA's"),
    'an ended issuer': (chain_with_ended_issuer, 'certificate 2 ended'),
    'another key': (lambda hq: pem(hq.leaf(key=another_key()), hq.public_ca.certificate), 'another key'),
    'another name': (lambda hq: pem(hq.leaf(f'odd-turing.{ZONE}'), hq.public_ca.certificate), f'not for {NAME}'),
    'a further name': (lambda hq: pem(hq.leaf(NAME, f'odd-turing.{ZONE}'), hq.public_ca.certificate), 'names that are not ours'),
    'expired': (lambda hq: pem(hq.leaf(begin=-DAY * 9, end=-HOUR), hq.public_ca.certificate), 'certificate 1 ended'),
    'not yet valid': (lambda hq: pem(hq.leaf(begin=DAY, end=DAY * 9), hq.public_ca.certificate), 'certificate 1 is not valid for another'),
    'no certificate': (lambda hq: 'nothing\n', 'it holds no certificate'),
    'a cut certificate': (lambda hq: hq.good_chain().replace('-----END', 'AAAA-----END', 1), 'certificate 1 cannot be read'),
    'too many certificates': (lambda hq: hq.good_chain() * 10, 'cannot be read'),
}


@pytest.mark.parametrize('kind', PACKAGES)
def test_bad_package_leaves_the_old_one(box, kind):
    make, reason = PACKAGES[kind]
    before = box.serial()
    stored = [(path / 'state').read_bytes() for path in box.generations()]
    box.hq.package = lambda: make(box.hq)
    box.restart()
    box.says("HQ's package is refused: ")
    assert reason in box.log()
    box.complains("HQ's package is refused: ")
    assert wait_until(box.serial, 5, 'the front') == before
    assert [(path / 'state').read_bytes() for path in box.generations()] == stored, 'nothing was written'
    status = box.status()
    assert status['certificate']['valid'] and status['name'] == NAME


def test_first_package_is_bad(new_box):
    """Nothing is installed, and the box gets its certificate once the package is good."""
    hq = new_box.hq
    hq.package = lambda: pem(hq.leaf(f'odd-turing.{ZONE}'), hq.public_ca.certificate)
    new_box.start()
    new_box.complains(f'it is not for {NAME}')
    with pytest.raises(OSError):
        new_box.serial()
    hq.behave()
    assert wait_until(new_box.serial, 15, 'the certificate')


# HQ's own certificate

WRONG = {
    'unknown issuer': (lambda hq: hq.present(Ca('Another CA')), 'unknown issuer'),
    'an issuer of the same name': (lambda hq: hq.present(Ca('Vendor CA')), 'unknown issuer'),
    'a public CA': (lambda hq: hq.present(hq.public_root), 'unknown issuer'),
    'another host': (lambda hq: hq.present(None, f'www.{ZONE}'), 'another name'),
    'expired': (lambda hq: hq.present(begin=-9 * DAY, end=-DAY), 'expired or not yet valid'),
    'not yet valid': (lambda hq: hq.present(begin=DAY, end=9 * DAY), 'expired or not yet valid'),
}


@pytest.mark.parametrize('kind', WRONG)
def test_wrong_certificate(box, kind):
    """Nothing is sent to it; but for a nonce, to ask the time, where its certificate may be right and our clock wrong."""
    make, reason = WRONG[kind]
    before = box.serial()
    box.stop()
    make(box.hq)
    box.hq.seen.clear()
    box.start()
    box.complains(reason)
    assert f'no connection to HQ at {HOST} ({OUTSIDE})' in box.log()
    assert box.hq.seen == (['time'] if kind == 'not yet valid' else [])
    assert wait_until(box.serial, 5, 'the front') == before
    box.hq.behave()
    wait_until(lambda: box.serial() != before, 15, 'a newer certificate, now that HQ is itself again')


# Answers

def json_answer(status, value, **headers):
    return status, {name.replace('_', '-'): content for name, content in headers.items()}, value


HTML = b'<html><body><h1>502 Bad Gateway</h1></body></html>'
NONSENSE = {
    'another protocol': (b'220 mail.example ESMTP\r\n', 'not one that HTTP/1.1 allows'),
    'nothing': (b'', 'closed the connection'),
    'an endless head': (b'HTTP/1.1 200 OK\r\n' + b'X-Pad: ' + b'x' * 20000, 'longer than'),
    'an oversized body': (json_answer(200, b'{"chain": "' + b'x' * 40000 + b'"}'), 'longer than'),
    'an oversized body in chunks': (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + (b'2000\r\n' + b'x' * 8192 + b'\r\n') * 5,
                                    'longer than'),
    'two lengths': (b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x', 'not one that HTTP/1.1 allows'),
    'half a body': (b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"chain":', 'in the middle of its answer'),
    'no JSON': (json_answer(200, HTML), 'cannot be used'),
    'JSON of another kind': (json_answer(200, b'[1, 2, 3]'), 'cannot be used'),
    'wrong types': (json_answer(200, {'chain': 7, 'auth_token': [], 'n': '1', 'seq': -1, 'published': 3}), 'cannot be used'),
    'a gateway page': (json_answer(502, HTML, Content_Type='text/html'), 'with 502'),
    'a redirection': (json_answer(301, b'', Location='https://evil.example/v1/nonce'), 'status 301'),
    'a problem for a terminal': (json_answer(500, {'type': 'urn:nameplate:problem:internal', 'status': 500, 'detail': 'a\x1b[2Jb\n\nc'}),
                                 'with 500'),
}


@pytest.mark.parametrize('kind', NONSENSE)
def test_nonsense(box, kind):
    answer, reason = NONSENSE[kind]
    before = box.serial()
    box.stop()
    box.hq.answers = {'*': answer}
    box.start()
    box.complains(reason)
    assert '\x1b' not in box.log() and '\x1b' not in json.dumps(box.status(), ensure_ascii=False)
    assert wait_until(box.serial, 5, 'the front') == before
    box.hq.behave()
    wait_until(lambda: box.serial() != before, 15, 'a newer certificate, now that HQ makes sense again')


# The state folder

def damage(path, kind):
    data = bytearray(path.read_bytes())
    if kind == 'a flipped bit':
        data[len(data) // 2] ^= 4
    elif kind == 'cut off':
        del data[len(data) // 2:]
    elif kind == 'zeros':
        data[:] = bytes(len(data))
    else:
        data.clear()
    path.write_bytes(data)


@pytest.mark.parametrize('kind', ['a flipped bit', 'cut off', 'zeros', 'empty'])
def test_damaged_state(box, kind):
    """One generation back, and said so. HQ is away meanwhile: what is served comes from the folder alone."""
    older = box.serial()
    box.restart()
    newer = wait_until(lambda: (serial := box.serial()) != older and serial, 15, 'a newer certificate')
    box.stop()
    stored = box.generations()
    assert len(stored) == 2
    damage(stored[-1] / 'state', kind)
    box.hq.answers = {'*': b'away'}
    box.start()
    number = stored[-1].name.rpartition('-')[2]
    box.says(f'generation {number} is damaged: ')
    box.complains('damaged generation')
    status = box.status()
    assert status['state_folder']['damaged'] == [int(number)] and status['name'] == NAME
    assert wait_until(box.serial, 5, 'the front') == older != newer
    # With HQ back it is whole again, and the damage is history at the next start.
    box.hq.behave()
    wait_until(lambda: box.serial() != older, 15, 'a newer certificate')
    box.restart()
    assert box.status()['state_folder']['damaged'] == []


def test_all_of_the_state_is_damaged(new_box):
    """Nothing is whole: the box begins anew, says so, and gets a name and a certificate again."""
    new_box.start()
    wait_until(new_box.serial, 15, 'the first certificate')
    new_box.stop()
    for generation in new_box.generations():
        damage(generation / 'state', 'cut off')
    new_box.start()
    new_box.says('the box begins anew')
    new_box.complains('damaged generation')
    assert wait_until(new_box.serial, 15, 'another certificate')
