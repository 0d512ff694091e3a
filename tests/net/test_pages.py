"""The pages at the box's address in a real Chromium, behind a real dnsmasq as the home's router: the name works, is filtered, the
Internet is away, there is no certificate yet, it has expired. axe-core finds nothing on any of them."""
import contextlib
import json
import os
import shutil
import socket
import tempfile
import urllib.request
from pathlib import Path

import jsonschema
import pytest

from backend import Backend
from front_process import NAME, Ca, Front, listening, view
from lab.browser import Browser
from lab.namespaces import Namespace, bridge, link
from lab.paths import PREFIX, ROOT

BOX, LAPTOP, ROUTER = '192.168.7.1', '192.168.7.9', '192.168.7.254'
HERE = f'http://{BOX}/'
SECURE = f'https://{NAME}/'
DNSMASQ = ['dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--cache-size=0', '--bind-interfaces', '--pid-file=',
           '--user=root']
TEXT = 'document.querySelector("main").innerText'


class Home:
    """A router with its resolver, the box and a laptop on its LAN, and the world's DNS behind the router."""

    def __init__(self, stack, folder):
        self.folder = folder
        self.router, self.box, self.laptop = (Namespace(f'{PREFIX}pg-{role}-{os.getpid()}') for role in ('router', 'box', 'laptop'))
        self.programs = {}
        for namespace in (self.router, self.box, self.laptop):
            namespace.create()
            stack.callback(namespace.delete)
        bridge(self.router, 'lan')
        for namespace, address in (self.box, BOX), (self.laptop, LAPTOP):
            port = f'p{address[-1]}'
            link(self.router, port, namespace, 'eth0')
            self.router.ip('link', 'set', port, 'master', 'lan')
            namespace.ip('address', 'add', f'{address}/24', 'dev', 'eth0')
        self.router.ip('address', 'add', f'{ROUTER}/24', 'dev', 'lan')
        (self.laptop.etc / 'resolv.conf').write_text(f'nameserver {ROUTER}\n')

    def run(self, name, *words):
        self.stop(name)
        self.programs[name] = self.router.spawn(*words, log=self.folder / f'{name}.log')

    def stop(self, name):
        process = self.programs.pop(name, None)
        if process:
            process.terminate()
            process.wait(10)

    def internet(self, there=True):
        if there:
            self.run('world', *DNSMASQ, '--port=5353', '--listen-address=127.0.0.1', f'--host-record={NAME},{BOX}')
        else:
            self.stop('world')

    def resolver(self, *options):
        """The router's resolver, as its vendor has set it."""
        self.run('resolver', *DNSMASQ, f'--listen-address={ROUTER}', '--server=127.0.0.1#5353', *options)

    def close(self):
        for name in list(self.programs):
            self.stop(name)


@pytest.fixture(scope='module')
def ca():
    return Ca()


@pytest.fixture(scope='module')
def home():
    folder = Path(tempfile.mkdtemp(prefix='nameplate-pg-'))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        running = Home(stack, folder)
        stack.callback(running.close)
        yield running


@pytest.fixture(scope='module')
def browser(home, ca):
    running = Browser(home.laptop, ca.root_pem(), home.folder)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def fresh(home, ca):
    """A browser that has never looked the name up: browsers remember addresses for a minute and more."""
    running = Browser(home.laptop, ca.root_pem(), home.folder / 'fresh')
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def front(home, bin_dir):
    """A front on the box's ports 80 and 443, without a certificate yet."""
    with home.box.inside():
        sockets = listening(BOX, 80), listening(BOX, 443)
        index = socket.if_nametoindex('eth0')
        process = Front(bin_dir / 'nameplate', BOX, sockets)
    with process as running:
        running.interfaces = [{'index': index, 'name': 'eth0', 'lan': True, 'v4': [f'{BOX}/24'], 'v6': []}]
        running.start(https=False, interfaces=running.interfaces)
        home.internet()
        home.resolver()
        yield running


def news(verdict, online=True, **more):
    level = {'fine': 'green', 'unknown': 'green', 'expired': 'red'}.get(verdict, 'yellow')
    return {'verdict': verdict, 'online': online, 'level': level, 'history': [{'at': 1700000000, 'addresses': [BOX]}], **more}


def certify(front, ca, days=45, https=True, told=None):
    """The agent has got a certificate."""
    front.send('CERT', ca.certificate_frame(NAME, days=days)[0])
    front.send('NEWS', told or news('unknown'))
    front.send('VIEW', view(https=https, interfaces=front.interfaces))
    front.stats()


