"""The Debian packages: lintian, the units, and a life in a Debian of their own: installed, upgraded, removed, purged; installed
again, and booted with a systemd of its own."""
import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from booted import Booted
from lab import packages
from lab.namespaces import attempt, command
from lab.paths import ROOT
from lab.waiting import wait_until

UNITS = {'nameplate': ROOT / 'agent' / 'packaging' / 'systemd' / 'nameplate.service',
         'nameplate-hq': ROOT / 'hq' / 'packaging' / 'systemd' / 'nameplate-hq.service'}
MOST_EXPOSED = 15  # tenths, as systemd-analyze counts
pytestmark = pytest.mark.host  # Debian's mirror is asked
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
        folder.chmod(0o755)  # its / is for all its users, pytest's folders are for one
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

BOX_CONF = '''
hq = "https://hq.devices.example"
hq-anchors = "/etc/nameplate/hq-anchors.pem"
upstream = {"127.0.0.1:5300"}
factory = "/etc/nameplate/factory"
role = "host"
http = false
deploy-report = "/run/nameplate-deploy/report.json"
'''
# The other server is the box's own front.
TARGET = 'certificate = "/etc/other-server/box.crt"\nkey = "/etc/other-server/box.key"\nreload = {"/usr/bin/true"}\ncheck = {"192.168.1.1:443"}\n'
# A watchdog that barks within the test: the units' own is the same mechanism with more patience.
WATCHDOG = '[Service]\nWatchdogSec=15\n'


