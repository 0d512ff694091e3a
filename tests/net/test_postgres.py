"""The store on PostgreSQL: the unit tests that run on SQLite in ctest, against a real server; and what HQ says and does
when the server is not as it should be."""
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from hqserver import Hq
from lab.waiting import wait_until
from postgres import Postgres

SOURCE = Path(__file__).resolve().parents[2]
# Every unit test that has a database (tests/unit/hq/database.h).
PROGRAMS = sorted(path.stem.removeprefix('test_') for path in (SOURCE / 'tests/unit/hq').glob('test_*.c')
                  if '"tests/unit/hq/box.h"' in path.read_text() or '"tests/unit/hq/database.h"' in path.read_text())


@pytest.fixture(scope='module')
def postgres():
    with Postgres() as server:
        server.create('units')
        yield server


@pytest.mark.parametrize('name', PROGRAMS)
def test_unit(bin_dir, postgres, name):
    environment = {**os.environ, 'NP_TEST_POSTGRESQL': postgres.url('units'), 'NP_SOURCE_DIR': str(SOURCE)}
    run = subprocess.run([bin_dir / f'test_hq_{name}'], env=environment, check=False, capture_output=True, text=True,
                         timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    # It did go to the server: each test makes a schema of its own, and takes it away.
    assert 'PASSED' in run.stderr + run.stdout
    assert postgres.sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 't%'", 'units') == '0'


@pytest.fixture
def hq(bin_dir, tmp_path, postgres, request):
    """hq(url): an HQ with that database, not started; stopped at the end."""
    running = []

    def make(url):
        one = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq')
        one.conf.write_text(re.sub(r'^database = .*', f'database = "{url}"', one.conf.read_text(), flags=re.M))
        running.append(one)
        return one
    make.name = re.sub(r'\W', '_', request.node.name)
    make.postgres = postgres
    yield make
    for one in running:
        one.stop()


def serve_fails(one):
    run = subprocess.run([one.program, 'serve', '--config', one.conf], capture_output=True, text=True, check=False, timeout=30)
    assert run.returncode == 1
    return run.stderr


def test_what_is_wrong_is_said(hq, postgres):
    """No such database, a wrong password: the end, with words; the password is not among them."""
    one = hq(postgres.url('nowhere'))
    assert 'database "nowhere" does not exist' in serve_fails(one)
    postgres.create('locked')
    postgres.sql("CREATE ROLE locked LOGIN PASSWORD 'right'")
    text = one.conf.read_text().replace(postgres.url('nowhere'), postgres.url('locked', 'locked', 'wr0ng'))
    one.conf.write_text(text)
    said = serve_fails(one)
    assert 'password authentication failed for user "locked"' in said and 'wr0ng' not in said
    # Somebody else's tables, and a schema from the future.
    postgres.sql('CREATE TABLE device(i int)', 'locked')
    one.conf.write_text(text.replace(postgres.url('locked', 'locked', 'wr0ng'), postgres.url('locked')))
    assert 'a database of its own' in serve_fails(one)
    postgres.sql('DROP TABLE device', 'locked')
    one.start()
    one.stop()
    postgres.sql('UPDATE nameplate_schema SET version = 1000', 'locked')
    assert 'run a newer nameplate-hq' in serve_fails(one)
    listing = one.run('device', 'list', check=False)
    assert listing.returncode == 1 and 'run a newer nameplate-hq' in listing.stderr


def test_server_comes_later(hq, postgres):
    """Started before its database: HQ waits, says so once, and is ready when the server is."""
    one = hq(postgres.create(hq.name))
    postgres.stop()
    try:
        with one.log.open('a') as log:
            one.process = subprocess.Popen([one.program, 'serve', '--config', one.conf], stderr=log)
        one.wait_for_log('it is tried again every')
    finally:
        postgres.start()
    one.wait_for_log('ready: ', 30)
    assert one.device().enrol().status == 201
    assert [device['state'] for device in json.loads(one.run('device', 'list', '--json').stdout)] == ['active']


def test_server_hangs(hq, postgres):
    """A database that does not answer any more costs a request seconds, not HQ its life."""
    one = hq(postgres.create(hq.name)).start()
    device = one.device()
    device.client.connection.timeout = 30
    assert device.enrol().status == 201
    postgres.signal_all(signal.SIGSTOP)
    try:
        assert device.session().status == 503
        assert device.session().status == 503  # at once, or after one more attempt to connect
        assert device.client.request('GET', '/v1/nothing').status == 404  # HQ itself lives
    finally:
        postgres.signal_all(signal.SIGCONT)
    wait_until(lambda: device.session().status == 200, 30, 'HQ to find its database again')


def test_server_goes_back(hq, postgres):
    """Under a running HQ the database loses what it had committed: HQ finds out, gives it back what the ledger has, and
    gives nobody a name that a box may have which the database does not know any more."""
    one = hq(postgres.create(hq.name))
    ledger = one.folder / 'ledger'
    one.configure(ledger=str(ledger))
    one.start()
    early = one.device()
    assert early.enrol().status == 201
    wait_until(lambda: postgres.sql('SELECT count(*) FROM lease', hq.name) == '1', 20, 'HQ to work')
    postgres.copy()
    wait_until(lambda: early.session().status == 200, 30, 'HQ to find its database again')
    beats = int(postgres.sql('SELECT beat FROM lease', hq.name))
    late, gone = one.device(), one.device()
    assert late.enrol().status == gone.enrol().status == 201
    name = gone.name
    assert gone.post(f'/v1/devices/{gone.id}/leave', {'reason': 'reset'}).status == 204
    wait_until(lambda: name in ledger.read_text(), 20, 'the ledger')
    wait_until(lambda: int(postgres.sql('SELECT beat FROM lease', hq.name)) > beats + 1, 20, 'two beats')
    postgres.go_back()
    one.wait_for_log('the database has gone back: what was committed', 60)
    one.wait_for_log('the database has gone back: it lacked ', 60)  # the name that has left, and perhaps the entry of a new day
    assert postgres.sql(f"SELECT count(*) FROM tombstone WHERE name = '{name}'", hq.name) == '1'
    assert 'in recovery until' in one.run('recovery', 'show').stdout
    wait_until(lambda: early.session().status == 200, 30, 'HQ to find its database again')
    answer = late.session()
    assert (answer.status, answer.problem) == (404, 'unknown-device')
    fresh = one.device()
    assert fresh.enrol().status == 201
    assert re.match(r'^[a-z]+-[a-z]+-[2-9a-z]{7}\.', fresh.name), fresh.name
    assert len(ledger.read_text().splitlines()) == int(postgres.sql('SELECT count(*) FROM ledger', hq.name))


def test_server_lets_nobody_in(hq, postgres):
    """A role that may not log in any more, under a running HQ: requests are told to come again, until it may."""
    url = postgres.create(hq.name)
    postgres.sql('CREATE ROLE app LOGIN SUPERUSER')
    one = hq(url.replace('postgres@', 'app@')).start()
    device = one.device()
    assert device.enrol().status == 201
    postgres.sql("ALTER ROLE app NOLOGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
    for _ in range(3):
        answer = device.session()
        assert (answer.status, answer.problem) == (503, 'busy') and int(answer.headers['Retry-After']) > 0
    postgres.sql('ALTER ROLE app LOGIN')
    wait_until(lambda: device.session().status == 200, 30, 'HQ to be let in again')
