"""How it is measured: one run, interleaved pairs, the highest rate."""
import contextlib
import dataclasses
import typing

from lab.bench import figures
from lab.bench.figures import Row, median
from lab.bench.servers import Echo, Nameplate


@dataclasses.dataclass
class Effort:
    """How long it all takes. lives: so often each server is started within the pairs, since no two starts cost the same."""
    pairs: int = 15
    lives: int = 3
    seconds: float = 0.75
    peak_runs: int = 3
    peak_seconds: float = 1.0
    latency_runs: int = 3
    latency_seconds: float = 3.0
    sizes: tuple = (100, 1000, 10000, 100000)  # names cached, for the row of growth
    mix_names: int = 20000
    fill: int = 40000  # names asked before misses: more than the caches hold, which are full from then on, as in a home


QUICK = Effort(pairs=3, lives=1, seconds=0.25, peak_runs=1, peak_seconds=0.25, latency_runs=1, latency_seconds=0.5, sizes=(100, 10000),
               mix_names=2000, fill=1000)


@dataclasses.dataclass
class Question:
    """What is asked, and how. file(queries) gives the queries of one run, warm(server) what a server is asked before."""
    file: typing.Callable
    rate: int
    mode: str = 'udp'
    outstanding: int = 100
    sockets: int = 4
    options: tuple = ()  # dnsperf's
    warm: typing.Callable = None
    cached: bool = False  # every answer must come from the cache
    share: int = 1        # one of so many pairs is enough, in one life


class Tally:
    """What became of the queries to one server over all runs of a row."""

    def __init__(self):
        self.costs, self.asked, self.lost, self.failed, self.forwarded = [], 0, 0, 0, 0

    def troubles(self, cached):
        found = []
        if self.lost:
            found.append(f'{self.lost} of {self.asked} queries lost')
        if self.failed:
            found.append(f'{self.failed} answers were errors')
        if cached and self.forwarded > self.asked / 100:
            found.append(f'{100 * self.forwarded / self.asked:.0f} % of the queries went to the upstream')
        return ', '.join(found)


