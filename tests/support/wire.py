"""The wire between a real agent and a real HQ, written down: tests/wire/v1 is what it was when version 1 was promised.

Recorder stands between the two with a TLS certificate of its own, and notes each request that HQ has answered, with the bytes
of the bodies as they were, so that signatures stay valid at the time that is noted. record() makes a box and an HQ do all that
the protocol has. tests/net/test_wire.py compares that with tests/wire/v1; run as a program, this writes the folder anew (see
tests/wire/README.md)."""
import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import contract  # noqa: E402
from factory import Factory, key_pem, pem  # noqa: E402
from fake_hq import DAY, Ca, FakeHq, _Handler, _Server  # noqa: E402
from hqclient import Client, Device, b64, unb64  # noqa: E402
from hqdriver import Pebble  # noqa: E402
from lab import interrupts  # noqa: E402
from lab.paths import ROOT, find_bin_dir  # noqa: E402
from lab.waiting import wait_until  # noqa: E402
from real_agent import OUTSIDE  # noqa: E402
from real_hq import enrol_box  # noqa: E402

FOLDER = ROOT / 'tests/wire/v1'
HQ_PORT = 8443
KEPT_HEADERS = ('Content-Type', 'Authorization', 'If-None-Match')
TOLD_HEADERS = ('content-type', 'replay-nonce', 'retry-after', 'etag', 'cache-control', 'allow')
CREDENTIALS = ['claim-code', 'factory-secret', 'factory-certificate', 'open']


class Recorder(FakeHq):
    """What a device takes for HQ: it passes everything on to the real one, and notes it."""

    def __init__(self, hq, anchors):  # pylint: disable=super-init-not-called
        self.root = self.public_ca = None
        self.hq, self.hq_anchors = hq, anchors
        self.exchanges, self.refuse, self.lose = [], {}, set()
        self.lock = threading.Lock()

    def open(self, ca):
        self.root = ca
        self.present()
        self.server = _Server((OUTSIDE, 443), self, _Passing)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def step_of(self, path):
        last = path.rpartition('/')[2]
        return {'devices': 'enrol'}.get(last, last)

    def count(self, step, status=None):
        return sum(e['step'] == step and status in (None, e['answer']['status']) for e in list(self.exchanges))

    @contextlib.contextmanager
    def expects(self, step, status, deadline=30):
        """What is done inside leads to one more of these exchanges, which is waited for."""
        before = self.count(step, status)
        yield
        wait_until(lambda: self.count(step, status) > before, deadline, f'{step} answered {status}')


class _Passing(_Handler):
    """One connection of a device, and one to HQ for each request."""

    def _respond(self):
        recorder = self.server.hq
        body = self.rfile.read(int(self.headers.get('Content-Length', 0))).decode()
        step = recorder.step_of(self.path)
        refusal = recorder.refuse.pop(step, None)
        if refusal:
            self._send(*refusal)
            return
        if not self.headers.get('X-Wrong'):  # a test's device errs on purpose
            contract.saw_request(self.command, self.path, self.headers, body)
        with recorder.lock, contextlib.closing(Client(recorder.hq.url, recorder.hq_anchors, (OUTSIDE, HQ_PORT))) as client:
            sent = {name: self.headers[name] for name in KEPT_HEADERS if name in self.headers}
            at_us = time.time_ns() // 1000
            answer = client.request(self.command, self.path, body or None, **{name.replace('-', '_'): value for name, value in sent.items()})
            headers = {name: answer.headers[name] for name in TOLD_HEADERS if name in answer.headers}
            recorder.exchanges.append({
                'step': step, 'at_us': at_us, 'method': self.command, 'path': self.path,
                'headers': {name.lower(): value for name, value in sent.items()}, 'body': body,
                'answer': {'status': answer.status, 'headers': headers, 'body': answer.body.decode()}})
        if step in recorder.lose:
            recorder.lose.remove(step)
            self.close_connection = True
            return
        self._send(answer.status, headers, answer.body)

    def _send(self, status, headers, body):
        self.send_response(status)
        for name, content in {**headers, 'Content-Length': str(len(body))}.items():
            self.send_header(name, content)
        self.end_headers()
        self.wfile.write(body if self.command != 'HEAD' else b'')

    do_GET = do_HEAD = do_POST = do_PUT = _respond


