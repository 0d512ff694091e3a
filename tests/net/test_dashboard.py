"""The operator's dashboard in a real Chromium, on a real HQ with a fleet in its database: behind the token, readable on a phone and
in the dark, nothing asked of anybody else; axe-core finds nothing."""
import json
import os
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest

import schemas
from acmeca.client import AcmeCa
from fleet_rows import grow
from hqserver import Hq
from lab.browser import Browser
from lab.waiting import wait_until

FLEET = 5000
MAIN = 'document.querySelector("main").innerText'
SHOWN = 'document.documentElement.dataset.shown >= 1 && document.querySelector("#plot canvas") !== null'


class Here:
    """The namespace that the test itself runs in."""

    @staticmethod
    def argv(*words):
        return [str(word) for word in words]


@pytest.fixture(scope='module')
def hq(bin_dir, tmp_path_factory):
    """With a CA, one real device, one whose order the CA refuses, and FLEET rows of others."""
    folder = tmp_path_factory.mktemp('dashboard')
    ca = AcmeCa(folder / 'ca', None)
    running = Hq(bin_dir / 'nameplate-hq', folder / 'hq', '--acme-directory', ca.directory, '--acme-anchors', str(ca.certificate))
    ca.dns_port = running.dns_port
    with ca:
        with running.conf.open('a') as conf:
            conf.write('acme-limit-orders = "300/3h"\n')
        box = running.box = running.start().device('NP-0001')
        assert box.enrol().status == 201 and box.post_csr(box.csr()).status == 202
        wait_until(lambda: box.package().status == 200, 20, 'the certificate')
        assert running.stop() == 0
        grow(running.folder / 'data/hq.db', FLEET)
        running.log.unlink()
        ca.faults({'on': 'newOrder', 'status': 400, 'type': 'rejectedIdentifier', 'detail': '<b>not</b> & never', 'count': 1})
        other = running.other = running.start().device('NP-0002')
        assert other.enrol().status == 201 and other.post_csr(other.csr()).status == 202
        wait_until(lambda: json.loads(running.run('order', 'list', '--state', 'dead', '--json').stdout), 20, 'an order is given up')
        yield running
        assert running.stop() == 0


@pytest.fixture(scope='module')
def folder():
    """One that the browser's user may look into."""
    path = Path(tempfile.mkdtemp(prefix='nameplate-dash-'))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope='module')
def browser(hq, folder):
    """Signed in, with the first census shown."""
    running = Browser(Here, (hq.folder / 'hq-anchors.pem').read_text(), folder)
    try:
        running.goto(url(hq))
        running.wait('location.pathname == "/login" && document.querySelector("#token") !== null')
        sign_in(running, hq.admin_token())
        running.wait(SHOWN)
        yield running
    finally:
        running.close()


def url(hq, path='/'):
    return f'http://127.0.0.1:{hq.admin_port}{path}'


def sign_in(browser, token):
    browser.value(f'document.querySelector("#token").value = {json.dumps(token)}; document.querySelector("form").submit()')


def keep(browser, name, tmp_path):
    """A picture, kept where NAMEPLATE_PICTURES says: docs/dashboard.png was made so."""
    folder = Path(os.environ.get('NAMEPLATE_PICTURES') or tmp_path)
    browser.screenshot(folder / f'{name}.png')
    assert (folder / f'{name}.png').stat().st_size > 10000


def size(browser, width, height, scale=1, mobile=False):
    browser.command('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=scale, mobile=mobile)


def scheme(browser, value):
    browser.command('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': value}])


def test_token_is_needed(hq):
    for path in ('/api/overview', '/api/devices?q=N', '/api/device?q=x'):
        status, _, text = hq.admin(path)
        assert status == 401 and 'token is needed' in text
        assert hq.admin(path, Cookie='nameplate-hq=1.abc')[0] == 401
        assert hq.admin(path, Authorization=f'Bearer {hq.admin_token()}')[0] in (200, 404)
    status, headers, _ = hq.admin('/')
    assert (status, headers['Location']) == (303, '/login')
    for wrong in ('', 'token=', 'token=' + 'x' * 43, 'token=' + 'x' * 5000, f'token={hq.admin_token()}&a=b', '\0' * 100):
        status, headers, text = hq.admin('/login', 'POST', wrong)
        assert status == 403 and 'Set-Cookie' not in headers and 'not the token' in text


def test_cookie(hq):
    status, headers, _ = hq.admin('/login', 'POST', f'token={hq.admin_token()}')
    assert (status, headers['Location']) == (303, '/')
    cookie, *attributes = headers['Set-Cookie'].split('; ')
    assert set(attributes) == {'Path=/', 'HttpOnly', 'SameSite=Strict', f'Max-Age={12 * 3600}'}
    assert hq.admin_token() not in headers['Set-Cookie']
    assert hq.admin('/', Cookie=f'a=b; {cookie}')[0] == 200 and hq.admin('/api/overview', Cookie=cookie)[0] == 200
    assert hq.admin('/', Cookie=cookie[:-1])[0] == 303
    status, headers, _ = hq.admin('/logout', 'POST', Cookie=cookie)
    assert status == 303 and 'Max-Age=0' in headers['Set-Cookie']
    assert 'Set-Cookie' not in hq.admin('/logout', 'POST')[1], 'from another site: without the cookie'


