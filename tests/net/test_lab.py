"""The lab keeps its promises: nothing of the host changes, nothing stays behind, two labs do not meet.

A second lab under its own name (NAMEPLATE_LAB), so that it can run beside the one that other tests use. Its "host" is a
network namespace of its own, where nothing else comes and goes.
"""
import os
import signal
import subprocess
from pathlib import Path

import pytest

from lab.namespaces import Namespace, command
from lab.world import host_state

pytestmark = pytest.mark.host  # what a lab leaves in /run is looked for there

HOST = Namespace('nptesthost')
LAB = Path(__file__).resolve().parents[1] / 'lab'
NAME = 'nptwo'
ENVIRONMENT = {**os.environ, 'NAMEPLATE_LAB': NAME}


def run_lab(*words):
    with HOST.inside():
        return subprocess.run([str(LAB), *words], env=ENVIRONMENT, cwd='/', capture_output=True, text=True, timeout=90, check=False)


def start_lab(*words):
    with HOST.inside():
        return subprocess.Popen([str(LAB), *words], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def state():
    """host_state of the namespace that is the host here, where no socket may ever listen."""
    with HOST.inside():
        assert command('ss', '-Hlntu') == ''
        return host_state()


def traces():
    """What a lab of this name has on the machine."""
    mounts = [line for line in Path('/proc/mounts').read_text().splitlines() if f'/{NAME}-' in line]
    found = [p for folder in ('/run/netns', '/etc/netns') for p in Path(folder).glob(NAME + '-*')]
    return mounts + found + list(Path('/var/lib').glob(f'nameplate-lab-{NAME}'))


def processes(word):
    """Pids of processes with a word in their command line."""
    found = []
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            if word.encode() in (entry / 'cmdline').read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope='module', autouse=True)
def host():
    HOST.delete()  # of a run that was killed
    HOST.create()
    yield
    HOST.delete()


@pytest.fixture(autouse=True)
def gone_afterwards(host):
    before = state()
    yield
    run_lab('down')
    assert traces() == []
    assert state() == before


def test_up_shell_down():
    before = state()
    up = run_lab('up', '--bare')
    assert up.returncode == 0, up.stderr
    assert 'laptop' in up.stdout
    assert state() == before, 'the host changed while a lab is up'
    ping = run_lab('shell', 'laptop', 'ping', '-c', '1', '-W', '2', '198.51.100.80')
    assert ping.returncode == 0, ping.stdout
    own = run_lab('shell', 'laptop', 'cat', '/etc/resolv.conf')
    assert own.stdout == 'nameserver 192.168.1.1\n'
    routes = run_lab('shell', 'box', 'ip', 'route')
    assert 'default via 203.0.113.1 dev wan' in routes.stdout
    again = run_lab('up', '--bare')
    assert again.returncode == 1 and 'tests/lab down' in again.stderr
    assert run_lab('down').returncode == 0
    assert traces() == []
    assert run_lab('nodes').returncode == 1


def test_recursion_starts_at_our_root():
    """The public resolver answers from the lab's own root; nothing outside is reachable."""
    assert run_lab('up', '--bare').returncode == 0
    answer = run_lab('shell', 'laptop', 'kdig', '+short', '@198.51.100.53', 'www.example', 'AAAA')
    assert answer.stdout == '2001:db8:1::80\n'
    outside = run_lab('shell', 'laptop', 'kdig', '@198.51.100.53', 'debian.org', 'A')
    assert 'NXDOMAIN' in outside.stdout


def test_second_lab_is_refused(wait_until):
    first = start_lab('up', '--bare')
    wait_until(traces, 20, 'the first lab began')
    second = run_lab('up', '--bare')
    assert second.returncode == 1
    assert 'another lab is running' in second.stderr or 'a lab is up' in second.stderr
    assert first.wait(30) == 0, 'the refused one must not disturb the first'
    assert run_lab('nodes').returncode == 0


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('traces_then', [1, 6, 15])
def test_interrupted_lab_leaves_nothing(wait_until, how, traces_then):
    lab = start_lab('up', '--bare')
    wait_until(lambda: len(traces()) >= traces_then, 20, 'the lab is half up', every=0.002)
    lab.send_signal(how)
    assert lab.wait(30) == 130
    assert traces() == []


def test_killed_lab_is_cleaned_by_down(wait_until):
    lab = start_lab('up', '--bare')
    wait_until(lambda: processes(f'nameplate-lab-{NAME}/root/knot.conf'), 20, 'a daemon of the lab runs')
    lab.kill()
    lab.wait()
    assert traces()
    assert run_lab('down').returncode == 0
    assert traces() == []
    assert processes(f'nameplate-lab-{NAME}/') == []


@pytest.mark.parametrize('words', [['--help'], ['-h'], ['help'], []])
def test_help_needs_nothing(words, tmp_path):
    """No python, no root: the very first thing that a person types."""
    for tool in ('bash', 'cat', 'dirname'):
        (tmp_path / tool).symlink_to(f'/bin/{tool}')
    done = subprocess.run([str(LAB), *words], env={'PATH': str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and 'sudo tests/lab demo' in done.stdout


def test_wrong_words_say_so():
    assert run_lab('shell', 'nowhere').returncode == 1
