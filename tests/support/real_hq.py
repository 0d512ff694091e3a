"""A real nameplate-hq in a namespace, for boxes that really enrol: it serves its own zone, and the box asks it alone."""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from hqserver import HOST, ZONE, Hq
from lab.namespaces import Namespace, attempt, link
from lab.waiting import wait_until
from real_agent import BOX, CONF, OUTSIDE, UID, Box


class RealHq(Hq):
    """HQ at an address of a namespace, on the ports of the field; certificates come from nowhere."""

    def __init__(self, program, folder, namespace, address, *options):
        self.program, self.folder, self.namespace = program, folder, namespace
        self.url, self.port, self.dns_port = f'https://{HOST}', 443, 53
        self.conf, self.log, self.process = folder / 'nameplate-hq.conf', folder / 'log', None
        subprocess.run([program, 'init', '--zone', ZONE, '--url', self.url, '--dir', folder, '--listen', f'{address}:443',
                        '--dns-listen', f'{address}:53', '--nameserver', f'ns1.{ZONE}={address}', '--address', address,
                        '--acme-directory', 'https://127.0.0.1:9/dir', '--agree-tos', *options],
                       capture_output=True, text=True, check=True)
        with self.conf.open('a') as conf:
            conf.write('dns-rate-limit = 0\n')

    def start(self):
        with self.namespace.inside():
            super().start()
        return self

    def stop(self, *number):
        with self.namespace.inside():
            return super().stop(*number)

    def rows(self):
        """The rows of `device list`."""
        return json.loads(self.run('device', 'list', '--json').stdout)

    def devices(self):
        """{serial: row} of `device list`."""
        return {row['serial']: row for row in self.rows()}

    def wait_device(self, condition, deadline=30, what='the device at HQ'):
        """The first row of `device list` for which condition holds."""
        return wait_until(lambda: next((row for row in json.loads(self.run('device', 'list', '--json').stdout) if condition(row)), None),
                          deadline, what)


class EnrolBox(Box):
    """A Box at a RealHq, with a folder `factory` that only its user can read."""

    def __init__(self, bin_dir, folder, namespace, outside, hq_options, conf):  # pylint: disable=super-init-not-called
        self.program, self.folder, self.namespace, self.outside = bin_dir / 'nameplate', folder, namespace, outside
        (folder / 'hq').mkdir()
        self.hq = RealHq(bin_dir / 'nameplate-hq', folder / 'hq', outside, OUTSIDE, *hq_options)
        self.conf, self.log_path = folder / 'nameplate.conf', folder / 'log'
        self.process, self.begin, self.environment = None, 0, {}
        for name in ('state', 'run', 'factory'):
            (folder / name).mkdir(mode=0o700)
            os.chown(folder / name, UID, UID)
        (folder / 'anchors.pem').write_text((folder / 'hq' / 'hq-anchors.pem').read_text())
        self.conf.write_text(CONF.format(host=HOST, folder=folder, server=OUTSIDE) + f'factory = "{folder}/factory"\nmodel = "test"\n' + conf)

    def put(self, name, text):
        """A file from the factory."""
        path = self.folder / 'factory' / name
        path.write_text(text)
        path.chmod(0o400)
        os.chown(path, UID, UID)

    def run(self, *words, check=True):
        code, out, err = attempt(*self.namespace.argv(self.program, *words, '--config', self.conf), timeout=90)
        assert code == 0 or not check, out + err
        return code, out, err


@contextlib.contextmanager
def enrol_box(bin_dir, *hq_options, conf='', before_start=None):
    """A box that has never been switched on, at a running HQ that takes the credentials that hq_options say; before_start(box)
    is called before HQ starts."""
    folder = Path(tempfile.mkdtemp(prefix='nameplate-eb-'))
    folder.chmod(0o755)
    namespace, outside = (Namespace(f'eb-{role}-{folder.name[-8:]}') for role in ('box', 'out'))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        for space in (namespace, outside):
            stack.callback(space.delete)
            space.create()
        link(namespace, 'lan0', outside, 'eth0')
        namespace.ip('address', 'add', f'{BOX}/24', 'dev', 'lan0')
        outside.ip('address', 'add', f'{OUTSIDE}/24', 'dev', 'eth0')
        box = EnrolBox(bin_dir, folder, namespace, outside, hq_options, conf)
        stack.callback(box.hq.stop)
        if before_start:
            before_start(box)
        box.hq.start()
        yield box
        box.stop()
        assert box.hq.stop() == 0, box.hq.log.read_text()
