"""The npm packages of the browser tests: what the lock names is there, and nothing else gets in."""
import io
import json
import tarfile

import pytest

from lab import npm
from lab.namespaces import Failed


def package(version='1.0.0', **files):
    """The registry's file of a package."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w:gz') as archive:
        for name, text in {'package/package.json': json.dumps({'version': version}), **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A lock with one package, whose registry is a folder."""
    file = tmp_path / 'thing-1.0.0.tgz'
    monkeypatch.setattr(npm, 'FOLDER', tmp_path / 'npm')
    monkeypatch.setattr(npm, 'LOCK', tmp_path / 'package-lock.json')

    def publish(data, integrity):
        file.write_bytes(data)
        entry = {'version': '1.0.0', 'resolved': file.as_uri(), 'integrity': integrity}
        npm.LOCK.write_text(json.dumps({'packages': {'': {}, 'node_modules/thing': entry}}))
        return file
    return publish


def test_fetched_once_and_whole(here):
    data = package(**{'package/thing.js': 'good'})
    file = here(data, npm.integrity(data))
    npm.fetch()
    assert npm.path('thing', 'thing.js').read_text() == 'good'
    file.unlink()
    npm.fetch()  # it is there: the registry is not asked


def test_another_file_is_refused(here):
    here(package(**{'package/thing.js': 'evil'}), npm.integrity(package(**{'package/thing.js': 'good'})))
    with pytest.raises(Failed, match='its hash is another'):
        npm.fetch()
    assert not npm.FOLDER.exists()
    with pytest.raises(Failed, match='tests/lab install'):
        npm.path('thing', 'thing.js')


def test_nothing_leaves_the_folder(here, tmp_path):
    data = package(**{'package/../../escaped.js': 'evil', 'other/thing.js': 'evil'})
    here(data, npm.integrity(data))
    npm.fetch()
    assert not list(tmp_path.rglob('escaped.js')) and not list(tmp_path.rglob('other'))


def test_registry_out_of_reach(here):
    here(package(), 'sha512-').unlink()
    with pytest.raises(Failed, match='could not be fetched'):
        npm.fetch()
