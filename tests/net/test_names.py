"""Names that owners choose, with everything real: a box, its HQ and Pebble with certificates that live for a minute; the two names
as a client at home and the Internet meet them, and what HQ's operator sees. And devices in Python, two of which want one name."""
import concurrent.futures
import contextlib
import http.client
import json
import re
import socket
import ssl
import urllib.request

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import pytest

import schemas
from hqclient import unb64
from hqdriver import Pebble
from hqserver import ZONE, Hq
from lab.waiting import wait_until
from real_agent import BOX, OUTSIDE
from real_hq import enrol_box

LIFE_S = 40
CHOSEN = f'kitchen.{ZONE}'


def kill_and_start(hq):
    hq.stop(9)
    hq.log.write_text('')  # start waits for a line of it
    hq.start()


# ---- A real box ----

class Home:
    """A box, and clients at home and on the Internet, which are the machine on the other side of its LAN."""

    def __init__(self, box, ca):
        self.box, self.hq, self.ca = box, box.hq, ca
        context = ssl._create_unverified_context()
        with box.outside.inside():
            roots = urllib.request.urlopen(f'https://127.0.0.1:{ca.management_port}/roots/0', context=context, timeout=10).read()
        self.tls = ssl.create_default_context(cadata=roots.decode())

    def name(self, *words, code=0):
        """`nameplate name ... --json`, as its schema has it."""
        status, out, err = self.box.run('name', *words, '--json', check=False)
        assert status == code, (status, out, err)
        return schemas.check('name', json.loads(out)) if out.strip() else None

    def names(self):
        """(name, wanted, old) as the status has them."""
        status = self.box.status()
        naming = status['naming']
        return status['name'], naming['wanted'], (naming['old'] or {}).get('name')

    def handshake(self, name):
        """The names of the certificate that a client of that name sees, verified."""
        with self.box.outside.inside():
            raw = socket.create_connection((BOX, 443), 5)
        with raw, self.tls.wrap_socket(raw, server_hostname=name) as tls:
            return {value for _, value in tls.getpeercert()['subjectAltName']}

    def redirected(self, name):
        with self.box.outside.inside():
            connection = http.client.HTTPConnection(BOX, 80, timeout=5)
            with contextlib.closing(connection):
                connection.request('GET', '/page', headers={'Host': name})
                answer = connection.getresponse()
                return answer.status, answer.getheader('Location')

    def ask(self, server, name):
        """The addresses; None while nobody answers."""
        try:
            with self.box.outside.inside():
                answer = dns.query.udp(dns.message.make_query(name, 'A'), server, timeout=2)
        except dns.exception.Timeout:
            return None
        return sorted(record.address for rrset in answer.answer for record in rrset if record.rdtype == dns.rdatatype.A)

    def move(self, old, new):
        self.box.namespace.ip('address', 'del', f'{old}/24', 'dev', 'lan0')
        self.box.namespace.ip('address', 'add', f'{new}/24', 'dev', 'lan0')

    def is_shown(self, name):
        """By the box at home, and by the zone."""
        return self.ask(BOX, name) == [BOX] and self.ask(OUTSIDE, name) == [BOX]


@pytest.fixture
def home(bin_dir, tmp_path):
    """A box with its first certificate, at an HQ that lets owners choose."""
    with enrol_box(bin_dir, '--enrol', 'factory-secret') as box, contextlib.ExitStack() as stack:
        with box.outside.inside():
            ca = Pebble(tmp_path, 53, life_s=LIFE_S, PEBBLE_AUTHZREUSE='0').start()
        stack.callback(ca.stop)
        assert box.hq.stop() == 0
        box.hq.configure(acme_directory=ca.directory, acme_anchors=str(ca.certificate), vanity=True, vanity_days=0,
                         dns_listen=[f'{OUTSIDE}:53', '127.0.0.1:53'])
        box.hq.start()
        box.put('secret', box.hq.run('factory-secret', 'NP-0001').stdout)
        box.start()
        wait_until(lambda: (box.status().get('certificate') or {}).get('valid'), 30, 'the first certificate')
        yield Home(box, ca)


