"""`tests/lab package`: the Debian packages, from the tree as it is, in build/deb.

The source of a package is the files that git knows, with agent/packaging/debian or hq/packaging/debian as debian/, in a
folder of its own: the top level of the repository has no debian/.
"""
import os
import re
import shutil
import subprocess
from pathlib import Path

from lab.build import Progress, jobs
from lab.namespaces import Failed
from lab.paths import BUILD, ROOT

FOLDER = BUILD / 'deb'
SOURCES = {'nameplate': 'agent', 'nameplate-hq': 'hq'}
# What a package is not built from.
LEFT_OUT = ('tests/', '.ci/', '.git', '.clang')


def build(folder=FOLDER, names=tuple(SOURCES), progress=None, tree=None, parallel=None, **environment):
    """Builds the packages; {name: the .deb}. Failed with the end of the log when one does not build. tree: a snapshot, instead
    of the work tree; the environment is added to the little that is kept."""
    progress = progress or Progress()
    folder.mkdir(parents=True, exist_ok=True)
    return {name: _build_one(name, folder, progress, tree, parallel or jobs(), environment) for name in names}


def snapshot(folder):
    """The files that git knows, as they are in the work tree now; for builds that must begin with the same."""
    listed = subprocess.run(['git', '-c', f'safe.directory={ROOT}', 'ls-files', '-z'], cwd=ROOT, capture_output=True, check=True).stdout
    for entry in filter(None, listed.decode().split('\0')):
        if not entry.startswith(LEFT_OUT) and (ROOT / entry).is_file():
            (folder / entry).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / entry, folder / entry)
    return folder


def lint(deb):
    """What lintian has to say, warnings and worse; '' when it has nothing."""
    done = subprocess.run(['lintian', '--fail-on', 'warning', '--display-level', '>=warning', '--allow-root', str(deb)], capture_output=True,
                          text=True, check=False, timeout=300)
    return done.stdout + done.stderr if done.returncode or done.stdout.strip() else ''


def _build_one(name, folder, progress, tree, parallel, environment):
    source = folder / name
    shutil.rmtree(source, ignore_errors=True)
    if tree:
        shutil.copytree(tree, source)
    else:
        snapshot(source)
    shutil.copytree(source / SOURCES[name] / 'packaging' / 'debian', source / 'debian')
    log = folder / f'{name}.log'
    changelog = (source / 'debian' / 'changelog').read_text()
    version = re.match(rf'{name} \(([^)]+)\)', changelog).group(1)
    progress.begin(f'package {name}')
    with open(log, 'w') as out:
        done = subprocess.run(['dpkg-buildpackage', '-b', '-us', '-uc', f'-j{parallel}'], cwd=source, stdout=out, stderr=subprocess.STDOUT,
                              check=False, env={**_environment(), **environment})
    progress.end(f'package {name}')
    found = sorted(path for path in folder.glob(f'{name}_{version}_*.deb'))
    if done.returncode != 0 or not found:
        raise Failed(f'the package {name} does not build ({log}):\n' + '\n'.join(log.read_text(errors='replace').splitlines()[-15:]))
    return found[-1]


def _environment():
    """Nothing of the caller's: a compiler's flags or launcher would end up in the package."""
    kept = {key: os.environ[key] for key in ('PATH', 'HOME', 'TMPDIR') if key in os.environ}
    return {**kept, 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC', 'DEB_BUILD_OPTIONS': 'nocheck'}


def files(deb):
    """The names of the files in a package."""
    out = subprocess.run(['dpkg-deb', '--fsys-tarfile', str(deb)], capture_output=True, check=True).stdout
    listed = subprocess.run(['tar', '-tf', '-'], input=out, capture_output=True, check=True).stdout.decode()
    return [Path('/', line) for line in listed.splitlines() if not line.endswith('/')]
