"""Real DNS servers in a namespace, each at port 53 of an address of its own: the device zone on Knot DNS, and the resolvers that
homes have (dnsmasq, Unbound, Knot Resolver), with their filters on. For the doctor's tests."""
import contextlib
import subprocess

import dns.exception
import dns.message
import dns.query

from fake_hq import ZONE
from lab.waiting import wait_until

PRIVATE, PUBLIC = '192.168.0.1', '8.8.4.4'  # dnsmasq takes the addresses for documentation for private ones

ZONE_FILE = """\
$ORIGIN {zone}.
$TTL 5
@             SOA   ns1 hostmaster 1 3600 600 604800 5
@             NS    ns1
ns1           A     {address}
*.rebind-test A     {private}
*.plain-test  A     {public}
"""

KNOT_CONF = """\
server:
    listen: {address}@53
    rundir: {folder}
    identity: ""
    version: ""
database:
    storage: {folder}
control:
    listen: {folder}/knot.sock
zone:
  - domain: {zone}
    file: {folder}/zone
    zonefile-sync: -1
    journal-content: none
"""

DNSMASQ_CONF = """\
port=53
listen-address={address}
bind-interfaces
no-resolv
no-hosts
cache-size=0
server={upstream}
{lines}
"""

UNBOUND_CONF = """\
server:
    directory: "{folder}"
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    interface: {address}@53
    access-control: 0.0.0.0/0 allow
    module-config: "iterator"
    private-address: 10.0.0.0/8
    private-address: 192.168.0.0/16
    private-address: fd00::/8
stub-zone:
    name: "{zone}"
    stub-addr: {upstream}
remote-control:
    control-enable: no
{lines}
"""

KRESD_CONF = """\
net.listen('{address}', 53)
cache.size = 10*MB
trust_anchors.remove('.')
modules.load('rebinding < iterate')
{lines}
policy.add(policy.all(policy.STUB({{'{upstream}'}})))
"""


class HomeDns:
    """Servers on the machine `namespace`, whose interface `interface` gets an address for each of them."""

    def __init__(self, namespace, interface, folder):
        self.namespace, self.interface, self.folder = namespace, interface, folder
        self.running = {}  # by address
        self.zone_address = None

    def _start(self, address, argv, probe, private=False):
        """Waits until the server at address answers `probe`."""
        if address not in self.running:
            self.namespace.ip('address', 'add', f'{address}/24', 'dev', self.interface)
        else:
            self.end(address)
        process = self.namespace.spawn(*argv, log=self.folder / f'{address}.log')
        self.running[address] = process

        def up():
            assert process.poll() is None, (self.folder / f'{address}.log').read_text()
            with contextlib.suppress(dns.exception.Timeout, OSError), self.namespace.inside():
                return dns.query.udp(dns.message.make_query(probe, 'A'), address, timeout=0.5).answer
        wait_until(up, 20, f'{argv[0]} at {address}')

    def _folder(self, address):
        folder = self.folder / address
        folder.mkdir(exist_ok=True)
        return folder

    def zone(self, address, **names):
        """The device zone; `names` are labels with an address each."""
        self.zone_address, folder = address, self._folder(address)
        records = ''.join(f'{label.replace("_", "-")} A {value}\n' for label, value in names.items())
        (folder / 'zone').write_text(ZONE_FILE.format(zone=ZONE, address=address, private=PRIVATE, public=PUBLIC) + records)
        (folder / 'knot.conf').write_text(KNOT_CONF.format(folder=folder, address=address, zone=ZONE))
        self._start(address, ['knotd', '-c', folder / 'knot.conf'], f'ns1.{ZONE}')

    def publish(self, label, *addresses):
        """Changes the zone, as HQ does; without addresses the name goes."""
        folder = self.folder / self.zone_address

        def knotc(*words):
            subprocess.run(['knotc', '-s', folder / 'knot.sock', *words], check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, text=True)
        knotc('zone-begin', ZONE)
        with contextlib.suppress(subprocess.CalledProcessError):
            knotc('zone-unset', ZONE, label, 'A')
        for address in addresses:
            knotc('zone-set', ZONE, label, '5', 'A', address)
        knotc('zone-commit', ZONE)

    def dnsmasq(self, address, *lines):
        conf = self._folder(address) / 'dnsmasq.conf'
        conf.write_text(DNSMASQ_CONF.format(address=address, upstream=self.zone_address, lines='\n'.join(lines)))
        self._start(address, ['dnsmasq', '--keep-in-foreground', '--user=root', '--pid-file=', '--log-facility=-',
                              f'--conf-file={conf}'], f'x.plain-test.{ZONE}')

    def unbound(self, address, *lines):
        folder = self._folder(address)
        (folder / 'unbound.conf').write_text(UNBOUND_CONF.format(folder=folder, address=address, zone=ZONE,
                                                                 upstream=self.zone_address, lines='\n'.join(lines)))
        self._start(address, ['unbound', '-d', '-c', folder / 'unbound.conf'], f'x.plain-test.{ZONE}')

    def kresd(self, address, *lines):
        folder = self._folder(address)
        (folder / 'kresd.conf').write_text(KRESD_CONF.format(address=address, upstream=self.zone_address, lines='\n'.join(lines)))
        (folder / 'run').mkdir(exist_ok=True)
        self._start(address, ['kresd', '-n', '-c', folder / 'kresd.conf', folder / 'run'], f'x.plain-test.{ZONE}')

    def end(self, address):
        """Ends the server; its address stays."""
        process = self.running[address]
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self):
        for address in self.running:
            self.end(address)
