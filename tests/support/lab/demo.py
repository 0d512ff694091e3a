"""`tests/lab demo`: each step says what was seen and how long it took. The first four are here."""
import json
import sys
import time

from lab import browser, steps_homes, steps_hq, steps_renewal
from lab.home import LAN4, LAN6
from lab.internet import HQ, RESOLVER
from lab.nodes import rcode, records
from lab.paths import BUILD
from lab.step import INTERNET_NAME, TYPES, must
from lab.waiting import wait_until
from lab.world import World

RESULT = BUILD / 'demo.json'
SCREENSHOT = BUILD / 'demo-browser.png'

class Demo:
    """The steps, in order, on one world. Each returns (seconds, detail) or raises; detail goes into demo.json."""

    def __init__(self, world):
        self.world = world
        self.name = None
        self.boot = None
        self.short = None  # the box with a short-lived certificate

    def first_boot(self):
        """From no state to a served certificate, and the address in public DNS."""
        world = self.world
        self.boot = world.boot()
        self.name = self.boot['name']
        start = time.monotonic()
        published = wait_until(lambda: records(world.laptop.ask(self.name, 'A', RESOLVER), 'A'), 10,
                               'the A record at the public resolver')
        must(published == [LAN4], f'the public resolver says {published} for the name, not {LAN4}')
        direct = world.laptop.ask(self.name, 'A', HQ)
        must(records(direct, 'A') == [LAN4], 'HQ\'s zone does not answer the address')
        detail = {'name': self.name, 'a': published, 'a_seconds': round(time.monotonic() - start, 3),
                  'orders': world.internet.orders(), **self.boot}
        return self.boot['seconds'], detail

    def browser(self):
        """http://<name>/ in Chromium on the laptop ends at https://<name>/, secure."""
        start = time.monotonic()
        seen = browser.open_url(self.world.laptop, f'http://{self.name}/', self.world.internet.acme_root(), SCREENSHOT)
        seconds = time.monotonic() - start
        must(not seen['error'], f'Chromium says {seen["error"]}')
        must(seen['url'] == f'https://{self.name}/', f'Chromium landed on {seen["url"]}')
        must(seen['security_state'] == 'secure', f'the security state is {seen["security_state"]}')
        must(seen['is_secure_context'] is True, 'isSecureContext is not true')
        must(seen['sandbox'] is True, 'Chromium ran without its sandbox')
        status, headers, _ = self.world.laptop.get(LAN4, self.name)
        must(status == 301 and headers.get('location') == f'https://{self.name}/', f'port 80 answered {status} {headers}')
        return seconds, {**seen, 'port_80': [status, headers['location']], 'screenshot': str(SCREENSHOT.relative_to(BUILD.parent))}

    def every_type(self):
        """Six types for the own name and for a name of the Internet, from the laptop through the box."""
        detail = {}
        start = time.monotonic()
        for name in (self.name, INTERNET_NAME):
            detail[name] = {}
            for rdtype in TYPES:
                asked = time.monotonic()
                answer = self.world.laptop.ask(name, rdtype, LAN4, timeout=3)
                detail[name][rdtype] = {'rcode': rcode(answer), 'records': records(answer, rdtype),
                                        'ms': round((time.monotonic() - asked) * 1000, 2)}
        seconds = time.monotonic() - start
        for name, answers in detail.items():
            for rdtype, answer in answers.items():
                must(answer['rcode'] == 'NOERROR' and answer['records'], f'{name} {rdtype}: {answer}')
        own = {rdtype: answer['records'] for rdtype, answer in detail[self.name].items()}
        must(own['A'] == [LAN4] and own['AAAA'] == [LAN6], f'the box answers {own["A"]} {own["AAAA"]}')
        must(own['HTTPS'] == ['1 .'] and own['MX'] == ['0 .'], f'the box answers {own["HTTPS"]} {own["MX"]}')
        return seconds, detail

    def restart(self):
        """Everything of the box killed with -9: the same name and certificate come back, the CA hears nothing."""
        world = self.world
        orders = world.internet.orders()
        killed = world.box.kill()
        must(killed, 'there was nothing to kill')
        must(not world.laptop.reaches(LAN4, 443), 'port 443 still answers')
        again = world.box.boot_again()
        must(again['name'] == self.name, f'the name is now {again["name"]}')
        must(again['serial'] == self.boot['serial'], 'another certificate is served')
        new = world.internet.orders() - orders
        must(new == 0, f'{new} new orders at the CA')
        memory = {**world.home.box.memory('nameplate'), **world.hq_node.memory('nameplate-hq')}
        return again['seconds'], {**again, 'killed': killed, 'new_orders': new, 'pss_kib': memory}


