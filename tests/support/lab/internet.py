"""The Internet of the lab: one switch, and on it the root and TLD servers, a public resolver, a CA, and HQ's machine."""
from lab.certs import LabCa
from lab.namespaces import bridge, link
from lab.nodes import Node
from lab.paths import STATE

HQ, CA, CA2, RESOLVER, ROOT, WWW, ISP, ISP1 = (f'198.51.100.{n}' for n in (10, 20, 21, 53, 54, 80, 1, 2))
RESOLVER_NAME = 'dns.example'  # of its certificate for DNS over TLS
HQ6, CA6, CA26, RESOLVER6, ROOT6, WWW6, ISP6 = (f'2001:db8:1::{n}' for n in (10, 20, 21, 53, 54, 80, 1))
HOME_NET, HOME_NET6 = '203.0.113.0/24', '2001:db8:2::/64'
HOME1_NET = '192.0.2.0/24'
DEVICE_ZONE = 'devices.example'
ACME_DIRECTORY, ACME_DIRECTORY2 = (f'https://{host}.example:14000/dir' for host in ('ca', 'ca2'))

ROOT_ZONE = f"""\
$ORIGIN .
$TTL 3600
@ SOA a.root. hostmaster.example. 1 7200 900 86400 60
@ NS a.root.
a.root. A {ROOT}
a.root. AAAA {ROOT6}
example. NS ns.example.
ns.example. A {ROOT}
ns.example. AAAA {ROOT6}
"""

EXAMPLE_ZONE = f"""\
$ORIGIN example.
$TTL 300
@ SOA ns.example. hostmaster.example. 1 7200 900 86400 60
@ NS ns
ns A {ROOT}
ns AAAA {ROOT6}
ca A {CA}
ca AAAA {CA6}
ca2 A {CA2}
ca2 AAAA {CA26}
www NS ns
mail A {WWW}
*.short 3 A {WWW}
devices NS ns1.devices
ns1.devices A {HQ}
"""

# A zone of its own, so that every type of this name has an answer.
WWW_ZONE = f"""\
$ORIGIN www.example.
$TTL 300
@ SOA ns.example. hostmaster.example. 1 7200 900 86400 60
@ NS ns.example.
@ A {WWW}
@ AAAA {WWW6}
@ HTTPS 1 . alpn=h2
@ TXT "an ordinary name of the Internet"
@ MX 10 mail.example.
"""

KNOT_CONF = """\
server:
    rundir: {state}/run
    listen: [ {v4}@53, {v6}@53, {www}@53 ]
log:
  - target: stderr
    any: info
database:
    storage: {state}/db
zone:
  - domain: .
    file: {state}/root.zone
  - domain: example.
    file: {state}/example.zone
  - domain: www.example.
    file: {state}/www.example.zone
"""

UNBOUND_CONF = """\
server:
    interface: {v4}
    interface: {v6}
    interface: {v4}@853
    interface: {v6}@853
    tls-service-pem: "{state}/dns.pem"
    tls-service-key: "{state}/dns.key"
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    root-hints: "{state}/root.hints"
    module-config: "iterator"
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "{state}"
    pidfile: ""
    use-syslog: no
    logfile: ""
    verbosity: 1
    num-threads: 1
    outgoing-range: 256
    # One server without a second: after an outage it would not be asked for up to two minutes, whoever comes.
    infra-keep-probing: yes
    infra-host-ttl: 1
remote-control:
    control-enable: no
"""

PEBBLE_CONF = """\
{{"pebble": {{"listenAddress": "0.0.0.0:14000", "managementListenAddress": "0.0.0.0:15000",
  "certificate": "{state}/api.pem", "privateKey": "{state}/api.key"{more},
  "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "", "externalAccountBindingRequired": false}}}}
"""


