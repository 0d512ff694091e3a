"""Demo steps with a CA whose certificates live for seconds: renewal, and a box that is off for longer than that."""
import calendar
import contextlib
import http.client
import time

from lab import browser
from lab.paths import BUILD, STATE
from lab.programs import Box
from lab.step import must
from lab.waiting import wait_until

# Seconds. HQ renews at two thirds of it, the box looks for the new certificate from three quarters on.
LIFE = 20
SCREENSHOT = BUILD / 'demo-long-off.png'


def renewal(demo):
    """A short-lived certificate is renewed from the stored CSR; the new one is served and no connection is dropped."""
    demo.short = short_lived(demo.world)
    return renewed(demo.world, demo.short)


def short_lived(world):
    """HQ changes to the CA with the short lives; another NAS takes the first one's place and enrols."""
    world.nas.stop()
    world.internet.start_short_ca(LIFE)
    world.hq.use_ca(world.internet.ca2)
    box = Box(world.home1, world.hq, STATE / 'bin', serial='NP-0003', folder='short-lived')
    box.prepare()
    box.first_boot()
    return box


def renewed(world, box):
    """Watches until another certificate is served, by new connections and by one that is kept."""
    first = box.served_certificate()
    begun, seen = time.monotonic(), {'handshakes': 0, 'kept_requests': 0}
    with contextlib.closing(_kept_connection(box)) as kept:
        def served_another():
            seen['kept_requests'] += _request(kept)
            now = box.served_certificate()  # fails when a handshake does
            seen['handshakes'] += 1
            return now['sha256'] != first['sha256'] and now
        second = wait_until(served_another, 2 * LIFE, 'another certificate is served', every=0.4)
        swapped_at = time.time()
        wait_until(lambda: _request(kept) and time.time() > swapped_at + 1, 5, 'requests on the kept connection', every=0.2)
    must(second['key'] == first['key'], 'the new certificate is for another key')
    must(second['not_after'] > first['not_after'], f'the new certificate ends at {second["not_after"]}')
    left = _seconds(first['not_after']) - swapped_at
    must(left > 0, f'the old one had expired {-left:.1f} s before')
    orders = world.internet.orders(world.internet.ca2)
    must(orders == 2, f'{orders} orders at the CA')
    return time.monotonic() - begun, {**seen, 'name': box.name, 'life_seconds': LIFE, 'left_seconds': round(left, 1),
                                      'first': first, 'second': second, 'orders': orders}


def _kept_connection(box):
    """An HTTP connection over TLS from the laptop that is never opened again when it breaks."""
    connection = http.client.HTTPConnection(box.name)
    connection.auto_open = 0
    connection.sock = box.laptop.tls(box.home.box_address(), box.name, box.root)
    return connection


def _request(connection):
    """One request; 1 when it was answered. An error when the server has closed the connection, or is about to."""
    connection.request('GET', '/')
    answer = connection.getresponse()
    answer.read()
    must(answer.status == 200, f'the kept connection answered {answer.status}')
    must(not answer.will_close, 'the kept connection is closed by the server')
    return 1


def _tell_renewal(d):
    return [f'{d["name"]}: life {d["life_seconds"]} s; the new certificate served {d["left_seconds"]} s before the old one\'s end',
            f'serial {d["first"]["serial"][:12]}... -> {d["second"]["serial"][:12]}..., same key (the stored CSR), '
            f'{d["orders"]} orders at the CA',
            f'{d["handshakes"]} handshakes meanwhile, all good; {d["kept_requests"]} requests on one connection across the swap']


def long_off(demo):
    """The box is off until its certificate has expired. After power-on the browser is at `secure`, nobody did anything."""
    return off_until_expired(demo.world, demo.short)


def off_until_expired(world, box):
    """The box stops, its certificate expires, the box starts; the laptop's browser asks its router for the name."""
    world.home1.except_from_filter(box.run('config', 'rebind', 'dnsmasq'))
    last = box.served_certificate()
    box.stop()
    off = time.monotonic()
    wait_until(lambda: time.time() > _seconds(last['not_after']) + 1, 2 * LIFE, 'the certificate has expired')
    begun = time.monotonic()
    again = box.boot_again()
    seen = browser.open_url(box.laptop, f'http://{box.name}/', world.internet.acme_root(world.internet.ca2), SCREENSHOT)
    seconds = time.monotonic() - begun
    must(not seen['error'], f'Chromium says {seen["error"]}')
    must(seen['url'] == f'https://{box.name}/', f'Chromium landed on {seen["url"]}')
    must(seen['security_state'] == 'secure' and seen['is_secure_context'] is True, f'the security state is {seen["security_state"]}')
    must(again['sha256'] != last['sha256'], 'the expired certificate is served')
    return seconds, {'name': box.name, 'off_seconds': round(begun - off, 1), 'expired': last['not_after'], 'served_seconds': again['seconds'],
                     'not_before': again['not_before'], 'not_after': again['not_after'], 'browser': seen}


def _seconds(iso):
    return calendar.timegm(time.strptime(iso, '%Y-%m-%dT%H:%M:%SZ'))


def _tell_long_off(d):
    return [f'off for {d["off_seconds"]} s, certificate expired {d["expired"]}',
            f'served again {d["served_seconds"]:.2f} s after power-on (certificate to {d["not_after"]}); Chromium started then: '
            f'{d["browser"]["security_state"]}']


RENEWAL = ('renewal', renewal, _tell_renewal)
LONG_OFF = ('long off', long_off, _tell_long_off)
