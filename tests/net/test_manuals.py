"""The manual pages say what the programs say, and are good mdoc."""
import subprocess

import pytest

from lab import manuals

PAGES = sorted(path.name for path in manuals.FOLDER.iterdir())


def test_all_are_there():
    assert PAGES == ['nameplate-hq.8', 'nameplate-hq.conf.5', 'nameplate-protocol.7', 'nameplate.8', 'nameplate.conf.5']


def test_they_say_what_help_says(bin_dir):
    for page, text in manuals.pages(bin_dir).items():
        assert (manuals.FOLDER / page).read_text() == text, f'docs/man/{page} is not what --help says: sudo tests/lab manuals'


def test_every_verb_and_key_is_found(bin_dir):
    """The parts are not empty: what they are made from was understood."""
    made = manuals.parts(bin_dir)
    assert '.Ss agent\n' in made['nameplate.8', 'verbs'] and '.Ss status\n' in made['nameplate.8', 'verbs']
    assert '.Ss device\n' in made['nameplate-hq.8', 'verbs'] and '.Ss init\n' in made['nameplate-hq.8', 'verbs']
    assert '.It Ic hq\\-anchors\n' in made['nameplate.conf.5', 'agent-keys']
    assert '.It Ic combined\n' in made['nameplate.conf.5', 'deploy-keys']
    assert '.It Ic acme\\-directory\n' in made['nameplate-hq.conf.5', 'hq-keys']


@pytest.mark.parametrize('page', PAGES)
def test_mandoc_finds_nothing(page):
    done = subprocess.run(['mandoc', '-T', 'lint', '-W', 'warning', manuals.FOLDER / page], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stdout, done.stdout
