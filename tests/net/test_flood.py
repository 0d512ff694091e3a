"""A flood of mutated queries over a link while the resolver serves: a client's questions are answered throughout, and memory
stays what it was. The short form; 2,000,000 packets with `tests/lab test --long`."""
import contextlib
import json
import os
import subprocess
import threading
from pathlib import Path

import dns.message
import dns.query
import pytest

from lab.paths import BUILD, ROOT
from lab.waiting import pause
from resolver_process import NAME, VIEW, Resolver, index_of, texts
from upstream import Upstream

WITNESS, SOURCES = '192.168.1.7', [f'192.168.1.{last}' for last in range(30, 36)]
WITNESS6, SOURCES6 = 'fd41::7', [f'fd41::{last:x}' for last in range(0x30, 0x34)]
OWN = [f'{NAME} 10 IN A 192.168.1.1']
CORPUS = ROOT / 'tests' / 'fuzz' / 'corpus' / 'dns_query'

# ASan keeps freed memory in quarantine, which looks like growth; a small one is still enough to catch its use.
ASAN = 'quarantine_size_mb=4:detect_leaks=1:malloc_context_size=5'

# build: packets in the short and the long form, KiB that memory may grow by once it is warm.
FLOODS = {'asan': (80000, 2000000, 24 * 1024), 'release': (60000, 2000000, 6 * 1024)}
WARM = 250000  # at most: then every table has been full


class Witness:
    """A client that asks for the own name every 50 ms, each question once."""

    def __init__(self, client, where, source, port):
        self.client, self.where, self.source, self.port = client, where, source, port
        self.answers, self.error, self.stop = 0, None, False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            with self.client.inside():
                while not self.stop:
                    answer = dns.query.udp(dns.message.make_query(NAME, 'A'), self.where, port=self.port, source=self.source, timeout=20)
                    assert texts(answer.answer) == OWN, answer
                    self.answers += 1
                    pause(0.05)
        except Exception as error:  # told by close
            self.error = error

    def close(self):
        self.stop = True
        self.thread.join(25)
        if self.error:
            raise self.error


def memory_kib(resolver):
    return int(Path(f'/proc/{resolver.process.pid}/smaps_rollup').read_text().split('\nPss:')[1].split()[0])


def quick(query, over_tcp=False):
    """One address for every name, without the work of dnspython's writer."""
    wire = query.to_wire()
    end = wire.index(b'\0', 12) + 5
    return [wire[:2] + b'\x81\x80\0\1\0\1\0\0\0\0' + wire[12:end] + b'\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x33\x64\7']


@pytest.fixture(params=FLOODS)
def flooded(request, home, tmp_path, bin_dir, monkeypatch):
    """(flood(count, seed, where, sources), a resolver on a link, the client's namespace, the row of FLOODS)."""
    folder = BUILD / request.param / 'bin'
    if not (folder / 'nameplate').exists():
        folder = bin_dir
    sender = next(path for path in (bin_dir / 'dns_flood', BUILD / 'release' / 'bin' / 'dns_flood') if path.exists())
    monkeypatch.setenv('ASAN_OPTIONS', ASAN)
    box, client = home
    for address in (*SOURCES, *SOURCES6):
        client.ip('addr', 'add', f'{address}/{64 if ":" in address else 24}', 'dev', 'eth1', *(['nodad'] if ':' in address else []))
    view = dict(VIEW, interfaces=[
        {'index': index_of(box, 'lan1'), 'name': 'lan1', 'lan': True, 'v4': ['192.168.1.1/24'], 'v6': ['fd41::1/64', 'fe80::1/64']}])
    with contextlib.ExitStack() as stack:
        with box.inside():
            upstream = Upstream(quick)
        stack.callback(upstream.close)
        resolver = Resolver(folder / 'nameplate', tmp_path, view, [upstream.address], listen=('192.168.1.1', 'fd41::1'), prefix=box.argv())
        stack.callback(resolver.close)

        def flood(count, seed, where, sources):
            argv = client.argv(sender, where, resolver.port, count, seed, NAME.rstrip('.'), CORPUS, *sources)
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr + resolver.log()
            return json.loads(done.stdout)
        yield flood, resolver, client, FLOODS[request.param]


def test_flood(flooded):
    flood, resolver, client, (short, long, may_grow) = flooded
    count = long if os.environ.get('NAMEPLATE_LONG') else short
    witnesses = [Witness(client, '192.168.1.1', WITNESS, resolver.port), Witness(client, 'fd41::1', WITNESS6, resolver.port)]
    try:
        flood(min(count, WARM), 1, '192.168.1.1', SOURCES)
        warm = memory_kib(resolver)
        results = [flood(count // 2, 2, '192.168.1.1', SOURCES), flood(count // 2, 3, 'fd41::1', SOURCES6)]
        grown = memory_kib(resolver) - warm
    finally:
        for witness in witnesses:
            witness.close()
    print(f'\n{results} memory {warm} + {grown} KiB, witnesses {[witness.answers for witness in witnesses]}')
    assert sum(result['sent'] for result in results) >= count - 1
    assert all(witness.answers > 0 for witness in witnesses)
    assert grown <= may_grow
    # Every kind of answer has been given, so the packets reached every part. (SERVFAIL comes when the upstream is slow.)
    assert all(sum(result['rcodes'][rcode] for result in results) > 100 for rcode in (0, 1, 3, 4, 5))
    assert resolver.process.poll() is None
