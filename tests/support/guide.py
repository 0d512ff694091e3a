"""The guides in docs/ as programs: their blocks, and the machine that they are run on.

A fenced block is, by the word behind its fence,

    sh         run: all of a guide's, in their order, on one fresh machine, as root; a step that fails fails the test
    sh wait    likewise, again and again until it succeeds and shows what the next output block has (60 s)
    output     what the sh block before it printed: these lines in this order, among others; `...` stands for anything
    console    commands that cannot be run here; tests/net/test_guides.py lists each of them with the reason
    anything else (conf, nginx, ...) is an example of a file, not a command

The machine is this one's file system under a layer that is thrown away (overlayfs), with a network, processes and /run of its own,
an interface eth0 with a cable to another network, and a `systemctl` that does what the units say (support/systemctl.py), since no systemd is PID 1 here."""
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from lab.namespaces import Namespace, command, link
from lab.paths import ROOT
from lab.waiting import pause, wait_until

DOCS = ROOT / 'docs'
SHIMS = Path(__file__).resolve().parent
BLOCK = re.compile(r'^(?P<indent> *)```(?P<kind>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$', re.M | re.S)
PATIENCE = 60
FILES = ('conf', 'ini', 'csv', 'nginx', 'json', 'python', 'text', '')  # examples of files and of what is seen


@dataclass
class Block:
    kind: str
    text: str
    line: int
    output: list = field(default_factory=list)

    def commands(self):
        """Command lines of a console block, without their prompts."""
        return [line.removeprefix('$ ').strip() for line in self.text.splitlines() if line.strip()]


def blocks(path):
    """All fenced blocks of a guide; output blocks are with what printed them."""
    text, found = path.read_text(), []
    for match in BLOCK.finditer(text):
        block = Block(match['kind'].strip(), match['text'], text[:match.start()].count('\n') + 2)
        if block.kind == 'output':
            assert found and found[-1].kind.startswith('sh'), f'{path.name}:{block.line}: output of nothing'
            found[-1].output += [line for line in block.text.splitlines() if line.strip()]
        else:
            found.append(block)
    return found


def unfenced_commands(path):
    """Lines outside of fences that look like commands of an indented block: nobody would run them."""
    text = BLOCK.sub('', path.read_text())
    return [line for line in text.splitlines()
            if re.match(r' {4}(\$ )?(sudo|apt|apt-get|nameplate|nameplate-hq|systemctl|openssl|tests/lab|cmake|ip|nft|cat|curl|dig) ', line)]


def shows(output, wanted):
    """The first of the wanted lines that output does not have, after those before it; None: it has them all."""
    lines = iter(output.splitlines())
    for want in wanted:
        pattern = re.compile(r'\s*' + r'.*'.join(re.escape(part) for part in want.strip().split('...')) + r'\s*')
        if not any(pattern.fullmatch(line) for line in lines):
            return want
    return None


class Machine:
    """Enter to have it."""

    def __init__(self, name, *addresses, outside=()):
        """addresses are eth0's; those outside are at the other end of its cable, in a network of their own (run(..., outside=True))."""
        self.namespace, self.outside = (Namespace(f'g-{name}{end}-{os.getpid()}') for end in ('', 'o'))
        self.addresses, self.far = addresses, outside
        self.folder = self.holder = self.pid = None
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix='nameplate-guide-'))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            stack.callback(self.namespace.delete)
            stack.callback(self.outside.delete)
            for namespace in (self.namespace, self.outside):
                namespace.create()
            link(self.namespace, 'eth0', self.outside, 'eth0')
            for namespace, addresses in ((self.namespace, self.addresses), (self.outside, self.far)):
                for address in addresses:
                    namespace.ip('address', 'add', address, 'dev', 'eth0')
            if self.far:
                self.namespace.ip('route', 'add', self.far[0].replace('.10/24', '.0/24'), 'dev', 'eth0')
                self.outside.ip('route', 'add', self.addresses[0].replace('.1/24', '.0/24'), 'dev', 'eth0')
            self.holder = self.namespace.spawn('unshare', '--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private',
                                               'bash', '-e', '-c', SET_UP, 'guide', self.folder, ROOT, log=self.folder / 'log')
            stack.callback(self._end)
            wait_until(self._ready, 20, 'the machine')
            for name, text in SHELL.items():
                self.put(f'/usr/local/sbin/{name}', text, 0o755)
            self.put('/usr/bin/systemctl', (SHIMS / 'systemctl.py').read_text(), 0o755)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _end(self):
        self.holder.kill()
        self.holder.wait()

    def _ready(self):
        assert self.holder.poll() is None, (self.folder / 'log').read_text()
        children = Path(f'/proc/{self.holder.pid}/task/{self.holder.pid}/children').read_text().split()
        self.pid = int(children[0]) if children else None
        return bool(self.pid) and Path(f'/proc/{self.pid}/root/run/guide').exists()

    def path(self, path):
        """Where that path of the machine is to be found from here."""
        return Path(f'/proc/{self.pid}/root{path}')

    def put(self, path, content, mode=0o644):
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content) if isinstance(content, str) else target.write_bytes(content)
        target.chmod(mode)

    def run(self, script, deadline=300, outside=False):
        """(exit status, what it printed). Folder and exported variables are those that the step before left; programs in the background
        go on."""
        number = len(list(self.path('/root').glob('step-*.sh')))
        self.put(f'/root/step-{number}.sh', STEP.format(script=script))
        out = self.folder / f'step-{number}.out'
        argv = ['nsenter', '-t', str(self.pid), '-m', '-p', f'-n/run/netns/{(self.outside if outside else self.namespace).name}', '-r', '-w', 'env', '-i', 'HOME=/root', 'TERM=dumb',
                'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C.UTF-8', 'DEBIAN_FRONTEND=noninteractive', f'REPOSITORY={ROOT}',
                'bash', '-e', '-o', 'pipefail', f'/root/step-{number}.sh']
        with out.open('wb') as to:
            try:
                status = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=to, stderr=subprocess.STDOUT, check=False, timeout=deadline).returncode
            except subprocess.TimeoutExpired:
                status = 'not ended'
        return status, out.read_text(errors='replace')


