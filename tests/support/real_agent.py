"""A real agent in a namespace, with an HQ (fake_hq) on the other machine of its LAN."""
import contextlib
import json
import os
import shutil
import socket
import ssl
import tempfile
from pathlib import Path

from fake_hq import HOST, NAME, FakeHq, pem
from lab.namespaces import Namespace, attempt, link
from lab.programs import unprivileged
from lab.waiting import wait_until

BOX, OUTSIDE = '192.168.1.1', '192.168.1.7'
UID = 684990  # of nobody else: the agent's and its folders'

CONF = """\
hq = "https://{host}"
hq-anchors = "{folder}/anchors.pem"
role = router
lan = {{"lan0"}}
state = "{folder}/state"
run = "{folder}/run"
upstream = {{"{server}"}}
log-level = debug
"""


class Box:
    """A box on a LAN with one other machine, where HQ, its name server and the clients are."""

    def __init__(self, program, folder, namespace, outside, conf=''):
        self.program, self.folder, self.namespace, self.outside = program, folder, namespace, outside
        with outside.inside():
            self.hq = FakeHq(OUTSIDE)
        self.conf, self.log_path = folder / 'nameplate.conf', folder / 'log'
        self.process = None
        self.environment = {}  # of the agent, beside ours
        self.begin = 0
        for name in ('state', 'run'):
            (folder / name).mkdir()
            os.chown(folder / name, UID, UID)
        (folder / 'anchors.pem').write_text(pem(self.hq.root.certificate) + self.hq.time_pem())
        self.conf.write_text(CONF.format(host=HOST, folder=folder, server=OUTSIDE) + conf)

    def start(self, *preparation, wait=True):
        """preparation: commands for a shell, in a mount namespace of the agent's own."""
        private = ['unshare', '--mount', 'sh', '-ec', '\n'.join((*preparation, 'exec "$@"')), 'sh'] if preparation else []
        self.begin = self.log_path.stat().st_size if self.log_path.exists() else 0
        self.process = self.namespace.spawn(*private, *unprivileged(UID), self.program, 'agent', '--config', self.conf, log=self.log_path,
                                            env={**os.environ, **self.environment})
        if wait:
            wait_until(lambda: self.status(), 10, 'the control socket')

    def kill(self):
        """As the kernel's OOM killer does it, which its children survive for a moment."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self):
        if self.process:
            self.process.terminate()
            assert self.process.wait(10) == 0, self.log()
        self.process = None

    def restart(self):
        self.stop()
        self.start()

    def log(self):
        """Since the last start."""
        return self.log_path.read_text()[self.begin:]

    def says(self, text, deadline=10):
        """Waits for text in the log of this start."""
        wait_until(lambda: text in self.log() or self.process.poll() is not None, deadline, f'{text!r} in the log')
        assert text in self.log(), self.log()

    def status(self):
        code, out, _ = attempt(*self.namespace.argv(self.program, 'status', '--json', '--config', self.conf), timeout=10)
        return json.loads(out) if code == 0 and out.strip() else {}

    def complains(self, text, deadline=10):
        """Waits until `nameplate status` tells a person so."""
        return wait_until(lambda: any(text in line for line in self.status().get('problems', [])), deadline, f'{text!r} in the status')

    def serial(self):
        """Of the certificate that is served, after a verified handshake; OSError while there is none."""
        context = ssl.create_default_context(cadata=pem(self.hq.public_root.certificate))
        with self.outside.inside():
            raw = socket.create_connection((BOX, 443), 2)
        with raw, context.wrap_socket(raw, server_hostname=NAME) as tls:
            return tls.getpeercert()['serialNumber']

    def generations(self):
        """The folders of the stored generations, oldest first."""
        folders = (self.folder / 'state').glob('generation-*')
        return sorted(folders, key=lambda path: int(path.name.rpartition('-')[2]))


@contextlib.contextmanager
def a_box(bin_dir, conf=''):
    """A box that has never been switched on, with more lines in its configuration. Not under pytest's folder: the agent's
    user cannot look into that."""
    folder = Path(tempfile.mkdtemp(prefix='nameplate-bi-'))
    folder.chmod(0o755)
    namespace, outside = (Namespace(f'bi-{role}-{folder.name[-8:]}') for role in ('box', 'out'))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        for space in (namespace, outside):
            stack.callback(space.delete)
            space.create()
        link(namespace, 'lan0', outside, 'eth0')
        namespace.ip('address', 'add', f'{BOX}/24', 'dev', 'lan0')
        outside.ip('address', 'add', f'{OUTSIDE}/24', 'dev', 'eth0')
        running = Box(bin_dir / 'nameplate', folder, namespace, outside, conf)
        stack.callback(running.hq.close)
        yield running
        running.stop()
