"""Demo step "HQ away": HQ stopped for a while, then killed with -9 in each state of an order."""
import os
import time

from lab.home import LAN4, OTHER_LAN4
from lab.internet import HQ
from lab.nodes import records
from lab.paths import STATE
from lab.programs import Box
from lab.step import must, seconds_until
from lab.steps_homes import renumbering
from lab.waiting import wait_until

# `challenged` first: the CA may look for the TXT while HQ, and with it the zone, is dead; then RFC 8555 wants a new order,
# and HQ waits half a minute before it. The others are done in that time.
STATES = ('challenged', 'ordered', 'txt-queued', 'txt-visible', 'ready', 'finalizing', 'issued')
# As numbers on disk: np_order_state in hq/store/store.h.
ON_DISK = ('queued', 'ordered', 'txt-queued', 'txt-visible', 'challenged', 'ready', 'finalizing', 'issued', 'done', 'backoff', 'dead')
TRIES = 20       # a state lasts a few milliseconds, and the log is a little ahead of the disk:
STEP_S = 0.0005  # a further try is so much later after the log than one that was too early, or half as much earlier
SHELF_CONF = """\
dns = false
http = false
https = false
"""


def hq_away(demo):
    """The box does not notice; what happened meanwhile arrives after; no kill costs an order or a certificate."""
    begun = time.monotonic()
    detail = {'stopped': stopped(demo.world), 'killed': killed_in_each_state(demo.world)}
    return time.monotonic() - begun, detail


def stopped(world):
    """HQ is stopped, the LAN of home 2 renumbered meanwhile, HQ comes back."""
    name, lan4 = world.box.name, OTHER_LAN4 if world.home.box_address() == LAN4 else LAN4
    gone = time.monotonic()
    must(world.hq.node.end('hq') == 0, 'HQ did not end in peace')
    must(world.box.served_certificate()['names'] == [name], 'HTTPS without HQ')
    seen = renumbering(world, lan4, published=False)
    wait_until(lambda: world.box.status()['hq']['problem'], 20, 'the box has met HQ\'s absence')
    world.hq.serve()
    back = time.monotonic()
    must(world.hq.device(name)['name'] == name, 'HQ has lost the name')
    seen['arrived_seconds'] = seconds_until(lambda: records(world.laptop.ask(name, 'A', HQ), 'A') == [lan4], back, 60,
                                            'HQ answers the new address')
    return {'away_seconds': round(back - gone, 3), **seen}


def killed_in_each_state(world):
    """New devices, and HQ killed in the middle of their orders and started again, until every state was what the dead HQ
    had left on disk. Then each device gets its certificate, and each from one order."""
    before, begun = _counts(world), time.monotonic()
    boxes, kills = [], []
    try:
        for state in STATES:
            later = 0.0
            for _ in range(TRIES):
                boxes.append(_shelf_box(world, len(boxes)))
                kills.append(_kill_in(world, boxes[-1], state, later))
                reached = ON_DISK.index(kills[-1]['on_disk'])
                if reached == ON_DISK.index(state):
                    break
                later = max(0.0, later + (STEP_S if reached < ON_DISK.index(state) else -STEP_S / 2))
        done = [seconds_until(lambda box=box: (box.status().get('certificate') or {}).get('valid'), begun, 90,
                              'a certificate after the kill') for box in boxes]
    finally:
        for box in boxes:
            box.stop()
    after = _counts(world)
    new = {key: after[key] - before[key] for key in after}
    missed = set(STATES) - {kill['on_disk'] for kill in kills}
    must(not missed, f'no kill hit {", ".join(sorted(missed))}')
    must(new['devices'] == new['orders'] == new['packages'] == len(boxes), f'{len(boxes)} devices made {new} at HQ')
    must(new['ca_orders'] - new['ca_invalid'] == len(boxes), f'{len(boxes)} devices made {new} at the CA')
    must(new['ca_certificates'] == len(boxes), f'{len(boxes)} devices made {new} at the CA')
    return {'kills': kills, 'devices': len(boxes), 'all_served_seconds': max(done), 'new': new}


def _shelf_box(world, number):
    """One more device on the NAS's machine: an agent with a serial, a folder and no listeners."""
    box = Box(world.home1, world.hq, STATE / 'bin', f'NP-{100 + number:04}', f'shelf-{number}', f'shelf-{number}')
    box.prepare(SHELF_CONF)
    return box


def _kill_in(world, box, state, later):
    """HQ is killed when its log says that an order is in that state; then it is started again."""
    with open(world.hq.node.log('hq')) as log:
        log.seek(0, os.SEEK_END)
        box.start()
        world.hq.kill_at(lambda: f'-> {state}\n' in log.readline(), later)
    number = world.hq.query('select state from orders order by created_ms desc limit 1')[0][0]
    world.hq.serve()
    return {'aimed_at': state, 'on_disk': ON_DISK[number]}


def _counts(world):
    """What CA and HQ know of orders. Orders that the CA gave up itself, because HQ was dead when it looked for the TXT,
    are apart: RFC 8555 wants a new order after those."""
    log = world.ca.log('pebble').read_text(errors='replace')
    counts = {f'{table}s': world.hq.query(f'select count(*) from {table}')[0][0] for table in ('device', 'package')}
    return {**counts, 'orders': world.hq.query('select count(*) from orders')[0][0], 'ca_orders': log.count('Added order '),
            'ca_invalid': log.count(' set INVALID by invalid authz '), 'ca_certificates': log.count('Issued certificate serial')}


def _tell(d):
    away, killed = d['stopped'], d['killed']
    new = killed['new']
    return [f'away for {away["away_seconds"]:.1f} s, HTTPS works; meanwhile LAN {away["old"]} -> {away["new"]}: local answer '
            f'{away["local_seconds"] * 1000:.0f} ms, at HQ {away["arrived_seconds"]:.2f} s after it was back',
            f'{len(killed["kills"])} times killed with -9, on disk then: ' + ', '.join(k['on_disk'] for k in killed['kills']),
            f'{killed["devices"]} devices, {new["orders"]} orders at HQ, {new["ca_orders"]} at the CA ({new["ca_invalid"]} of them '
            f'invalid, HQ being dead), {new["ca_certificates"]} certificates, the last one after {killed["all_served_seconds"]:.1f} s']


HQ_AWAY = ('HQ away', hq_away, _tell)
