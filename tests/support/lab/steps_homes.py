"""Demo steps about both homes: the NAS behind a filtering router, DHCP changes, no Internet."""
import time

from lab.home import LAN4, OTHER_LAN4
from lab.home1 import NAS4, OTHER_NAS4, ROUTER4
from lab.internet import DEVICE_ZONE, HQ, RESOLVER
from lab.kernel import AddressWatch
from lab.nodes import rcode, records
from lab.step import TYPES, extended_errors, must, seconds_until
from lab.waiting import stays, wait_until

EDE_BLOCKED = 15
LOCAL_MS, PUBLIC_S, OFFLINE_S = 100, 2.0, 2.0
STALE = 3  # EDE of a stale answer (RFC 8914)
OTHER_WAN4 = '203.0.113.77'
PUSH_S = 3.0  # a push that must not come would have: its debounce is 1 s


def second_home(demo):
    """The NAS behind the filtering router: from no state to a served certificate, asked from its home's laptop."""
    world = demo.world
    seen = world.nas.first_boot()
    laptop = world.home1.laptop
    published = wait_until(lambda: records(laptop.ask(seen['name'], 'A', HQ), 'A'), 10, 'the A record at HQ')
    must(published == [NAS4], f'HQ says {published} for the name, not {NAS4}')
    return seen['seconds'], {'a': published, 'role': 'host', **seen}


def _tell_second_home(d):
    return [f'{d["name"]}: a NAS at {d["a"][0]} behind a plain dnsmasq router', f'certificate by {d["issuer"]}']


def rebinding(demo):
    """Filtered by the router; with the exception that nameplate prints it works, and nobody else's name does."""
    world, home = demo.world, demo.world.home1
    name, laptop = world.nas.name, home.laptop
    begun = time.monotonic()
    detail = {'name': name, 'before': _through_router(home, name), 'box_before': _a(laptop, name, NAS4)}
    must(_is_filtered(detail['before']), f'the router does not filter: {detail["before"]}')
    printed = world.nas.run('config', 'rebind', 'dnsmasq')
    lines = [line for line in printed.splitlines() if line and not line.startswith('#')]
    must(lines == [f'rebind-domain-ok=/{name}/'], f'nameplate config rebind dnsmasq printed: {printed!r}')
    home.except_from_filter(printed)
    detail |= {'exception': lines[0], 'after': _through_router(home, name), 'box_after': _a(laptop, name, NAS4)}
    must(detail['after'] == {'rcode': 'NOERROR', 'records': [NAS4], 'ede': []}, f'with the exception: {detail["after"]}')
    strangers = (world.box.name, f'anything.rebind-test.{DEVICE_ZONE}')
    detail['strangers'] = {stranger: _through_router(home, stranger) for stranger in strangers}
    for stranger, answer in detail['strangers'].items():
        must(records(laptop.ask(stranger, 'A', RESOLVER), 'A'), f'{stranger} has no address in public DNS')
        must(_is_filtered(answer), f'the stranger {stranger} is let through: {answer}')
    must(detail['box_before'] == detail['box_after'] == [NAS4],
         f'the box\'s resolver answered {detail["box_before"]}, then {detail["box_after"]}')
    return time.monotonic() - begun, detail


def _through_router(home, name):
    answer = home.laptop.ask(name, 'A', ROUTER4, use_edns=True)
    return {'rcode': rcode(answer), 'records': records(answer, 'A'), 'ede': extended_errors(answer)}


def _is_filtered(answer):
    return answer == {'rcode': 'NOERROR', 'records': [], 'ede': [EDE_BLOCKED]}


def _a(node, name, server, timeout=2.0):
    return records(node.ask(name, 'A', server, timeout=timeout), 'A')


def _tell_rebinding(d):
    return [f'the router alone: NOERROR without an address, EDE {d["before"]["ede"][0]}; the box\'s resolver: {d["box_before"][0]}',
            f'nameplate config rebind dnsmasq: {d["exception"]}',
            f'with it the router: {d["after"]["records"][0]}; the box\'s resolver: {d["box_after"][0]}',
            *(f'still filtered: {stranger}' for stranger in d['strangers'])]


