"""The OpenWrt recipe's scripts, run with stubs for what only OpenWrt has: uci, procd, ubus, jshn. The recipe itself was not
built: there is no OpenWrt SDK here."""
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from lab.namespaces import attempt
from lab.paths import ROOT

FOLDER = ROOT / 'agent' / 'packaging' / 'openwrt'
FILES = FOLDER / 'files'
NAME = 'nifty-babbage.devices.example'

# What /etc/rc.common and procd.sh give an init script, as far as this one uses it. Options come from the environment as
# UCI_main_OPTION; lists as words. What procd is told goes to standard output.
STUBS = r'''
config_load() { :; }
config_get() { eval "_v=\${UCI_$2_$3-\$4}"; eval "$1=\$_v"; }
config_get_bool() { config_get "$@"; }
config_list_foreach() { eval "_l=\${UCI_$1_$2-}"; for _w in $_l; do "$3" "$_w"; done; }
network_get_device() { case "$2" in lan) eval "$1=br-lan" ;; guest) eval "$1=br-guest" ;; *) return 1 ;; esac; }
for f in procd_open_instance procd_set_param procd_add_jail procd_add_jail_mount procd_add_jail_mount_rw procd_close_instance procd_add_reload_trigger; do
    eval "$f() { printf '%s' $f; printf ' %s' \"\$@\"; echo; }"
done
chown() { :; }
'''


@pytest.fixture
def run(bin_dir, tmp_path):
    """run(call, options): runs a function of the init script. (output, errors, the made configuration or None)"""
    script = (FILES / 'nameplate.init').read_text()
    script = script.replace('/usr/bin/nameplate', str(bin_dir / 'nameplate')).replace('. /lib/functions/network.sh', ':')
    script = script.replace('/etc/nameplate/state', f'{tmp_path}/state').replace('/var/', f'{tmp_path}/var/')
    script = script.replace('/etc/init.d/dnsmasq', 'initd_dnsmasq')
    path = tmp_path / 'init'
    path.write_text('#!/bin/sh\n' + STUBS + script.partition('\n')[2] + '\n"$@"\n')

    def call(words, options=None, uci=''):
        environment = {'PATH': f'{tmp_path}/bin:' + os.environ['PATH'], **{f'UCI_main_{key}': value for key, value in (options or {}).items()}}
        (tmp_path / 'bin').mkdir(exist_ok=True)
        for program, text in {'uci': f'case "$*" in *get*) echo {shlex.quote(uci)};; *) echo "uci $*";; esac', 'initd_dnsmasq': 'echo "dnsmasq $*"'}.items():
            (tmp_path / 'bin' / program).write_text(f'#!/bin/sh\n{text}\n')
            (tmp_path / 'bin' / program).chmod(0o755)
        done = subprocess.run(['dash', path, *words], env=environment, capture_output=True, text=True, check=False)
        conf = tmp_path / 'var' / 'etc' / 'nameplate.conf'
        return done, conf.read_text() if conf.exists() else None
    return call


GOOD = {'enabled': '1', 'hq': 'https://hq.devices.example', 'hq_anchors': '/etc/nameplate/hq-anchors.pem', 'role': 'router',
        'network': 'lan guest nosuch', 'dns_port': '5354', 'alias': 'router.lan'}


def test_configuration_and_instances(run):
    done, conf = run(['start_service'], GOOD)
    assert done.returncode == 0, done.stderr
    assert 'lan = {"br-lan", "br-guest"}\n' in conf and 'alias = {"router.lan"}\n' in conf
    assert 'mode = own-name-only\ndns-port = 5354\nhttp = false\nhttps = false\n' in conf
    said = done.stdout
    assert re.search(r'procd_set_param command \S+/nameplate agent --config', said) and 'procd_set_param user nameplate' in said
    assert 'procd_set_param no_new_privs 1' in said and 'procd_set_param capabilities /etc/capabilities/nameplate.json' in said
    assert re.search(r'procd_add_jail_mount_rw \S+/state \S+/run/nameplate\n', said)
    assert re.search(r'procd_set_param command \S+/nameplate deploy --follow', said)
    assert said.count('procd_open_instance') == said.count('procd_close_instance') == 2


def test_disabled_starts_nothing(run):
    done, conf = run(['start_service'], GOOD | {'enabled': '0'})
    assert done.returncode == 0 and done.stdout == '' and conf is None


def test_wrong_configuration_is_said(run):
    done, _ = run(['start_service'], GOOD | {'hq': 'http://hq.devices.example'})
    assert done.returncode == 1 and 'https://' in done.stderr and 'procd_open_instance' not in done.stdout


@pytest.mark.parametrize('evil', ['x"\nbackend = "1.2.3.4:80', 'a${HOME}b', 'back\\slash', '$(reboot)', "it's"])
def test_values_stay_values(run, evil):
    """What somebody may write into UCI is one value of one key, or refused; it is never a line, a command or a variable."""
    done, conf = run(['start_service'], GOOD | {'model': evil})
    assert 'reboot' not in done.stderr
    assert done.returncode == 1 or not re.search(r'^backend', conf, re.MULTILINE)


def test_triggers(run):
    done, _ = run(['service_triggers'])
    assert done.stdout == 'procd_add_reload_trigger nameplate network\n'


