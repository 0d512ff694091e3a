"""A real agent whose clock is wrong as far as HQ's certificate goes: it asks HQ for the time, believes only HQ's signature over
its own nonce, and judges everything by that from then on. Validation is never off: nothing else is asked meanwhile."""
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fake_hq import DAY
from lab.waiting import wait_until
from real_agent import a_box


@pytest.fixture
def box(bin_dir):
    """HQ's certificate begins tomorrow by the box's clock, and it is the day after by HQ's."""
    with a_box(bin_dir) as running:
        running.hq.present(begin=DAY, end=DAY * 9)
        running.hq.ahead = DAY * 2
        yield running


def test_signed_time(box):
    box.start()
    assert wait_until(box.serial, 15, 'a certificate')
    assert box.hq.seen[0] == 'time' and box.hq.seen.count('time') == 1
    box.says("HQ's signed time is taken")
    clock = box.status()['clock']
    assert not clock['believed']


def test_unsigned_time(box):
    """Another key's time is none. What HQ says besides is not listened to, since its certificate is not valid."""
    box.hq.time_key = ec.generate_private_key(ec.SECP256R1())
    box.start()
    box.complains('POST time')
    box.complains('expired or not yet valid')
    assert set(box.hq.seen) == {'time'} and box.hq.seen.count('time') == 1
    assert box.status()['name'] is None


def test_ended_certificate(box):
    """HQ's own certificate has ended: its time says so too, and the box stays away."""
    box.hq.present(begin=-DAY * 9, end=-DAY)
    box.hq.ahead = DAY * 0
    box.start()
    box.complains('expired or not yet valid')
    assert 'nonce' not in box.hq.seen and box.hq.seen.count('time') == 0