def problem(word, status):
    """An answer that HQ would give in a state that this one is not in."""
    text = json.dumps({'type': contract.URN + word, 'status': status, 'detail': 'said by the recorder', 'time': int(time.time())})
    return status, {'Content-Type': 'application/problem+json', 'Replay-Nonce': b64(bytes(32)), 'Cache-Control': 'no-store'}, text.encode()


class Scene:
    """A box, its HQ, a CA, and the recorder between box and HQ."""

    def __init__(self, box, factory, ca):
        self.box, self.factory, self.ca, self.code = box, factory, ca, None
        self.recorder = Recorder(box.hq, box.folder / 'hq' / 'hq-anchors.pem')

    def open(self, ca):
        with self.box.outside.inside():
            self.recorder.open(ca)
        known = (self.box.folder / 'hq' / 'hq-anchors.pem').read_text()
        public = known[known.index('-----BEGIN PUBLIC KEY'):]
        (self.box.folder / 'anchors.pem').write_text(pem(ca.certificate) + public)

    def installed(self):
        wait_until(lambda: self.box.status().get('state') == 'installed', 30, 'the certificate is installed')

    def forget(self):
        """The box is as it left the factory, but for its clock's floor."""
        self.box.stop()
        for path in (self.box.folder / 'state').iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in (self.box.folder / 'factory').iterdir():
            path.unlink()

    def provision(self, credential):
        if credential == 'claim-code':
            self.code = self.box.hq.run('claim', 'make', '--count', '1', '--model', 'test').stdout.splitlines()[1].split(',')[1]
            self.box.put('claim-code', self.code + '\n')
        elif credential == 'factory-secret':
            self.box.put('secret', self.box.hq.run('factory-secret', 'NP-0001').stdout)
        elif credential == 'factory-certificate':
            key, chain = self.factory.box('NP-0002')
            self.box.put('key.pem', key_pem(key))
            self.box.put('certificate.pem', pem(*chain))
        else:
            lines = self.box.conf.read_text().splitlines(keepends=True)
            self.box.conf.write_text(''.join(line for line in lines if not line.startswith('factory =')))


def act(scene):
    """A box's life, so that each request and each kind of answer comes."""
    box, recorder = scene.box, scene.recorder
    scene.provision('claim-code')
    recorder.lose.add('enrol')  # so that it is repeated
    with recorder.expects('enrol', 200):
        box.start()
    scene.installed()
    with recorder.expects('addresses', 200):
        box.namespace.ip('address', 'add', '192.168.1.2/24', 'dev', 'lan0')
    scene.installed()
    with recorder.expects('package', 200):
        box.run('renew', '--new-key')
    scene.installed()
    recorder.refuse['checkin'] = problem('unknown-token', 401)
    with recorder.expects('session', 200):
        box.run('renew')
    scene.installed()
    box.stop()
    box.namespace.ip('address', 'del', '192.168.1.2/24', 'dev', 'lan0')
    with recorder.expects('checkin', 200), recorder.expects('addresses', 200):
        box.start()
    scene.installed()
    # As if HQ had lost its database: the name comes back by the grant.
    recorder.refuse |= {'checkin': problem('unknown-token', 401), 'session': problem('unknown-device', 404)}
    with recorder.expects('enrol', 200):
        box.run('renew')
    scene.installed()
    with recorder.expects('leave', 204), recorder.expects('enrol', 201):
        box.run('reset', '--reason', 'resale', '--yes')
    scene.installed()
    with recorder.expects('name', 200):
        box.run('name', 'check', 'pantry')
    with recorder.expects('name', 200), recorder.expects('package', 200):
        box.run('name', 'request', 'pantry', '--yes')
    wait_until(lambda: box.status().get('name') == 'pantry.devices.example', 30, 'the chosen name is in force')
    scene.installed()
    box.stop()
    recorder.present(begin=DAY, end=DAY * 9)  # as a box sees HQ whose clock is behind
    with recorder.expects('time', 200):
        box.start()
    recorder.present()
    for credential in CREDENTIALS[1:]:
        scene.forget()
        scene.provision(credential)
        with recorder.expects('enrol', 201):
            box.start()
    by_hand(scene)


