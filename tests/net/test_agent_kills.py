"""kill -9 of the real agent at random moments of enrolment, renewal and a change of key, against a real HQ and a CA that counts:
the box goes on after its next start with the same name and the newest certificate, and nothing is ordered twice. (Power cuts,
which also lose what was not yet on the flash: test_power_cuts.py.)"""
import contextlib
import json
import random
import shutil
import sqlite3
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from acmeca.client import AcmeCa
from lab.waiting import wait_until
from real_agent import BOX, OUTSIDE, UID
from real_hq import enrol_box

SEED = 20261129
SPREAD = {'enrolment': 1.8, 'renewal': 0.4, 'rotation': 1.5}  # seconds: about what it takes undisturbed
LIFE = ('enrolment', 'renewal', 'rotation', 'rotation', 'renewal')  # HQ takes three new keys a week from a box
WORDS = {'renewal': ('renew',), 'rotation': ('renew', '--new-key')}


@pytest.fixture
def home(bin_dir, tmp_path):
    """A box that has never been switched on, at an HQ whose CA is on the same machine."""
    with enrol_box(bin_dir, '--enrol', 'factory-secret') as box, contextlib.ExitStack() as stack:
        with box.outside.inside():
            box.ca = stack.enter_context(AcmeCa(tmp_path / 'ca', 53, validation_s=0))
        assert box.hq.stop() == 0
        box.hq.configure(acme_directory=box.ca.directory, acme_anchors=str(box.ca.certificate),
                         dns_listen=[f'{OUTSIDE}:53', '127.0.0.1:53'])
        box.hq.start()
        yield box


class Life:
    """One box, from the factory on; `due` is how many orders it may have had by now."""

    def __init__(self, home, serial, chance):
        self.home, self.serial, self.chance, self.due, self.name, self.keys = home, serial, chance, 0, None, set()
        shutil.rmtree(home.folder / 'state')
        (home.folder / 'state').mkdir(mode=0o700)
        shutil.chown(home.folder / 'state', UID, UID)
        (home.folder / 'factory' / 'secret').unlink(missing_ok=True)
        home.put('secret', home.hq.run('factory-secret', serial).stdout)

    def row(self):
        """At HQ; there is one at most, whatever happens."""
        rows = [row for row in self.home.hq.rows() if row['serial'] == self.serial]
        assert len(rows) <= 1, rows
        return rows[0] if rows else None

    def at_ca(self, name):
        """Orders and certificates of that name."""
        with self.home.outside.inside():
            stats = self.home.ca.stats()
        return ([item for item in stats[what] if item['names'] == [name]] for what in ('orders', 'certificates'))

    def served(self):
        with self.home.outside.inside():
            return x509.load_pem_x509_certificate(ssl.get_server_certificate((BOX, 443), timeout=2).encode())

    def at_rest(self):
        """Enrolled, with nothing under way, and the newest certificate that there is, served."""
        row = self.home.status().get('state') == 'installed' and self.row()
        if not row:
            return False
        orders, certificates = self.at_ca(row['name'])
        return certificates and len(certificates) == len(orders) == row['packages'] and (
            int(certificates[-1]['serial'], 16) == self.served().serial_number)

    def begin(self, what):
        """Something that is due to take place now. HQ's part of a renewal has been done."""
        if what == 'renewal':
            self.renew_at_hq()
        if what == 'enrolment':
            self.home.start(wait=False)
        else:
            self.home.run(*WORDS[what])
        self.due += what != 'renewal'

    def renew_at_hq(self):
        hq, row = self.home.hq, self.row()
        assert hq.stop() == 0
        with contextlib.closing(sqlite3.connect(hq.folder / 'data/hq.db')) as db:
            db.execute('update renewal set point_ms = 1, due_ms = 1 where device = ?', (row['id'],))
            db.commit()
        hq.log.write_text('')  # its 'ready' is waited for
        hq.start()
        self.due += 1
        wait_until(lambda: self.row()['packages'] == row['packages'] + 1, 20, 'the renewal at HQ')

    def kill(self, what):
        moment = time.monotonic() + self.chance.uniform(0, SPREAD[what])
        wait_until(lambda: time.monotonic() >= moment, 10, 'a moment', every=0.001)
        self.home.kill()

    def go_on(self, what):
        self.home.start()
        if what == 'renewal':
            self.home.run(*WORDS[what])  # the check-in of a boot takes its time
        wait_until(self.at_rest, 60, f'{self.serial} at rest after a kill in its {what}', every=0.1)

    def check(self, what):
        """What the kill did."""
        name, key = self.row()['name'], self.served().public_key()
        orders, _ = self.at_ca(name)
        assert self.name in (None, name), f'{self.name} is {name} now'
        self.name = name
        known = len(self.keys)
        self.keys.add(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        if what == 'rotation' and len(self.keys) == known:
            self.due -= 1  # killed before the wish was stored
        assert len(self.keys) <= known + (what != 'renewal')
        assert [order['status'] for order in orders] == ['valid'] * self.due, f'{self.due} were due after {what}: {orders}'


@pytest.mark.parametrize('kills', [25, pytest.param(500, marks=pytest.mark.long)])
def test_killed_at_any_moment(home, kills):
    chance, done = random.Random(SEED), 0
    while done < kills:
        life = Life(home, f'NP-{done:04}', chance)
        for what in LIFE[:kills - done]:
            life.begin(what)
            life.kill(what)
            life.go_on(what)
            life.check(what)
            done += 1
        home.stop()
    assert json.loads(home.hq.run('device', 'clones', '--json').stdout) == []
