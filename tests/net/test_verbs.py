"""`nameplate cert`, `config check|show` and `support-bundle` beside a real agent."""
import base64
import json
import re
import time
from pathlib import Path

import jsonschema
import pytest

import schemas
from fake_hq import NAME
from hqclient import b64
from lab.namespaces import attempt
from lab.waiting import wait_until
from real_agent import a_box


@pytest.fixture(scope='module')
def box(bin_dir):
    with a_box(bin_dir) as running:
        running.start()
        wait_until(running.serial, 15, 'the certificate')
        yield running


SCHEMAS = Path(__file__).resolve().parents[2] / 'docs' / 'schema'


def checked(text, name):
    """The JSON, which must be as docs/schema says."""
    value = json.loads(text)
    jsonschema.validate(value, json.loads((SCHEMAS / f'{name}.schema.json').read_text()))
    return value


def nameplate(box, *argv):
    return attempt(*box.namespace.argv(box.program, *argv, '--config', box.conf), timeout=30)


def test_cert(box):
    status, out, _ = nameplate(box, 'cert')
    assert status == 0 and f'url      https://{NAME}/' in out and f'names    {NAME}' in out and 'issuer   Public CA' in out
    status, out, _ = nameplate(box, 'cert', '--json')
    shown = checked(out, 'cert')
    assert status == 0 and shown['certificate']['valid'] and shown['names'] == [NAME] and shown['deploy'] is None


def test_cert_before_there_is_one(bin_dir):
    with a_box(bin_dir) as running:
        running.hq.answers['*'] = b'away'
        running.start()
        status, out, _ = nameplate(running, 'cert')
        assert status == 1 and 'There is no certificate yet' in out


def test_config_show(box):
    status, out, _ = nameplate(box, 'config', 'show')
    assert status == 0 and re.search(r'^role = "router"    # line \d+$', out, re.MULTILINE) and '# factory-secret = (unset)' in out
    status, out, _ = nameplate(box, 'config', 'show', '--json')
    keys = checked(out, 'config-show')['keys']
    assert keys['lan'] == {'value': ['lan0'], 'line': 4} and keys['dns-port'] == {'value': 53, 'line': 0}


def test_config_check(box, tmp_path):
    assert nameplate(box, 'config', 'check')[:2] == (0, f'{box.conf} is right\n')
    wrong = tmp_path / 'wrong.conf'
    wrong.write_text(box.conf.read_text() + 'roel = router\n')
    status, out, err = attempt(box.program, 'config', 'check', '--config', wrong)
    assert status == 1 and out == '' and "did you mean 'role'?" in err
    assert attempt(box.program, 'config', 'check', '--json', '--config', wrong)[0] == 2


VERBS = ['agent', 'resolver', 'status', 'doctor', 'events', 'deploy', 'cert', 'name', 'renew', 'reset', 'support-bundle', 'version', 'config',
         *(f'config {what}' for what in ('check', 'show', 'rebind', 'redirect', 'integrate', 'dnr'))]
ASKING = ['status', 'doctor', 'events', 'cert', 'name', 'name check kitchen', 'renew', 'reset --yes', *(f'config {what}' for what in ('rebind', 'redirect', 'integrate', 'dnr'))]
REPORTS = {'status': 'status', 'doctor': 'doctor', 'events': 'events', 'cert': 'cert', 'name': 'name', 'config show': 'config-show',
           'config integrate': 'integrate', 'config dnr': 'dnr'}


def test_every_verb_is_walked(bin_dir):
    """What follows knows each verb that help shows."""
    help_of = {words: attempt(bin_dir / 'nameplate', *words, 'help' if not words else '--help')[1] for words in ((), ('config',))}
    shown = [line.split()[0] for text in help_of.values() for line in text.splitlines() if re.match(r'  [a-z-]+ ', line)]
    assert sorted(shown) == sorted([*(verb.split()[-1] for verb in VERBS), 'help'])


