"""Fixtures of the namespace tests. They need root; `sudo tests/lab test -k EXPR` runs them with everything built."""
import contextlib
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))

import contract  # noqa: E402
from acmeca.client import AcmeCa  # noqa: E402
from front_process import NAME, Ca, Front  # noqa: E402
from lab import interrupts, tracks  # noqa: E402
from lab.namespaces import Namespace  # noqa: E402
from lab.paths import find_bin_dir  # noqa: E402
from lab.waiting import wait_until  # noqa: E402
from ports import free_port  # noqa: E402
from resolver_process import VIEW, Resolver  # noqa: E402
from upstream import Upstream, good  # noqa: E402


def pytest_configure(config):
    """SIGTERM ends the run as Ctrl-C does: fixtures are torn down, nothing stays behind."""
    interrupts.install()
    config.addinivalue_line('markers', 'host: needs the machine\'s own /run or network; runs on the first track')
    config.addinivalue_line('markers', 'long: waits for half a minute and more; `tests/lab test --long` runs it')


def pytest_collection_modifyitems(items):
    """Tests that hold the world come last: what needs only a namespace or loopback says first what is wrong. With two tracks
    they come first: it is the longest group, and the other track has the rest meanwhile."""
    if os.getuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason='network namespaces need root'))
    if not os.environ.get('NAMEPLATE_LONG'):
        for item in items:
            if item.get_closest_marker('long'):
                item.add_marker(pytest.mark.skip(reason='only with tests/lab test --long'))
    items.sort(key=lambda item: (tracks.group_of(item) == 'world') != bool(tracks.CLAIMS))


def pytest_runtestloop(session):
    """On two tracks: the tests that this one claims, with pytest's own rules for the end. Else None: pytest's own loop."""
    if not tracks.CLAIMS or session.testsfailed or session.config.option.collectonly:
        return None
    for item, following in tracks.claimed(session.items):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
    return True


@pytest.fixture(autouse=True)
def protocol_contract():
    """What devices and HQs have said to each other meanwhile is what docs/openapi.yaml says."""
    yield
    seen, contract.violations[:] = contract.violations[:], []
    assert not seen, 'not as docs/openapi.yaml says:\n' + '\n'.join(seen[:10])


@pytest.fixture(scope='session')
def bin_dir():
    """The folder with the programs under test: $NAMEPLATE_BIN, build/release/bin or build/dev/bin."""
    folder = find_bin_dir()
    if not (folder / 'nameplate').exists():
        pytest.fail(f'nothing is built in {folder}: run sudo tests/lab build')
    return folder


@pytest.fixture(scope='module')
def dns_port():
    """A port for the zone of an HQ on loopback, which a CA is told once and which outlives each HQ."""
    return free_port()


@pytest.fixture(scope='module')
def acmeca(dns_port, tmp_path_factory):
    """The CA of our own that can do every wrong; a test sets it to what it needs first."""
    with AcmeCa(tmp_path_factory.mktemp('acmeca'), dns_port) as ca:
        yield ca


@pytest.fixture(name='wait_until', scope='session')
def wait_until_fixture():
    """wait_until(condition, deadline=10.0, what=None): the only way to wait."""
    return wait_until


@pytest.fixture(scope='session')
def world(bin_dir):
    """The whole lab, up with the box enrolled and served (see lab.world.World); down at the end of the session."""
    from lab.world import World
    with World(bin_dir) as running:
        running.boot()
        yield running


@pytest.fixture
def start(bin_dir, tmp_path):
    """start(view, upstreams): a resolver that ends with the test."""
    with contextlib.ExitStack() as stack:
        def begin(view=None, upstreams=(), **options):
            resolver = Resolver(bin_dir / 'nameplate', tmp_path, VIEW if view is None else view, upstreams, **options)
            stack.callback(resolver.close)
            return resolver
        yield begin


@pytest.fixture
def upstream():
    """upstream(handler): a scripted upstream that ends with the test."""
    with contextlib.ExitStack() as stack:
        def begin(handler=good):
            server = Upstream(handler)
            stack.callback(server.close)
            return server
        yield begin


@pytest.fixture
def home():
    """Two namespaces joined by two links: a box with two LANs, and a client on both."""
    box, client = (Namespace(f'np-resolver-{role}-{os.getpid()}') for role in ('box', 'client'))
    with contextlib.ExitStack() as stack:
        for namespace in (box, client):
            namespace.create()
            stack.callback(namespace.delete)
        for i in (1, 2):
            box.ip('link', 'add', f'lan{i}', 'type', 'veth', 'peer', 'name', f'eth{i}', 'netns', client.name)
            box.ip('addr', 'add', f'192.168.{i}.1/24', 'dev', f'lan{i}')
            box.ip('-6', 'addr', 'add', f'fd4{i}::1/64', 'dev', f'lan{i}', 'nodad')
            client.ip('addr', 'add', f'192.168.{i}.7/24', 'dev', f'eth{i}')
            client.ip('-6', 'addr', 'add', f'fd4{i}::7/64', 'dev', f'eth{i}', 'nodad')
            box.ip('link', 'set', f'lan{i}', 'up')
            client.ip('link', 'set', f'eth{i}', 'up')
        yield box, client


@pytest.fixture(scope='module')
def ca():
    return Ca()


@pytest.fixture
def front(bin_dir):
    """A front that has a view and no certificate yet."""
    with Front(bin_dir / 'nameplate') as process:
        process.start()
        yield process
        assert process.process.poll() is None, 'the front has died'


@pytest.fixture
def serving(front, ca):
    """A front with a certificate and no backend."""
    front.send('CERT', ca.certificate_frame(NAME)[0])
    front.stats()  # answered after the certificate was taken
    return front
