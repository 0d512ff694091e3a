"""What is measured: nameplate and its peers, each set up for its best speed that a careful owner could run.

All of them run in one process (nameplate's DNS over TLS in two), log no queries, do not validate DNSSEC (two of them cannot),
forward to the same upstream and keep the defaults of Debian 12 otherwise. A Server has `name`, `port`, `pids()`.
"""
import json
import shutil

from front_process import Ca, Child, join, listening
from lab import interrupts
from lab.bench.place import NAME, SERVER, UPSTREAM_PORT, cpu_ns, memory_kib, preferred
from lab.namespaces import Failed

MIB = 1 << 20
UPSTREAM = '127.0.0.1'
WAITING = 4096  # queries that wait for the upstream at once: more than any row has


class Server:
    """A server in its own process, with its log in build/lab/logs."""
    name = None

    def __init__(self, place, port):
        self.place = place
        self.port = port
        self.folder = place.folder / f'{self.name}-{port}'
        self.process = None

    def __enter__(self):
        self.folder.mkdir(exist_ok=True)
        self.process = self.place.start(self._daemon(), *self.argv(), ready=self.ready, env=self.environment())
        return self

    def __exit__(self, kind, value, trace):
        self.place.end(self._daemon())
        shutil.rmtree(self.folder)  # the next life begins with nothing: Knot Resolver keeps its cache

    def _daemon(self):
        return f'{self.name}-{self.port}'

    def argv(self):
        raise NotImplementedError

    def environment(self):
        return None

    def ready(self):
        return self.place.answers(self.port)

    def pids(self):
        return [self.process.pid]

    def cpu_ns(self):
        return cpu_ns(self.pids())

    def memory_kib(self):
        return memory_kib(self.pids())

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path


class Echo(Server):
    """The limit: the same packets back, nothing else."""
    name = 'echo'

    def argv(self):
        return [self.place.program('bench_echo'), f'{SERVER}:{self.port}']

    def ready(self):
        # An echo answers with the question, which is no answer to dnspython.
        return self.place.dnsperf(self.port, self.place.folder / 'own', once=True).completed == 1


class Nameplate(Server):
    """`nameplate resolver`. rate: the limit on a client's queries a second, which is on as it is in a home, but out of reach
    (0: off, where more than 100,000/s are sent). cache: bytes."""
    name = 'nameplate'

    def __init__(self, place, port, rate=100000, cache=4 * MIB):
        super().__init__(place, port)
        self.view = {
            'version': 1, 'role': 'router', 'zone': NAME.partition('.')[2], 'ttl': 10, 'serial': 1, 'cache': cache,
            'own': [{'name': NAME, 'wildcard': False, 'https': True}],
            'interfaces': [{'index': place.ifindex(), 'name': 'lan', 'lan': True, 'v4': [f'{SERVER}/24'], 'v6': ['fd42::1/64']}],
            'primary': {'v4': [SERVER], 'v6': ['fd42::1']}, 'limits': {'rate': rate, 'inflight': WAITING},
        }

    def argv(self):
        view = self.write('view.json', json.dumps(self.view))
        return [self.place.program('nameplate'), 'resolver', '--view', view, '--port', self.port, '--listen', SERVER,
                '--upstream', f'{UPSTREAM}:{UPSTREAM_PORT}']


class NameplateTls(Nameplate):
    """The agent's two children, front and resolver, joined as the agent joins them. What both cost is counted."""

    def __init__(self, place, port, tls):
        super().__init__(place, port)
        self.tls = tls
        self.children = []
        self.view['upstreams'] = [f'{UPSTREAM}:{UPSTREAM_PORT}']

    def __enter__(self):
        self.folder.mkdir(exist_ok=True)
        prefix = ['setsid', *preferred(self.place.server_cpu)]
        with interrupts.held(), self.place.server.inside():
            for role in ('child-front', 'child-resolver'):
                self.children.append(Child(self.place.program('nameplate'), role, self.folder / f'{role}.log', prefix, 'warning'))
            with listening(SERVER, self.port) as sock:
                self.children[0].listen('dot', sock)
        self.children[0].send('CERT', self.tls.frame)
        for child in self.children:
            child.send('VIEW', self.view)
            if child.receive() != ('REDY', None):
                raise Failed(f'{self.name}: a child is not ready')
        join(*self.children)
        for child in self.children:
            child.stats()
        return self

    def __exit__(self, kind, value, trace):
        with interrupts.held():
            for child in self.children:
                child.close()
            self.children = []
        shutil.rmtree(self.folder)

    def pids(self):
        return [child.process.pid for child in self.children]


