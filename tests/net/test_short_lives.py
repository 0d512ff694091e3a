"""Certificates that live for seconds, on the whole world: renewal, and a box that is off for longer than that."""
import pytest

from lab import steps_renewal


@pytest.fixture(scope='module')
def short(world):
    """A NAS in home 1 with a short-lived certificate. Afterwards HQ and home 1 are as before."""
    if not world.nas.name:
        world.nas.first_boot()
    box = steps_renewal.short_lived(world)
    yield box
    box.stop()
    world.hq.use_ca(world.internet.ca)
    world.nas.boot_again()


def test_renewed_from_the_stored_csr(world, short):
    _, seen = steps_renewal.renewed(world, short)
    assert seen['kept_requests'] > 5 and seen['orders'] == 2


def test_off_for_longer_than_the_certificate_lives(world, short):
    seconds, seen = steps_renewal.off_until_expired(world, short)
    # Seconds as a person means them; what it takes on a quiet machine stands in the demo.
    assert seconds < 45 and seen['served_seconds'] < 20
