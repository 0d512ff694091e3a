"""The questions that are asked, as dnsperf reads them: a line "name type" each. No name is longer than 60 bytes."""
import bisect
import itertools
import random

from lab.bench.place import NAME

OWN = f'{NAME} A\n'
ZONES = ('example', 'example.net', 'shop.example', 'cdn.example.org', 'mail.example.com')


def known(count):
    """So many different names, always the same ones: hosts of all lengths in a few zones."""
    rng = random.Random(count)
    return [f'{_host(rng)}{i}.{rng.choice(ZONES)}' for i in range(count)]


def _host(rng):
    return ''.join(rng.choice('abcdefghijklmnopqrstuvwxyz') for _ in range(rng.randint(2, 18)))


def write_known(folder, count):
    """All of them once, in the order of known()."""
    return _write(folder / f'known-{count}', [f'{name} A\n' for name in known(count)])


def write_own(folder):
    return _write(folder / 'own', [OWN])


class Fresh:
    """Names that nobody has asked before, however often it is called."""

    def __init__(self, folder):
        self.folder = folder
        self.next = 0

    def write(self, count):
        return self.write_to('fresh', count)

    def write_to(self, name, count):
        return _write(self.folder / name, self.lines(count))

    def lines(self, count):
        first, self.next = self.next, self.next + count
        return [f'new{i:08d}.{ZONES[i % len(ZONES)]} A\n' for i in range(first, first + count)]


class Draw:
    """Known names at random, so that all of them are asked for over the runs."""

    def __init__(self, folder, count):
        self.path = folder / f'draw-{count}'
        self.names = known(count)
        self.rng = random.Random(count)

    def write(self, count):
        return _write(self.path, [f'{name} A\n' for name in self.rng.choices(self.names, k=count)])


class Mix:
    """A home's questions: 90 % for `count` known names, a few of them most of the time (Zipf's law), 9 % for new ones, 1 % own."""

    def __init__(self, folder, fresh, count):
        self.path = folder / 'mix'
        self.fresh = fresh
        self.names = known(count)
        self.weights = list(itertools.accumulate(1 / rank for rank in range(1, count + 1)))
        self.rng = random.Random(17)

    def all_file(self):
        """Every known name once, those that are asked most last: a cache that cannot hold all keeps them."""
        return _write(self.path.with_name('mix-known'), [f'{name} A\n' for name in reversed(self.names)])

    def write(self, count):
        lines = []
        for _ in range(count):
            kind = self.rng.random()
            if kind < 0.90:
                lines.append(f'{self.names[bisect.bisect(self.weights, self.rng.random() * self.weights[-1])]} A\n')
            elif kind < 0.99:
                lines += self.fresh.lines(1)
            else:
                lines.append(OWN)
        return _write(self.path, lines)


def _write(path, lines):
    path.write_text(''.join(lines))
    return path