def by_hand(scene):
    """What a good box does not do, or seldom; of a device in Python."""
    anchors = scene.box.folder / 'anchors.pem'
    root = scene.box.folder / 'root.pem'
    root.write_text(anchors.read_text().partition('-----BEGIN PUBLIC')[0])
    with scene.box.outside.inside(), contextlib.closing(Wrong(scene.box.hq.url, root, (OUTSIDE, 443))) as client:
        device = Device(client)
        for _ in range(2):
            assert device.enrol().status in (200, 201)
        for credential in ({'type': 'factory-secret', 'serial': 'NP-9', 'mac': b64(bytes(32))}, {'type': 'claim-code', 'code': '0' * 16}):
            assert Device(client).enrol(credential=credential).problem == 'bad-credential'
        assert device.session(nonce=b64(bytes(32))).problem == 'bad-nonce'
        assert device.session(url='https://other.example/v1/session').problem == 'bad-url'
        assert device.session(key=Device(client).identity).problem == 'bad-signature'
        assert device.session(kid='AAAAAAAAAAAAAAAAAAAAAA').problem == 'unknown-device'
        assert device.package(bytes(32)).problem == 'unknown-token'
        assert device.post_csr(device.csr(['other.example'])).problem == 'bad-csr'
        tag = fetched(device).headers['ETag']
        token = unb64(device.session().json['auth_token'])
        assert device.package(token, If_None_Match=tag).status == 304
        device.token = token
        choose_a_name(device)
        assert device.put_addresses(1, ['192.168.1.1', '8.8.8.8'], ['fd00::1', '2001:db8::1']).status == 200
        assert device.put_addresses(1, ['192.168.1.3']).problem == 'stale-seq'
        assert device.put_addresses(2).problem == 'malformed'
        assert device.put_addresses(2, withdraw=True).status == 200
        assert client.request('GET', '/v1/nothing').problem == 'not-found'
        assert client.request('PUT', '/v1/devices').problem == 'method-not-allowed'
        assert device.leave('compromise').status == 204
        assert device.session().problem == 'retired'


def choose_a_name(device):
    path = f'/v1/devices/{device.id}/name'
    for label, word in (('-', 'bad-name'), ('postmaster', 'name-reserved'), (device.name.partition('.')[0], 'bad-name')):
        assert device.post(path, {'name': label}).problem in (word, 'name-reserved')
    offered = device.post(path, {'name': 'kitchen', 'check': True})
    assert offered.status == 200 and offered.json['offer']
    wished = device.post(path, {'name': 'kitchen'})
    assert wished.status == 200 and wished.json['wanted'] == 'kitchen.devices.example'
    assert device.post(path, {'grant': wished.json['grant']}).json['wanted'] == wished.json['wanted']


def fetched(device):
    """The answer with the package, once it is there."""
    assert device.post_csr(device.csr()).status == 202
    last = []

    def there():
        last[:] = [device.package()]
        return last[0].status == 200
    wait_until(there, 20, 'the package')
    return last[0]


class Wrong(Client):
    """Marks its requests, so that they are not taken for an agent's."""

    def request(self, method, path, body=None, **headers):
        return super().request(method, path, body, X_Wrong='1', **headers)


def thin(exchanges):
    """Without repetitions that show nothing new: polls while a package is made."""
    kept, last = [], None
    for exchange in exchanges:
        kind = exchange['step'], exchange['answer']['status']
        if kind != last or kind not in (('package', 202), ('nonce', 204)):
            kept.append(exchange)
        last = kind
    return kept


