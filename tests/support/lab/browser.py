"""Chromium on the laptop: runs tests/browser/open.py or drive.py inside the laptop's namespace."""
import base64
import contextlib
import json
import subprocess
import sys

from lab import npm
from lab.paths import LAPTOP_UID, ROOT, STATE
from lab.waiting import wait_until


def open_url(laptop, url, root_pem, screenshot):
    """What a person on the laptop would see at `url` (see tests/browser/open.py), trusting `root_pem` alone.

    `screenshot` is a path for a PNG. Failed, with what the browser said, when there was no page to look at.
    """
    root = STATE / 'browser-root.pem'
    root.write_text(root_pem)
    said = laptop.run(sys.executable, ROOT / 'tests' / 'browser' / 'open.py', '--uid', LAPTOP_UID,
                      '--home', STATE / 'laptop-home', '--root', root, '--screenshot', screenshot, url, timeout=90)
    return json.loads(said)


class BrowserError(RuntimeError):
    """What the browser said instead of an answer."""


class Browser:
    """A Chromium inside a namespace that goes on while the test changes the world around it."""

    def __init__(self, namespace, root_pem, home):
        home.mkdir(parents=True, exist_ok=True)
        root = home / 'root.pem'
        root.write_text(root_pem)
        words = [sys.executable, ROOT / 'tests' / 'browser' / 'drive.py', '--uid', LAPTOP_UID, '--home', home / 'home', '--root', root]
        self.process = subprocess.Popen(namespace.argv(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not self.process.stdout.readline():
            raise BrowserError('Chromium did not start')

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + '\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {'error': 'the browser is gone'}
        if 'error' in answer:
            raise BrowserError(answer['error'])
        return answer['result']

    def command(self, method, **parameters):
        return self.ask(do='command', method=method, parameters=parameters)

    def value(self, expression):
        return self.ask(do='value', expression=expression)

    def events(self, method):
        return self.ask(do='events', method=method)

    def goto(self, url):
        """Begins to load it."""
        answer = self.command('Page.navigate', url=url)
        if answer.get('errorText'):
            raise BrowserError(f'{url}: {answer["errorText"]}')

    def wait(self, expression, deadline=30):
        """Waits until the expression is true on the page, which may be another one meanwhile."""
        def holds():
            with contextlib.suppress(BrowserError):  # between two pages
                return self.value(expression)
        try:
            return wait_until(holds, deadline, expression)
        except Exception as error:
            raise BrowserError(f'{error}; at {self.value("location.href")}: {self.value("document.body.innerText")[:600]}') from error

    def axe(self):
        """axe-core's findings on the page as it is: [rule: element]."""
        self.value(npm.path('axe-core', 'axe.min.js').read_text() + ';true')
        found = self.value('axe.run().then(r => r.violations.map(v => v.id + ": " + v.nodes.map(n => n.html).join(" ")))')
        return found

    def asked(self):
        """The URLs that the pages have asked for."""
        return [event['request']['url'] for event in self.events('Network.requestWillBeSent')]

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.command('Page.captureScreenshot', format='png')['data']))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)
