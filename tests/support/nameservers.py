"""Real name servers on loopback that take UPDATE with TSIG: BIND, Knot DNS and PowerDNS. Each serves the device zone and,
delegated from it, the challenge zone, from the zone files that docs/operations.md shows; a Knot can be the secondary of
another one."""
import base64
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.tsig
import dns.tsigkeyring
import dns.xfr
import dns.zone

from hqdriver import ZONE
from lab.waiting import wait_until
from ports import free_port

ACME = f'acme.{ZONE}'
ALGORITHM = 'hmac-sha256'

ZONE_FILE = """\
$ORIGIN devices.example.
$TTL 60
@       SOA   ns1 hostmaster 1 3600 600 604800 60
@       NS    ns1
@       MX    0 .
@       TXT   "v=spf1 -all"
ns1     A     127.0.0.1
acme    NS    ns1
www     A     192.0.2.80
"""

ACME_FILE = """\
$ORIGIN acme.devices.example.
$TTL 1
@       SOA   ns1.devices.example. hostmaster.devices.example. 1 3600 60 86400 1
@       NS    ns1.devices.example.
"""


class Key:
    """A TSIG key: its file as tsig-keygen prints it, and as dnspython takes it."""

    def __init__(self, folder, name, algorithm=ALGORITHM):
        self.name, self.algorithm = name, algorithm
        self.secret = base64.b64encode(os.urandom(32)).decode()
        self.path = Path(folder) / f'{name}.key'
        self.path.write_text(f'key "{name}" {{\n\talgorithm {algorithm};\n\tsecret "{self.secret}";\n}};\n')
        self.path.chmod(0o600)

    def ring(self):
        return dns.tsigkeyring.from_text({self.name: (f'{self.algorithm}.', self.secret)})


class Server:
    """One name server: its folder, its process, and questions to it."""

    def __init__(self, folder, zone_key, acme_key, host='127.0.0.1'):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.host, self.port = host, free_port(host)
        self.zone_key, self.acme_key = zone_key, acme_key
        self.log_path = self.folder / 'log'
        self.process = None
        self.write_zones()
        self.prepare()

    def write_zones(self):
        """The zone files, as an operator begins."""
        (self.folder / 'zone').write_text(ZONE_FILE)
        (self.folder / 'acme').write_text(ACME_FILE)

    @property
    def endpoint(self):
        return f'{self.host}:{self.port}'

    def start(self):
        with self.log_path.open('ab') as log:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        wait_until(self.answers, 20, f'{type(self).__name__} (log: {self.log_path})')
        return self

    def answers(self):
        assert self.process.poll() is None, self.log_path.read_text()[-2000:]
        try:
            return self.ask(ZONE, 'SOA', 0.2).answer
        except (dns.exception.DNSException, OSError):
            return False

    def stop(self):
        self.end(signal.SIGTERM)

    def kill(self):
        self.end(signal.SIGKILL)

    def end(self, number):
        if self.process:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def ask(self, name, kind, timeout=2):
        return dns.query.udp(dns.message.make_query(name, kind), self.host, timeout, port=self.port)

    def lookup(self, name, kind='A'):
        return sorted(rdata.to_text() for rrset in self.ask(name, kind).answer for rdata in rrset)

    def transfer(self, origin=ZONE):
        """{(name, type): {rdata}} of all records but SOA and NS."""
        key = self.zone_key if origin == ZONE else self.acme_key
        zone = dns.zone.from_xfr(dns.query.xfr(self.host, origin, port=self.port, keyring=key.ring(), lifetime=30,
                                               timeout=30, relativize=False), relativize=False)
        found = {}
        for name, ttl, rdata in zone.iterate_rdatas():
            kind = dns.rdatatype.to_text(rdata.rdtype)
            if kind not in ('SOA', 'NS'):
                found.setdefault((name.to_text().rstrip('.'), kind), set()).add(rdata.to_text())
        return found


class Bind(Server):
    def prepare(self):
        keys = ''.join(f'include "{key.path}";\n' for key in {self.zone_key, self.acme_key})
        self.conf = self.folder / 'named.conf'
        self.conf.write_text(f"""\
{keys}
options {{
    directory "{self.folder}";
    listen-on port {self.port} {{ {self.host}; }};
    listen-on-v6 {{ none; }};
    pid-file "{self.folder}/named.pid";
    session-keyfile "{self.folder}/session.key";
    recursion no;
    notify no;
    allow-transfer {{ key "{self.zone_key.name}"; key "{self.acme_key.name}"; }};
}};
controls {{ }};
zone "{ZONE}" {{
    type primary;
    file "{self.folder}/zone";
    update-policy {{ {self.policy()} }};
}};
zone "{ACME}" {{
    type primary;
    file "{self.folder}/acme";
    update-policy {{ grant "{self.acme_key.name}" zonesub TXT; }};
}};
""")

    def policy(self):
        return f'grant "{self.zone_key.name}" zonesub ANY;'

    def notifies(self, secondary):
        """Before the start: each change is told to the secondary at once."""
        told = f'notify explicit; notify-delay 0; also-notify {{ {secondary.host} port {secondary.port}; }};'
        self.conf.write_text(self.conf.read_text().replace('notify no;', told))

    def argv(self):
        return ['named', '-g', '-n', '1', '-c', self.conf]


