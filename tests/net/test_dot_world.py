"""A box whose only upstream is DNS over TLS, strict, on the whole world: it enrols, and not a query of its leaves in clear text."""
import shutil

import dns.flags
import pytest

from lab.home1 import NAS4
from lab.internet import RESOLVER, RESOLVER_NAME
from lab.nodes import records
from lab.paths import STATE
from lab.programs import Box

COUNTER = f"""\
table ip dot {{
    chain output {{
        type filter hook output priority 0
        ip daddr {RESOLVER} meta l4proto {{ udp, tcp }} th dport 53 counter
        ip daddr {RESOLVER} tcp dport 853 counter
    }}
}}
"""


@pytest.fixture(scope='module')
def strict(world):
    """A second agent on the NAS, with an identity of its own; the first one rests meanwhile."""
    rested = 'agent' in world.nas.node.daemons
    if rested:
        world.nas.stop()
    box = Box(world.home1, world.hq, STATE / 'bin', serial='NP-0853', daemon='strict', folder='strict')
    box.prepare(f'upstream = {{"tls://{RESOLVER}#{RESOLVER_NAME}"}}\ndot-anchors = "{box.folder}/dns-anchors.pem"\n')
    shutil.copy(world.internet.anchors, box.folder / 'dns-anchors.pem')
    box.node.run('nft', '-f', '-', input=COUNTER)
    box.first_boot()
    yield box
    box.node.run('nft', 'delete', 'table', 'ip', 'dot')
    box.stop()
    if rested:
        world.nas.boot_again()


def packets(box):
    """Sent to the upstream: in clear text, over TLS."""
    lines = [line.split() for line in box.node.run('nft', 'list', 'table', 'ip', 'dot').splitlines() if 'packets' in line]
    return [int(words[words.index('packets') + 1]) for words in lines]


def test_it_enrolled(world, strict):
    """HQ was found through the box's own resolver: the agent's look-ups are in clear text, and stay inside."""
    assert world.hq.device(strict.name)['serial'] == 'NP-0853'
    clear, tls = packets(strict)
    assert clear == 0 and tls > 0


def test_the_home_is_answered(world, strict):
    laptop = world.home1.laptop
    assert records(laptop.ask(strict.name, 'A', NAS4), 'A') == [NAS4]
    answer = laptop.ask('www.example', 'A', NAS4)
    assert records(answer, 'A') == records(laptop.ask('www.example', 'A', RESOLVER), 'A') != []
    assert answer.flags & dns.flags.RA
    assert packets(strict)[0] == 0


def test_status_names_the_upstream(strict):
    assert f'tls://{RESOLVER}:853#{RESOLVER_NAME}' in strict.status()['upstreams']


def test_again_after_a_restart(strict):
    strict.stop()
    strict.boot_again()
    assert records(strict.laptop.ask('www.example', 'A', NAS4), 'A')
    assert packets(strict)[0] == 0
