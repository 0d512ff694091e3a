"""The sandboxes of live processes: calls made inside them, as an attacker there would make them, and a search of their memory
for what they must not hold."""
import base64
import contextlib
import json
import os
import re
import struct
import subprocess
from pathlib import Path

import dns.message
import dns.query
import pytest

from fake_hq import NAME
from hqserver import ZONE, Hq
from lab.namespaces import attempt
from lab.paths import BUILD
from lab.waiting import wait_until
from real_agent import BOX, a_box

EPERM, EACCES = 1, 13
PAGE = os.sysconf('SC_PAGE_SIZE')
AREA_MAX = 1 << 32  # ASan's shadow of memory is larger, and no memory
# What the attempt gives in a process of root's without a sandbox; 0: it works.
UNCONFINED = {'exec': 2, 'ptrace': 3, 'bind': 9, 'listen': 9, 'io_uring': 14, 'bpf': 22}
BY_ROLE = {'resolver': 'np-resolver', 'front': 'np-front'}


@pytest.fixture(scope='module')
def box(bin_dir):
    """A real box with a certificate."""
    with a_box(bin_dir) as running:
        running.start()
        try:
            wait_until(running.serial, 60, 'the certificate')
        except AssertionError as late:
            raise AssertionError(f'{late}\n{running.log()}') from None
        yield running


@pytest.fixture(scope='module')
def hq(bin_dir, tmp_path_factory):
    running = Hq(bin_dir / 'nameplate-hq', tmp_path_factory.mktemp('hq')).start()
    yield running
    running.stop()


def child_of(parent, name):
    """The pid of the child whose comm or first argument is that."""
    def found():
        for pid in Path(f'/proc/{parent}/task/{parent}/children').read_text().split():
            with contextlib.suppress(OSError):
                if name in (Path(f'/proc/{pid}/comm').read_text().strip(), *Path(f'/proc/{pid}/cmdline').read_text().split('\0')[1:2]):
                    return int(pid)
    return wait_until(found, what=name)


@pytest.fixture(params=['resolver', 'front', 'hq-dns'])
def confined(request):
    """(pid, its parent's pid) of each process that reads what strangers send."""
    if request.param == 'hq-dns':
        parent = request.getfixturevalue('hq').process.pid
        return child_of(parent, 'child-dns'), parent
    parent = request.getfixturevalue('box').process.pid
    return child_of(parent, BY_ROLE[request.param]), parent


def inject(bin_dir, pid, parent):
    """{what: errno} of calls made inside that process."""
    program = next(path for path in (bin_dir / 'inject_syscall', BUILD / 'release' / 'bin' / 'inject_syscall') if path.exists())
    def injected():
        code, out, err = attempt(program, pid, parent)
        if code == 77:
            pytest.skip('calls are injected on x86-64 only')
        assert code == 0 or 'does not wait' in err, err  # busy at this moment
        return code == 0 and json.loads(out)
    return wait_until(injected, what='the calls')


def test_outside(bin_dir):
    """Without a sandbox the attempts work, or fail for another reason: the tool tells the truth."""
    process = subprocess.Popen(['sleep', '600'])
    try:
        wait_until(lambda: 'sleep' in Path(f'/proc/{process.pid}/comm').read_text(), what='sleep')
        results = inject(bin_dir, process.pid, os.getpid())
    finally:
        process.kill()
        process.wait()
    assert len(results) > 15
    for what, error in results.items():
        assert error == UNCONFINED.get(what, 0) or what in ('io_uring', 'bpf') and error not in (0, EPERM), (what, error)


def test_live_process_is_confined(bin_dir, confined):
    pid, parent = confined
    status = dict(re.findall(r'^(\w+):\s+(.*)$', Path(f'/proc/{pid}/status').read_text(), re.MULTILINE))
    assert status['NoNewPrivs'] == '1' and status['Seccomp'] == '2'
    assert all(int(status[kind], 16) == 0 for kind in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb'))
    results = inject(bin_dir, pid, parent)
    assert results.pop('getpid') == 0
    allowed = {what: error for what, error in results.items() if error not in (EPERM, EACCES)}
    assert not allowed, allowed


def test_descriptors(confined):
    """What they have open: sockets, the loop's own, standard error and /dev/null; no file of anybody's."""
    pid, _ = confined
    for entry in Path(f'/proc/{pid}/fd').iterdir():
        target = os.readlink(entry)
        if entry.name not in ('0', '1', '2'):
            assert re.match(r'(socket|pipe|anon_inode):', target), (entry.name, target)


def test_they_work_as_before(box, hq):
    """Those that calls were made in serve on."""
    with box.outside.inside():
        assert dns.query.udp(dns.message.make_query(NAME, 'A'), BOX, timeout=5).answer
    assert box.serial()
    assert dns.query.udp(dns.message.make_query(ZONE, 'SOA'), '127.0.0.1', port=hq.dns_port, timeout=5).answer


# Canaries

TAGS = {2: 'identity key', 4: 'token', 11: 'auth token', 13: 'TLS key'}


def secrets_of(box):
    """{what: 32 bytes} from the newest generation of the state folder (agent/identity/state.h)."""
    data = (box.generations()[-1] / 'state').read_bytes()
    found, at = {}, 20
    while at < len(data) - 32:
        tag, length = struct.unpack('>HI', data[at:at + 6])
        if tag in TAGS:
            found[TAGS[tag]] = data[at + 6:at + 6 + length][-32:]
        at += 6 + length
    return found


def forms(secret):
    """The secret as it is, as hex and as base64, each with its first half: a piece is as bad."""
    whole = [secret, secret[::-1], secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret)[:42],
             base64.urlsafe_b64encode(secret)[:42]]
    return whole + [form[:len(form) // 2] for form in whole]


def resident(pagemap, begin, end):
    """(begin, end) of the runs of pages between the two that hold anything (proc(5): present, or swapped)."""
    pagemap.seek(begin // PAGE * 8)
    run = None
    for number, (entry,) in enumerate(struct.iter_unpack('=Q', pagemap.read((end - begin) // PAGE * 8))):
        at = begin + number * PAGE
        if entry >> 62:
            run = run or at
        elif run:
            yield run, at
            run = None
    if run:
        yield run, end


def memory(pid):
    """Every byte that the process holds, piece by piece."""
    with open(f'/proc/{pid}/mem', 'rb') as mem, open(f'/proc/{pid}/pagemap', 'rb') as pagemap:
        for line in Path(f'/proc/{pid}/maps').read_text().splitlines():
            area, rights = line.split()[:2]
            begin, end = (int(part, 16) for part in area.split('-'))
            if 'r' not in rights or '[v' in line or end - begin > AREA_MAX:
                continue
            for first, last in resident(pagemap, begin, end):
                mem.seek(first)
                yield mem.read(last - first)


def held(pid, secrets):
    """Names of the secrets that are in the process's memory in some form."""
    found = set()
    for area in memory(pid):
        found |= {name for name, secret in secrets.items() if any(form in area for form in forms(secret))}
    return found


def test_no_secret_in_memory(box):
    """The resolver holds no key and no token, the front the TLS key alone; the agent, which works with them, all."""
    secrets = wait_until(lambda: len(found := secrets_of(box)) == len(TAGS) and found, what='keys and tokens in the state folder')
    assert all(len(set(secret)) > 8 for secret in secrets.values())
    agent = box.process.pid
    assert held(agent, secrets) >= {'identity key', 'TLS key'}
    assert held(child_of(agent, 'np-front'), secrets) == {'TLS key'}
    assert held(child_of(agent, 'np-resolver'), secrets) == set()