@contextlib.contextmanager
def scene(bin_dir):
    factory = Factory()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='nameplate-wire-')))
        (folder / 'factory-ca.pem').write_text(pem(factory.root))
        made = []

        def prepare(box):
            with box.outside.inside():
                ca = Pebble(folder, 53).start()
            stack.callback(ca.stop)
            shutil.copy(folder / 'factory-ca.pem', box.hq.folder / 'factory-ca.pem')
            box.hq.configure(listen=[f'{OUTSIDE}:{HQ_PORT}'], dns_listen=[f'{OUTSIDE}:53', '127.0.0.1:53'], enrol=CREDENTIALS,
                             factory_ca=str(box.hq.folder / 'factory-ca.pem'), acme_directory=ca.directory,
                             acme_anchors=str(ca.certificate), boot_jitter=1, vanity=True)
            made.append(Scene(box, factory, ca))

        box = stack.enter_context(enrol_box(bin_dir, before_start=prepare))
        made[0].open(Ca('Recorder'))
        stack.callback(made[0].recorder.close)
        yield made[0]


def record(bin_dir):
    """(exchanges, what HQ needs to take them again)."""
    with scene(bin_dir) as running:
        try:
            act(running)
        except AssertionError as late:
            raise AssertionError(f'{late}\n{running.box.log()[-3000:]}\n{running.box.hq.log.read_text()[-3000:]}') from None
        secrets = running.box.hq.folder / 'secrets'
        keys = {name: (secrets / name).read_text().strip() for name in ('pepper', 'nonce-key', 'factory-master')}
        keys |= {'grant-key': (secrets / 'grant-key.pem').read_text(), 'factory-ca': pem(running.factory.root),
                 'url': running.box.hq.url, 'zone': 'devices.example', 'claim-code': running.code, 'claim-model': 'test'}
        return thin(running.recorder.exchanges), keys


# What is promised of them

def message(exchange):
    """The request's message: what is signed, or the body."""
    if not exchange['body']:
        return None
    body = json.loads(exchange['body'])
    return json.loads(unb64(body['payload'])) if set(body) == {'protected', 'payload', 'signature'} else body


def answer(exchange):
    text = exchange['answer']['body']
    return json.loads(text) if text else None


def members(value, path=''):
    """The paths of all members in a JSON value; what is in lists counts together."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f'{path}/{name}'
            yield from members(inner, f'{path}/{name}')
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner, f'{path}[]')


def kinds(exchanges):
    """{(step, status, which kind): (members of requests, members of answers)}; the kind is a credential's or a problem's."""
    found = {}
    for exchange in exchanges:
        asked, told = message(exchange), answer(exchange)
        status = exchange['answer']['status']
        kind = (asked or {}).get('credential', {}).get('type') if exchange['step'] == 'enrol' else None
        if status >= 400:
            kind = (told or {}).get('type', '').removeprefix(contract.URN)
        requests, answers = found.setdefault((exchange['step'], status, kind), (set(), set()))
        requests.update(members(asked))
        answers.update(members(told))
        for side, headers in ((requests, exchange['headers']), (answers, exchange['answer']['headers'])):
            side.update(f'header {name}' for name in headers)
    return found


def stored(folder=FOLDER):
    return [json.loads(path.read_text()) for path in sorted(folder.glob('[0-9]*.json'))]


def write(exchanges, keys, folder=FOLDER):
    for path in folder.glob('*.json'):
        path.unlink()
    for number, exchange in enumerate(exchanges):
        name = f'{number:03}-{exchange["step"]}-{exchange["answer"]["status"]}.json'
        (folder / name).write_text(json.dumps(exchange, indent=1) + '\n')
    (folder / 'keys.json').write_text(json.dumps(keys, indent=1) + '\n')


def main():
    parser = argparse.ArgumentParser(description='Writes tests/wire/v1 anew, from a real agent and a real HQ. Needs root.')
    parser.add_argument('--folder', type=Path, default=FOLDER)
    interrupts.install()
    folder = parser.parse_args().folder
    exchanges, keys = record(find_bin_dir())
    write(exchanges, keys, folder)
    print(f'{len(exchanges)} exchanges in {folder}')


if __name__ == '__main__':
    main()
