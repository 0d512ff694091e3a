"""The Debian packages: lintian, the units, and a life in a Debian of their own: installed, upgraded, removed, purged."""
import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import packages
from lab.namespaces import attempt, command
from lab.paths import ROOT

UNITS = {'nameplate': ROOT / 'agent' / 'packaging' / 'systemd' / 'nameplate.service',
         'nameplate-hq': ROOT / 'hq' / 'packaging' / 'systemd' / 'nameplate-hq.service'}
MOST_EXPOSED = 15  # tenths, as systemd-analyze counts
MIRROR = 'http://deb.debian.org/debian'


@pytest.mark.parametrize('name', UNITS)
def test_unit_is_closed_in(name):
    status, out, err = attempt('systemd-analyze', 'security', '--offline=true', f'--threshold={MOST_EXPOSED}', UNITS[name])
    assert status == 0 and 'Overall exposure level' in out, out + err


@pytest.mark.parametrize('unit', [*UNITS.values(), UNITS['nameplate'].with_name('nameplate-deploy.service'),
                                  UNITS['nameplate'].with_name('nameplate-deploy.path')], ids=lambda path: path.name)
def test_unit_is_understood(unit, bin_dir, tmp_path):
    """systemd-analyze knows every line. The programs are looked for where this build has them."""
    shown = tmp_path / unit.name
    shown.write_text(unit.read_text().replace('/usr/bin/', f'{bin_dir}/'))
    for other in unit.parent.iterdir():
        if other != unit:
            (tmp_path / other.name).write_text(other.read_text().replace('/usr/bin/', f'{bin_dir}/'))
    status, out, err = attempt('systemd-analyze', 'verify', '--man=no', '--recursive-errors=no', shown)
    lines = [line for line in (out + err).splitlines() if unit.name in line]
    assert status == 0 and not lines, out + err


def test_sample_configuration_wants_an_hq_alone(bin_dir, tmp_path):
    """Everything else in it can stay as it is."""
    sample = (ROOT / 'agent' / 'packaging' / 'nameplate.conf').read_text()
    conf = tmp_path / 'nameplate.conf'
    conf.write_text(sample)
    status, _, err = attempt(bin_dir / 'nameplate', 'agent', '--check', '--config', conf)
    assert status == 1 and 'hq' in err
    conf.write_text(re.sub(r'^#(hq|hq-anchors) =', r'\1 =', sample, flags=re.MULTILINE))
    status, _, err = attempt(bin_dir / 'nameplate', 'agent', '--check', '--config', conf)
    assert status == 0, err


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """The sources of every build: the work tree may change under a long run."""
    return packages.snapshot(tmp_path_factory.mktemp('tree'))


@pytest.fixture(scope='module')
def debs(tmp_path_factory, tree):
    return packages.build(tmp_path_factory.mktemp('deb'), tree=tree)


@pytest.mark.long
@pytest.mark.parametrize('name', packages.SOURCES)
def test_lintian_finds_nothing(debs, name):
    assert packages.lint(debs[name]) == ''


@pytest.mark.long
@pytest.mark.parametrize('name', packages.SOURCES)
def test_reproducible(debs, tree, name, tmp_path):
    """Built once more in another folder, by somebody with other habits, it is the same file."""
    before = os.umask(0o077)
    try:
        again = packages.build(tmp_path / 'a-longer-way' / 'elsewhere', (name,), tree=tree, parallel=1, TZ='Pacific/Auckland', LC_ALL='C',
                               LANG='C', USER='somebody')[name]
    finally:
        os.umask(before)
    if again.read_bytes() != debs[name].read_bytes():
        for deb, folder in ((debs[name], 'first'), (again, 'second')):
            command('dpkg-deb', '-R', deb, tmp_path / folder)
        _, differing, _ = attempt('diff', '-r', tmp_path / 'first', tmp_path / 'second')
        pytest.fail(f'{debs[name].name} differs; inside:\n{differing or "the archives alone: order, times or owners"}')


