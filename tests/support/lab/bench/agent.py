"""`tests/lab bench agent`: what the agent takes on flash and in memory, how soon a new box and a changed address are served, and
what TLS costs in its front."""
import contextlib
import subprocess
import time

from lab.bench import figures, footprint, moments, tls
from lab.bench.figures import Row
from lab.bench.place import before_others
from lab.build import Progress
from lab.cli import AGENT_ROWS
from lab.namespaces import Failed
from lab.paths import BUILD
from lab.world import KEPT, clean, take_lock

RESULT = BUILD / 'bench-agent.json'
PROGRAMS = 'nameplate', 'nameplate-hq'
PACKAGES = ('dnsmasq-base', 'inadyn', 'uacme', 'pebble', 'knot', *tls.PACKAGES)
ROWS = {'size': footprint.size, 'idle': footprint.idle, 'boot': moments.boot, 'change': moments.change}
IDLE_MIN, QUICK_IDLE_S = 2, 10


def needs_static(only):
    """Does one of the rows look at the build without shared libraries?"""
    return not only or bool({'size', 'idle'} & set(only))


class Bench:
    """What the rows are to know. `minutes`: how long the processes idle."""

    def __init__(self, bin_dir, static, quick, minutes):
        self.bin_dir, self.static, self.quick = bin_dir, static, quick
        self.idle_s = minutes * 60 if minutes else QUICK_IDLE_S if quick else IDLE_MIN * 60


def measure(key, bench, stack, relays):
    """The rows of a key. relays: the bench of TLS once it is there, in a list."""
    if key in ROWS:
        return ROWS[key](bench)
    if not relays:
        relays.append(tls.Bench(bench.bin_dir / 'nameplate', stack, bench.quick))
    return getattr(tls, key)(relays[0])


def tables(rows):
    """Rows beside the same others share a table."""
    groups = []
    for row in rows:
        if not groups or groups[-1][0].peers.keys() != row.peers.keys():
            groups.append([])
        groups[-1].append(row)
    return '\n\n'.join(figures.table(group) for group in groups)


def run(bin_dir, static, *, only=(), quick=False, minutes=None, result=None):
    """Measures, prints the tables, writes the JSON. Returns the exit status: 0 when every row was measured."""
    progress, rows, begun, relays = Progress(), [], time.monotonic(), []
    busy = figures.busy_cpus(1.0)
    bench = Bench(bin_dir, static, quick, minutes)
    with before_others(), take_lock(), contextlib.ExitStack() as stack:
        if KEPT.exists():
            raise Failed('a lab is up (tests/lab nodes shows it): take it down first with tests/lab down')
        clean()
        stack.callback(clean)
        for key in only or AGENT_ROWS:
            progress.begin(key)
            try:
                rows += measure(key, bench, stack, relays)
            except (Failed, AssertionError, OSError, subprocess.SubprocessError) as error:
                rows.append(Row(key, key, '', met=False, notes=[f'not measured: {error!r:.400}']))
            progress.end(key)
    header = {'machine': figures.machine(), 'versions': {name: figures.version(name) for name in PACKAGES}, 'quick': quick,
              'others_cpus': busy, 'seconds': round(time.monotonic() - begun)}
    result = result or RESULT
    figures.write(result, header, rows)
    print(tables(rows))
    print(f'bench: {result}')
    return 0 if all(row.value is not None for row in rows) else 1
