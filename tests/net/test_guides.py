"""The guides are true: every command in them is run, in its order, on a machine of its own with the real programs (tests/support/guide.py
has the convention). What cannot be run here is listed below, with the reason."""
import re

import pytest

import guide
from lab.paths import ROOT

# Commands in console blocks, which are not run: {their beginning: why}.
NOT_RUN = {
    'sudo tests/lab install': 'needs the network; the tests begin with it',
    'sudo tests/lab demo': 'test_lab.py and the demo itself',
    'sudo tests/lab test': 'is what runs this',
    'sudo tests/lab package': 'takes minutes: test_packages.py (--long)',
    'cmake --preset release': 'what these programs were built by',
    'cmake --preset fuzz': 'takes minutes, and has no end: tests/lab test --long',
    'build/fuzz/bin/': 'likewise',
}
GUIDES = ['hq.md', 'gateway.md', 'factory.md', 'break.md']
PROSE = ['home.md', 'compatibility.md', 'compliance.md', 'threat-model.md', 'SECURITY.md', 'CHANGELOG.md', '../README.md']
LAN, HQ = '192.168.1.1', '198.51.100.10'

DNSMASQ_UNIT = '[Service]\nExecStart=/usr/sbin/dnsmasq -k --conf-file=/etc/dnsmasq.conf\n'
DNSMASQ = f'listen-address={LAN}\nbind-interfaces\nno-resolv\nserver={HQ}\nstop-dns-rebind\nconf-dir=/etc/dnsmasq.d\nuser=root\n'
NGINX = '''
events {}
http { server { listen 127.0.0.1:443 ssl; ssl_certificate /etc/nginx/ssl/box.crt; ssl_certificate_key /etc/nginx/ssl/box.key; } }
'''
# An HQ and a CA at the other end of the box's cable, and a label.
AN_HQ = f'''
mkdir -p /srv/hq && cd /srv/hq
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost \\
    -keyout ca-key.pem -out ca.pem 2> /dev/null
echo '{{"pebble": {{"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000", "certificate": "ca.pem",
       "privateKey": "ca-key.pem", "httpPort": 80, "tlsPort": 443}}}}' > pebble.json
PEBBLE_VA_NOSLEEP=1 pebble -config pebble.json -dnsserver {HQ}:53 > pebble.log 2>&1 &
nameplate-hq init --dir hq --zone devices.example --url https://hq.devices.example --address {HQ} --listen {HQ}:443 --dns-listen {HQ}:53 \\
    --nameserver ns1.devices.example={HQ} --acme-directory https://localhost:14000/dir --acme-anchors ca.pem --agree-tos --enrol claim-code > /dev/null
nameplate-hq serve --config hq/nameplate-hq.conf > hq.log 2>&1 &
echo nameserver {HQ} > /etc/resolv.conf
'''
A_LABEL = '''
nameplate-hq claim make --count 1 --config hq/nameplate-hq.conf | tail -n 1 | cut -d , -f 2 > $REPOSITORY/claim-code
cp hq/hq-anchors.pem $REPOSITORY/
cd $REPOSITORY
'''

# The nginx that is there already.
AN_NGINX = '''
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=old -keyout /etc/nginx/ssl/box.key \\
    -out /etc/nginx/ssl/box.crt 2> /dev/null
systemctl start nginx
'''


def follow(machine, name):
    return guide.follow(machine, guide.DOCS / name)


def test_hq(bin_dir):
    with guide.Machine('hq', '192.168.1.2/24', f'{HQ}/24') as machine:
        for name, source in (('nameplate', 'agent'), ('nameplate-hq', 'hq')):
            guide.package(machine, name, bin_dir, source)
        assert follow(machine, 'hq.md') > 15


