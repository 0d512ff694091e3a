"""docs/openapi.yaml as the tests use it: what a device and HQ say to each other must be what the contract says.

Violations are collected, because they are seen in threads and in the middle of a test's own steps; tests/net/conftest.py fails
the test in which one was seen."""
import base64
import functools
import json
import re
from pathlib import Path

import jsonschema
import yaml

from schemas import strict

PATH = Path(__file__).resolve().parents[2] / 'docs/openapi.yaml'
URN = 'urn:nameplate:problem:'
violations = []


@functools.cache
def document():
    return yaml.safe_load(PATH.read_text())


@functools.cache
def closed():
    """The contract without leave to add members."""
    return strict(document())


@functools.cache
def paths():
    """[(pattern, item)] of the contract's paths."""
    return [(re.compile(re.sub(r'\\{\w+\\}', '[^/]+', re.escape(path)) + r'\Z'), item) for path, item in document()['paths'].items()]


def resolve(node):
    """What a $ref leads to, or the node."""
    while '$ref' in node:
        found = document()
        for part in node['$ref'].removeprefix('#/').split('/'):
            found = found[part.replace('~1', '/').replace('~0', '~')]
        node = found
    return node


@functools.cache
def validator(reference, exact):
    """reference: a schema of the contract, as JSON; exact: no member may be added."""
    whole = closed() if exact else document()
    schema = strict(json.loads(reference)) if exact else json.loads(reference)
    return jsonschema.Draft202012Validator({**schema, 'components': whole['components']})


def problems_of(schema, value, exact, where):
    """What is wrong with a value, in words; what is packed into its texts (contentSchema) is looked at, too."""
    found = [f'{where}{"/".join(map(str, [""] + list(error.absolute_path)))}: {error.message[:300]}'
             for error in validator(json.dumps(schema), exact).iter_errors(value)]
    for name, part in resolve(schema).get('properties', {}).items():
        if 'contentSchema' in part and not found:
            text = value[name]
            inner = json.loads(base64.urlsafe_b64decode(text + '=' * (-len(text) % 4)))
            found += problems_of(part['contentSchema'], inner, exact, f'{where}/{name}')
    return found


def operation(method, path):
    """(the path is known, the operation or None)."""
    for pattern, item in paths():
        if pattern.match(path):
            return True, item.get(method.lower())
    return False, None


def request_problems(method, path, content_type, body, exact=True):
    """What is wrong with a device's request."""
    _, found = operation(method, path)
    if not found:
        return ['is not in the contract']
    if 'requestBody' not in found:
        return ['has a body and should have none'] if body else []
    content = found['requestBody']['content'].get(content_type)
    if not content:
        return [f'has the media type {content_type}']
    return problems_of(content['schema'], json.loads(body), exact, 'request')


def answer_problems(method, path, status, headers, body):
    """What is wrong with HQ's answer. headers: a mapping whose keys are of any case."""
    headers = {name.lower(): value for name, value in headers.items()}
    known, found = operation(method, path)
    # A full HQ's door answers a proxy's connection itself, and has no nonces.
    wrong = [f'has no {name}' for name in ('replay-nonce', 'cache-control') if name not in headers and status != 503]
    if not found:
        refusal = (404, 'not-found') if not known else (405, 'method-not-allowed')
        word = str(json.loads(body).get('type')).removeprefix(URN) if body else None
        allowed = method == 'HEAD' and status == refusal[0] or (status, word) == refusal
        return wrong if allowed else wrong + [f'{status} {word} to a request that is not in the contract']
    answer = found['responses'].get(str(status))
    if answer is None and status < 400:
        return wrong + [f'status {status} is not in the contract']
    answer = resolve(answer or found['responses']['default'])
    for name, header in answer.get('headers', {}).items():
        header, value = resolve(header), headers.get(name.lower())
        if value is None and header.get('required'):
            wrong.append(f'has no {name}')
        if value is not None:
            wrong += problems_of(header['schema'], value, True, name)
    content = answer.get('content')
    if not content or method == 'HEAD':
        return wrong + (['has a body and should have none'] if body else [])
    media = (headers.get('content-type') or '').partition(';')[0]
    if media not in content:
        return wrong + [f'has the media type {media}']
    value = json.loads(body)
    wrong += problems_of(content[media]['schema'], value, True, f'answer {status}')
    if status >= 400:
        statuses = document()['components']['schemas']['Problem']['x-statuses']
        if (value.get('status'), statuses.get(str(value.get('type')).removeprefix(URN))) != (status, status):
            wrong.append(f'{value.get("type")} with status {status}')
        if status in (429, 503) and 'retry-after' not in headers:
            wrong.append(f'{status} without Retry-After')
    return wrong


def note(method, path, wrong):
    violations.extend(f'{method} {path}: {what}' for what in wrong)


def saw_answer(method, path, request_type, request_body, answer):
    """HQ has answered a test's request. The request is looked at only where HQ took it: tests send much that is wrong on purpose,
    and members that nobody knows."""
    path = path.partition('?')[0]
    note(method, path, answer_problems(method, path, answer.status, answer.headers, answer.body))
    if answer.status < 300 and request_body:
        note(method, path, request_problems(method, path, request_type, request_body, exact=False))


def saw_request(method, path, headers, body):
    """A real device has asked a test's HQ."""
    content_type = headers.get('Content-Type')
    try:
        wrong = request_problems(method, path, content_type, body)
    except (ValueError, KeyError, TypeError) as error:
        wrong = [f'cannot be read: {error!r}']
    note(method, path, wrong)
