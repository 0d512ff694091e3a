"""The npm packages that only tests use, fetched by tests/browser/package-lock.json: the registry's file is taken when it
has the lock's hash, and npm itself is not needed."""
import base64
import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from lab.namespaces import Failed
from lab.paths import ROOT

LOCK = ROOT / 'tests' / 'browser' / 'package-lock.json'
# On the machine as Debian's packages are, not in the clone: a second clone needs no network.
FOLDER = Path('/var/cache/nameplate-lab/npm')
TIMEOUT_S = 60
SIZE_MAX = 64 << 20


def path(package, name):
    """A file of a package, for a test. Failed when it was not fetched."""
    found = FOLDER / package / name
    if not found.is_file():
        raise Failed(f'{found} is missing: sudo tests/lab install')
    return found


def integrity(data):
    """What a lock says of these bytes."""
    return 'sha512-' + base64.b64encode(hashlib.sha512(data).digest()).decode()


def fetch():
    """Every package of the lock that is not there in its version yet, each whole or not at all."""
    for place, entry in json.loads(LOCK.read_text())['packages'].items():
        if not place:
            continue
        folder = FOLDER / place.removeprefix('node_modules/')
        with contextlib.suppress(OSError, ValueError, KeyError):
            if json.loads((folder / 'package.json').read_text())['version'] == entry['version']:
                continue
        _unpack(_download(entry['resolved'], entry['integrity']), folder)


def _download(url, wanted):
    """The bytes of a package, checked."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            data = answer.read(SIZE_MAX + 1)
    except (urllib.error.URLError, TimeoutError) as error:
        raise Failed(f'{url} could not be fetched ({error}): is the npm registry reachable from here?') from error
    if integrity(data) != wanted:
        raise Failed(f'{url} is not the file that {LOCK} names: its hash is another')
    return data


def _unpack(data, folder):
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(fresh, _plain(archive))
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(fresh / 'package', folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _plain(archive):
    """Files and folders below package/ alone: no link, no way out."""
    return [member for member in archive if (member.isfile() or member.isdir()) and '..' not in Path(member.name).parts
            and member.name.startswith('package')]
