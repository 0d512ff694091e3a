"""`tests/lab bench zone`: from a device's PUT of an address to the authoritative answer, with HQ's own server, BIND, Knot,
PowerDNS and a Knot secondary; and what a million names cost HQ's own server. Real TLS, real servers, all on loopback."""
import contextlib
import hashlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

import dns.exception

from hqclient import Client
from hqserver import ZONE, Hq
from lab.bench import figures
from lab.bench.figures import Row
from lab.build import Progress
from lab.cli import ZONE_ROWS
from lab.namespaces import Failed
from lab.paths import BUILD
from lab.waiting import wait_until
from nameservers import Bind, Key, Knot, Pdns

RESULT = BUILD / 'bench-zone.json'
POLL_S = 0.001
BARS_MS = {'builtin': 250, 'bind': 250, 'secondary': 2000}
READY_BAR_S = 20


class Zone:
    """The rows. `updates` is how many changes a percentile is taken of, `names` how many names a full HQ has."""

    def __init__(self, bin_dir, folder, updates, names):
        self.program = bin_dir / 'nameplate-hq'
        self.folder = Path(folder)
        self.updates, self.names = updates, names

    @contextlib.contextmanager
    def hq(self, name, *servers, nameservers=None):
        one = Hq(self.program, self.folder / name)
        if servers:
            lines = [line for line in one.conf.read_text().splitlines() if not line.startswith(('nameservers', 'dns-listen'))]
            asked = ', '.join(f'"ns{n}.{ZONE}={server.endpoint}"' for n, server in enumerate(nameservers or servers, 1))
            lines += ['zone-backend = rfc2136', f'update-servers = {{"{servers[0].endpoint}"}}', f'nameservers = {{{asked}}}',
                      f'update-key = "{servers[0].zone_key.path}"', f'acme-update-key = "{servers[0].acme_key.path}"']
            one.conf.write_text('\n'.join(lines) + '\n')
        try:
            yield one.start()
        finally:
            one.stop()

    def delays_ms(self, hq, lookup):
        """How long each of the updates takes to be answered, one after the other, sorted."""
        device = hq.device('NP-BENCH')
        if device.enrol().status != 201:
            raise Failed('the device is not enrolled')
        wait_until(lambda: lookup(device.name) == ['192.168.1.10'], 30, 'the first address', every=POLL_S)
        delays = []
        for n in range(1, self.updates + 1):
            address = f'10.{n >> 16}.{n >> 8 & 255}.{n & 255}'
            begun = time.monotonic()
            if device.put_addresses(n, [address]).status != 200:
                raise Failed('an address is not taken')
            wait_until(lambda address=address: lookup(device.name) == [address], 30, address, every=POLL_S)
            delays.append((time.monotonic() - begun) * 1000)
        return sorted(delays)

    def address_row(self, kind, delays):
        p99 = delays[min(len(delays) - 1, len(delays) * 99 // 100)]
        bar = BARS_MS.get(kind)
        row = Row(kind, f'address to answer, {kind}, p99', 'ms', value=p99)
        if bar:
            row.bar, row.met = f'under {bar}', p99 < bar
        row.notes.append(f'{len(delays)} updates one after the other: median {delays[len(delays) // 2]:.1f}, most {delays[-1]:.1f} ms')
        return row

    def builtin(self):
        with self.hq('builtin') as hq:
            return [self.address_row('builtin', self.delays_ms(hq, hq.lookup))]

    def other(self, kind, name):
        keys = Key(self.folder, f'{name}-zone'), Key(self.folder, f'{name}-acme')
        server = kind(self.folder / f'{name}-server', *keys).start()
        try:
            with self.hq(name, server) as hq:
                return [self.address_row(name, self.delays_ms(hq, patient(server)))]
        finally:
            server.stop()

    def bind(self):
        return self.other(Bind, 'bind')

    def knot(self):
        return self.other(Knot, 'knot')

    def powerdns(self):
        return self.other(Pdns, 'powerdns')

    def secondary(self):
        """BIND takes the updates, Knot follows it and is asked."""
        keys = Key(self.folder, 'secondary-zone'), Key(self.folder, 'secondary-acme')
        primary = Bind(self.folder / 'secondary-primary', *keys)
        secondary = Knot(self.folder / 'secondary-server', *keys, primary=primary)
        primary.notifies(secondary)
        primary.start()
        secondary.start()
        try:
            with self.hq('secondary', primary, nameservers=[secondary]) as hq:
                return [self.address_row('secondary', self.delays_ms(hq, patient(secondary)))]
        finally:
            secondary.stop()
            primary.stop()

    def million(self):
        """A full HQ starts: when it is ready, what its requests wait meanwhile, its memory; then what an update costs."""
        with self.hq('million') as hq:
            pass
        fill(hq.folder / 'data' / 'hq.db', self.names)
        hq.log.write_text('')
        begun = time.monotonic()
        with hq.log.open('a') as log:
            hq.process = subprocess.Popen([self.program, 'serve', '--config', hq.conf], stderr=log)
        try:
            waits, cpu = requests_until_ready(hq)
            ready = time.monotonic() - begun
            child = int(subprocess.run(['pgrep', '-P', str(hq.process.pid)], capture_output=True, text=True,
                                       check=True).stdout.split()[0])
            rows = [Row('million', f'{self.names:,} names: ready after', 's', value=ready, bar=f'under {READY_BAR_S}',
                        met=ready < READY_BAR_S, notes=[f'{cpu:.1f} s of CPU in HQ, {cpu_seconds(child):.1f} s in its DNS process']),
                    Row('million', 'longest wait of a request meanwhile', 'ms', value=max(waits) * 1000,
                        notes=[f'{len(waits)} requests, p99 {sorted(waits)[len(waits) * 99 // 100] * 1000:.1f} ms']),
                    Row('million', 'memory of the DNS process', 'B/name', value=rss(child) * 1024 / self.names,
                        notes=[f'{rss(child) / 1024:.1f} MiB; HQ itself {rss(hq.process.pid) / 1024:.1f} MiB'])]
            delays = self.delays_ms(hq, hq.lookup)
            rows.append(self.address_row(f'builtin with {self.names:,} names', delays))
            rows.append(self.cost_row(hq, child))
            return rows
        finally:
            hq.stop()

    def cost_row(self, hq, child):
        """CPU of both processes for updates that nobody asks about, TLS and HTTP included."""
        device = hq.device('NP-COST')
        device.enrol()
        before = cpu_seconds(hq.process.pid) + cpu_seconds(child)
        for n in range(1, 1001):
            device.put_addresses(n, [f'10.99.{n >> 8}.{n & 255}'])
        wait_until(lambda: hq.lookup(device.name) == ['10.99.3.232'], 10, 'the last one')
        cost = (cpu_seconds(hq.process.pid) + cpu_seconds(child) - before) / 1000
        return Row('million', 'an update, request to answer, CPU', 'us', value=cost * 1e6, notes=['both processes, TLS and HTTP included'])


def patient(server):
    """server.lookup, where an answer that is late is none."""
    def lookup(name):
        try:
            return server.lookup(name)
        except dns.exception.DNSException:
            return None
    return lookup


def requests_until_ready(hq):
    """How long requests take while HQ starts, and its CPU time when it says that it is ready."""
    waits, client = [], None
    deadline = time.monotonic() + 300
    while 'ready: ' not in hq.log.read_text():
        if time.monotonic() > deadline or hq.process.poll() is not None:
            raise Failed(f'HQ is not ready: {hq.log.read_text()[-500:]}')
        begun = time.monotonic()
        try:
            client = client or Client(hq.url, hq.folder / 'hq-anchors.pem', ('127.0.0.1', hq.port))
            client.request('HEAD', '/v1/nonce')
            waits.append(time.monotonic() - begun)
        except OSError:
            client = None
    return waits or [0.0], hq.cpu_seconds()


def cpu_seconds(pid):
    fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def rss(pid):
    """KiB."""
    return next(int(line.split()[1]) for line in Path(f'/proc/{pid}/status').read_text().splitlines() if line.startswith('VmRSS'))


def fill(path, count):
    """Devices straight into an HQ's database: one IPv4 address each, every third an IPv6 address too."""
    now = int(time.time())

    def rows():
        for n in range(count):
            mark = hashlib.sha256(b'%d' % n).digest()
            addresses = f'192.168.{mark[4]}.{mark[5]}' + (f' fd00::{n >> 16:x}:{n & 0xffff:x}' if n % 3 == 0 else '')
            yield (mark.hex()[:22], mark, mark, mark, mark[:16], mark, 0, 0, f'{mark[:3].hex()}-babbage-{n}.{ZONE}',
                   f'NP-{n:07}', 1, 0, '192.0.2.0/24', now * 10**6, 1, addresses, addresses, 0, 'model', '1.0', now, now)
    columns = ('id, x, y, thumbprint, epoch, token_hash, auth_n, auth_n_used, name, serial, credential, state, network, nonce_us,'
               ' seq, stated, published, publish, model, version, created_s, last_seen_s')
    with sqlite3.connect(path) as db:
        db.execute('PRAGMA synchronous = OFF')
        db.executemany(f'INSERT INTO device({columns}) VALUES({", ".join("?" * 22)})', rows())
    db.close()


def run(bin_dir, *, only=(), quick=False, result=None):
    """Measures, prints the table, writes the JSON. Returns the exit status: 0 when every row was measured."""
    progress, rows, begun = Progress(), [], time.monotonic()
    busy = figures.busy_cpus(1.0)
    folder = tempfile.mkdtemp(prefix='nameplate-bench-')
    try:
        zone = Zone(bin_dir, folder, *((20, 10000) if quick else (300, 1000000)))
        for key in only or ZONE_ROWS:
            progress.begin(key)
            try:
                rows += getattr(zone, key)()
            except (Failed, AssertionError) as error:
                rows.append(Row(key, key, '', met=False, notes=[f'not measured: {error}']))
            progress.end(key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    header = {'machine': figures.machine(), 'versions': {name: figures.version(name) for name in ('bind9', 'knot', 'pdns-server')},
              'quick': quick, 'others_cpus': busy, 'seconds': round(time.monotonic() - begun)}
    result = result or RESULT
    figures.write(result, header, rows)
    print(figures.table(rows))
    print(result)
    return 0 if all(row.value is not None for row in rows) else 1