def hello(sock):
    """A vendor's page."""
    while data := sock.recv(65536):
        sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 21\r\n\r\n<title>vendor</title>')
        if b'Connection: close' in data:
            return


def only_from_the_box(browser):
    assert all(url.startswith((HERE, SECURE, 'data:')) for url in browser.asked()), browser.asked()


def test_name_works(browser, front, ca, tmp_path):
    certify(front, ca)
    browser.goto(HERE + '?a=b#c')
    browser.wait(f'location.href == "{SECURE}?a=b#c"')
    assert browser.value('isSecureContext') and 'Connected securely' in browser.value(TEXT)
    assert browser.axe() == []
    only_from_the_box(browser)
    assert browser.value('document.querySelector("#qr svg").getAttribute("aria-label")') == f'QR code of {SECURE}'
    # The own name leads there too.
    browser.goto(f'http://{NAME}/')
    browser.wait(f'location.href == "{SECURE}"')


def test_qr_code_says_the_name(browser, front, ca):
    """Read back out of the picture's modules, by the library's own count of them: it is what a camera would see."""
    certify(front, ca)
    browser.goto(HERE + '.nameplate/')
    browser.wait('!document.getElementById("qr").hidden')
    same = browser.value('''(() => {
        const svg = document.querySelector("#qr svg"), code = qrcode(0, "M");
        code.addData(document.querySelector("h1").innerText.replace(/^/, "https://") + "/");
        code.make();
        let dark = 0;
        const path = svg.firstChild.getAttribute("d");
        for (let r = 0; r < code.getModuleCount(); r++)
            for (let c = 0; c < code.getModuleCount(); c++)
                if (code.isDark(r, c)) { dark++; if (!path.includes(`M${c + 4} ${r + 4}h1`)) return "missing"; }
        return path.split("M").length - 1 == dark;
    })()''')
    assert same is True


def test_filtered_by_the_router(fresh, home, front, ca, tmp_path):
    """The router takes the name's private address away: the page stays, says so, and the line that it shows mends it."""
    home.resolver('--stop-dns-rebind')
    line = f'rebind-domain-ok=/{NAME}/'
    certify(front, ca, told=news('filtered', by='dnsmasq on 192.168.7.254', mend=[line]))
    fresh.goto(HERE)
    fresh.wait('document.getElementById("help").open')
    text = fresh.value(TEXT)
    assert 'does not open in this browser yet' in text and 'dnsmasq on 192.168.7.254' in text and line in text
    assert fresh.value('location.href') == HERE
    assert fresh.axe() == []
    fresh.goto(HERE + '.nameplate/')
    fresh.wait(f'{TEXT}.includes("The name does not open in this browser.")')
    text = fresh.value(TEXT)
    assert line in text and 'Test Home CA' in text and '14 November 2023, 22:13 UTC' in text
    assert fresh.axe() == []
    fresh.goto(HERE)
    fresh.wait('document.getElementById("help").open')
    home.resolver('--stop-dns-rebind', f'--{line}')
    fresh.wait(f'location.href == "{SECURE}"', 60)  # by itself
    only_from_the_box(fresh)


def test_staying_at_the_address(fresh, home, front, ca):
    """The name is filtered: the person chooses to stay, and is at the device's own pages from then on."""
    home.resolver('--stop-dns-rebind')
    with home.box.inside():
        backend = Backend(hello)
    with backend:
        front.configure(backend=backend.address, address_access=True)
        certify(front, ca, told=news('filtered'))
        fresh.goto(HERE)
        fresh.wait('document.getElementById("help").open')
        assert fresh.axe() == []
        fresh.value('document.querySelector("a[href$=continue]").click()')
        fresh.wait(f'location.href == "{HERE}" && document.title == "vendor"')
        fresh.goto(HERE + 'settings')
        fresh.wait('document.title == "vendor"')
        fresh.goto(HERE + '.nameplate/')
        fresh.wait('!!document.getElementById("qr")')
        home.resolver()
        fresh.goto(SECURE)  # and by its name it is there too
        fresh.wait(f'location.href == "{SECURE}" && document.title == "vendor"')


def test_offline(fresh, home, front, ca):
    """The world's DNS is gone: the box is still there by its address, and goes on when the Internet is back."""
    home.internet(False)
    certify(front, ca, told=news('offline', online=False))
    fresh.goto(HERE)
    fresh.wait('document.getElementById("help").open')
    assert 'no Internet connection at the moment' in fresh.value(TEXT)
    assert fresh.axe() == []
    home.internet()
    fresh.wait(f'location.href == "{SECURE}"', 60)