class Internet:
    """Nodes by attribute: switch, root, dns, ca, ca2, hq. `anchors` is what clients of the CAs' own APIs and of
    the resolver's DNS over TLS trust.

    ca2 is a CA that gives short lives (start_short_ca): nobody asks it until then.
    """

    def __init__(self):
        self.switch = Node('inet', 'the switch between all of them')
        self.root = Node('root', 'name servers of "." and "example.", and www.example')
        self.dns = Node('dns', 'public recursive resolver (unbound)')
        self.ca = Node('ca', 'ACME CA (pebble) at ' + ACME_DIRECTORY)
        self.ca2 = Node('ca2', 'ACME CA with short certificate lives, for some demo steps')
        self.hq = Node('hq', 'the manufacturer: nameplate-hq')
        self.nodes = [self.switch, self.root, self.dns, self.ca, self.ca2, self.hq]
        self.anchors = STATE / 'lab-ca.pem'
        self._authority = None

    def up(self):
        for node in self.nodes:
            node.create()
        bridge(self.switch, 'br0')
        self.plug(self.root, (ROOT, WWW), (ROOT6, WWW6))
        self.plug(self.dns, (RESOLVER,), (RESOLVER6,))
        self.plug(self.ca, (CA,), (CA6,))
        self.plug(self.ca2, (CA2,), (CA26,))
        self.plug(self.hq, (HQ,), (HQ6,))
        self._authority = LabCa('nameplate lab: the Internet\'s own servers')
        self._authority.write_anchors(self.anchors)
        self._start_root()
        self._start_resolver()
        self._pebble(self.ca, CA)

    def plug(self, node, v4, v6, interface='eth0'):
        """Connects a node to the switch. Homes are reached through the ISP."""
        link(node, interface, self.switch, f'p-{node.label}')
        self.switch.ip('link', 'set', f'p-{node.label}', 'master', 'br0')
        node.address(interface, *(f'{a}/24' for a in v4), *(f'{a}/64' for a in v6))
        if not node.label.startswith('isp'):
            node.ip('route', 'add', HOME_NET, 'via', ISP)
            node.ip('route', 'add', HOME1_NET, 'via', ISP1)
            node.ip('-6', 'route', 'add', HOME_NET6, 'via', ISP6)
            node.resolvers(RESOLVER)

    def _start_root(self):
        node = self.root
        node.write('root.zone', ROOT_ZONE)
        node.write('example.zone', EXAMPLE_ZONE)
        node.write('www.example.zone', WWW_ZONE)
        for folder in ('run', 'db'):
            (node.state / folder).mkdir(exist_ok=True)
        conf = node.write('knot.conf', KNOT_CONF.format(state=node.state, v4=ROOT, v6=ROOT6, www=WWW))
        node.daemon('knotd', 'knotd', '-c', conf, ready=lambda: node.ask('www.example', 'A', ROOT, timeout=0.3).answer)

    def _start_resolver(self):
        node = self.dns
        node.write('root.hints', f'. 3600 NS a.root.\na.root. 3600 A {ROOT}\na.root. 3600 AAAA {ROOT6}\n')
        self._authority.issue([RESOLVER_NAME], node.state / 'dns.pem', node.state / 'dns.key')
        conf = node.write('unbound.conf', UNBOUND_CONF.format(state=node.state, v4=RESOLVER, v6=RESOLVER6))
        node.daemon('unbound', 'unbound', '-d', '-p', '-c', conf,
                    ready=lambda: node.ask('www.example', 'A', RESOLVER, timeout=1.0).answer)

    def start_short_ca(self, life):
        """Starts ca2, whose certificates live for `life` seconds."""
        self._pebble(self.ca2, CA2, f', "certificateValidityPeriod": {life}')

    def _pebble(self, node, address, more=''):
        self._authority.issue([f'{node.label}.example'], node.state / 'api.pem', node.state / 'api.key')
        conf = node.write('pebble.json', PEBBLE_CONF.format(state=node.state, more=more))
        node.daemon('pebble', 'pebble', '-config', conf, '-dnsserver', f'{RESOLVER}:53', env={'PEBBLE_VA_NOSLEEP': '1'},
                    ready=lambda: node.reaches(address, 14000) and node.reaches(address, 15000))

    # What the CAs know

    def acme_root(self, node=None):
        """Root of a CA (ca unless given), as PEM: what a browser of this world trusts."""
        node = node or self.ca
        address = CA2 if node is self.ca2 else CA
        status, _, body = node.get(address, f'{node.label}.example', '/roots/0', port=15000, tls_name=f'{node.label}.example',
                                   anchors=self.anchors)
        if status != 200:
            raise OSError(f'the CA answered {status} for its root')
        return body.decode()

    def orders(self, node=None):
        """How many orders a CA (ca unless given) has ever taken, from its log."""
        return (node or self.ca).log('pebble').read_text(errors='replace').count('Added order ')
