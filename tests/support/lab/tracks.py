"""The namespace tests on two tracks at once: each is a pytest of its own over all tests, and a group of tests (a file, or all
that hold the lab's world) is run by the track that claims it first.

Most of these tests wait for programs; one track leaves half of the machine idle.
"""
import os
from pathlib import Path

# A track that has a folder here claims groups in it; without one, a pytest runs everything itself.
CLAIMS = os.environ.get('NAMEPLATE_CLAIMS')
# The second track's machine: a network, a /run and an /etc/netns of its own, so that its labs meet no other.
APART = ['unshare', '--net', '--mount', '--propagation', 'private', 'sh', '-c',
         'mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock /etc/netns && mount -t tmpfs tmpfs /etc/netns'
         ' && ip link set lo up && exec "$@"', 'track']
# Whether this is the track on the machine itself, with its network, which tests marked `host` need.
IS_HOST = os.environ.get('NAMEPLATE_TRACK', '1') == '1'


def group_of(item):
    """What a test is claimed with: the world is booted once, so all that hold it are one group."""
    return 'world' if 'world' in getattr(item, 'fixturenames', ()) else item.nodeid.partition('::')[0].replace('/', '.')


def claimed(items):
    """The items that this track runs, each with the one after it (None at the end), which decides what pytest tears down.
    The next group is claimed before the last test of one."""
    Path(CLAIMS, f'.collected-{os.getpid()}').write_text(str(len(items)))
    groups = {}
    for item in items:
        groups.setdefault(group_of(item), []).append(item)
    waiting = iter([(name, group) for name, group in groups.items() if IS_HOST or not group[0].get_closest_marker('host')])

    def next_group():
        return next((group for name, group in waiting if _claim(name)), None)

    group = next_group()
    while group:
        yield from zip(group, group[1:])
        after = next_group()
        yield group[-1], after[0] if after else None
        group = after


def collected(claims):
    """How many tests the tracks of this folder found, before any was claimed. 0 when none came so far."""
    return max((int(found.read_text()) for found in Path(claims).glob('.collected-*')), default=0)


def _claim(name):
    try:
        os.close(os.open(Path(CLAIMS, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        return True
    except FileExistsError:
        return False
