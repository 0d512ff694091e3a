"""`tests/lab bench resolver`: the rows of issue 4's table, beside an echo, dnsmasq, Unbound and Knot Resolver (docs/bench.md)."""
import dataclasses
import time

from lab.bench import figures
from lab.bench.figures import Row, median
from lab.bench.names import Draw, Fresh, Mix, write_known, write_own
from lab.bench.place import Place, make_realtime, versions
from lab.bench.runs import QUICK, Effort, Question, Runs
from lab.bench.servers import MIB, Certificate, Dnsmasq, Echo, Kresd, Nameplate, NameplateTls, Unbound
from lab.build import Progress
from lab.cli import BENCH_ROWS
from lab.namespaces import Failed
from lab.paths import BUILD

RESULT = BUILD / 'bench-resolver.json'
PORT = 5400
PEERS = (Dnsmasq, Unbound, Kresd)

# Queries a second, the same for all: about half of what the slowest can do.
OWN_RATE, HIT_RATE, MIX_RATE, STREAM_RATE, CLIENTS_RATE = 50000, 50000, 20000, 30000, 20000
HANDSHAKES_RATE = 100
# Misses are offered faster than most can go, so that 400 wait all the time; and at a rate that all of them keep up with.
MISS_RATE, MISS_EASY_RATE = 40000, 4000
MISS_OUTSTANDING = 400
DNSMASQ_DEFAULT = 150  # names in its cache
KNOWN = 1000
MEMORY_NAMES = 10000
MEMORY_BAR_KIB = 8 * 1024
GROWTH_CACHE = 64 * MIB
GROWTH_BAR = 1.3
CLIENTS = 200
LATENCY_BAR_MS = 2.0
NO_TCP = 'dnsmasq: not measured, it ends a TCP connection after 100 queries and forks for each'