# $1: a folder of ours, $2: the repository, which may be a file system of its own.
SET_UP = '''
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1"/{upper,work,root,rupper,rwork}
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir -p ".$2"  # which may lie below /tmp
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/rupper,workdir=$1/rwork" ".$2"
mkdir -p run/lock var/lib/apt/lists/partial
printf '127.0.0.1 localhost\\n::1 localhost\\n' > etc/hosts
: > run/guide
exec chroot . sleep infinity
'''

STEP = '''
[ ! -e /run/guide-env ] || . /run/guide-env
[ ! -e /run/guide-pwd ] && cd "$REPOSITORY" || cd "$(cat /run/guide-pwd)"
set -a  # the next step has what this one sets
{script}
export -p | grep -v -e ' PATH=' -e ' _=' -e ' SHLVL=' > /run/guide-env
pwd > /run/guide-pwd
'''

SHELL = {
    'sudo': '#!/bin/sh\nif [ "$1" = -u ]; then user=$2; shift 2; exec runuser -u "$user" -- "$@"; fi\nexec "$@"\n',
    'policy-rc.d': '#!/bin/sh\nexit 101\n',
}


def follow(machine, path, skip=lambda block: None):
    """Runs a guide's blocks; skip(block) says why one is not to be run, or None. Returns how many were run."""
    count = 0
    for block in blocks(path):
        if os.environ.get('NAMEPLATE_GUIDE_TIMES'):
            print(f'{time.monotonic():.1f} {path.name}:{block.line}', flush=True)
        if block.kind not in ('sh', 'sh wait') or skip(block):
            continue
        end = time.monotonic() + (PATIENCE if block.kind == 'sh wait' else 0)
        while True:
            status, output = machine.run(block.text)
            missing = shows(output, block.output) if status == 0 else None
            if status == 0 and not missing:
                break
            what = f'ended with {status}' if status else f'does not show {missing!r}'
            assert time.monotonic() < end, f'{path.name}:{block.line}: this step {what}:\n{block.text}\n{output[-4000:]}'
            pause(0.2)
        count += 1
    return count


def package(machine, name, bin_dir, source):
    """A Debian package of programs that are built already, as agent/packaging or hq/packaging say what goes where: as far as a guide
    can tell the same as `tests/lab package` makes, which takes minutes (tests/net/test_packages.py has that)."""
    debian = ROOT / source / 'packaging/debian'
    tree = machine.folder / f'deb-{name}'
    (tree / 'DEBIAN').mkdir(parents=True)
    (tree / 'usr/bin').mkdir(parents=True)
    shutil.copy(bin_dir / name, tree / 'usr/bin' / name)
    for line in (debian / f'{name}.install').read_text().splitlines():
        *sources, target = line.split()
        (tree / target).mkdir(parents=True, exist_ok=True)
        for pattern in sources:
            for found in ROOT.glob(pattern):
                (shutil.copytree if found.is_dir() else shutil.copy)(found, tree / target / found.name)
    examples = debian / f'{name}.examples'
    for pattern in examples.read_text().split() if examples.exists() else ():
        target = tree / 'usr/share/doc' / name / 'examples'
        target.mkdir(parents=True, exist_ok=True)
        for found in ROOT.glob(pattern):
            if found.is_dir():
                shutil.copytree(found, target / found.name)
            else:
                shutil.copy(found, target / found.name)
    for kind, folder in (('sysusers', 'sysusers.d'), ('tmpfiles', 'tmpfiles.d')):
        (tree / 'usr/lib' / folder).mkdir(parents=True)
        shutil.copy(debian / f'{name}.{kind}', tree / 'usr/lib' / folder / f'{name}.conf')
    version = re.match(rf'{name} \(([^)]+)\)', (debian / 'changelog').read_text())[1]
    architecture = command('dpkg', '--print-architecture').strip()
    (tree / 'DEBIAN/control').write_text(f'Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n'
                                         f'Maintainer: tests <tests@localhost>\nDescription: of the tests\n')
    post = tree / 'DEBIAN/postinst'
    post.write_text(f'#!/bin/sh\nset -e\nsystemd-sysusers {name}.conf\nsystemd-tmpfiles --create {name}.conf\n')
    post.chmod(0o755)
    deb = machine.folder / f'{name}_{version}_{architecture}.deb'
    command('dpkg-deb', '-b', '-Znone', '--root-owner-group', tree, deb)
    machine.put(f'{ROOT}/build/deb/{deb.name}', deb.read_bytes())
