"""A real agent whose state folder is on an ext4 of its own that fills up, turns read-only or fails: it serves, fetches and
pushes from memory, says so, and stores the newest once it can."""
import contextlib
import fcntl
import os
import shutil
import struct

import pytest

from fake_hq import DAY, HOUR, pem
from lab.namespaces import command
from lab.waiting import wait_until
from real_agent import UID, a_box

EXT4_IOC_SHUTDOWN = 0x8004587d
NO_LOG_FLUSH = 2
SECOND = HOUR / 3600
OTHER = '192.168.1.9'


class Flash:
    """An ext4 in a file, mounted as the box's state folder: for this process and, since `ip netns exec` gives programs a view of
    mounts of their own, for a running agent."""

    def __init__(self, box):
        self.box, self.folder, self.image = box, box.folder / 'state', box.folder / 'flash.img'
        command('truncate', '-s', '4M', self.image)
        command('mkfs.ext4', '-q', '-F', '-m', '0', self.image)
        self.mount()
        os.chown(self.folder, UID, UID)

    def mount(self):
        command('mount', '-o', 'loop', self.image, self.folder)

    def umount(self):
        command('umount', '-l', self.folder)

    def fill(self):
        with contextlib.suppress(OSError), open(self.folder / 'filler', 'wb', 0) as file:
            while True:
                file.write(bytes(512))

    def empty(self):
        (self.folder / 'filler').unlink()

    def read_only(self):
        command('mount', '-o', 'remount,ro', self.folder)

    def writable(self):
        command('mount', '-o', 'remount,rw', self.folder)
        command('nsenter', '-t', self.agent(), '-m', 'mount', '-o', 'remount,rw', self.folder)

    def fail(self):
        """Every operation is an input or output error from now on, as on a medium that is gone."""
        with open(self.folder / 'lock', 'rb') as file:
            fcntl.ioctl(file, EXT4_IOC_SHUTDOWN, struct.pack('I', NO_LOG_FLUSH))

    def mend(self):
        """A medium with what was on it, for the agent as well. (The old one lives on behind the lock that the agent holds.)"""
        agent = ['nsenter', '-t', self.agent(), '-m']
        command(*agent, 'umount', '-l', self.folder)
        self.umount()
        self.image = shutil.copy(self.image, self.box.folder / 'mended.img')
        self.mount()
        command(*agent, 'mount', command('findmnt', '-n', '-o', 'SOURCE', self.folder).strip(), self.folder)

    def agent(self):
        return self.box.status()['processes']['agent']['pid']


TROUBLES = {
    'full': (Flash.fill, Flash.empty, 'No space left on device'),
    'read-only': (Flash.read_only, Flash.writable, 'Read-only file system'),
    'failing': (Flash.fail, Flash.mend, 'Input/output error'),
}


@pytest.fixture
def box(bin_dir):
    """Its certificates live for minutes, and are in their last quarter: the box looks for another one every few seconds."""
    with a_box(bin_dir) as running:
        hq = running.hq
        hq.package = hq.usual = lambda: pem(hq.leaf(begin=-90 * SECOND, end=30 * SECOND), hq.public_ca.certificate)
        running.flash = Flash(running)
        try:
            running.start()
            wait_until(running.serial, 15, 'the first certificate')
            yield running
        finally:
            running.stop()
            running.flash.umount()


def newer(box, serial, deadline=30):
    return wait_until(lambda: (now := box.serial()) != serial and now, deadline, 'a newer certificate')


@pytest.mark.parametrize('kind', TROUBLES)
def test_serves_from_memory(box, kind):
    begin, end, text = TROUBLES[kind]
    stated = []
    box.hq.answers['addresses'] = lambda body: stated.append(body) or box.hq._addresses(body)
    begin(box.flash)
    box.complains(f'the state cannot be written: {text}', 30)
    status = box.status()
    assert text in status['state_folder']['problem'] and status['certificate']['valid']
    serial = newer(box, box.serial())
    newer(box, serial)
    box.namespace.ip('address', 'add', f'{OTHER}/24', 'dev', 'lan0')
    wait_until(lambda: any(OTHER.encode() in body for body in stated), 30, 'the new address at HQ')
    end(box.flash)
    wait_until(lambda: box.status().get('state_folder', {}).get('problem', '') is None, 60, 'the state is stored again')
    # What was stored is what is served after a restart without HQ.
    box.hq.package = box.hq.usual = lambda: pem(box.hq.leaf(end=DAY * 45), box.hq.public_ca.certificate)
    last = newer(box, box.serial())
    wait_until(lambda: box.status()['state'] == 'installed', 10, 'rest')
    box.stop()
    box.hq.answers = {'*': b'away'}
    box.start()
    assert wait_until(box.serial, 10, 'the front') == last


@pytest.mark.parametrize('kind', ['full', 'read-only'])
def test_starts_on_it(box, kind):
    """A box that is switched on while its flash cannot be written serves what it has, and fetches what there is."""
    begin, end, text = TROUBLES[kind]
    box.stop()
    begin(box.flash)
    box.start()
    serial = wait_until(box.serial, 10, 'the front')
    newer(box, serial)
    box.complains(f'the state cannot be written: {text}', 30)
    end(box.flash)
    wait_until(lambda: box.status().get('state_folder', {}).get('problem', '') is None, 60, 'the state is stored again')