def test_from_one_name_to_the_other(home):
    old = home.box.status()['name']
    assert home.name()['name'] == old
    # Would it do? Nothing is changed by asking.
    answer = wait_until(lambda: (found := home.box.run('name', 'check', 'Kitchen', '--json', check=False))[0] == 0 and found[1], 30, 'an offer')
    offer = schemas.check('name', json.loads(answer))
    assert offer['result'] == 'free' and offer['offer']['name'] == CHOSEN and offer['name'] == old
    assert any('Certificate Transparency' in line for line in offer['offer']['public']) and any(BOX in line for line in offer['offer']['public'])
    assert home.name('check', 'admin', code=4)['problem']['type'] == 'name-reserved'
    assert home.name('check', f'nifty-babbage.{ZONE}', code=4)['problem']['type'] == 'name-reserved'
    code, out, err = home.box.run('name', 'check', 'kit--chen', check=False)
    assert code == 4 and not out and 'HQ says no' in err
    code, _, err = home.box.run('name', 'check', 'kitchen.example.org', check=False)
    assert code == 2 and ZONE in err
    code, out, err = home.box.run('name', 'request', 'kitchen', check=False)
    assert code == 2 and 'for good' in out and '--yes' in err
    assert home.names() == (old, None, None)

    # Asked for: until its certificate is there nothing changes for anybody.
    given = home.name('request', 'kitchen', '--yes')
    assert given['result'] == 'given' and (given['name'], given['wanted']) in ((old, CHOSEN), (CHOSEN, None))

    def served():
        assert old in home.handshake(old)
        return home.names()[0] == CHOSEN
    wait_until(served, 30, 'the new name')
    until = wait_until(lambda: home.box.status()['naming']['old'], 20, 'the old name')
    assert until['name'] == old
    assert home.handshake(old) == home.handshake(CHOSEN) == {old, CHOSEN}
    wait_until(lambda: home.is_shown(old) and home.is_shown(CHOSEN), 10, 'both names in the DNS')
    assert home.redirected(old) == (301, f'https://{old}/page') and home.redirected(CHOSEN) == (301, f'https://{CHOSEN}/page')
    assert home.box.status()['url'] == f'https://{CHOSEN}/'
    shown = home.box.run('status')[1]
    assert CHOSEN in shown and f'{old} leads here too, until' in shown
    told = [event['text'] for event in json.loads(home.box.run('events', '--json')[1])['events'] if event['event'] == 'name']
    assert any(CHOSEN in text and 'certificate' in text for text in told) and any(f'{old} leads here until' in text for text in told)

    # Both move together, and both survive the kill of either side.
    home.box.kill()
    home.box.start()
    kill_and_start(home.hq)
    home.move(BOX, '192.168.1.2')
    for name in (old, CHOSEN):
        wait_until(lambda name=name: home.ask(OUTSIDE, name) == ['192.168.1.2'], 30, f'{name} at the new address')
    home.move('192.168.1.2', BOX)
    for word in (old, CHOSEN, 'kitchen'):
        assert CHOSEN in home.hq.run('device', 'find', word).stdout
        assert f'{old}, served too until' in home.hq.run('device', 'show', word).stdout
    row = schemas.check('device', json.loads(home.hq.run('device', 'show', old, '--json').stdout))
    assert {entry['name']: entry['role'] for entry in row['names']} == {old: 'old', CHOSEN: 'held'}

    # Its last certificate ends: then the new one is alone, in the DNS, at home and in the certificate.
    wait_until(lambda: home.names() == (CHOSEN, None, None), 2 * LIFE_S, 'the end of the old name')
    wait_until(lambda: home.ask(OUTSIDE, old) == [] and home.ask(OUTSIDE, CHOSEN) == [BOX], 20, 'the records of the old name gone')
    wait_until(lambda: home.handshake(CHOSEN) == {CHOSEN}, 30, 'a certificate for the new name alone')
    assert home.ask(BOX, CHOSEN) == [BOX]
    with pytest.raises(ssl.SSLError):
        home.handshake(old)
    actions = [entry['action'] for entry in json.loads(home.hq.run('audit', '--json').stdout) if entry['action'].startswith('name-')]
    assert actions == ['name-ask', 'name-change', 'name-end']


# ---- Devices in Python ----

