"""No device reads or changes another's objects: 100,000 random requests through the real API (tests/unit/hq/test_isolation.c).

Another seed each run; the one that failed is in the output, NP_SEED repeats its choices."""
import os
import random
import subprocess

TRIES = 100000


def test_nobody_reaches_another(bin_dir):
    seed = os.environ.get('NP_SEED') or str(random.SystemRandom().randrange(1, 2**63))
    run = subprocess.run([bin_dir / 'test_hq_isolation'], env={**os.environ, 'NP_SEED': seed, 'NP_TRIES': str(TRIES)}, check=False,
                         capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f'NP_SEED={seed} NP_TRIES={TRIES}' in run.stdout + run.stderr
