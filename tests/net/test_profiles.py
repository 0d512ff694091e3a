"""What a CA offers beside the plain protocol: profiles of certificates, and chains to other roots."""
import contextlib
import re
import sqlite3

import pytest
from cryptography import x509

from acmeca.client import AcmeCa
from hqdriver import ZONE, Driver

PROFILES = {'classic': {'common_name': True}, 'tlsserver': {'life_s': 45 * 86400}}


@pytest.fixture
def ca(dns_port, tmp_path):
    with AcmeCa(tmp_path / 'ca', dns_port, profiles=PROFILES, alternates=True) as running:
        yield running


@pytest.fixture
def make_hq(bin_dir, tmp_path, ca, dns_port):
    """make_hq(key=value, ...): an HQ that orders from the CA."""
    made = []

    def make(**settings):
        settings = {key.replace('_', '-'): value for key, value in settings.items()}
        made.append(Driver(bin_dir, tmp_path, dns_port, **{'acme-directory': ca.directory, 'acme-anchors': ca.certificate} | settings))
        return made[-1].start()

    yield make
    for driver in made:
        assert driver.stop() == 0, driver.log()[-3000:]


def get(hq, name):
    """The certificates that come for a new device, leaf first."""
    hq.say(f'device {name} 192.168.1.7')
    hq.say(f'order {name}')
    with open(hq.wait_line(f'chain {name}.{ZONE}').split()[2], 'rb') as file:
        blocks = re.findall(b'-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n', file.read(), re.S)
    return [x509.load_pem_x509_certificate(block) for block in blocks]


def name_of(name):
    return name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value


def life_s(leaf):
    return (leaf.not_valid_after - leaf.not_valid_before).total_seconds() + 1


def test_profile(make_hq, ca):
    """It is asked for, and the certificate is of that kind."""
    hq = make_hq(acme_profile='tlsserver')
    assert life_s(get(hq, 'short')[0]) == 45 * 86400
    assert [order['profile'] for order in ca.orders()] == ['tlsserver']


def test_no_profile(make_hq, ca):
    hq = make_hq()
    assert life_s(get(hq, 'plain')[0]) == 90 * 86400
    assert [order['profile'] for order in ca.orders()] == [None]


def test_profile_is_not_offered(make_hq, ca):
    """An error that says what there is; certificates are made all the same."""
    hq = make_hq(acme_profile='shortlived')
    get(hq, 'other')
    assert "offers no profile 'shortlived' (acme-profile; it has: classic, tlsserver)" in hq.log()
    assert [order['profile'] for order in ca.orders()] == [None]


def test_profile_goes_away(make_hq, ca, wait_until):
    """The CA has stopped to offer it since HQ read the directory: newOrder is refused, and made again without."""
    hq = make_hq(acme_profile='tlsserver')
    wait_until(lambda: ca.stats()['accounts'], 10, 'the account')
    ca.set(profiles={})
    get(hq, 'late')
    assert 'newOrder again without its profile: 400 invalidProfile' in hq.log()
    assert [order['profile'] for order in ca.orders()] == [None]


@pytest.mark.parametrize('wanted, got, downloads', [(None, 'Own Test Root X1', 1), ('Own Test Root X1', 'Own Test Root X1', 1),
                                                     ('own test root x2', 'Own Test Root X2', 2), ('Nobody', 'Own Test Root X1', 2)])
def test_chain_by_name(make_hq, ca, wanted, got, downloads):
    """The default chain, or the one that leads to the root that is preferred, where there is one."""
    hq = make_hq(**{'acme-preferred-chain': wanted} if wanted else {})
    chain = get(hq, 'chained')
    assert name_of(chain[-1].issuer) == got and chain[0].issuer == chain[1].subject
    assert ca.requests('certificate') == downloads
    assert ("no chain to 'Nobody'" in hq.log()) == (wanted == 'Nobody')


@pytest.mark.parametrize('fault', [{'status': 500}, {'body': 'garbage'}, {'close': True}])
def test_other_chain_is_not_to_be_had(make_hq, ca, fault):
    """That costs no certificate: the default chain is there."""
    ca.faults({'on': 'certificate', 'skip': 1, 'count': -1} | fault)
    hq = make_hq(acme_preferred_chain='Own Test Root X2')
    assert name_of(get(hq, 'chained')[-1].issuer) == 'Own Test Root X1'
    assert 'backoff' not in hq.log()
    with contextlib.closing(sqlite3.connect(hq.folder / 'hq.db')) as db:
        assert list(db.execute('select count(*) from package')) == [(1,)]