class Resolver:
    """The rows, each a function that gives a list. A row that cannot be measured is there, with the reason."""

    def __init__(self, place, effort, progress):
        self.place = place
        self.effort = effort
        self.progress = progress
        self.runs = Runs(place, effort, progress)
        self.own_file = write_own(place.folder)
        self.known_file = write_known(place.folder, KNOWN)
        self.fresh = Fresh(place.folder)
        self.mix_names = Mix(place.folder, self.fresh, effort.mix_names)

    def servers(self, *others, **ours):
        """nameplate and others, each on a port of its own."""
        return [Nameplate(self.place, PORT, **ours)] + [kind(self.place, PORT + i) for i, kind in enumerate(others, 1)]

    def own(self):
        question = Question(lambda _: self.own_file, OWN_RATE)
        return [self.runs.compare('own', 'own name', self.servers(Echo, *PEERS), question, [('echo', 1.15)]),
                self.runs.peak('own', 'own name', self.servers(Echo, *PEERS, rate=0), question)]

    def hit(self):
        question = Question(lambda _: self.known_file, HIT_RATE, warm=lambda _: self.known_file, cached=True)
        with self.place.upstream():
            return [self.runs.compare('hit', f'cache hit, {KNOWN:,} names', self.servers(Echo, *PEERS), question, [('echo', 1.25)]),
                    self.runs.peak('hit', 'cache hit', self.servers(Echo, *PEERS, rate=0), question)]

    def miss(self):
        fill = self.fresh.write_to('fill', self.effort.fill)
        few = self.fresh.write_to('few', min(self.effort.fill, Dnsmasq.most * 6 // 5))
        question = Question(self.fresh.write, MISS_RATE, outstanding=MISS_OUTSTANDING,
                            warm=lambda server: few if isinstance(server, Dnsmasq) else fill)
        easy = dataclasses.replace(question, rate=MISS_EASY_RATE, share=3)
        with self.place.upstream(away_ms(MISS_RATE)):
            rows = [self.runs.compare('miss', f'miss, {MISS_OUTSTANDING} outstanding', self.servers(*PEERS), question,
                                      [('unbound', 0.4), ('dnsmasq', 0.1)])]
            small = Dnsmasq(self.place, PORT + 1, names=DNSMASQ_DEFAULT)
            cost = self.runs.alone(small, question)
            rows[0].notes.append(f'dnsmasq with its default of {DNSMASQ_DEFAULT} names, not {small.most}: {cost:.2f} us')
        with self.place.upstream(away_ms(MISS_EASY_RATE)):
            rows.append(self.runs.compare('miss', f'miss, {MISS_EASY_RATE:,} a second', self.servers(Echo, *PEERS), easy, None))
        with self.place.upstream():
            return rows + [self.runs.peak('miss', 'miss', self.servers(*PEERS, rate=0), question)]

    def mix(self):
        all_names = self.mix_names.all_file()
        question = Question(self.mix_names.write, MIX_RATE, warm=lambda _: all_names, outstanding=50)
        with self.place.upstream():
            row = self.runs.compare('mix', 'mix 90/9/1', self.mix_servers(), question, [])
            peak = self.runs.peak('mix', 'mix', self.mix_servers(rate=0), question)
            return [row, peak, self.latency(question, {'nameplate': peak.value, **peak.peers})]

    def mix_servers(self, **ours):
        """dnsmasq with a cache that never is full, past what it warns of: a full one costs it 150 us a name."""
        return [Nameplate(self.place, PORT, **ours), Dnsmasq(self.place, PORT + 1, names=150000), Unbound(self.place, PORT + 2),
                Kresd(self.place, PORT + 3)]

    def latency(self, question, peaks):
        """p99 of each at half of its own highest rate. Client and server run at real-time priority, so that what is measured is not
        how long they wait for a CPU of a busy machine."""
        row = Row('mix', 'mix: p99 at half the highest rate', 'ms', bar=f'under {LATENCY_BAR_MS:g} ms')
        for server in self.mix_servers():
            rate, seen, lost = peaks[server.name] / 2, [], 0
            with server:
                self.runs.warm(server, question)
                make_realtime(server.pids())
                for _ in range(self.effort.latency_runs):
                    file = question.file(int(rate * self.effort.latency_seconds))
                    said = self.place.load(server.port, file, sources=50, rate=rate, seconds=self.effort.latency_seconds,
                                           realtime=1)
                    seen.append(said['p99_us'] / 1000)
                    lost += said['sent'] - said['answered']
            if lost:
                row.notes.append(f'{server.name}: {lost} lost')
            if server.name == 'nameplate':
                row.value, row.met = median(seen), median(seen) < LATENCY_BAR_MS and lost == 0
            else:
                row.peers[server.name] = median(seen)
        return row

    def tcp(self):
        question = Question(lambda _: self.known_file, STREAM_RATE, mode='tcp', warm=lambda _: self.known_file, cached=True)
        with self.place.upstream():
            rows = [self.runs.compare('tcp', 'TCP, cache hit', self.servers(Unbound, Kresd), question, []),
                    self.runs.peak('tcp', 'TCP', self.servers(Unbound, Kresd, rate=0), question)]
        rows[0].notes.append(NO_TCP)
        return rows

    def dot(self):
        tls = Certificate(self.place.folder)
        servers = [NameplateTls(self.place, PORT, tls), Unbound(self.place, PORT + 1, tls=tls), Kresd(self.place, PORT + 2, tls=tls)]
        question = Question(lambda _: self.known_file, STREAM_RATE, mode='dot', warm=lambda _: self.known_file, cached=True)
        again = Question(lambda _: self.known_file, HANDSHAKES_RATE, mode='dot', outstanding=10, sockets=10,
                         options=('-O', 'num-queries-per-conn=1'), warm=lambda _: self.known_file, cached=True)
        with self.place.upstream():
            rows = [self.runs.compare('dot', 'DNS over TLS, cache hit', servers, question, []),
                    self.runs.peak('dot', 'DNS over TLS', servers, question),
                    self.runs.compare('dot', 'DNS over TLS, a connection each', servers, again, None)]
        rows[0].notes.append('nameplate: front and resolver together; TLS 1.2 by BearSSL, the peers TLS 1.3 by OpenSSL and GnuTLS')
        return rows

    def memory(self):
        row = Row('memory', f'memory with {MEMORY_NAMES:,} names cached', 'KiB RSS', bar=f'under {MEMORY_BAR_KIB} KiB and every peer')
        file = write_known(self.place.folder, MEMORY_NAMES)
        question = Question(lambda _: file, 0, warm=lambda _: file, outstanding=50, cached=True)
        ours = [Nameplate(self.place, PORT), *(kind(self.place, PORT + i, lean=True) for i, kind in enumerate(PEERS, 1))]
        with self.place.upstream():
            for server in ours:
                with server:
                    self.runs.warm(server, question)
                    forwarded = self.place.forwarded()
                    self.place.dnsperf(server.port, file, once=True, outstanding=50)
                    held = MEMORY_NAMES - (self.place.forwarded() - forwarded)
                    rss, pss = server.memory_kib()
                    row.notes.append(f'{server.name}: PSS {pss:,} KiB, {held:,} of the names cached')
                if server.name == 'nameplate':
                    row.value, row.met = rss, rss < MEMORY_BAR_KIB and held >= MEMORY_NAMES * 0.99
                else:
                    row.peers[server.name] = rss
        row.met = row.met and all(row.value < theirs for theirs in row.peers.values())
        return [row]

    def growth(self):
        return [self.growth_names(), self.growth_clients()]

    def growth_names(self):
        """The same process with more and more names cached: each size is a server of its own, measured in turn."""
        sizes = self.effort.sizes
        files = {size: write_known(self.place.folder, size) for size in sizes}
        servers = [Nameplate(self.place, PORT + i, cache=GROWTH_CACHE) for i in range(len(sizes))]
        for server, size in zip(servers, sizes):
            server.name = f'{size:,}'
        questions = {server.name: Question(Draw(self.place.folder, size).write, HIT_RATE, warm=lambda _, f=files[size]: f, cached=True)
                     for server, size in zip(servers, sizes)}
        with self.place.upstream():
            tallies = self.runs.in_turn(servers, questions)
        return self._grown('growth: names cached', f'{sizes[0]:,} to {sizes[-1]:,} names, cache {GROWTH_CACHE // MIB} MiB', tallies, True)

    def growth_clients(self):
        """One process asked by one client and by many, in turn."""
        tallies = self.runs.by_clients(Nameplate(self.place, PORT), self.own_file, CLIENTS_RATE, (1, CLIENTS))
        return self._grown('growth: clients', f'1 to {CLIENTS} clients, own name, {CLIENTS_RATE:,} queries/s', tallies, False)

    def _grown(self, name, what, tallies, cached):
        first, *rest = tallies.values()
        ratios = {label: figures.ratio(tally.costs, first.costs) for label, tally in tallies.items() if tally is not first}
        worst = max(ratios.values())
        row = Row('growth', name, 'x', value=worst[0], bar=f'at most {GROWTH_BAR:g}', met=worst[0] <= GROWTH_BAR, ratios=ratios)
        row.notes.append(f'{what}: ' + ', '.join(f'{label} {median(tally.costs):.2f} us' for label, tally in tallies.items()))
        for label, tally in tallies.items():
            troubles = tally.troubles(cached)
            if troubles:
                row.met = False
                row.notes.append(f'{label}: {troubles}')
        return row


def away_ms(rate):
    """How far the upstream is, so that at this rate nearly MISS_OUTSTANDING wait for it."""
    return 0.96 * 1000 * MISS_OUTSTANDING / rate


PROGRAMS = ('bench_echo', 'bench_upstream', 'bench_load')


def run(bin_dir, *, only=(), pairs=None, quick=False, result=None):
    """Measures, prints the table, writes the JSON. Returns the exit status: 0 when every row was measured."""
    effort = QUICK if quick else Effort()
    if pairs:
        effort = dataclasses.replace(effort, pairs=pairs, lives=min(effort.lives, pairs))
    progress, rows, begun = Progress(), [], time.monotonic()
    busy = figures.busy_cpus(1.0)
    with Place(bin_dir) as place:
        rows_of = Resolver(place, effort, progress)
        for key in only or BENCH_ROWS:
            progress.begin(key)
            try:
                rows += getattr(rows_of, key)()
            except (Failed, AssertionError) as error:
                rows.append(Row(key, key, '', met=False, notes=[f'not measured: {error}']))
            progress.end(key)
    busy = max(busy, figures.busy_cpus(1.0))
    header = {'machine': figures.machine(), 'versions': versions(), 'pairs': effort.pairs, 'quick': quick,
              'others_cpus': busy, 'seconds': round(time.monotonic() - begun)}
    result = result or RESULT
    figures.write(result, header, rows)
    print(figures.table(rows))
    if busy > 0.2:
        print(f'Others used {busy} CPUs of this machine before or after: trust the ratios, not the absolute figures.')
    print(result)
    return 0 if all(row.value is not None for row in rows) else 1
