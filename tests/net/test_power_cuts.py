"""Power cuts on a real ext4: a box lives on through first boots, renewals, new keys and resets (tests/replay/cuts.c: the real
cores of agent and HQ in virtual time) with its state on a loop-mounted image. The image is copied while the process is
stopped, between any two of its system calls; a box that is switched on with the copy has lost nothing, and HQ does not take
it for a clone, however often it is switched off and on again."""
import contextlib
import os
import random
import shutil
import signal
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from lab.namespaces import attempt, command
from lab.waiting import wait_until

SEED = 20261129
EVENTS = 25  # up to so many events of the box between two cuts


@contextlib.contextmanager
def mounted(image, folder):
    command('mount', '-o', 'loop', image, folder)
    try:
        yield
    finally:
        command('umount', folder)


class Life:
    """The running box."""

    def __init__(self, program, folder):
        self.database, self.clock = folder / 'hq.db', folder / 'clock'
        self.process = subprocess.Popen([program, 'live', folder / 'flash', self.database, self.clock])
        wait_until(lambda: self.clock.exists() and self.clock.stat().st_size == 24, 10, 'the first event')

    def events(self):
        return struct.unpack('qqq', self.clock.read_bytes())[2]

    def stop_after(self, events):
        """Stops the process so many events later, wherever that is in its work."""
        until = self.events() + events
        wait_until(lambda: self.events() >= until, 30, 'the box lives on', every=0)
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: ') T ' in Path(f'/proc/{self.process.pid}/stat').read_text(), 10, 'it is stopped')

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def folder():
    """In memory: the images are copied hundreds of times."""
    path = Path(tempfile.mkdtemp(prefix='nameplate-cuts-', dir='/dev/shm'))
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize('cuts', [300, pytest.param(2000, marks=pytest.mark.long)])
def test_nothing_is_lost(bin_dir, folder, cuts):
    program = bin_dir / 'cuts'
    image, flash, copied = folder / 'flash.img', folder / 'flash', folder / 'copy'
    command('truncate', '-s', '4M', image)
    command('mkfs.ext4', '-q', '-F', '-m', '0', image)
    copied.mkdir()
    (copied / 'flash').mkdir()
    flash.mkdir()
    chance, harmful = random.Random(SEED), []
    with mounted(image, flash):
        life = Life(program, folder)
        try:
            for cut in range(cuts):
                life.stop_after(chance.randrange(1, EVENTS))
                # A name of its own: `mount` takes a loop device that has the file of this name still, with what it cached.
                copy = folder / f'copy-{cut}.img'
                shutil.copy(image, copy)
                for name in ('hq.db', 'hq.db-wal', 'clock'):
                    if (folder / name).exists():
                        shutil.copy(folder / name, copied / name)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(copied / 'hq.db-shm')
                life.go_on()
                with mounted(copy, copied / 'flash'):
                    status, out, err = attempt(program, 'resume', copied / 'flash', copied / 'hq.db', copied / 'clock')
                copy.unlink()
                if status:
                    harmful.append((cut, (out + err)[-3000:]))
        finally:
            life.end()
    assert not harmful, f'{len(harmful)} of {cuts} power cuts did harm: {harmful[0]}'
