"""Chromium on the laptop: runs tests/browser/open.py inside the laptop's namespace."""
import json
import sys

from lab.paths import LAPTOP_UID, ROOT, STATE


def open_url(laptop, url, root_pem, screenshot):
    """What a person on the laptop would see at `url` (see tests/browser/open.py), trusting `root_pem` alone.

    `screenshot` is a path for a PNG. Failed, with what the browser said, when there was no page to look at.
    """
    root = STATE / 'browser-root.pem'
    root.write_text(root_pem)
    said = laptop.run(sys.executable, ROOT / 'tests' / 'browser' / 'open.py', '--uid', LAPTOP_UID,
                      '--home', STATE / 'laptop-home', '--root', root, '--screenshot', screenshot, url, timeout=90)
    return json.loads(said)