def test_dnsmasq_gets_exactly_the_own_name(run, bin_dir):
    done, _ = run(['dnsmasq', NAME], {'dns_port': '5354'})
    lines = [line.removeprefix('uci ') for line in done.stdout.splitlines()]
    _, wanted, _ = attempt(bin_dir / 'nameplate', 'config', 'integrate', 'openwrt', '--name', NAME, '--address', '127.0.0.1:5354')
    assert sorted(lines) == sorted(line.removeprefix('uci ').replace("'", '').replace('/etc/init.d/', '') for line in wanted.splitlines())


def test_dnsmasq_is_left_alone_when_nothing_changes(run):
    done, _ = run(['dnsmasq', NAME], {}, uci=f'/lan/192.168.1.9 /{NAME}/127.0.0.1#5354')
    assert done.returncode == 0 and done.stdout == ''


def test_earlier_name_goes(run):
    done, _ = run(['dnsmasq', NAME], {}, uci='/lan/192.168.1.9 /old-name.devices.example/127.0.0.1#5354')
    assert 'uci -q del_list dhcp.@dnsmasq[0].server=/old-name.devices.example/127.0.0.1#5354' in done.stdout
    assert 'uci -q del_list dhcp.@dnsmasq[0].rebind_domain=old-name.devices.example' in done.stdout
    assert '192.168.1.9' not in done.stdout


@pytest.mark.parametrize('name', ['', 'a b', 'x;reboot', '-x/y', 'com', 'example.com', '.a.b', 'a..b.c'])
def test_odd_names_are_refused(run, name):
    done, _ = run(['dnsmasq', name])
    assert done.returncode == 1 and done.stdout == ''


@pytest.mark.parametrize('action, told', [('ifup', True), ('ifdown', True), ('ifupdate', True), ('add', False)])
def test_hotplug(tmp_path, action, told):
    """hotplug-call has only /lib/functions.sh around it: what it needs of procd's functions it brings itself."""
    (tmp_path / 'procd.sh').write_text('procd_send_signal() { echo "$@"; }\n')
    script = (FILES / 'nameplate.hotplug').read_text().replace('/etc/init.d/nameplate', 'true').replace('/lib/functions', str(tmp_path))
    done = subprocess.run(['dash', '-c', f'ACTION={action}\n{script}'], capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    assert done.stdout == ('nameplate agent HUP\n' if told else '')


def test_event_on_ubus(tmp_path):
    script = (FILES / 'nameplate-renewed').read_text().replace('. /usr/share/libubox/jshn.sh', ':').replace('/etc/init.d/nameplate', 'initd')
    stub = f'''
json_init() {{ J=; }}
json_add_string() {{ J="$J\\"$1\\":\\"$2\\","; }}
json_add_boolean() {{ J="$J\\"$1\\":$2"; }}
json_dump() {{ echo "{{$J}}"; }}
ubus() {{ echo "$@"; }}
initd() {{ echo "initd $*"; }}
'''
    path = tmp_path / 'renewed'
    path.write_text(stub + script)
    done = subprocess.run(['dash', path, '0', NAME], capture_output=True, text=True, check=False)
    event, again = done.stdout.splitlines()
    assert event.startswith('send nameplate.certificate ') and json.loads(event.split(' ', 2)[2]) == {'name': NAME, 'served': 1}
    assert again == f'initd dnsmasq {NAME}'


def test_shellcheck_finds_nothing():
    """Beside what OpenWrt's own environment explains: sourced files, its variables, `local`, rc.common's first line."""
    for name in ('nameplate.init', 'nameplate.hotplug', 'nameplate-renewed'):
        status, out, err = attempt('shellcheck', '-s', 'dash', '-e', 'SC1008,SC1090,SC1091,SC2034,SC2154,SC3043', FILES / name)
        assert status == 0, out + err


@pytest.mark.long
def test_it_builds_with_openwrt_s_c_library(tmp_path):
    """Every source of the device's program with musl, as far as it can be without OpenWrt's libraries: compiled, with their headers."""
    headers = tmp_path / 'include'
    headers.mkdir()
    for pattern in ('uv.h', 'uv', 'bearssl.h', 'bearssl', 'ares*.h', 'jansson*.h', 'confuse.h', 'linux', 'asm-generic', '*/asm', '*/jansson*.h'):
        for found in Path('/usr/include').glob(pattern):
            (headers / found.name).symlink_to(found)
    flags = re.search(r'target_compile_options\(np_flags INTERFACE\n(.*?)\)', (ROOT / 'CMakeLists.txt').read_text(), re.DOTALL).group(1).split()
    sources = [path for folder in ('agent', 'resolver', 'hq/proto') for path in sorted((ROOT / folder).rglob('*.c'))]
    assert len(sources) > 150
    for path in sources:
        status, _, err = attempt('musl-gcc', '-std=gnu11', '-fsyntax-only', '-D_GNU_SOURCE', '-D_TIME_BITS=64', '-D_FILE_OFFSET_BITS=64',
                                 '-DNP_VERSION="0"', '-DNP_BUILD_TIME=0', *flags, '-I', ROOT, '-isystem', headers, path)
        assert status == 0, err


def test_recipe_installs_every_file():
    text = (FOLDER / 'Makefile').read_text()
    for path in FILES.iterdir():
        assert f'./files/{path.name} ' in text, path.name
    json.loads((FILES / 'nameplate.capabilities.json').read_text())
    assert (FILES / 'nameplate.keep').read_text() == '/etc/nameplate/\n'
