"""Both homes on the whole world: a NAS behind a filtering router, addresses that change, no Internet."""
import json

import dns.flags
import pytest

import schemas

from lab import steps_homes, steps_hq
from lab.home import LAN4, OTHER_LAN4
from lab.home1 import NAS4, OTHER_NAS4, ROUTER4
from lab.internet import HQ, RESOLVER
from lab.namespaces import attempt
from lab.nodes import records
from lab.step import extended_errors


@pytest.fixture(scope='module')
def nas(world):
    """The NAS of home 1, enrolled and served."""
    if not world.nas.name:
        world.nas.first_boot()
    return world.nas


@pytest.fixture(scope='module')
def laptop1(world):
    return world.home1.laptop


@pytest.fixture
def excepted(world, nas):
    """The owner has put what nameplate prints into the router's dnsmasq.conf."""
    world.home1.except_from_filter(nas.run('config', 'rebind', 'dnsmasq'))
    yield
    world.home1.except_from_filter('')


def test_nas_has_a_name_of_its_own(world, nas):
    assert nas.name != world.box.name
    assert world.hq.device(nas.name)['serial'] == 'NP-0002'


def test_nas_publishes_its_lease(nas, laptop1, wait_until):
    wait_until(lambda: records(laptop1.ask(nas.name, 'A', HQ), 'A') == [NAS4], 10, 'the lease at HQ')


def test_router_filters_the_name(nas, laptop1):
    answer = laptop1.ask(nas.name, 'A', ROUTER4, use_edns=True)
    assert records(laptop1.ask(nas.name, 'A', RESOLVER), 'A') == [NAS4]
    assert not answer.answer and extended_errors(answer) == [15]


def test_nas_answers_what_the_router_filters(nas, laptop1):
    answer = laptop1.ask(nas.name, 'A', NAS4)
    assert records(answer, 'A') == [NAS4] and answer.flags & dns.flags.AA


def test_exception_is_for_one_name(world, nas, laptop1, excepted):
    assert records(laptop1.ask(nas.name, 'A', ROUTER4), 'A') == [NAS4]
    assert not laptop1.ask(world.box.name, 'A', ROUTER4).answer


def doctor(box):
    """What it finds, by server: (verdict, signature), and the lines that mend it."""
    code, out, err = attempt(*box.node.argv(box.program, 'doctor', '--json', '--config', box.conf), timeout=20)
    report = schemas.check('doctor', json.loads(out))
    assert code == {'fine': 0, 'findings': 1, 'unknown': 3}[report['verdict']], err
    found = {c['server']['address']: (c['code'], c['server']['signature']) for c in report['checks'] if 'server' in c}
    return report['network'], found, [line for c in report['checks'] for way in c['mend'] for line in way['lines']]


def test_doctor_behind_the_router(world, nas):
    """The real HQ's probe names tell the filter; the line that the doctor prints mends it."""
    network, found, lines = doctor(nas)
    assert network == 'filtered' and found[ROUTER4] == ('filtered', 'dnsmasq') and found[HQ] == ('fine', 'none')
    world.home1.except_from_filter(lines[0])
    try:
        network, found, _ = doctor(nas)
        assert network == 'fine' and set(found.values()) == {('fine', 'none')}, found
    finally:
        world.home1.except_from_filter('')


def test_doctor_on_the_router(world):
    """The router's own upstream is no matter for the home: the box answers it."""
    network, found, _ = doctor(world.box)
    assert network == 'fine' and found[LAN4] == ('fine', 'none'), found


def test_host_does_not_filter(world, nas, laptop1):
    """role = host: the NAS is nobody's router, so names of other homes pass through it as they come."""
    world.home1.except_from_filter(f'rebind-domain-ok=/{world.box.name}/')
    try:
        assert records(laptop1.ask(world.box.name, 'A', NAS4), 'A') == [LAN4]
    finally:
        world.home1.except_from_filter('')


# The demo shows the times of a quiet machine (0.1 s to the local answer, 2 s to the authority, 2 s to the end of a
# question offline); here only that nothing waits for a poll or a retry, on a machine that may be busy.
SLOW = 5


def in_time(seen):
    return seen['local_seconds'] < SLOW * 0.1 and seen['public_seconds'] < SLOW * 2


def test_new_lease(world, nas, excepted, wait_until):
    seen = steps_homes.nas_lease(world, OTHER_NAS4)
    assert in_time(seen)
    # The agent has seen it come true at HQ's own name servers.
    def steps():
        events = schemas.check('events', json.loads(nas.run('events', '--json')))['events']
        seen, = [e['change'] for e in events if e['event'] == 'seen' and OTHER_NAS4 in e['text']][-1:]
        return [(e['event'], e['took_ms']) for e in events if e['change'] == seen]
    wait_until(lambda: [event for event, _ in steps()] == ['seen', 'answered', 'pushed', 'visible'], 10, 'visible')
    assert steps()[1][1] < SLOW * 100 and steps()[3][1] < SLOW * 2000
    assert nas.served_certificate()['names'] == [nas.name]


def test_nas_without_the_internet(world, nas):
    seen = steps_homes.without_internet(world.home1, nas)
    assert seen['other']['seconds'] < SLOW * 2


def test_router_without_the_internet(world):
    seen = steps_homes.without_internet(world.home, world.box)
    assert seen['other']['seconds'] < SLOW * 2


def test_wan_lease_is_nobodys_business(world):
    steps_homes.wan_lease(world, steps_homes.OTHER_WAN4)


def test_renumbered_lan(world):
    """There, and back while HQ is stopped: what changed meanwhile arrives after."""
    try:
        seen = steps_homes.renumbering(world, OTHER_LAN4)
        assert in_time(seen)
        seen = steps_hq.stopped(world)
        assert seen['new'] == LAN4 and seen['local_seconds'] < SLOW * 0.1
    finally:
        if world.home.box_address() != LAN4:
            steps_homes.renumbering(world, LAN4)
    assert world.box.served_certificate()['names'] == [world.box.name]