class Root:
    """A Debian in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, *argv, **options):
        return command('chroot', self.folder, 'env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND=noninteractive',
                       'LC_ALL=C.UTF-8', *argv, timeout=600, **options)

    def put(self, deb, name):
        shutil.copy(deb, self.folder / 'tmp' / name)
        return f'/tmp/{name}'

    def traces(self, name):
        """Files, users and groups with that name, without apt's and dpkg's own memory of the package."""
        out = self.run('find', '/', '-xdev', '-name', f'{name}*', '-not', '-path', '/proc/*', '-not', '-path', '/tmp/*', '-not', '-path',
                       '/var/log/*', '-not', '-path', '/var/cache/*', '-not', '-path', '/var/lib/apt/*')
        users = [line for file in ('passwd', 'group') for line in (self.folder / 'etc' / file).read_text().splitlines()
                 if line.split(':')[0] == name]
        return out.split() + users


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('root')
    with contextlib.ExitStack() as stack:
        command('debootstrap', '--variant=minbase', '--include=adduser,systemd', 'bookworm', folder, MIRROR, timeout=900)
        shutil.copy('/etc/resolv.conf', folder / 'etc' / 'resolv.conf')
        (folder / 'usr/sbin/policy-rc.d').write_text('#!/bin/sh\nexit 101\n')
        (folder / 'usr/sbin/policy-rc.d').chmod(0o755)
        command('mount', '-t', 'proc', 'proc', folder / 'proc')
        stack.callback(command, 'umount', '-l', folder / 'proc')
        yield Root(folder)


@pytest.mark.long
@pytest.mark.parametrize('name', packages.SOURCES)
def test_a_package_s_life(debs, root, name, tmp_path):
    deb = root.put(debs[name], f'{name}.deb')
    root.run('apt-get', '-q', '-y', '--no-install-recommends', 'install', deb)
    assert root.run(name, 'version').strip() == f'{name} {debs[name].name.split("_")[1]}'
    assert root.run('getent', 'passwd', name).startswith(f'{name}:')
    assert '--help' in root.run(name, '--help')
    for kind in ('enabled', 'active'):
        assert not list((root.folder / 'etc/systemd/system').rglob(f'{name}.service')), f'{kind} before its owner said so'
    # What a program of that user remembers, and what its owner wrote.
    state, conf = root.folder / 'var/lib' / name / 'generation-1' / 'state', root.folder / 'etc' / name / f'{name}.conf'
    state.parent.mkdir(parents=True)
    state.write_text('keys')
    conf.write_text((conf.read_text() if conf.exists() else '') + '# the owner was here\n')
    higher = _higher(debs[name], tmp_path)
    root.run('apt-get', '-q', '-y', 'install', root.put(higher, f'{name}-2.deb'))
    assert root.run('dpkg-query', '-W', '-f', '${Version}', name) == '99'
    assert state.read_text() == 'keys' and conf.read_text().endswith('# the owner was here\n')
    root.run('apt-get', '-q', '-y', 'remove', name)
    assert state.read_text() == 'keys' and conf.read_text().endswith('# the owner was here\n')
    assert not (root.folder / 'usr/bin' / name).exists()
    root.run('apt-get', '-q', '-y', 'purge', name)
    assert root.traces(name) == []


def _higher(deb, folder):
    """The same package as version 99."""
    command('dpkg-deb', '-R', deb, folder / 'x')
    control = folder / 'x' / 'DEBIAN' / 'control'
    control.write_text(re.sub(r'^Version: .*$', 'Version: 99', control.read_text(), flags=re.MULTILINE))
    command('dpkg-deb', '-b', '--root-owner-group', folder / 'x', folder / 'higher.deb')
    return Path(folder, 'higher.deb')


@pytest.mark.long
@pytest.mark.parametrize('name', packages.SOURCES)
def test_nothing_else_is_inside(debs, name):
    """No debug leftovers, no file outside the system's places, nothing of the machine that built it."""
    for path in packages.files(debs[name]):
        assert path.parts[1] in ('etc', 'lib', 'usr'), path
    text = subprocess.run(['dpkg-deb', '--fsys-tarfile', debs[name]], capture_output=True, check=True).stdout
    assert str(ROOT).encode() not in text