def dhcp_change(demo):
    """Addresses change: of the NAS by its lease, of the ISP's line, of the whole LAN of home 2."""
    begun = time.monotonic()
    detail = {'home 1, new lease': nas_lease(demo.world), 'home 2, WAN lease': wan_lease(demo.world, OTHER_WAN4),
              'home 2, LAN renumbered': renumbering(demo.world, OTHER_LAN4)}
    return time.monotonic() - begun, detail


def nas_lease(world, address=OTHER_NAS4):
    """Home 1: the NAS gets another address by a new lease; from the kernel's NEWADDR to local answer, HQ, router, HTTPS."""
    home, name, laptop = world.home1, world.nas.name, world.home1.laptop
    must(name in home.exceptions, 'the owner has not told the router about the name')
    old = home.box_address()
    with AddressWatch(home.box) as watch:
        home.change_lease(address)
        gone, new = watch.gone(old), watch.new(address)
        seen = {'old': old, 'new': address, 'without_address_seconds': round(new - gone, 3),
                'local_seconds': seconds_until(lambda: _a(laptop, name, address, 0.02) == [address], new, 5, 'the local answer'),
                'public_seconds': seconds_until(lambda: _a(laptop, name, HQ) == [address], new, 10, 'HQ\'s answer')}
    seen['router_seconds'] = seconds_until(lambda: _a(laptop, name, ROUTER4) == [address], new, 20, 'the router\'s answer')
    served = world.nas.served_certificate()
    must(served['names'] == [name], f'HTTPS serves {served["names"]}')
    _in_time(seen)
    return seen


def wan_lease(world, address):
    """Home 2: another address on the ISP's line. Nothing of it may reach HQ."""
    before = _stored(world)
    old = world.home.wan_address()
    with AddressWatch(world.home.box) as watch:
        world.home.change_wan_lease(address)
        new = watch.new(address)
    stays(lambda: _stored(world) == before, new + PUSH_S - time.monotonic(), f'HQ has stored {before}, whatever the WAN does')
    must(_a(world.laptop, world.box.name, world.home.box_address()) == [world.home.box_address()], 'the local answer changed')
    return {'old': old, 'new': address, 'watched_seconds': PUSH_S, **before}


def _stored(world):
    device = world.hq.device(world.box.name)
    return {'seq': device['seq'], 'published': device['published'], 'zone_serial': world.hq.zone_serial()}


def renumbering(world, lan4, published=True):
    """Home 2: the LAN gets another subnet, make before break. From NEWADDR to the local answer and to HQ's, and to the
    end of the old address. `published`: HQ is there to hear of it."""
    home, name, laptop = world.home, world.box.name, world.laptop
    old = home.box_address()
    seen = {'old': old, 'new': lan4}
    with AddressWatch(home.box) as watch:
        home.begin_renumbering(lan4)
        new = watch.new(lan4)
        seen['local_seconds'] = seconds_until(lambda: lan4 in _a(laptop, name, old), new, 5, 'the local answer')
        seen['both'] = _a(laptop, name, old)
        if published:
            seen['public_seconds'] = seconds_until(lambda: lan4 in _a(laptop, name, HQ), new, 10, 'HQ\'s answer')
        home.end_renumbering(lan4)
        gone = watch.gone(old)
        seen['old_gone_local_seconds'] = seconds_until(lambda: _a(laptop, name, lan4) == [lan4], gone, 5, 'the old address ended')
    if published:
        seen['old_gone_public_seconds'] = seconds_until(lambda: _a(laptop, name, HQ) == [lan4], gone, 15, 'the old one ended at HQ')
    served = world.box.served_certificate()
    must(served['names'] == [name], f'HTTPS serves {served["names"]}')
    must(sorted(seen['both']) == sorted([old, lan4]), f'with both addresses the answer was {seen["both"]}')
    _in_time(seen)
    return seen


def _in_time(seen):
    must(seen['local_seconds'] * 1000 < LOCAL_MS, f'the local answer took {seen["local_seconds"]} s after NEWADDR')
    must(seen.get('public_seconds', 0) < PUBLIC_S, f'HQ\'s answer took {seen.get("public_seconds")} s after NEWADDR')


