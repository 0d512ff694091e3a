"""Opens a URL in Chromium as one user of the laptop would, and prints as JSON what the DevTools protocol says about it.

Runs inside the laptop's namespace as root and starts Chromium as an unprivileged user with its sandbox on; nothing is
ignored and nothing is trusted beyond the given root, which goes into the user's own NSS database.

    open.py --uid 68411 --home DIR --root PEM --screenshot PNG URL
"""
import argparse
import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import websocket

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'support'))

from lab.waiting import wait_until  # noqa: E402

# Only what keeps the browser from talking to its maker and from asking its first questions.
FLAGS = ('--headless=new', '--remote-debugging-port=0', '--no-first-run', '--no-default-browser-check',
         '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-default-apps',
         '--disable-domain-reliability', '--metrics-recording-only', '--disable-gpu', '--window-size=1000,700')


class DevTools:
    """One page's DevTools connection: commands with answers, and the events that came meanwhile."""

    def __init__(self, url):
        self.socket = websocket.create_connection(url, timeout=20, suppress_origin=True)
        self.events = []
        self.count = 0

    def command(self, method, **parameters):
        self.count += 1
        self.socket.send(json.dumps({'id': self.count, 'method': method, 'params': parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get('id') == self.count:
                if 'error' in message:
                    raise RuntimeError(f'{method}: {message["error"]}')
                return message['result']
            self.events.append(message)

    def wait_for(self, condition, deadline):
        """Reads events until condition(event) of one that came is true; returns it."""
        end = time.monotonic() + deadline
        seen = 0
        while True:
            for event in self.events[seen:]:
                if condition(event):
                    return event
            seen = len(self.events)
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                self.events.append(json.loads(self.socket.recv()))
            except websocket.WebSocketTimeoutException:
                raise RuntimeError('the browser did not say what was waited for') from None

    def value(self, expression):
        return self.command('Runtime.evaluate', expression=expression)['result'].get('value')


def unprivileged(uid, home):
    """The words before a command that make it an ordinary user's."""
    return ['setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups', '--inh-caps=-all',
            'env', '-i', f'HOME={home}', 'PATH=/usr/bin:/bin', 'LANG=C.UTF-8', f'XDG_RUNTIME_DIR={home}/run',
            f'TMPDIR={home}/tmp']  # a killed Chromium leaves its folder there


def prepare_home(uid, home, root):
    """A home with an NSS database that holds one root, and an empty profile."""
    shutil.rmtree(home, ignore_errors=True)
    database = home / '.pki' / 'nssdb'
    for folder in (database, home / 'run', home / 'tmp'):
        folder.mkdir(parents=True)
    shutil.copy(root, home / 'root.pem')
    for folder, _, files in os.walk(home):
        os.chown(folder, uid, uid)
        for name in files:
            os.chown(os.path.join(folder, name), uid, uid)
    for words in (['-N', '--empty-password'], ['-A', '-t', 'C,,', '-n', 'the only root', '-i', str(home / 'root.pem')]):
        subprocess.run([*unprivileged(uid, home), 'certutil', '-d', f'sql:{database}', *words], check=True, cwd=home,
                       stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def chromium(uid, home):
    """A running browser; yields the DevTools connection of its page."""
    profile = home / 'profile'
    with open(home / 'chromium.log', 'wb') as log:
        browser = subprocess.Popen([*unprivileged(uid, home), 'chromium', *FLAGS, f'--user-data-dir={profile}', 'about:blank'],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home, start_new_session=True)
    try:
        def page():
            if browser.poll() is not None:
                raise RuntimeError('Chromium ended:\n' + (home / 'chromium.log').read_text(errors='replace')[-2000:])
            port = (profile / 'DevToolsActivePort').read_text().partition('\n')[0]
            if not port:  # Chromium has made the file and not written it yet
                return None
            with urllib.request.urlopen(f'http://127.0.0.1:{port}/json/list', timeout=5) as answer:
                pages = [t for t in json.load(answer) if t['type'] == 'page']
            return pages and pages[0]['webSocketDebuggerUrl']
        yield DevTools(wait_until(page, 30, 'Chromium ready'))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


def visit(devtools, url, screenshot, uid):
    """Navigates and returns what was seen; `error` is the browser's own word when the page did not come."""
    for domain in ('Page', 'Network', 'Security', 'Runtime'):
        devtools.command(f'{domain}.enable')
    devtools.events.clear()
    start = time.monotonic()
    answer = devtools.command('Page.navigate', url=url)
    seen = {'asked': url, 'error': answer.get('errorText', '')}
    if not seen['error']:
        devtools.wait_for(lambda e: e['method'] == 'Page.loadEventFired', 20)
        seen['load_seconds'] = round(time.monotonic() - start, 3)
        devtools.wait_for(lambda e: _security(e).get('securityState') not in (None, 'unknown'), 10)
    states = [_security(e) for e in devtools.events if _security(e)]
    last = states[-1] if states else {}
    certificate = last.get('certificateSecurityState') or {}
    seen.update({
        'url': devtools.value('location.href'),
        'title': devtools.value('document.title'),
        'security_state': last.get('securityState', 'unknown'),
        'is_secure_context': devtools.value('window.isSecureContext'),
        'protocol': certificate.get('protocol', ''),
        'issuer': certificate.get('issuer', ''),
        'certificate_error': certificate.get('certificateNetworkError', ''),
        'redirects': [[e['params']['redirectResponse']['status'], e['params']['request']['url']] for e in devtools.events
                      if e['method'] == 'Network.requestWillBeSent' and 'redirectResponse' in e['params']],
        'version': devtools.command('Browser.getVersion')['product'],
    })
    seen['sandbox'] = sandboxed(uid)
    picture = devtools.command('Page.captureScreenshot', format='png')
    Path(screenshot).write_bytes(base64.b64decode(picture['data']))
    return seen


def sandboxed(uid):
    """True when the user's renderers run, every one under seccomp and in a PID namespace of the sandbox's own."""
    ours, states = os.readlink('/proc/self/ns/pid'), []
    for entry in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            status = (entry / 'status').read_text()
            if f'\nUid:\t{uid}\t' in status and b'--type=renderer' in (entry / 'cmdline').read_bytes():
                states.append('\nSeccomp:\t2\n' in status and os.readlink(entry / 'ns' / 'pid') != ours)
    return bool(states) and all(states)


def _security(event):
    if event['method'] != 'Security.visibleSecurityStateChanged':
        return {}
    return event['params']['visibleSecurityState']


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--uid', type=int, required=True)
    parser.add_argument('--home', type=Path, required=True)
    parser.add_argument('--root', type=Path, required=True)
    parser.add_argument('--screenshot', type=Path, required=True)
    parser.add_argument('url')
    arguments = parser.parse_args()
    prepare_home(arguments.uid, arguments.home, arguments.root)
    with chromium(arguments.uid, arguments.home) as devtools:
        json.dump(visit(devtools, arguments.url, arguments.screenshot, arguments.uid), sys.stdout, indent=1)


if __name__ == '__main__':
    main()