class Runs:
    """Measures on a Place."""

    def __init__(self, place, effort, progress):
        self.place = place
        self.effort = effort
        self.progress = progress

    def cost(self, server, question, tally):
        """One run at the question's rate: CPU time of the server a query, in us."""
        file = question.file(int(question.rate * self.effort.seconds))
        forwarded = self.place.forwarded()
        before = server.cpu_ns()
        run = self.place.dnsperf(server.port, file, seconds=self.effort.seconds, rate=question.rate,
                                 outstanding=question.outstanding, sockets=question.sockets, mode=question.mode, options=question.options)
        spent = server.cpu_ns() - before
        tally.asked += run.completed + run.lost
        tally.lost += run.lost
        tally.failed += run.failed()
        tally.forwarded += self.place.forwarded() - forwarded
        tally.costs.append(spent / 1000 / max(1, run.completed))
        return tally.costs[-1]

    def pairs(self, servers, question):
        """Interleaved pairs of the first server with each other one, next to each other in time. Returns the tallies by name,
        and by name of the other the pairs [(ours, theirs)]."""
        ours, *others = servers
        tallies = {server.name: Tally() for server in servers}
        paired = {server.name: [] for server in others}
        wanted, lives = max(1, self.effort.pairs // question.share), self.effort.lives if question.share == 1 else 1
        for life in range(lives):
            rounds = len(range(life, wanted, lives))
            with contextlib.ExitStack() as stack:
                for server in servers if rounds else ():
                    stack.enter_context(server)
                    self.warm(server, question)
                for count in range(1, rounds + 1):
                    self._round(ours, others, question, tallies, paired)
                    self.progress.note(f'start {life + 1} of {lives}, pair {count} of {rounds}: ' + ', '.join(
                        f'{name} {tally.costs[-1]:.2f}' for name, tally in tallies.items()) + ' us')
        return tallies, paired

    def _round(self, ours, others, question, tallies, paired):
        """Other, ours, other; other, ours, other: one run of ours is the neighbour of two."""
        for left in range(0, len(others), 2):
            first, *second = others[left:left + 2]
            theirs = self.cost(first, question, tallies[first.name])
            own = self.cost(ours, question, tallies[ours.name])
            paired[first.name].append((own, theirs))
            for other in second:
                paired[other.name].append((own, self.cost(other, question, tallies[other.name])))

    def warm(self, server, question):
        """What must be in the cache is asked for twice, in case something was lost the first time."""
        for _ in range(1 + question.cached if question.warm and not isinstance(server, Echo) else 0):
            self.place.dnsperf(server.port, question.warm(server), once=True, outstanding=question.outstanding, mode=question.mode)

    def alone(self, server, question):
        """The median cost of one server that is beside none."""
        tally = Tally()
        with server:
            self.warm(server, question)
            for _ in range(self.effort.peak_runs):
                self.cost(server, question, tally)
        return median(tally.costs)

    def in_turn(self, servers, questions):
        """All servers in turn, each with its own question. Returns the tallies by name."""
        tallies = {server.name: Tally() for server in servers}
        with contextlib.ExitStack() as stack:
            for server in servers:
                stack.enter_context(server)
                self.warm(server, questions[server.name])
            for count in range(1, self.effort.pairs + 1):
                for server in servers:
                    self.cost(server, questions[server.name], tallies[server.name])
                self._note_round(count, tallies)
        return tallies

    def by_clients(self, server, file, rate, counts):
        """One server, asked by so many clients in turn. Returns the tallies by count."""
        tallies = {f'{count} clients': Tally() for count in counts}
        with server:
            for turn in range(1, self.effort.pairs + 1):
                for count, tally in zip(counts, tallies.values()):
                    before = server.cpu_ns()
                    said = self.place.load(server.port, file, sources=count, rate=rate, seconds=self.effort.seconds)
                    tally.costs.append((server.cpu_ns() - before) / 1000 / max(1, said['answered']))
                    tally.asked += said['sent']
                    tally.lost += said['sent'] - said['answered']
                    tally.failed += said['bad']
                self._note_round(turn, tallies)
        return tallies

    def _note_round(self, count, tallies):
        self.progress.note(f'{count} of {self.effort.pairs}: ' + ', '.join(f'{name} {tally.costs[-1]:.2f}' for name, tally in tallies.items()) + ' us')

    def compare(self, key, name, servers, question, bars):
        """A row of CPU time a query. bars: (name of another server, factor) that ours must not exceed; besides it must be under
        every peer. None: nothing is promised."""
        tallies, paired = self.pairs(servers, question)
        ours = tallies[servers[0].name]
        row = Row(key, name, 'us CPU/query', value=median(ours.costs))
        row.ratios = {other: figures.ratio(*zip(*pairs)) for other, pairs in paired.items()}
        row.limit = median(tallies['echo'].costs) if 'echo' in tallies else None
        row.peers = {other: median(tallies[other].costs) for other in paired if other != 'echo'}
        if bars is not None:
            row.bar = ', '.join([f'at most {factor:g} x {other}' for other, factor in bars] + ['under every peer'])
            row.met = all(row.ratios[other][0] <= factor for other, factor in bars) and all(row.ratios[other][0] < 1 for other in row.peers)
        row.notes.append(f'{question.rate:,} queries/s for all, {len(paired[servers[1].name])} pairs')
        for server, tally in tallies.items():
            troubles = tally.troubles(question.cached)
            if troubles:
                row.notes.append(f'{server}: {troubles}')
                row.met = row.met if server != servers[0].name or row.met is None else False
        return row

    def peak(self, key, name, servers, question):
        """A row of the highest rate without loss: what a server answers while so many queries wait for it all the time."""
        row = Row(key, f'{name}: highest rate', 'queries/s')
        for server in servers:
            with server:
                self.warm(server, question)
                best, note = max(self._peak(server, question) for _ in range(self.effort.peak_runs))
            if note:
                row.notes.append(f'{server.name}: {note}')
            if isinstance(server, Echo):
                row.limit = best
            elif isinstance(server, Nameplate):
                row.value = best
            else:
                row.peers[server.name] = best
            self.progress.note(f'{server.name} {best:,}/s')
        return row

    def _peak(self, server, question):
        """(rate, what there is to say about it) of one run."""
        file = question.file(int(self.effort.peak_seconds * PEAK_MOST))
        before, beside = server.cpu_ns(), self.place.upstream_cpu_ns()
        run = self.place.dnsperf(server.port, file, seconds=self.effort.peak_seconds, mode=question.mode,
                                 outstanding=max(PEAK_OUTSTANDING, question.outstanding))
        load = (server.cpu_ns() - before) / 1e9 / run.seconds
        other = run.client_load + (self.place.upstream_cpu_ns() - beside) / 1e9 / run.seconds
        note = ''
        if run.lost:
            note = f'{run.lost} of {run.completed + run.lost} queries lost'
        elif load < FULL_LOAD and other > load:
            note = f'took {100 * load:.0f} % of its core, the client was the limit'
        return int(run.rate), note


PEAK_MOST = 200000  # queries/s that the client can send; files without repetition are that long
PEAK_OUTSTANDING = 200
FULL_LOAD = 0.85
