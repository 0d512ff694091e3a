"""Numbers: medians with intervals, a row, the table for people and the JSON for programs."""
import dataclasses
import datetime
import json
import math
import os
import platform
import re
import subprocess
from pathlib import Path

from lab.waiting import pause

CONFIDENCE = 0.95


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def percentile(values, percent):
    """The smallest value that so many percent of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def interval(values, confidence=CONFIDENCE):
    """(low, high) of the median's confidence interval by order statistics, which assume nothing about the distribution: the
    narrowest pair of ranks that holds the median with that probability. Too few values give the smallest and the largest."""
    ordered, n = sorted(values), len(values)
    rank = 0
    while rank + 1 < n / 2 and _outside(n, rank + 1) <= 1 - confidence:
        rank += 1
    return ordered[rank], ordered[n - 1 - rank]


def _outside(n, rank):
    """Probability that the median lies outside the values of that rank (0: smallest) from both ends."""
    return 2 * sum(math.comb(n, k) for k in range(rank + 1)) / 2 ** n


def ratio(ours, theirs):
    """Median of the pairs' ratios with its interval: [median, low, high]."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    return [round(x, 3) for x in (median(ratios), *interval(ratios))]


@dataclasses.dataclass
class Row:
    """One line of the table. `value`, `limit` and `peers` are in `unit`; `ratios` are ours to theirs, [median, low, high].

    `bar` is what must hold in words, `met` whether it does (None: there is no bar). `key` is what --only takes."""
    key: str
    name: str
    unit: str
    value: float = None
    limit: float = None
    peers: dict = dataclasses.field(default_factory=dict)
    bar: str = None
    met: bool = None
    ratios: dict = dataclasses.field(default_factory=dict)
    notes: list = dataclasses.field(default_factory=list)

    def json(self):
        fields = {'name': self.name, 'unit': self.unit, 'value': _rounded(self.value), 'limit': _rounded(self.limit),
                  'peers': {name: _rounded(value) for name, value in self.peers.items()}, 'bar': self.bar, 'met': self.met}
        extra = {'key': self.key, 'ratios': self.ratios, 'notes': self.notes}
        return {**fields, **{name: value for name, value in extra.items() if value}}


def _rounded(value):
    if value is None or isinstance(value, int):
        return value
    return round(value, 3 if abs(value) < 100 else 0)


def machine():
    """Where this ran. steal and load say how far absolute figures are to be trusted."""
    cpus = Path('/proc/cpuinfo').read_text()
    model = re.search(r'model name\s*:\s*(.+)', cpus)
    return {'cpu': model.group(1) if model else platform.machine(), 'cpus': os.cpu_count(), 'kernel': platform.release(),
            'system': _system(), 'virtual': 'hypervisor' in cpus}


def _system():
    found = re.search(r'PRETTY_NAME="(.+)"', Path('/etc/os-release').read_text())
    return found.group(1) if found else platform.system()


def version(package):
    """The version of a Debian package, '-' when it is not installed."""
    done = subprocess.run(['dpkg-query', '-W', '-f', '${Version}', package], capture_output=True, text=True, check=False)
    return done.stdout.strip() or '-'


def busy_cpus(seconds):
    """How many CPUs the machine uses now, on average over so long."""
    before = _busy_s()
    pause(seconds)
    return round((_busy_s() - before) / seconds, 2)


def _busy_s():
    ticks = [int(word) for word in Path('/proc/stat').read_text().split('\n', 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf('SC_CLK_TCK')


def write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    date = datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')
    path.write_text(json.dumps({'date': date, **header, 'rows': [row.json() for row in rows]}, indent=1) + '\n')


def table(rows):
    """The rows as text, one line each, the notes below."""
    columns = ['', 'unit', 'nameplate', 'limit'] + _peer_names(rows) + ['bar', 'met']
    lines = [columns]
    for row in rows:
        cells = [_text(row.peers.get(name)) for name in _peer_names(rows)]
        met = {True: 'yes', False: 'NO', None: ''}[row.met]
        lines.append([row.name, row.unit, _text(row.value), _text(row.limit), *cells, row.bar or '', met])
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    out = ['  '.join(cell.rjust(width) if 2 <= i < len(columns) - 2 else cell.ljust(width)
                     for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines]
    for row in rows:
        ratios = ', '.join(f'{r[0]:.2f} x {name} [{r[1]:.2f}, {r[2]:.2f}]' for name, r in row.ratios.items())
        out += [f'  {row.name}: {text}' for text in ([ratios] if ratios else []) + row.notes]
    return '\n'.join(out)


def _peer_names(rows):
    names = []
    for row in rows:
        names += [name for name in row.peers if name not in names]
    return names


def _text(value):
    if value is None:
        return '-'
    return f'{value:,.0f}' if isinstance(value, int) or abs(value) >= 1000 else f'{value:.2f}'