def run(bin_dir):
    """Runs the demo on a world of its own, writes build/demo.json. Returns the exit status."""
    results = []
    begun = time.monotonic()
    try:
        with World(bin_dir) as world:
            print(f'The Internet, HQ and two homes are up ({time.monotonic() - begun:.1f} s).\n', flush=True)
            demo = Demo(world)
            for step, function, tell in STEPS:
                results.append(_step(demo, step, function, tell))
                if not results[-1]['ok']:
                    _show_logs(world)
                    break
    finally:
        _write(results)
    whole = len(results) == len(STEPS) and all(r['ok'] for r in results)
    print(f'\n{RESULT.relative_to(BUILD.parent)} and {SCREENSHOT.relative_to(BUILD.parent)} hold what was seen.' if whole
          else '\nThe demo failed.', flush=True)
    return 0 if whole else 1


def _step(demo, step, function, tell):
    start = time.monotonic()
    try:
        seconds, detail = function(demo)
        ok = True
    except Exception as error:  # whatever went wrong is this step's result
        ok, seconds, detail = False, time.monotonic() - start, {'error': f'{error}'}
    print(f'{step:<12}{"ok" if ok else "FAILED":<8}{seconds:7.3f} s', flush=True)
    for line in tell(detail) if ok else [detail['error']]:
        print(f'            {line}', flush=True)
    return {'step': step, 'ok': ok, 'seconds': round(seconds, 3), 'detail': detail}


def _tell_boot(d):
    return [d['name'], f'A {" ".join(d["a"])} from HQ\'s zone through the public resolver',
            f'certificate by {d["issuer"]}, {d["not_before"]} to {d["not_after"]}, {d["orders"]} order at the CA']


def _tell_browser(d):
    return [f'{d["version"]}: {d["asked"]} -> {d["url"]}',
            f'security state {d["security_state"]}, isSecureContext {str(d["is_secure_context"]).lower()}, {d["protocol"]}, sandbox on',
            f'screenshot {d["screenshot"]}']


def _tell_types(d):
    lines = []
    for name, answers in d.items():
        lines.append(name)
        lines += [f'  {rdtype:<6}{"; ".join(a["records"])}  ({a["ms"]:.1f} ms)' for rdtype, a in answers.items()]
    return lines


def _tell_restart(d):
    return [f'{len(d["killed"])} processes killed with -9', f'same name, same certificate (serial {d["serial"][:16]}...), '
            f'{d["new_orders"]} new orders at the CA',
            'memory (PSS): ' + ', '.join(f'{role} {size / 1024:.1f} MiB' for role, size in d['pss_kib'].items())]


STEPS = (('first boot', Demo.first_boot, _tell_boot), ('browser', Demo.browser, _tell_browser),
         ('every type', Demo.every_type, _tell_types), ('restart', Demo.restart, _tell_restart),
         steps_homes.SECOND_HOME, steps_homes.REBINDING, steps_homes.DHCP_CHANGE, steps_homes.OFFLINE,
         steps_hq.HQ_AWAY, steps_renewal.RENEWAL, steps_renewal.LONG_OFF)


def _show_logs(world):
    for node, name in ((world.home.box, 'agent'), (world.hq_node, 'hq'), (world.ca, 'pebble')):
        print(f'\n--- {node.log(name)}\n{node.tail(name, 25)}', file=sys.stderr)


def _write(results):
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({'steps': results}, indent=1) + '\n')