def _tell_dhcp(d):
    lease, wan, lan = d.values()
    return [f'home 1: {lease["old"]} -> {lease["new"]} by a new lease ({lease["without_address_seconds"]:.1f} s without an address); '
            f'from NEWADDR: local answer {lease["local_seconds"] * 1000:.0f} ms, HQ {lease["public_seconds"]:.2f} s, '
            f'through the router {lease["router_seconds"]:.2f} s, HTTPS again',
            f'home 2: WAN {wan["old"]} -> {wan["new"]}: seq {wan["seq"]} and zone serial {wan["zone_serial"]} at HQ unchanged '
            f'for {wan["watched_seconds"]:.0f} s',
            f'home 2: LAN {lan["old"]} -> {lan["new"]}: local answer {lan["local_seconds"] * 1000:.0f} ms, HQ '
            f'{lan["public_seconds"]:.2f} s; the old address ended {lan["old_gone_local_seconds"] * 1000:.0f} ms and '
            f'{lan["old_gone_public_seconds"]:.2f} s after DELADDR']


def offline(demo):
    """No Internet: the own name as always, other names fail soon, and all comes back by itself."""
    begun = time.monotonic()
    world = demo.world
    detail = {'home 2': without_internet(world.home, world.box), 'home 1': without_internet(world.home1, world.nas)}
    return time.monotonic() - begun, detail


def without_internet(home, box):
    """One home with its line cut and mended; asked through the box's resolver."""
    laptop, server, seen = home.laptop, home.box_address(), {}
    known = records(laptop.ask(f'{box.name}.short.example', 'A', server, timeout=5), 'A')
    must(known, 'a name of the Internet, online')
    home.cut_line()
    try:
        for rdtype in TYPES:
            asked = time.monotonic()
            answer = laptop.ask(box.name, rdtype, server)
            seen[rdtype] = {'records': records(answer, rdtype), 'ms': round((time.monotonic() - asked) * 1000, 1)}
            must(rcode(answer) == 'NOERROR' and seen[rdtype]['records'], f'offline {rdtype}: {rcode(answer)}')
        must(seen['A']['records'] == [server], f'offline the A record is {seen["A"]}')
        must(box.served_certificate()['names'] == [box.name], 'HTTPS')
        asked = time.monotonic()
        answer = laptop.ask('never-asked.example', 'A', server, timeout=5, use_edns=True)
        failed = {'rcode': rcode(answer), 'ede': extended_errors(answer), 'seconds': round(time.monotonic() - asked, 3)}
        must(failed['rcode'] == 'SERVFAIL' and failed['seconds'] < OFFLINE_S, f'another name offline: {failed}')
        stale = known_name(laptop, server, f'{box.name}.short.example', known)
    finally:
        home.mend_line()
    mended = time.monotonic()
    back = seconds_until(lambda: rcode(laptop.ask('never-asked.example', 'A', server, timeout=0.5)) == 'NXDOMAIN',
                         mended, 30, 'other names again')
    return {'own': seen, 'other': failed, 'known': stale, 'back_seconds': back}


def known_name(laptop, server, name, known):
    """A name that was asked before keeps its address: as long as its TTL lasts, and then as a stale answer."""
    def given():
        asked = time.monotonic()
        answer = laptop.ask(name, 'A', server, timeout=5, use_edns=True)
        seen = {'records': records(answer, 'A'), 'ede': extended_errors(answer), 'seconds': round(time.monotonic() - asked, 3)}
        must(seen['records'] == known and seen['seconds'] < OFFLINE_S, f'a known name offline: {seen}')
        return seen['ede'] == [STALE] and seen
    return wait_until(given, 10, 'a stale answer')


def _tell_offline(d):
    return [f'{home}: every type in at most {max(a["ms"] for a in seen["own"].values()):.1f} ms, HTTPS works; another name: '
            f'{seen["other"]["rcode"]} after {seen["other"]["seconds"]:.2f} s, one asked before: EDE 3 after '
            f'{seen["known"]["seconds"]:.2f} s; back {seen["back_seconds"]:.2f} s after the line'
            for home, seen in d.items()]


SECOND_HOME = ('second home', second_home, _tell_second_home)
REBINDING = ('rebinding', rebinding, _tell_rebinding)
DHCP_CHANGE = ('DHCP change', dhcp_change, _tell_dhcp)
OFFLINE = ('offline', offline, _tell_offline)
