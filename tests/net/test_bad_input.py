"""Bad input at HQ and at both DNS servers: each is answered by a clear reason, and nothing that was stored is lost.

Where each kind of bad input is tested, on the real programs:

    wrong JSON                          test_wrong_json, test_hq.test_http
    oversized JSON                      test_oversized, test_hq.test_http, test_hq.test_answer_before_the_body_is_through
    wrong signature                     test_wrong_signature, test_hq.test_signatures
    old or foreign nonce                test_nonces, test_hq.test_signatures
    reused key                          test_reused_keys, test_hq.test_csr
    CSR: other names, bad signature     test_bad_csr, test_hq.test_csr
    addresses outside the policy        test_addresses_outside_the_policy, test_hq.test_addresses
    older and equal sequence            test_sequence_numbers, test_hq.test_addresses
    unknown or stale token              test_tokens, test_hq.test_tokens
    malformed DNS                       test_malformed_dns (both), test_resolver.test_malformed and .test_noise,
                                        test_zone.test_broken_packets
    a config with a typo                test_config_typo (agent and HQ), test_hq.test_serve_says_what_is_wrong
    1,000 half-open TLS connections     test_thousand_half_open_connections, test_hq.test_half_open_connections_cost_nothing,
                                        test_hq.test_one_address_has_a_share
    package: chain, key, name, date     test_bad_hq.test_bad_package_leaves_the_old_one, .test_first_package_is_bad
    HQ with the wrong certificate       test_bad_hq.test_wrong_certificate
    HQ that answers nonsense            test_bad_hq.test_nonsense
    damaged state                       test_bad_hq.test_damaged_state, .test_all_of_the_state_is_damaged

Below that: the parsers alone in tests/unit and tests/fuzz."""
import contextlib
import hashlib
import hmac
import ipaddress
import json
import os
import random
import re
import resource
import select
import socket
import ssl
import struct
import subprocess
import time

import dns.message
import dns.query
import dns.rcode
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hqclient import b64, common_name_csr, unb64
from hqdriver import Pebble
from hqserver import HOST, ZONE, Hq

SIGNED, JSON = 'application/jose+json', 'application/json'


class Witness:
    """A device with a name, an address and a certificate from Pebble: what no bad input may touch."""

    def __init__(self, hq, wait_until):
        self.hq, self.device = hq, hq.device('WITNESS')
        device = self.device
        assert device.enrol(v4=['192.168.1.10']).status == 201
        self.tls_key = ec.generate_private_key(ec.SECP256R1())
        assert device.post_csr(device.csr(key=self.tls_key)).status == 202
        self.package = wait_until(lambda: (answer := device.package()).status == 200 and answer, 20, 'a certificate from Pebble')
        self.poll_token, device.token = device.token, unb64(self.package.json['auth_token'])
        assert device.put_addresses(1, ['192.168.1.11']).status == 200
        wait_until(lambda: hq.lookup(device.name) == ['192.168.1.11'], 5, 'the address in the zone')

    def is_unharmed(self):
        """The same name, address, sequence number, certificate and token, on a connection of its own."""
        device = self.device
        device.client.close()
        again = device.package()
        return (again.status == 200 and again.json['chain'] == self.package.json['chain']
                and device.package(If_None_Match=again.headers['ETag']).status == 304
                and device.put_addresses(1, ['192.168.1.11']).json['seq'] == 1
                and device.session().json['name'] == device.name
                and self.hq.lookup(device.name) == ['192.168.1.11'])