def test_gateway(bin_dir, wait_until):
    with guide.Machine('gw', f'{LAN}/24', outside=[f'{HQ}/24']) as machine:
        guide.package(machine, 'nameplate', bin_dir, 'agent')
        machine.put('/usr/local/bin/nameplate-hq', (bin_dir / 'nameplate-hq').read_bytes(), 0o755)
        machine.put('/etc/systemd/system/dnsmasq.service', DNSMASQ_UNIT)
        machine.put('/etc/dnsmasq.conf', DNSMASQ)
        machine.put('/etc/nginx/nginx.conf', NGINX)
        for folder in ('/etc/dnsmasq.d', '/etc/nginx/ssl'):
            machine.path(folder).mkdir(parents=True, exist_ok=True)
        for script, outside, log in ((AN_HQ, True, '/srv/hq/hq.log'), (A_LABEL, True, None), (AN_NGINX, False, None)):
            status, output = machine.run(script, outside=outside)
            assert status == 0, output
            if log:
                wait_until(lambda path=machine.path(log): ' ready:' in path.read_text(), 60, 'HQ')
        assert follow(machine, 'gateway.md') > 5


def test_factory(bin_dir):
    with guide.Machine('fa', '192.168.1.2/24') as machine:
        for name in ('nameplate', 'nameplate-hq'):
            machine.put(f'/usr/local/bin/{name}', (bin_dir / name).read_bytes(), 0o755)
        assert follow(machine, 'factory.md') > 5


def test_break(bin_dir):
    with guide.Machine('br') as machine:
        assert bin_dir  # what the guide's commands build, or find built
        assert follow(machine, 'break.md') > 8


# What is not a guide has nothing to run, and no guide has commands that nobody would run.

@pytest.mark.parametrize('name', GUIDES)
def test_nothing_is_left_out(name):
    path = guide.DOCS / name
    assert guide.unfenced_commands(path) == []
    for block in guide.blocks(path):
        if block.kind == 'console':
            for line in block.commands():
                assert any(line.startswith(start) for start in NOT_RUN), f'{name}:{block.line}: {line} is neither run nor excused'
        else:
            assert block.kind in ('sh', 'sh wait') or block.kind in guide.FILES, f'{name}:{block.line}: a block of what kind?'


@pytest.mark.parametrize('name', [name for name in PROSE if (guide.DOCS / name).exists()])
def test_prose_has_no_commands(name):
    """But for those that are excused, and README's, which test_readme runs."""
    path = guide.DOCS / name
    if name == '../README.md':
        return
    assert guide.unfenced_commands(path) == []
    assert not [block for block in guide.blocks(path) if block.kind.startswith('sh')]


def test_readme(bin_dir):
    """Its commands are those that build and test, and one look at HQ's help."""
    with guide.Machine('rm') as machine:
        machine.path(f'{ROOT}/build/release/bin').mkdir(parents=True, exist_ok=True)
        for name in ('nameplate', 'nameplate-hq'):
            machine.put(f'{ROOT}/build/release/bin/{name}', (bin_dir / name).read_bytes(), 0o755)
        ran = 0
        for block in guide.blocks(ROOT / 'README.md'):
            for line in block.text.splitlines() if block.kind == 'sh' else ():
                line = line.partition('#')[0].strip()
                if line and not any(line.startswith(start) for start in NOT_RUN):
                    status, output = machine.run(line)
                    assert status == 0, f'README.md: {line}: {output}'
                    ran += 1
        assert ran


def test_compliance_names_tests_that_exist():
    """docs/compliance.md says where each requirement is tested."""
    text = (guide.DOCS / 'compliance.md').read_text()
    files = set(re.findall(r'test_\w+\.py', text))
    units = set(re.findall(r'unit_([a-z]+)_(\w+)', text))
    assert len(files) > 20 and len(units) > 5
    assert [name for name in files if not (ROOT / 'tests/net' / name).exists()] == []
    assert [unit for unit in units if not (ROOT / 'tests/unit' / unit[0] / f'test_{unit[1]}.c').exists()] == []


def test_shows():
    """The comparison with what a guide shows."""
    assert guide.shows('a\nb 12 c\nd\n', ['a', 'b ... c']) is None
    assert guide.shows('a\nb\n', ['b', 'a']) == 'a'
    assert guide.shows('ab\n', ['a']) == 'a'