@pytest.mark.parametrize('verb', VERBS)
def test_help_and_wrong_usage(bin_dir, verb):
    words = verb.split()
    status, out, err = attempt(bin_dir / 'nameplate', *words, '--help')
    assert status == 0 and err == '' and out.startswith(f'usage: nameplate {verb}') and 'Exit status' in out
    for schema in re.findall(r'docs/schema/([a-z-]+)', out):
        schemas.load(schema)
    assert '--json' not in out or 'docs/schema/' in out
    for more in ('--nonsense', 'unexpected'):
        status, out, err = attempt(bin_dir / 'nameplate', *words, more)
        assert status == 2 and out == '' and err, f'{verb} {more}'


@pytest.mark.parametrize('verb', ASKING)
def test_no_agent(bin_dir, tmp_path, verb):
    status, out, err = attempt(bin_dir / 'nameplate', *verb.split(), '--control', tmp_path / 'none')
    assert status == 3 and out == '' and 'the agent is not running' in err


@pytest.mark.parametrize('verb', REPORTS)
def test_reports(box, verb):
    status, out, _ = nameplate(box, *verb.split(), '--json')
    assert status in ((0, 1, 3) if verb == 'doctor' else (0,))
    schemas.check(REPORTS[verb], json.loads(out))


def test_version(bin_dir):
    status, out, _ = attempt(bin_dir / 'nameplate', 'version', '--json')
    shown = schemas.check('version', json.loads(out))
    assert status == 0 and attempt(bin_dir / 'nameplate', 'version')[1] == f'nameplate {shown["version"]}\n'
    assert time.strptime(shown['built'], '%Y-%m-%dT%H:%M:%SZ') <= time.gmtime(time.time() + 86400)
    one = attempt(bin_dir / 'nameplate', 'config', 'integrate', 'unbound', '--name', NAME, '--address', '192.168.1.1', '--json')
    assert schemas.check('integrate', json.loads(one[1]))['kind'] == 'unbound'


def secrets_in(text, box):
    """Whatever in the text decodes to bytes that the state folder has, in any of the usual forms; and HQ's token."""
    stored = b''.join((folder / 'state').read_bytes() for folder in box.generations())
    assert box.hq.token in stored, 'the canary itself'
    found = [word for word in re.findall(r'[0-9a-fA-F]{32,}', text) if bytes.fromhex(word[:len(word) & ~1]) in stored]
    for word in re.findall(r'[A-Za-z0-9_+/-]{22,}', text):
        whole = word.replace('+', '-').replace('/', '_')
        if len(whole) % 4 != 1 and base64.urlsafe_b64decode(whole + '=' * (-len(whole) % 4)) in stored:
            found.append(word)
    return found + [form for form in (b64(box.hq.token), box.hq.token.hex()) if form in text]


def test_canary_is_seen(box):
    """The search of the next test finds what it is to find."""
    assert secrets_in(f'"x": "{b64(box.hq.token)}"', box) and secrets_in(box.hq.token.hex().upper(), box)


def test_support_bundle_has_no_secret(box, tmp_path):
    output = tmp_path / 'bundle.json'
    status, out, _ = nameplate(box, 'support-bundle', '--output', output)
    assert status == 0 and 'read it before you send it' in out
    assert output.stat().st_mode & 0o777 == 0o600
    text = output.read_text()
    bundle = checked(text, 'support-bundle')
    assert bundle['status']['name'] == NAME and bundle['configuration']['role'] == 'router' and bundle['machine']['system'] == 'Linux'
    for part in ('status', 'doctor', 'events'):
        checked(json.dumps(bundle[part]), part)
    assert bundle['events']['events'] and bundle['doctor']['checks']
    assert secrets_in(text, box) == [] and 'PRIVATE KEY' not in text
    assert secrets_in(box.log_path.read_text(), box) == []


def test_support_bundle_without_an_agent(box, tmp_path):
    status, out, _ = attempt(box.program, 'support-bundle', '--output', '-', '--control', tmp_path / 'none', '--config', box.conf)
    assert status == 0
    bundle = checked(out, 'support-bundle')
    assert bundle['configuration']['role'] == 'router' and 'No such file' in bundle['status']['error']
