"""The examples that the packages bring: each is read by the program that it is for, and the vendor's router and HQ, as they are, meet:
the box enrols. (two-hqs is run by docs/hq.md, see test_guides.py.)"""
import json

import pytest

import guide
from lab.namespaces import attempt
from lab.paths import ROOT

DEVICE, HQ = ROOT / 'agent/packaging/examples', ROOT / 'hq/packaging/examples'
LAN, FAR = '192.168.1.1', '198.51.100.10'

AN_HQ = f'''
apt-get install -q -y ./build/deb/nameplate_*.deb ./build/deb/nameplate-hq_*.deb
runuser -u nameplate-hq -- nameplate-hq init --dir /etc/nameplate-hq --zone devices.example --url https://hq.devices.example \\
    --address {FAR} --agree-tos > /dev/null
cp /usr/share/doc/nameplate-hq/examples/nameplate-hq.conf /etc/nameplate-hq/nameplate-hq.conf
systemctl start nameplate-hq
'''
A_SECRET = '''
install -d -o nameplate -m 700 /etc/nameplate/factory
nameplate-hq factory-secret NP-0001 > /etc/nameplate/factory/secret
chown nameplate /etc/nameplate/factory/secret
cp /etc/nameplate-hq/hq-anchors.pem /etc/nameplate/
'''
A_BOX = f'''
mkdir -p /tmp/resolv.conf.d
echo nameserver {FAR} > /tmp/resolv.conf.d/resolv.conf.auto
cp /usr/share/doc/nameplate/examples/router.conf /etc/nameplate/nameplate.conf
ip link set eth0 name br-lan 2> /dev/null || {{ ip link set eth0 down; ip link set eth0 name br-lan; ip link set br-lan up; ip addr replace {LAN}/24 dev br-lan; }}
ip route replace 198.51.100.0/24 dev br-lan
nameplate config check
mkdir -p /etc/nginx/ssl
cp /usr/share/doc/nameplate/examples/deploy.d/* /etc/nameplate/deploy.d/
nameplate deploy --check
systemctl start nameplate
'''


@pytest.mark.parametrize('path', sorted(DEVICE.glob('*.conf')), ids=lambda path: path.name)
def test_device_configuration(path, bin_dir):
    status, out, err = attempt(bin_dir / 'nameplate', 'config', 'check', '--config', path)
    assert status == 0, out + err


def test_router_and_hq_as_they_are(bin_dir, wait_until):
    with guide.Machine('ex', f'{LAN}/24', outside=[f'{FAR}/24']) as machine:
        for name, source in (('nameplate', 'agent'), ('nameplate-hq', 'hq')):
            guide.package(machine, name, bin_dir, source)
        for script, outside in ((AN_HQ, True), (A_SECRET, True), (A_BOX, False)):
            status, output = machine.run(script, outside=outside)
            assert status == 0, output
            wait_until(lambda: ' ready:' in machine.path('/var/log/nameplate-hq.log').read_text(), 60, 'HQ')

        def enrolled():
            rows = json.loads(machine.run('nameplate-hq device list --json')[1])
            return [row for row in rows if row['serial'] == 'NP-0001']
        found = wait_until(enrolled, 30, 'the box at HQ')
        assert found[0]['credential'] == 'factory-secret'
        wait_until(lambda: found[0]['name'] in machine.run('nameplate status')[1], 20, 'the name at the box')


def test_all_are_installed():
    """By the packages, under /usr/share/doc/PACKAGE/examples."""
    for name, source, folder in (('nameplate', 'agent', DEVICE), ('nameplate-hq', 'hq', HQ)):
        lines = (ROOT / source / f'packaging/debian/{name}.examples').read_text().split()
        assert [str(folder.relative_to(ROOT)) + '/*'] == lines
        assert any(folder.iterdir())