class Knot(Server):
    """With primary, a secondary of that one."""

    def __init__(self, folder, zone_key, acme_key, host='127.0.0.1', primary=None):
        self.primary = primary
        super().__init__(folder, zone_key, acme_key, host)

    def prepare(self):
        (self.folder / 'db').mkdir(exist_ok=True)
        keys = ''.join(f'  - id: {key.name}\n    algorithm: {key.algorithm}\n    secret: {key.secret}\n'
                       for key in {self.zone_key, self.acme_key})
        self.conf = self.folder / 'knot.conf'
        remote = f"""\
remote:
  - id: primary
    address: {self.primary.host}@{self.primary.port}
    key: {self.zone_key.name}
  - id: primary-acme
    address: {self.primary.host}@{self.primary.port}
    key: {self.acme_key.name}
""" if self.primary else ''
        zone, acme = ('master: primary', 'master: primary-acme') if self.primary else ('file: zone', 'file: acme')
        self.conf.write_text(f"""\
server:
    rundir: {self.folder}
    listen: {self.host}@{self.port}
    udp-workers: 1
    tcp-workers: 1
    tcp-io-timeout: 20000
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: {self.folder}/db
key:
{keys}
acl:
  - id: notify
    address: 127.0.0.1
    action: notify
  - id: hq
    key: {self.zone_key.name}
    action: [update, transfer]
  - id: hq-acme
    key: {self.acme_key.name}
    action: [update, transfer]
{remote}
template:
  - id: default
    storage: {self.folder}
zone:
  - domain: {ZONE}
    {zone}
    acl: [hq, notify]
    zonefile-sync: 1h
    journal-max-depth: 10000
  - domain: {ACME}
    {acme}
    acl: [hq-acme, notify]
    zonefile-sync: 1h
    journal-max-depth: 10000
""")

    def argv(self):
        return ['knotd', '-c', self.conf]


class Pdns(Server):
    def prepare(self):
        database = self.folder / 'pdns.sqlite3'
        schema = Path('/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql').read_text()
        with sqlite3.connect(database) as db:
            db.executescript(schema)
        db.close()
        self.conf = self.folder / 'pdns.conf'
        self.conf.write_text(f"""\
launch=gsqlite3
gsqlite3-database={database}
local-address={self.host}
local-port={self.port}
socket-dir={self.folder}
daemon=no
guardian=no
disable-syslog=yes
dnsupdate=yes
allow-dnsupdate-from=
receiver-threads=1
""")
        for origin, file, key in ((ZONE, 'zone', self.zone_key), (ACME, 'acme', self.acme_key)):
            for words in (['load-zone', origin, self.folder / file], ['set-kind', origin, 'native'],
                          ['import-tsig-key', key.name, key.algorithm, key.secret],
                          ['set-meta', origin, 'TSIG-ALLOW-DNSUPDATE', key.name],
                          ['set-meta', origin, 'TSIG-ALLOW-AXFR', key.name],
                          ['set-meta', origin, 'ALLOW-DNSUPDATE-FROM', '127.0.0.0/8'],
                          ['set-meta', origin, 'SOA-EDIT-DNSUPDATE', 'INCREASE']):
                subprocess.run(['pdnsutil', '--config-dir', self.folder, *words], check=True, capture_output=True)

    def argv(self):
        return ['pdns_server', f'--config-dir={self.folder}']


class Resolver(Server):
    """Unbound, as a CA has it: it follows CNAMEs from one zone into another, which authoritative servers do not."""

    def __init__(self, folder, zone_key, acme_key, host='127.0.0.1', servers=None):
        self.servers = servers  # {origin: Server}
        super().__init__(folder, zone_key, acme_key, host)

    def prepare(self):
        stubs = ''.join(f'stub-zone:\n    name: {origin}\n    stub-addr: {server.host}@{server.port}\n'
                        for origin, server in self.servers.items())
        self.conf = self.folder / 'unbound.conf'
        self.conf.write_text(f"""\
server:
    interface: {self.host}@{self.port}
    do-not-query-localhost: no
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "{self.folder}"
    pidfile: ""
    use-syslog: no
    module-config: iterator
    cache-max-ttl: 1
    cache-max-negative-ttl: 0
remote-control:
    control-enable: no
{stubs}""")

    def argv(self):
        return ['unbound', '-d', '-c', self.conf]