@pytest.fixture(scope='module')
def machine(debs, root, tmp_path_factory):
    """A machine that was just switched on: both packages installed and enabled, HQ made by init as operations.md says, a CA, and
    the box with the code on its label."""
    etc = root.folder / 'etc'
    for name in packages.SOURCES:
        root.run('apt-get', '-q', '-y', '--no-install-recommends', 'install', root.put(debs[name], f'{name}.deb'))
        drop_in = etc / 'systemd/system' / f'{name}.service.d'
        drop_in.mkdir(parents=True)
        (drop_in / 'watchdog.conf').write_text(WATCHDOG)
    certs = tmp_path_factory.mktemp('pebble')
    command('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=localhost',
            '-addext', 'subjectAltName=DNS:localhost', '-keyout', certs / 'ca-key.pem', '-out', certs / 'ca.pem')
    (etc / 'pebble.json').write_text(json.dumps({'pebble': {
        'listenAddress': '127.0.0.1:14000', 'managementListenAddress': '127.0.0.1:15000', 'certificate': '/etc/pebble.pem',
        'privateKey': '/etc/pebble-key.pem', 'httpPort': 80, 'tlsPort': 443}}))
    for source, there in (('/usr/bin/pebble', root.folder / 'usr/bin/pebble'), (certs / 'ca.pem', etc / 'pebble.pem'),
                          (certs / 'ca-key.pem', etc / 'pebble-key.pem'), (certs / 'ca.pem', etc / 'nameplate-hq/ca.pem')):
        shutil.copy(source, there)
    root.run('chown', '-R', 'nameplate-hq:nameplate-hq', '/etc/nameplate-hq')
    as_hq = ('runuser', '-u', 'nameplate-hq', '--', 'nameplate-hq')
    root.run(*as_hq, 'init', '--dir', '/etc/nameplate-hq', '--zone', 'devices.example', '--url', 'https://hq.devices.example', '--address',
             '127.0.0.1', '--listen', '127.0.0.1:443', '--dns-listen', '127.0.0.1:5300', '--nameserver', 'ns1.devices.example=127.0.0.1:5300',
             '--acme-directory', 'https://localhost:14000/dir', '--acme-anchors', '/etc/nameplate-hq/ca.pem', '--agree-tos', '--enrol', 'claim-code')
    code = root.run(*as_hq, 'claim', 'make', '--count', '1').splitlines()[-1].split(',')[1]
    shutil.copy(etc / 'nameplate-hq/hq-anchors.pem', etc / 'nameplate')
    (etc / 'nameplate/factory').mkdir()
    (etc / 'nameplate/factory/claim-code').write_text(code + '\n')
    (etc / 'nameplate/nameplate.conf').write_text(BOX_CONF)
    (etc / 'other-server').mkdir()
    (etc / 'nameplate/deploy.d/box.conf').write_text(TARGET)
    root.run('systemctl', 'enable', 'nameplate-hq.service', 'nameplate.service')
    with Booted(root.folder, certs / 'boot.log') as booted:
        booted.ip('link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'other')
        booted.ip('addr', 'add', '192.168.1.1/24', 'dev', 'lan0')
        for link in ('lan0', 'other'):
            booted.ip('link', 'set', link, 'up')
        with booted.running('env', 'PEBBLE_VA_NOSLEEP=1', 'pebble', '-config', '/etc/pebble.json', '-dnsserver', '127.0.0.1:5300'):
            yield booted


def main_pid(machine, unit):
    """Of a unit that is active, as the machine counts."""
    def active():
        now = machine.show(unit, 'ActiveState', 'SubState', 'MainPID')
        return (now['ActiveState'], now['SubState']) == ('active', 'running') and int(now['MainPID'])
    try:
        return wait_until(active, 60, f'{unit} is active')
    except AssertionError:
        pytest.fail(f'{unit} does not become active:\n' + machine.journal(unit))


@pytest.mark.long
@pytest.mark.parametrize('name', packages.SOURCES)
def test_it_starts_at_boot_and_says_when_it_is_ready(machine, name):
    main_pid(machine, f'{name}.service')
    now = machine.show(f'{name}.service', 'Type', 'NRestarts', 'Result', 'StatusText', 'UnitFileState')
    assert now['Type'] == 'notify' and now['Result'] == 'success' and now['UnitFileState'] == 'enabled', now


@pytest.mark.long
@pytest.mark.parametrize('name', packages.SOURCES)
def test_hardening_is_in_force(machine, name):
    """Not what the unit asks for, but what the kernel holds against the process."""
    pid = main_pid(machine, f'{name}.service')
    status = dict(line.split(':', 1) for line in machine.run('cat', f'/proc/{pid}/status').splitlines())
    assert int(status['CapEff'], 16) == int(status['CapBnd'], 16) == 1 << 10  # CAP_NET_BIND_SERVICE
    assert status['NoNewPrivs'].strip() == '1' and status['Seccomp'].strip() == '2'
    assert status['Uid'].split()[0] == machine.run('id', '-u', name).strip() != '0'
    mounts = {line.split()[4]: line.split()[5].split(',') for line in machine.run('cat', f'/proc/{pid}/mountinfo').splitlines()}
    assert 'ro' in mounts['/'] and 'rw' in mounts[f'/var/lib/{name}'], mounts
    status, _, err = attempt(*machine.argv('nsenter', '--target', pid, '--mount', 'touch', f'/usr/{name}'))
    assert status == 1 and 'Read-only' in err
    limits = machine.run('cat', f'/proc/{pid}/limits')
    assert re.search(r'Max core file size +0 +0', limits)


@pytest.mark.long
@pytest.mark.parametrize('name', packages.SOURCES)
def test_watchdog_is_fed(machine, name):
    """It is told twice; and a process that hangs is killed and comes back."""
    unit = f'{name}.service'
    pid, fed = main_pid(machine, unit), set()
    wait_until(lambda: fed.add(machine.show(unit, 'WatchdogTimestampMonotonic')['WatchdogTimestampMonotonic']) or len(fed) >= 3, 60, 'it is fed')
    assert main_pid(machine, unit) == pid
    machine.run('sh', '-c', f'kill -STOP {pid}')
    wait_until(lambda: main_pid(machine, unit) != pid, 90, 'the watchdog has barked')
    assert 'watchdog' in machine.journal(unit).lower()


@pytest.mark.long
@pytest.mark.parametrize('name', packages.SOURCES)
def test_killed_it_comes_back(machine, name):
    unit = f'{name}.service'
    pid, before = main_pid(machine, unit), int(machine.show(unit, 'NRestarts')['NRestarts'])
    machine.run('sh', '-c', f'kill -KILL {pid}')
    wait_until(lambda: int(machine.show(unit, 'NRestarts')['NRestarts']) > before, 60, 'it is started anew')
    assert main_pid(machine, unit) != pid


@pytest.mark.long
def test_certificate_reaches_the_other_server(machine):
    """Agent, path unit, oneshot: the agent asks by writing a file, and root's part runs."""
    main_pid(machine, 'nameplate.service')

    def report():
        return json.loads(machine.run('cat', '/run/nameplate-deploy/report.json'))
    try:
        wait_until(lambda: attempt(*machine.argv('test', '-s', '/run/nameplate-deploy/report.json'))[0] == 0, 120, 'there is a report')
    except AssertionError:
        pytest.fail(machine.journal('nameplate.service') + machine.journal('nameplate-deploy.service'))
    assert 'BEGIN CERTIFICATE' in machine.run('cat', '/etc/other-server/box.crt'), report()
    assert machine.show('nameplate-deploy.path', 'ActiveState')['ActiveState'] == 'active'
    now = machine.show('nameplate-deploy.service', 'Result', 'ExecMainStatus', 'NoNewPrivileges')
    assert now == {'Result': 'success', 'ExecMainStatus': '0', 'NoNewPrivileges': 'yes'}, machine.journal('nameplate-deploy.service')


@pytest.mark.long
@pytest.mark.parametrize('name', tuple(reversed(packages.SOURCES)))
def test_it_stops_clean(machine, name):
    unit = f'{name}.service'
    main_pid(machine, unit)
    group = machine.show(unit, 'ControlGroup')['ControlGroup']
    machine.run('systemctl', 'stop', unit)
    now = machine.show(unit, 'ActiveState', 'Result', 'ExecMainStatus')
    assert now['ActiveState'] == 'inactive' and now['Result'] == 'success' and now['ExecMainStatus'] == '0', machine.journal(unit)
    left = machine.run('sh', '-c', f'grep -l {group} /proc/[0-9]*/cgroup 2>/dev/null | xargs -r -n 1 dirname')
    assert group and not left, left