class Certificate:
    """A P-256 leaf for the own name, for all servers: files for the peers, a frame for nameplate."""

    def __init__(self, folder):
        self.frame, _ = Ca().certificate_frame(NAME)
        self.chain, self.key = folder / 'chain.pem', folder / 'key.pem'
        self.chain.write_text(self.frame['chain'])
        der = self.frame['key'] + '=' * (-len(self.frame['key']) % 4)
        base64_text = der.replace('-', '+').replace('_', '/')
        self.key.write_text(f'-----BEGIN EC PRIVATE KEY-----\n{base64_text}\n-----END EC PRIVATE KEY-----\n')


class Peer(Server):
    """lean: sized for a home and 10,000 names as its documentation has it, where memory is measured. Otherwise nothing is
    too small for what the bench asks. tls: a Certificate, with which it speaks DNS over TLS and nothing else."""

    def __init__(self, place, port, lean=False, tls=None):
        super().__init__(place, port)
        self.lean = lean
        self.tls = tls

    def ready(self):
        return self.place.client.reaches(SERVER, self.port) if self.tls else super().ready()


class Dnsmasq(Peer):
    """names: the size of its cache, as a rule the most that it takes without a warning."""
    name = 'dnsmasq'
    most = 10000

    def __init__(self, place, port, lean=False, names=most):
        super().__init__(place, port, lean)
        self.names = names

    def argv(self):
        return ['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--user=root', '--pid-file=', '--no-hosts', '--no-resolv',
                f'--port={self.port}', f'--listen-address={SERVER}', '--bind-interfaces', f'--server={UPSTREAM}#{UPSTREAM_PORT}',
                f'--host-record={NAME},{SERVER}', f'--cache-size={self.names}', f'--dns-forward-max={150 if self.lean else WAITING}',
                '--log-facility=-']


class Unbound(Peer):
    name = 'unbound'
    conf = '''\
server:
  interface: {address}@{port}
  access-control: 192.168.1.0/24 allow
  num-threads: 1
  so-reuseport: no
  module-config: "iterator"
  minimal-responses: yes
  do-not-query-localhost: no
  local-data: "{name}. 10 IN A {address}"
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  verbosity: 0
  statistics-interval: 0
{more}
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {upstream}@{upstream_port}
'''
    large = f'''\
  so-rcvbuf: 1m
  so-sndbuf: 1m
  msg-cache-size: 64m
  rrset-cache-size: 128m
  outgoing-range: 8192
  num-queries-per-thread: {WAITING}
  incoming-num-tcp: 256
'''

    def argv(self):
        more = '' if self.lean else self.large
        if self.tls:
            more += f'  tls-port: {self.port}\n  tls-service-pem: "{self.tls.chain}"\n  tls-service-key: "{self.tls.key}"\n'
        text = self.conf.format(address=SERVER, port=self.port, name=NAME, folder=self.folder, upstream=UPSTREAM,
                                upstream_port=UPSTREAM_PORT, more=more)
        return ['unbound', '-d', '-c', self.write('unbound.conf', text)]


class Kresd(Peer):
    """Knot Resolver. STUB is its fastest way to forward; modules that would start work of their own are left out."""
    name = 'knot-resolver'
    conf = '''\
net.ipv6 = false
{tls}
net.listen('{address}', {port}, {{ kind = '{kind}' }})
log_level('crit')
trust_anchors.remove('.')
modules = {{ 'hints > iterate', 'policy' }}
for _, name in ipairs({{ 'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew', 'detect_time_jump' }}) do
  pcall(modules.unload, name)
end
cache.open({cache} * MB, 'lmdb://{folder}')
hints['{name}'] = '{address}'
policy.add(policy.all(policy.STUB('{upstream}@{upstream_port}')))
'''

    def argv(self):
        tls = f"net.tls('{self.tls.chain}', '{self.tls.key}')" if self.tls else ''
        text = self.conf.format(address=SERVER, port=self.port, kind='tls' if self.tls else 'dns', tls=tls, cache=100 if self.lean else 200,
                                folder=self.folder, name=NAME, upstream=UPSTREAM, upstream_port=UPSTREAM_PORT)
        return ['kresd', '-n', '-q', '-c', self.write('kresd.conf', text), self.folder]
