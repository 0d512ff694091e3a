"""uacme, lego and certbot, each set up for its best: an account made beforehand, no waiting for propagation, updates of the same
name server by the same key. What is timed is one command: a new name to its chain on disk."""
import os
import subprocess
import time
from pathlib import Path

from hqserver import ZONE
from lab.namespaces import Failed

DEADLINE_S = 120
BUNDLE = '/etc/ssl/certs/ca-certificates.crt'

# $1: the name server's port, $2: the key as knsupdate takes it, $3: add or delete, $4: the name, $5: the value.
UPDATE = '''#!/bin/sh
knsupdate -y "$2" <<END
server 127.0.0.1 $1
zone {zone}.
$(if [ "$3" = add ]; then echo "add _acme-challenge.$4. 1 TXT \\"$5\\""; else echo "del _acme-challenge.$4. TXT"; fi)
send
END
'''
UACME_HOOK = '''#!/bin/sh
[ "$2" = dns-01 ] || exit 1
case "$1" in
begin) exec {update} {port} {key} add "$3" "$5" ;;
*) exec {update} {port} {key} delete "$3" ;;
esac
'''
CERTBOT_HOOK = '''#!/bin/sh
exec {update} {port} {key} {verb} "$CERTBOT_DOMAIN" "$CERTBOT_VALIDATION"
'''


class Clients:
    """The three against a Pebble and a name server (tests/support/nameservers)."""

    def __init__(self, folder, pebble, server):
        self.folder, self.pebble, self.server = Path(folder), pebble, server
        self.folder.mkdir()
        self.issued = 0
        update = self._script('update', UPDATE.format(zone=ZONE))
        key = server.zone_key
        values = {'update': update, 'port': server.port, 'key': f'{key.algorithm}:{key.name}:{key.secret}'}
        self.uacme_hook = self._script('uacme-hook', UACME_HOOK.format(**values))
        self.certbot_hooks = [self._script(f'certbot-{verb}', CERTBOT_HOOK.format(verb=verb, **values)) for verb in ('add', 'delete')]

    def _script(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def _run(self, argv, **environment):
        """libcurl of uacme knows only the system's anchors: it sees the CA's in their place."""
        inside = f'mount --bind {self.pebble.certificate} {BUNDLE} && exec "$@"'
        done = subprocess.run(['unshare', '-m', 'sh', '-c', inside, 'client', *map(str, argv)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=DEADLINE_S, check=False, env={**os.environ, **environment})
        if done.returncode:
            raise Failed(f'{argv[0]}: {(done.stderr or done.stdout)[-500:]}')

    def prepare(self, kind):
        """The account."""
        if kind == 'uacme':
            self._run(['uacme', '-a', self.pebble.directory, '-c', self.folder / 'uacme', '-y', '-t', 'EC', 'new'])
        elif kind == 'certbot':
            self._run(['certbot', 'register', *self._certbot()], REQUESTS_CA_BUNDLE=str(self.pebble.certificate))
        else:
            self.issue_s('lego')  # makes its account with the first certificate

    def _certbot(self):
        words = ['--server', self.pebble.directory, '--non-interactive', '--agree-tos', '--register-unsafely-without-email']
        for folder in ('config', 'work', 'logs'):
            words += [f'--{folder}-dir', self.folder / f'certbot-{folder}']
        return words

    def issue_s(self, kind):
        """Seconds for a certificate of a new name."""
        self.issued += 1
        name = f'peer-{self.issued}.{ZONE}'
        begun = time.monotonic()
        getattr(self, kind)(name)
        return time.monotonic() - begun

    def uacme(self, name):
        self._run(['uacme', '-a', self.pebble.directory, '-c', self.folder / 'uacme', '-h', self.uacme_hook, '-t', 'EC', '-b', '256',
                   'issue', name])

    def certbot(self, name):
        self._run(['certbot', 'certonly', *self._certbot(), '--manual', '--preferred-challenges', 'dns', '--manual-auth-hook',
                   self.certbot_hooks[0], '--manual-cleanup-hook', self.certbot_hooks[1], '--key-type', 'ecdsa', '-d', name],
                  REQUESTS_CA_BUNDLE=str(self.pebble.certificate))

    def lego(self, name):
        key = self.server.zone_key
        self._run(['lego', '--server', self.pebble.directory, '--accept-tos', '--email', 'bench@example.org', '--path',
                   self.folder / 'lego', '--key-type', 'ec256', '--dns', 'rfc2136', '--dns.disable-cp', '--dns.resolvers',
                   f'127.0.0.1:{self.server.port}', '--domains', name, 'run'],
                  LEGO_CA_CERTIFICATES=str(self.pebble.certificate), RFC2136_NAMESERVER=f'127.0.0.1:{self.server.port}',
                  RFC2136_TSIG_KEY=key.name, RFC2136_TSIG_ALGORITHM=f'{key.algorithm}.', RFC2136_TSIG_SECRET=key.secret,
                  RFC2136_POLLING_INTERVAL='1', RFC2136_TTL='1')
