"""A real agent whose upstreams come from the files of two leases, which others write as they please."""
import contextlib
import itertools

import dns.exception
import pytest

from agent_box import agent_box
from lab.waiting import wait_until
from upstream import FastUpstream

FILES = 'upstreams-from = {"FOLDER/wan", "FOLDER/wan6"}\n'


@pytest.fixture
def home(bin_dir):
    """(a box, an upstream on each LAN, ask): ask() asks the box something new and returns which upstreams were asked."""
    with contextlib.ExitStack() as stack:
        box = stack.enter_context(agent_box(bin_dir, 'rate-limit = 0\n', upstream=FILES))
        servers = []
        for number, client in enumerate(box.clients):
            with client.inside():
                servers.append(FastUpstream(address=f'192.168.{number}.7'))
            stack.callback(servers[-1].close)
        numbers = itertools.count()

        def ask():
            before = [len(server.seen) for server in servers]
            with contextlib.suppress(dns.exception.Timeout):
                box.ask(0, '192.168.0.1', name=f'name-{next(numbers)}.example', timeout=3)
            return [i for i, server in enumerate(servers) if len(server.seen) > before[i]]
        yield box, servers, ask


def test_files_of_leases(home):
    box, servers, ask = home
    first, second = box.folder / 'wan', box.folder / 'wan6'
    lines = ['server={}#{}\n'.format(*server.address.split(':')) for server in servers]
    assert ask() == [] and 'no DNS server to forward to' in box.log()
    first.write_text(lines[0])  # a new file
    wait_until(lambda: ask() == [0], what='the first upstream is asked')
    first.write_text('# nothing\n' + lines[1])  # in place
    wait_until(lambda: ask() == [1], what='the second one is asked')
    new = box.folder / 'wan.new'
    new.write_text(lines[0])
    new.rename(first)
    wait_until(lambda: ask() == [0], what='the first one is asked again')
    second.write_text(lines[1])
    wait_until(lambda: len(box.status().get('upstreams', [])) == 2, what='both are known')
    first.unlink()
    wait_until(lambda: ask() == [1], what='only the second one is left')
    second.write_text('server=192.168.0.1\n' + lines[1])  # the box itself
    wait_until(lambda: '1 of 2 DNS servers to forward to are this box itself' in box.log(), what='it says so')
    assert ask() == [1]
