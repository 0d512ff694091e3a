"""The store on PostgreSQL: the unit tests that run on SQLite in ctest, against a real server."""
import os
import subprocess
from pathlib import Path

import pytest

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