@pytest.fixture
def hq(bin_dir, tmp_path):
    """An HQ that lets devices choose, with Pebble."""
    (tmp_path / 'ca').mkdir()
    running = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq')
    ca = Pebble(tmp_path / 'ca', running.dns_port, PEBBLE_AUTHZREUSE='0').start()
    running.configure(acme_directory=ca.directory, acme_anchors=str(ca.certificate), vanity=True)
    try:
        yield running.start()
    finally:
        ca.stop()
        running.stop()


def ready(hq, serial):
    """A device with its first certificate."""
    device = hq.device(serial)
    assert device.enrol().status == 201
    assert device.post_csr(device.csr()).status == 202
    last = wait_until(lambda: (answer := device.package()).status == 200 and answer, 20, 'a package')
    device.token = unb64(last.json['auth_token'])
    return device


def wish(device, **payload):
    return device.post(f'/v1/devices/{device.id}/name', payload)


def patient(device, **payload):
    """A wish, once the order behind the first certificate is done."""
    def granted():
        answer = wish(device, **payload)
        return answer if answer.problem != 'name-not-now' else None
    return wait_until(granted, 20, 'HQ is ready for a wish')


def test_two_devices_want_one_name(hq):
    devices = [ready(hq, f'NP-{number}') for number in range(4)]
    for device in devices:
        assert patient(device, name='kitchen', check=True).json['offer']['name'] == CHOSEN
    with concurrent.futures.ThreadPoolExecutor(len(devices)) as pool:
        answers = list(pool.map(lambda device: wish(device, name='kitchen'), devices))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
    assert {answer.problem for answer in answers if answer.status == 409} == {'name-taken'}
    winner = devices[[answer.status for answer in answers].index(200)]
    assert wish(winner, name='kitchen').json['wanted'] == CHOSEN
    # HQ is killed on the way; the wish goes on.
    kill_and_start(hq)
    winner.client = hq.client()
    assert winner.post_csr(winner.csr([CHOSEN, winner.name])).status == 202
    names = wait_until(lambda: (answer := wish(winner)).json['name'] == CHOSEN and answer.json, 30, 'the name')
    assert names['old']['name'] == winner.name and set(names['san']) == {CHOSEN, winner.name}
    row = next(row for row in json.loads(hq.run('device', 'list', '--json').stdout) if row['id'] == winner.id)
    assert row['name'] == CHOSEN
    for device in devices:
        if device is not winner:
            device.client = hq.client()
            assert wish(device, name='Kitchen').problem == 'name-taken'
    # It leaves: both names stay nobody's.
    assert winner.post(f'/v1/devices/{winner.id}/leave', {'reason': 'reset'}).status == 204
    loser = next(device for device in devices if device is not winner)
    assert wish(loser, name='kitchen').problem == 'name-taken'
    with pytest.raises(AssertionError):
        wait_until(lambda: re.search(re.escape(CHOSEN), hq.run('device', 'list', '--state', 'active').stdout), 0.5, 'a name that is gone')


def test_lists_and_off(hq, tmp_path):
    device = ready(hq, 'NP-1')
    assert patient(device, name='widget', check=True).status == 200
    (tmp_path / 'reserved').write_text('widget  # ours\n')
    (tmp_path / 'banned').write_text('duck\n')
    assert hq.stop() == 0
    hq.log.write_text('')
    hq.configure(vanity_reserved=str(tmp_path / 'reserved'), vanity_banned=str(tmp_path / 'banned'), vanity_least=5).start()
    device.client = hq.client()
    for name, problem in (('widget', 'name-reserved'), ('w1dget', 'name-reserved'), ('ducktales', 'name-reserved'), ('attic', None),
                          ('shed', 'bad-name'), ('a' * 31, 'bad-name'), ('ns1', 'bad-name'), ('xn--kchen-kva', 'bad-name')):
        assert wish(device, name=name, check=True).problem == problem, name
    assert hq.stop() == 0
    (tmp_path / 'banned').write_text('two words\n')
    hq.log.write_text('')
    hq.configure(vanity=False)
    with pytest.raises(AssertionError, match='vanity-banned = .*line 1'):
        hq.start()
    (tmp_path / 'banned').write_text('')
    hq.start()
    device.client = hq.client()
    assert wish(device, name='attic').problem == 'vanity-off'
    assert wish(device).json['name'] == device.name