def test_headers(hq):
    for path in ('/', '/login', '/app.js', '/app.css', '/uplot.js', '/uplot.css', '/icon.svg', '/metrics', '/nothing'):
        status, headers, _ = hq.admin(path, Authorization=f'Bearer {hq.admin_token()}')
        policy = headers['Content-Security-Policy']
        assert "default-src 'none'" in policy and 'unsafe' not in policy and 'http' not in policy, path
        assert headers['X-Content-Type-Options'] == 'nosniff' and headers['Cache-Control'] == 'no-store'
        assert headers['Referrer-Policy'] == 'no-referrer' and status == (404 if path == '/nothing' else 200)


def test_overview(hq):
    bearer = {'Authorization': f'Bearer {hq.admin_token()}'}
    seen = json.loads(hq.admin('/api/overview', **bearer)[2])
    wait_until(lambda: json.loads(hq.admin('/api/overview', **bearer)[2])['census'], 20, 'a census')
    schemas.check('stats', json.loads(hq.admin('/api/overview', **bearer)[2])['census'])
    assert seen['live']['dns']['nameservers'][0]['name'] == 'ns1.devices.example'
    found = schemas.check('devices', json.loads(hq.admin('/api/devices?q=SN-000001', **bearer)[2]))
    assert [row['serial'] for row in found] == [f'SN-000001{n}' for n in range(10)]
    assert json.loads(hq.admin('/api/devices?q=', **bearer)[2]) == []
    assert json.loads(hq.admin('/api/devices?q=%25', **bearer)[2]) == []
    whole = schemas.check('device', json.loads(hq.admin(f'/api/device?q={hq.box.id}', **bearer)[2]))
    assert whole['name'] == hq.box.name and hq.admin('/api/device?q=none', **bearer)[0] == 404


def test_wrong_token_in_the_browser(hq, folder):
    running = Browser(Here, (hq.folder / 'hq-anchors.pem').read_text(), folder / 'wrong')
    try:
        running.goto(url(hq, '/login'))
        running.wait('document.querySelector("#token") !== null')
        assert running.axe() == []
        sign_in(running, 'x' * 43)
        running.wait('document.querySelector("[role=alert]") !== null')
        assert running.axe() == [] and 'not the token' in running.value(MAIN)
    finally:
        running.close()


def test_page(hq, browser, tmp_path):
    size(browser, 1200, 1500)
    scheme(browser, 'light')
    browser.wait('document.querySelectorAll("#errors tbody tr").length === 1')
    text = browser.value(MAIN)
    assert 'ns1.devices.example' in text and '2.4.1' in text and 'orders' in text and '<b>not</b> & never' in text
    assert f'{FLEET + 1:,} certificates' in text
    assert browser.value('document.querySelector("#errors b") === null'), 'what the CA says stays text'
    rows = browser.value('[...document.querySelectorAll("#days tbody tr")].map(r => [...r.cells].map(c => c.innerText || c.textContent))')
    with sqlite3.connect(f'file:{hq.folder}/data/hq.db?mode=ro', uri=True) as db:
        good, = db.execute('SELECT count(*) FROM renewal WHERE not_after_s > ?', (int(time.time()),)).fetchone()
    assert abs(sum(int(count.replace(',', '')) for _, count in rows) - good) <= 2
    assert browser.axe() == []
    keep(browser, 'dashboard', tmp_path)


def test_dark(browser, tmp_path):
    size(browser, 1200, 900)
    light = browser.value('getComputedStyle(document.body).backgroundColor')
    scheme(browser, 'dark')
    assert browser.value('getComputedStyle(document.body).backgroundColor') != light
    assert browser.axe() == []
    keep(browser, 'dashboard-dark', tmp_path)
    scheme(browser, 'light')


def test_phone(browser, tmp_path):
    size(browser, 390, 844, 2, True)
    browser.wait('document.querySelector("#plot canvas").clientWidth < 390')
    assert browser.value('document.documentElement.scrollWidth') <= 390
    assert browser.value('[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > 391).map(e => e.outerHTML.slice(0, 90))') == []
    assert browser.axe() == []
    keep(browser, 'dashboard-phone', tmp_path)
    scheme(browser, 'dark')
    assert browser.axe() == []
    scheme(browser, 'light')


def test_one_device(hq, browser):
    size(browser, 1200, 900)
    browser.value('document.querySelector("#q").value = "SN-00000"; document.querySelector("#search button").click()')
    browser.wait('document.querySelectorAll("#found tbody tr").length === 20')
    browser.value('document.querySelector("#q").value = "NP-0001"; document.querySelector("#search button").click()')
    browser.wait(f'document.querySelector("#device-title").textContent === "{hq.box.name}"')
    text = browser.value('document.querySelector("#device").innerText')
    assert 'enrolled' in text and 'package' in text and 'done' in text and hq.box.id in text
    assert browser.value('document.activeElement.id') == 'device-title'
    assert browser.axe() == []
    size(browser, 390, 844, 2, True)
    assert browser.value('document.documentElement.scrollWidth') <= 390
    assert browser.axe() == []
    browser.value('document.querySelector("#q").value = "nobody"; document.querySelector("#search button").click()')
    browser.wait('document.querySelector("#found").innerText.includes("No device")')


def test_nothing_from_elsewhere(hq, browser):
    """Not a byte from anybody but HQ, and nothing that its own policy had to stop."""
    asked = browser.asked()
    assert asked and all(one.startswith(url(hq)) for one in asked), asked
    entries = [event['entry'] for event in browser.events('Log.entryAdded')]
    assert [entry['text'] for entry in entries if entry['level'] == 'error'] == []


def test_signed_out(hq, browser):
    browser.value('document.querySelector("form[action=\'/logout\']").submit()')
    browser.wait('location.pathname == "/login"')
    browser.goto(url(hq))
    browser.wait('location.pathname == "/login"')