def test_no_certificate_yet(browser, front, ca):
    front.send('NEWS', news('no-certificate', online=False))
    browser.goto(HERE)
    browser.wait(f'{TEXT}.includes("looks again by itself")')
    text = browser.value(TEXT)
    assert 'Its certificate is on its way' in text and 'does not get through' in text
    assert browser.axe() == []
    certify(front, ca)
    browser.wait(f'location.href == "{SECURE}"', 60)
    # The own name waits likewise, and shows the way to the address meanwhile.
    front.send('FRGT')
    front.send('NEWS', news('no-certificate'))
    front.stats()
    browser.goto(f'http://{NAME}/')
    browser.wait(f'document.links[0] && document.links[0].href == "{HERE}"')
    assert browser.axe() == []
    certify(front, ca)
    browser.wait(f'location.href == "{SECURE}"', 60)


def test_certificate_expired(browser, front, ca):
    certify(front, ca, days=-2, https=False, told=news('expired', online=False))
    browser.goto(HERE)
    browser.wait(f'{TEXT}.includes("looks again by itself")')
    text = browser.value(TEXT)
    assert 'which is not today' in text and 'does not get through' in text and 'fetches a new one by itself' in text
    assert browser.axe() == []
    certify(front, ca)
    browser.wait(f'location.href == "{SECURE}"', 60)


def test_certificate_that_only_the_browser_refuses(browser, front, ca):
    """The box, whose clock is wrong, takes it for valid: nobody is led to a warning."""
    certify(front, ca, days=-2)
    browser.goto(HERE)
    browser.wait('document.getElementById("help").open')
    assert browser.value('location.href') == HERE


def test_before_there_is_a_name(browser, front):
    front.send('NEWS', news('no-name', online=False))
    front.send('VIEW', view(name=None, interfaces=front.interfaces))
    front.stats()
    browser.goto(HERE)
    browser.wait(f'{TEXT}.includes("It has no name yet")')
    assert browser.axe() == []


@pytest.mark.parametrize('dark', [False, True])
def test_on_a_phone_and_in_the_dark(fresh, home, front, ca, dark):
    home.resolver('--stop-dns-rebind')
    certify(front, ca, told=news('filtered', mend=[f'rebind-domain-ok=/{NAME}/']))
    fresh.command('Emulation.setDeviceMetricsOverride', width=320, height=640, deviceScaleFactor=2, mobile=True)
    fresh.command('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}])
    try:
        for path in '', '.nameplate/', 'nothing':
            fresh.goto(HERE + path)
            fresh.wait('document.readyState == "complete" && !!document.querySelector("h1")')
            assert fresh.value('document.documentElement.scrollWidth') <= 320
            assert fresh.axe() == []
            ground = fresh.value('getComputedStyle(document.body).backgroundColor')
            assert (ground == 'rgb(18, 22, 28)') == dark
    finally:
        fresh.command('Emulation.clearDeviceMetricsOverride')
        fresh.command('Emulation.setEmulatedMedia', features=[])


def test_without_javascript(browser, front, ca):
    """Everything can be read and followed, and nothing pretends to try."""
    certify(front, ca)
    browser.command('Emulation.setScriptExecutionDisabled', value=True)
    try:
        browser.goto(HERE)
        browser.wait('document.readyState == "complete" && document.links.length > 1')
        assert browser.value('location.href') == HERE
        assert browser.value('document.links[0].href') == SECURE
        assert browser.value('document.getElementById("said").innerText') == ''
        assert browser.value('document.getElementById("help").textContent').count(NAME) == 3  # what to type where
    finally:
        browser.command('Emulation.setScriptExecutionDisabled', value=False)


def test_status_for_programs(home, front, ca):
    certify(front, ca, told=news('fine', level='yellow'))
    with home.laptop.inside(), urllib.request.urlopen(HERE + '.nameplate/status.json', timeout=10) as answer:
        assert answer.headers['access-control-allow-origin'] is None
        told = json.load(answer)
    jsonschema.validate(told, json.loads((ROOT / 'docs' / 'schema' / 'page.schema.json').read_text()))
    assert told['name'] == NAME and told['url'] == SECURE and told['verdict'] == 'fine' and told['online'] is True
    assert told['level'] == 'yellow'
    assert told['addresses'] == [BOX] and told['history'] == [{'at': 1700000000, 'addresses': [BOX]}]
    assert told['certificate']['issuer'] == 'Test Home CA' and told['certificate']['not_after'] > 1700000000
