"""Completion in bash and zsh: what --help says, and what the shells make of it."""
import shlex
import subprocess

import pytest

from lab import completions
from lab.namespaces import attempt
from lab.paths import ROOT

SUPPORT = ROOT / 'tests' / 'support'
DEADLINE_S = 60


def in_bash(program, line, folder):
    """What bash offers for the last word of the line."""
    words = shlex.split(line + '""') if line.endswith(' ') else shlex.split(line)
    script = completions.FOLDERS[program] / 'bash' / program
    asked = (f'set -u; source {shlex.quote(str(script))}; COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; '
             f'entry=$(complete -p {program}); [[ $entry == *" -F "* ]]; function=${{entry#* -F }}; ${{function%% *}}; '
             'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(['bash', '--norc', '-c', asked], cwd=folder, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return sorted(done.stdout.split('\n')[:-1]) if done.stdout.strip() else []


def in_zsh(program, line, folder):
    """What zsh offers; its own program is run on a terminal of its own, and the Tab key pressed."""
    done = subprocess.run(['zsh', '-f', SUPPORT / 'complete.zsh', completions.FOLDERS[program] / 'zsh', line], cwd=folder, capture_output=True,
                          text=True, check=False, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.split())


@pytest.fixture(params=[in_bash, in_zsh])
def offered(request, tmp_path):
    """offered(line): what the shell offers, in a folder with a file and a folder."""
    (tmp_path / 'box.conf').write_text('')
    (tmp_path / 'targets').mkdir()
    return lambda line: request.param(line.split()[0], line, tmp_path)


def test_they_say_what_help_says(bin_dir):
    for path, text in completions.files(bin_dir).items():
        assert path.read_text() == text, f'{path.relative_to(ROOT)} is not what --help says: sudo tests/lab manuals'


def test_help_was_understood(bin_dir):
    nodes = completions.tree(bin_dir, 'nameplate')
    assert {'agent', 'status', 'config', 'help', 'version'} <= set(nodes[''].verbs)
    assert nodes['agent'].options['--config'].kind == 'file'
    assert nodes['status'].options['--why'].kind == '' and nodes['status'].options['--why'].said.startswith('every interface')
    assert nodes['config redirect'].options['--lan'] == completions.Option('interface', nodes['config redirect'].options['--lan'].said, True)
    nodes = completions.tree(bin_dir, 'nameplate-hq')
    assert {'init', 'serve', 'device', 'recovery'} <= set(nodes[''].verbs) and nodes[''].verbs['recovery'] == 'after a database was lost'
    assert {'list', 'block', 'unblock'} <= set(nodes['device'].verbs) and '--yes' not in nodes['device list'].options
    assert nodes['init'].options['--dir'].kind == 'folder' and nodes['import'].operands == 'file'


def test_verbs(offered, bin_dir):
    for program in completions.FOLDERS:
        nodes = completions.tree(bin_dir, program)
        assert offered(f'{program} ') == sorted(nodes[''].verbs)
    assert offered('nameplate st') == ['status']
    assert offered('nameplate config ') == sorted(completions.tree(bin_dir, 'nameplate')['config'].verbs)
    assert offered('nameplate-hq device un') == ['unblock']


def test_options(offered, bin_dir):
    assert offered('nameplate status --') == sorted(completions.tree(bin_dir, 'nameplate')['status'].options)
    assert offered('nameplate config dnr --js') == ['--json']
    assert offered('nameplate-hq device retire --y') == ['--yes']
    assert offered('nameplate-hq device list --y') == []
    assert offered('nameplate status --config x --w') == ['--why']


def test_values(offered):
    assert offered('nameplate reset --reason re') == ['resale', 'reset']
    assert offered('nameplate config dnr ') == ['dnsmasq', 'odhcpd']
    assert offered('nameplate-hq ca rollover ') == ['acme2']
    assert offered('nameplate agent --config b') == ['box.conf']
    assert 'lo' in offered('nameplate config redirect --lan ')
    assert offered('nameplate-hq import b') == ['box.conf']


def test_folders(offered):
    assert [name.rstrip('/') for name in offered('nameplate deploy --targets ')] == ['targets']


def test_every_verb_takes_its_options(bin_dir):
    """The tree is no invention: a program that does not know an option says so, and no option here is of that kind."""
    for program in completions.FOLDERS:
        for path, node in completions.tree(bin_dir, program).items():
            _, out, err = attempt(bin_dir / program, *path.split(), '--help', timeout=20)
            for option in node.options:
                assert option == '--help' or option in out, f'{program} {path} {option}: {err}'


def test_shellcheck_finds_nothing():
    for program, folder in completions.FOLDERS.items():
        status, out, err = attempt('shellcheck', folder / 'bash' / program)
        assert status == 0, out + err
