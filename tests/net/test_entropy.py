"""A first boot before the kernel's random pool is ready: the box makes no key, says that it waits, and goes on by itself."""
import pytest

from lab.waiting import wait_until
from real_agent import a_box


@pytest.fixture
def box(bin_dir):
    library = bin_dir / 'late_random.so'
    with a_box(bin_dir) as running:
        running.late = running.folder / 'late'
        running.late.touch()
        running.environment = {'LD_PRELOAD': str(library), 'NP_RANDOM_LATE': str(running.late), 'ASAN_OPTIONS': 'verify_asan_link_order=0'}
        yield running


def test_waits_for_entropy(box):
    box.start()
    status = box.status()
    assert status['state'] == 'waiting-entropy' and 'random' in status['reason']
    assert box.hq.seen == [] and box.generations() == [], 'nothing was made or asked'
    box.late.unlink()
    assert wait_until(box.serial, 15, 'a certificate, with the pool ready')
    # A box that has a certificate serves it while it waits.
    box.stop()
    box.late.touch()
    box.start()
    assert wait_until(box.serial, 10, 'the front')
    assert box.status()['state'] == 'waiting-entropy'
