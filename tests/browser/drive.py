"""A browser that a test drives: one JSON command a line on stdin, one JSON answer a line on stdout, until stdin ends.

Runs inside a namespace as root, as open.py does, and starts the same unprivileged Chromium. Commands:

    {"do": "command", "method": "Page.navigate", "parameters": {...}}   any of the DevTools protocol
    {"do": "value", "expression": "document.title"}                     of the page; promises are waited for
    {"do": "events", "method": "Network.requestWillBeSent"}             those that came so far
"""
import argparse
import json
import sys
from pathlib import Path

import open as browser

DOMAINS = 'Page', 'Network', 'Security', 'Runtime', 'Log'


def answer(devtools, command):
    if command['do'] == 'command':
        return devtools.command(command['method'], **command.get('parameters', {}))
    if command['do'] == 'value':
        got = devtools.command('Runtime.evaluate', expression=command['expression'], awaitPromise=True, returnByValue=True)
        if 'exceptionDetails' in got:
            raise RuntimeError(got['exceptionDetails'].get('exception', {}).get('description') or got['exceptionDetails']['text'])
        return got['result'].get('value')
    if command['do'] == 'events':
        devtools.command('Browser.getVersion')  # reads what has come
        return [event['params'] for event in devtools.events if event['method'] == command['method']]
    raise RuntimeError(f'unknown command {command["do"]}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--uid', type=int, required=True)
    parser.add_argument('--home', type=Path, required=True)
    parser.add_argument('--root', type=Path, required=True)
    arguments = parser.parse_args()
    browser.prepare_home(arguments.uid, arguments.home, arguments.root)
    with browser.chromium(arguments.uid, arguments.home) as devtools:
        for domain in DOMAINS:
            devtools.command(f'{domain}.enable')
        print('{}', flush=True)
        for line in sys.stdin:
            try:
                result = {'result': answer(devtools, json.loads(line))}
            except (RuntimeError, OSError) as error:
                result = {'error': str(error)}
            print(json.dumps(result), flush=True)


if __name__ == '__main__':
    main()