@pytest.fixture(scope='module')
def hq(bin_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp('bad-input')
    ca = Pebble(folder, None)
    running = Hq(bin_dir / 'nameplate-hq', folder / 'hq', '--acme-directory', ca.directory, '--acme-anchors', ca.certificate)
    ca.dns_port = running.dns_port
    try:
        ca.start()
        yield running.start()
        assert running.stop() == 0, running.log.read_text()
    finally:
        running.stop()
        ca.stop()


@pytest.fixture(scope='module')
def witness(hq, wait_until):
    return Witness(hq, wait_until)


@pytest.fixture(autouse=True)
def unharmed(request):
    """After each test that uses HQ: the witness has what it had, the test's own device can still poll."""
    held = request.getfixturevalue('witness') if 'hq' in request.fixturenames else None
    device = request.getfixturevalue('device') if 'device' in request.fixturenames else None
    yield
    if held:
        assert held.is_unharmed()
    if device:
        device.client.close()
        assert device.package().status == 202
        assert held.hq.lookup(device.name) == device.published


@pytest.fixture
def device(hq, request):
    """An enrolled device with a serial number of its own."""
    new = hq.device(f'B-{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}')
    assert new.enrol(v4=['10.0.0.1']).status == 201
    new.published = ['10.0.0.1']
    return new


def refused(answer, status, problem, *words):
    """The answer is this problem, with a sentence that holds these words."""
    assert (answer.status, answer.problem) == (status, problem), answer.json
    assert answer.headers['Content-Type'] == 'application/problem+json' and answer.json['status'] == status
    detail = answer.json['detail']
    assert len(detail.split()) >= 4 or words, f'{detail!r} tells a person too little'
    for word in words:
        assert word in detail, f'{word!r} is not in {detail!r}'


# JSON

@pytest.mark.parametrize('member, value, words', [
    ('epoch', 'AAAA', 'epoch'), ('epoch', 7, 'epoch'), ('token', b64(bytes(33)), 'token'), ('token', 'not base64url!', 'token'),
    ('addresses', [], 'addresses'), ('addresses', {'v4': ['10.0.0.1'] * 9, 'v6': []}, 'addresses'),
    ('addresses', {'v4': ['fd00::1'], 'v6': []}, 'addresses'), ('addresses', {'v4': [], 'v6': ['fe80::1%eth0']}, 'addresses'),
    ('publish', 'everywhere', 'publish'), ('model', 'm' * 65, 'model'), ('model', 'a\x1b[2Jb', 'model'), ('version', None, 'version'),
    ('credential', {'type': 'factory-secret', 'serial': 'NP-1'}, 'mac'),
    ('credential', {'type': 'factory-secret', 'serial': 'NP 1\n', 'mac': b64(bytes(32))}, 'serial'),
])
def test_wrong_json(hq, member, value, words):
    """A well-signed enrolment with one wrong member: the reason names it."""
    box = hq.device('J-1')
    refused(box.enrol(**{member: value}), 400, 'malformed', words)


@pytest.mark.parametrize('body', [
    b'', b'{', b'[]', b'null', b'7', b'{"seq":1}', b'{"seq":"1","v4":[],"v6":[]}', b'{"seq":-1,"v4":["10.0.0.2"],"v6":[]}',
    b'{"seq":9223372036854775808,"v4":["10.0.0.2"],"v6":[]}', b'{"seq":1.5,"v4":["10.0.0.2"],"v6":[]}',
    b'{"seq":1e999,"v4":["10.0.0.2"],"v6":[]}', b'{"seq":2,"v4":["10.0.0.2"],"v6":[],"seq":3}', b'{"seq":2,"v4":["10.0.0"],"v6":[]}',
    b'{"seq":2,"v4":["10.0.0.2"],"v6":[]}}', b'{"seq":2,"v4":["10.0.0.2\\u0000"],"v6":[]}', b'{"seq":2,"v4":["\xff"],"v6":[]}',
    b'[' * 8000, b'{"a":' * 1600, b'{"seq":2,"v4":[' + b'"10.0.0.2",' * 600 + b'"10.0.0.2"],"v6":[]}',
], ids=lambda body: repr(body[:40]))
def test_wrong_json_of_addresses(hq, device, body):
    refused(device.client.request('PUT', f'/v1/devices/{device.id}/addresses', body, Content_Type=JSON, Authorization=device.bearer()),
            400, 'malformed')


def test_oversized(hq, device):
    path = f'/v1/devices/{device.id}/addresses'
    padded = json.dumps({'seq': 1, 'v4': ['10.0.0.2'], 'v6': []}).ljust(8192)
    refused(device.client.request('PUT', path, padded + ' ', Content_Type=JSON, Authorization=device.bearer()), 413, 'too-large', '8192')
    refused(device.client.request('POST', '/v1/devices', 'x' * 60000, Content_Type=SIGNED), 413, 'too-large', '8192')
    assert device.client.request('PUT', path, padded, Content_Type=JSON, Authorization=device.bearer()).status == 200
    device.published = ['10.0.0.2']
    refused(device.client.request('PUT', path, '{}', Content_Type='text/plain', Authorization=device.bearer()), 415, 'unsupported-media')


# Signatures and nonces

def flip(text):
    data = bytearray(unb64(text))
    data[len(data) // 2] ^= 1
    return b64(bytes(data))


@pytest.mark.parametrize('member, change, problem', [
    ('signature', flip, 'bad-signature'), ('signature', lambda text: b64(bytes(64)), 'bad-signature'),
    ('signature', lambda text: b64(b'\xff' * 64), 'bad-signature'), ('signature', lambda text: b64(unb64(text)[:-1]), 'malformed'),
    ('signature', lambda text: b64(unb64(text)[32:] + unb64(text)[:32]), 'bad-signature'),
    ('signature', lambda text: text + '=', 'malformed'), ('payload', lambda text: b64(b'{ }'), 'bad-signature'),
    ('payload', lambda text: None, 'malformed'), ('protected', lambda text: b64(unb64(text) + b' '), 'bad-signature'),
    ('header', lambda text: {'kid': 'x'}, 'malformed'),
])
def test_wrong_signature(hq, device, member, change, problem):
    """One member of a good JWS is changed."""
    jws = json.loads(device.sign('/v1/session', {}))
    jws[member] = change(jws.get(member))
    answer = device.client.request('POST', '/v1/session', json.dumps(jws), Content_Type=SIGNED)
    refused(answer, 400, problem, 'signature' if problem == 'bad-signature' else 'JWS')
    assert device.session().status == 200


def made_nonce(hq, age_s):
    """A nonce as HQ would have made it age_s ago, from its own key: devices only ever see that it is opaque."""
    key = bytes.fromhex((hq.folder / 'secrets' / 'nonce-key').read_text().strip())
    covered = struct.pack('>Q', int((time.time() - age_s) * 1e6)) + os.urandom(8)
    return b64(covered + hmac.new(key, covered, hashlib.sha256).digest()[:16])


def test_nonces(hq, device, bin_dir, tmp_path):
    fresh = made_nonce(hq, 0)
    assert device.session(nonce=fresh).status == 200
    refused(device.session(nonce=fresh), 400, 'bad-nonce', 'not newer')
    refused(device.session(nonce=made_nonce(hq, 1)), 400, 'bad-nonce', 'not newer', 'Replay-Nonce')
    refused(device.session(nonce=made_nonce(hq, 2 * 3600)), 400, 'bad-nonce', 'too old', 'Replay-Nonce')
    refused(device.session(nonce=made_nonce(hq, -180)), 400, 'bad-nonce', 'Replay-Nonce')  # no other HQ's clock is so far ahead
    foreign = Hq(bin_dir / 'nameplate-hq', tmp_path / 'other')
    refused(device.session(nonce=made_nonce(foreign, 0)), 400, 'bad-nonce', 'not from this HQ', 'Replay-Nonce')
    refused(device.session(nonce=flip(device.client.fresh_nonce())), 400, 'bad-nonce', 'not from this HQ')
    # The answer to a bad nonce brings a good one.
    assert device.client.nonce and device.session().status == 200


# Keys and CSRs

def test_reused_keys(hq, device, witness):
    refused(device.post_csr(device.csr(key=witness.tls_key)), 409, 'key-reused', 'another device', 'make a new one')
    refused(device.post_csr(device.csr(key=witness.device.identity)), 409, 'key-reused', 'identity key')
    refused(device.post_csr(device.csr(key=device.identity)), 409, 'key-reused', 'identity key')
    thief = hq.device('K-1')
    thief.identity = witness.tls_key
    refused(thief.enrol(), 409, 'key-reused', 'TLS key')


def csr_with(device, *names, key=None, digest=hashes.SHA256(), more=()):
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = request.add_extension(x509.SubjectAlternativeName([*names]), critical=True)
    for extension in more:
        request = request.add_extension(extension, critical=False)
    return request.sign(key or ec.generate_private_key(ec.SECP256R1()), digest).public_bytes(serialization.Encoding.DER)


def own(device):
    return x509.DNSName(device.name)


def forged(der, at=-1):
    data = bytearray(der)
    data[at] ^= 1
    return bytes(data)


BAD_CSRS = {
    'another name': (lambda d, w: d.csr(names=[w.name]), 'names'),
    'a further name': (lambda d, w: d.csr(names=[d.name, w.name]), 'exactly'),
    'the zone': (lambda d, w: d.csr(names=[ZONE]), 'names'),
    'a wildcard': (lambda d, w: d.csr(names=['*.' + d.name]), 'names'),
    'a name below': (lambda d, w: d.csr(names=['www.' + d.name]), 'names'),
    'an address': (lambda d, w: csr_with(d, own(d), x509.IPAddress(ipaddress.ip_address('192.168.1.1'))), 'exactly'),
    'a mail address': (lambda d, w: csr_with(d, x509.RFC822Name('a@b.example')), 'something else'),
    'no SAN': (lambda d, w: common_name_csr(ec.generate_private_key(ec.SECP256R1()), d.name), 'subjectAltName'),
    'a CA': (lambda d, w: csr_with(d, own(d), more=[x509.BasicConstraints(ca=True, path_length=None)]), 'extension'),
    'a bad signature': (lambda d, w: forged(d.csr()), 'signature'),
    'a key that did not sign': (lambda d, w: forged(d.csr(), 60), 'the CSR is refused'),
    'P-384': (lambda d, w: csr_with(d, own(d), key=ec.generate_private_key(ec.SECP384R1())), 'P-256'),
    'RSA': (lambda d, w: csr_with(d, own(d), key=rsa.generate_private_key(65537, 2048)), 'P-256'),
    'SHA-512': (lambda d, w: csr_with(d, own(d), digest=hashes.SHA512()), 'SHA-256'),
    'a byte too many': (lambda d, w: d.csr() + b'\0', 'bytes behind'),
    'a byte too few': (lambda d, w: d.csr()[:-1], 'PKCS#10'),
    'a certificate': (lambda d, w: b'\x30\x82\x01\x00' + bytes(256), 'PKCS#10'),
}


@pytest.mark.parametrize('kind', BAD_CSRS)
def test_bad_csr(hq, device, witness, kind):
    make, word = BAD_CSRS[kind]
    refused(device.post_csr(make(device, witness.device)), 400, 'bad-csr', word)
    assert device.package().json['state'] == 'none'


def test_csr_of_another_device(hq, device, witness):
    """One device's signature for another one's CSR."""
    path = f'/v1/devices/{witness.device.id}/csr'
    refused(device.post(path, {'csr': b64(device.csr())}), 400, 'bad-signature', 'kid')
    refused(device.post(path, {'csr': b64(device.csr())}, kid=witness.device.id), 400, 'bad-signature', 'does not verify')


# Addresses, sequence numbers, tokens

def test_addresses_outside_the_policy(hq, device):
    v4 = ['203.0.113.9', '127.0.0.1', '169.254.1.1', '0.0.0.0', '255.255.255.255', '224.0.0.1', '100.64.0.1', '10.0.0.3']
    v6 = ['2001:4860::1', '::1', 'fe80::1', '::', 'ff02::1', '64:ff9b::a00:1', '2002:a00:1::1', 'fd00::3']
    answer = device.put_addresses(1, v4, v6)
    assert answer.status == 200 and answer.json['published'] == {'v4': ['10.0.0.3'], 'v6': ['fd00::3']}, answer.json
    why = dict(text.split(': ', 1) for text in answer.json['rejected'])
    assert set(why) == {*v4[:-1], *v6[:-1]} and all(len(text.split()) >= 4 for text in why.values())
    device.published = ['10.0.0.3']
    assert hq.lookup(device.name, 'AAAA') == ['fd00::3']
    assert device.put_addresses(2, ['::ffff:10.0.0.4']).problem == 'malformed'
    # What may be published goes away when only what may not be is stated; the device hears why.
    answer = device.put_addresses(3, ['203.0.113.9'])
    assert answer.json['published'] == {'v4': [], 'v6': []} and 'published' in answer.json['rejected'][0]
    device.published = []


def test_sequence_numbers(hq, device):
    assert device.put_addresses(7, ['10.0.0.7']).status == 200
    device.published = ['10.0.0.7']
    assert device.put_addresses(7, ['10.0.0.7']).status == 200
    for seq, address in ((7, '10.0.0.8'), (6, '10.0.0.7'), (1, '10.0.0.9')):
        answer = device.put_addresses(seq, [address])
        refused(answer, 409, 'stale-seq', f'seq {seq}', 'with 8')
        assert answer.json['seq'] == 7
    refused(device.put_addresses(0, ['10.0.0.8']), 400, 'malformed', 'seq')
    refused(device.put_addresses(8), 400, 'malformed')


def test_tokens(hq, device, witness):
    box = witness.device
    refused(box.package(witness.poll_token), 401, 'stale-token', 'newer', '/v1/session')
    refused(box.put_addresses(2, ['10.6.6.6'], token=witness.poll_token), 401, 'stale-token', '/v1/session')
    for token in (device.token, os.urandom(32), bytes(32)):
        refused(box.package(token), 401, 'unknown-token', '/v1/session')
        refused(box.put_addresses(2, ['10.6.6.6'], token=token), 401, 'unknown-token', '/v1/session')
    for header in ('', 'Bearer', 'Bearer ', 'Basic ' + b64(box.token), 'Bearer ' + b64(box.token) + '=', 'Bearer ' + b64(box.token) * 99):
        answer = box.client.request('GET', f'/v1/devices/{box.id}/package', Authorization=header)
        refused(answer, 401, 'unknown-token', 'base64url')
    # What the reason says helps.
    answer = box.session()
    assert unb64(answer.json['auth_token']) == box.token


# DNS

def mutated(seeds, count, seed):
    """Queries with bytes changed, cut, doubled and inserted; and some with nothing but noise behind a good header."""
    rng = random.Random(seed)
    for _ in range(count):
        packet = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(2, max(3, len(packet)))
            kind = rng.randrange(5)
            if kind < 2:
                packet[at:at + 1] = bytes([rng.choice((0, 0x3f, 0x40, 0xc0, 0xff, rng.randrange(256)))])
            elif kind == 2:
                del packet[at:]
            elif kind == 3:
                packet[at:at] = rng.randbytes(rng.randrange(1, 20))
            else:
                packet[at:] = packet[12:] * rng.randrange(1, 4)
        yield bytes(packet[:4096])


@pytest.fixture
def resolver(bin_dir, tmp_path):
    """`nameplate resolver` for one own name, without an upstream: (process, port, name, address)."""
    view = {'version': 1, 'role': 'router', 'zone': ZONE, 'ttl': 10, 'serial': 1, 'own': [{'name': f'own-name.{ZONE}', 'https': True}],
            'primary': {'v4': ['192.168.1.1'], 'v6': []}}
    (tmp_path / 'view.json').write_text(json.dumps(view))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    log = open(tmp_path / 'log', 'w')
    argv = [bin_dir / 'nameplate', 'resolver', '--view', tmp_path / 'view.json', '--port', str(port), '--listen', '127.0.0.1']
    with log, subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL) as process:
        yield process, port, f'own-name.{ZONE}', '192.168.1.1'
        process.terminate()
        assert process.wait(10) == 0, (tmp_path / 'log').read_text()


@pytest.mark.parametrize('server', ['hq', 'resolver'])
def test_malformed_dns(request, server, wait_until):
    """Thousands of mutated queries over UDP and TCP: answered in form or not at all, and good ones right afterwards."""
    if server == 'hq':
        witness = request.getfixturevalue('witness')
        process, port, name, address = witness.hq.process, witness.hq.dns_port, witness.device.name, '192.168.1.11'
    else:
        process, port, name, address = request.getfixturevalue('resolver')

    def is_answered(send=dns.query.udp):
        with contextlib.suppress(dns.exception.Timeout):
            answer = send(dns.message.make_query(name, 'A', use_edns=0), '127.0.0.1', port=port, timeout=2)
            return answer.rcode() == dns.rcode.NOERROR and [item.address for rrset in answer.answer for item in rrset] == [address]
    wait_until(is_answered, 10, 'the first answer')
    seeds = [dns.message.make_query(text, kind, use_edns=edns, want_dnssec=edns == 0).to_wire()
             for text in (name, ZONE, f'_acme-challenge.{name}', 'a.' * 100 + 'example')
             for kind in ('A', 'TXT', 'ANY', 'AXFR') for edns in (-1, 0)]
    replies = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(('127.0.0.1', port))
        sock.setblocking(False)
        for number, packet in enumerate(mutated(seeds, 4000, 20261122)):
            sock.send(packet)
            with contextlib.suppress(BlockingIOError):
                while reply := sock.recv(4096):
                    replies += 1
                    assert len(reply) >= 12 and reply[2] & 0x80
            if number % 500 == 499:
                assert is_answered(), f'after packet {number}'
    assert replies > 500
    for number, packet in enumerate(mutated(seeds, 60, 5)):
        # Right and wrong lengths, several in a row, the end of the stream in the middle of one.
        length = struct.pack('!H', len(packet) + (0, 1, -1)[number % 3] if packet else 9)
        with socket.create_connection(('127.0.0.1', port), 5) as sock, contextlib.suppress(OSError):  # closed at once
            sock.sendall((length + packet) * 3)
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(5)
            while sock.recv(4096):
                pass
    assert is_answered() and is_answered(dns.query.tcp)
    assert process.poll() is None


# Configuration

AGENT_CONF = 'hq = "https://hq.devices.example"\nhq-anchors = "/nowhere"\n'
HQ_CONF = 'zone = "devices.example"\n'


@pytest.mark.parametrize('program, verb, good, typo, text', [
    ('nameplate', 'agent', AGENT_CONF, 'upstraem = {"192.0.2.53"}',
     "unknown key 'upstraem', did you mean 'upstream'?"),
    ('nameplate', 'agent', AGENT_CONF, 'role = ruoter', 'must be one of host router'),
    ('nameplate', 'agent', AGENT_CONF, 'dns-port = 70000', 'dns-port'),
    ('nameplate', 'agent', AGENT_CONF, 'dns-port = fifty', 'dns-port'),
    ('nameplate', 'agent', '', 'hq = "http://hq.devices.example"', 'must be https://'),
    ('nameplate', 'agent', AGENT_CONF, 'lan = {"br-lan"', 'premature end of file'),
    ('nameplate-hq', 'serve', HQ_CONF, 'nameserver = {"ns1.devices.example=192.0.2.1"}',
     "did you mean 'nameservers'?"),
    ('nameplate-hq', 'serve', HQ_CONF, 'ttl = 0', 'ttl'),
    ('nameplate-hq', 'serve', HQ_CONF, 'acme-terms-agreed = yess', 'acme-terms-agreed'),
])
def test_config_typo(bin_dir, tmp_path, program, verb, good, typo, text):
    """The file and the line, what is wrong, and what was perhaps meant; nothing is made or opened."""
    conf = tmp_path / 'nameplate.conf'
    conf.write_text(good + typo + '\n')
    done = subprocess.run([bin_dir / program, verb, '--config', conf], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 1 and text in done.stderr, done.stderr
    assert re.search(rf'{conf}:\d+: ', done.stderr)
    assert list(tmp_path.iterdir()) == [conf]


# Half-open TLS connections

CONNECTIONS, SOURCES = 1000, 20


def client_hello():
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing := ssl.MemoryBIO(), server_hostname=HOST)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def test_thousand_half_open_connections(hq, witness):
    """Silent after a ClientHello, after half of one, and after nothing: under 5 % of a core for all, and others are served.

    From 20 addresses, since HQ's defaults give one address 64 connections (test_hq.test_one_address_has_a_share): an
    attacker with one address gets no further than that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    hello = client_hello()
    with contextlib.ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        before = hq.cpu_seconds()
        socks = []
        for number in range(CONNECTIONS):
            source = f'127.0.1.{1 + number % SOURCES}'
            socks.append(held.enter_context(socket.create_connection(('127.0.0.1', hq.port), 5, source_address=(source, 0))))
            socks[-1].sendall((hello, hello[:100], b'')[number % 3])
        for sock in socks[::3]:
            assert sock.recv(1)  # its ServerHello: the handshakes' own work is done
        opened = hq.cpu_seconds()
        begun = time.monotonic()
        select.select([], [], [], 5)
        used = (hq.cpu_seconds() - opened) / (time.monotonic() - begun)
        print(f'\n{CONNECTIONS} half-open connections: opening {opened - before:.2f} s of CPU, then {used:.2%} of a core')
        assert used < 0.05
        assert witness.is_unharmed()
