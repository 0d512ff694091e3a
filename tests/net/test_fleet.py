"""A few hundred boxes with the agent's own state machines against a real HQ with a real CA, in short: a storm of new ones, a
power cut, addresses that change; `--long` has thousands, steady days and renewals. `tests/lab bench hq` measures."""
import signal

import pytest

from fleet import Fleet, early, statuses
from hqdriver import Pebble
from hqserver import Hq

GOOD = {200, 201, 202, 204, 304}


@pytest.fixture
def hq_with_ca(bin_dir, tmp_path):
    """hq_with_ca(life_s, **settings): an HQ and the Pebble that it orders from."""
    running = []

    def start(life_s=90 * 86400, **settings):
        (tmp_path / 'pebble').mkdir()
        hq = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq')
        # With its reuse of authorizations Pebble 2.4 locks itself up after a thousand orders at once.
        pebble = Pebble(tmp_path / 'pebble', hq.dns_port, life_s=life_s, PEBBLE_AUTHZREUSE='0').start()
        running.append((hq, pebble))
        hq.configure(acme_directory=pebble.directory, acme_anchors=str(pebble.certificate), **settings)
        return hq.start()
    yield start
    for hq, pebble in running:
        ended = hq.stop() if hq.process.poll() is None else None
        hq.stop(signal.SIGKILL)
        pebble.stop()
        assert ended == 0, hq.log.read_text()[-2000:]


def all_is_well(told):
    """Nobody is lost, and HQ refuses only as it may: 429 and 503, whose Retry-After is kept."""
    assert told['lost'] == 0, told
    assert set(statuses(told)) <= GOOD | {429, 503}, statuses(told)
    assert early(told) == 0, told['requests']


def test_storm_power_cut_and_churn(bin_dir, hq_with_ca):
    boxes = 200
    hq = hq_with_ca(boot_jitter=2)
    with Fleet(bin_dir, hq, boxes) as fleet:
        told = fleet.phase('enrol', within=1000, deadline=120)
        all_is_well(told)
        assert told['milestones']['name']['count'] == told['milestones']['certificate']['count'] == boxes
        assert statuses(told)[201] == boxes  # no box has two names
        told = fleet.phase('power-on', within=1000, deadline=60)
        all_is_well(told)
        assert told['milestones']['address']['count'] == told['milestones']['check-in']['count'] == boxes
        assert 'enrol' not in told['requests'] and 'csr' not in told['requests']  # they know who they are
        told = fleet.phase('churn', seconds=2, rate=50, deadline=60)
        all_is_well(told)
        assert told['changes']['count'] > 20
        assert told['hq']['cpu_s'] > 0 and told['hq']['peak_rss_kib'] > 1000 and told['boxes_cpu_s'] > 0


def test_more_than_hq_takes_at_once(bin_dir, hq_with_ca):
    """Sixty boxes want in at once, where twenty connections are served: those that are refused come again, and all get
    there; nobody is told anything but to wait."""
    hq = hq_with_ca(connections=20)
    with Fleet(bin_dir, hq, 60) as fleet:
        told = fleet.phase('enrol', within=100, deadline=180, certificate=0)
        all_is_well(told)
        assert told['connections_lost'] > 0


@pytest.mark.long
def test_steady_days_and_renewals(bin_dir, hq_with_ca):
    """Days of a minute and certificates of two: every box checks in daily, is renewed, and none expires."""
    boxes = 300
    hq = hq_with_ca(life_s=120, checkin_interval=60, boot_jitter=2)
    with Fleet(bin_dir, hq, boxes, 'tls13') as fleet:
        all_is_well(fleet.phase('enrol', within=5000, deadline=60))
        told = fleet.phase('renew', deadline=180)
        all_is_well(told)
        assert told['expired'] == 0
        told = fleet.phase('steady', seconds=125)
        all_is_well(told)
        assert told['requests']['check-in']['count'] >= boxes
