"""The wire's promise (docs/compatibility.md): what a real agent and a real HQ say to each other today has every member that
version 1 had, and what version 1 said is still in the contract. tests/unit replays the recorded bytes themselves."""
import copy
import json

import pytest

import contract
import wire

PROMISE = 'docs/compatibility.md promises that version 1 keeps its members; put it back, or make it version 2 of the protocol'


@pytest.fixture(scope='module')
def recorded():
    return wire.stored()


def broken(recorded, today):
    """What of the promise is broken, in words. A kind of exchange that did not come up today says nothing."""
    now, found = wire.kinds(today), []
    for kind, (requests, answers) in wire.kinds(recorded).items():
        step, status, what = kind
        label = f'{step} {status}' + (f' ({what})' if what else '')
        if kind not in now:
            found.append(f'{label}: does not come up any more')
            continue
        for side, then, told in (("the agent's request", requests, now[kind][0]), ("HQ's answer", answers, now[kind][1])):
            lost = sorted(member for member in then - told if member.count('[]') == 0)
            if lost:
                found.append(f'{label}: {side} has no {", ".join(lost)} any more: {PROMISE}')
    return found


def test_today_says_what_version_1_said(bin_dir, recorded):
    today, _ = wire.record(bin_dir)
    assert broken(recorded, today) == []


def test_what_is_lost_is_seen(recorded):
    """The comparison itself: a member renamed in a request, and one taken out of an answer, are told by name."""
    assert broken(recorded, recorded) == []
    changed = copy.deepcopy(recorded)
    for exchange in changed:
        if exchange['step'] == 'checkin':
            exchange['body'] = exchange['body'].replace('"health"', '"condition"')
        if exchange['answer']['status'] == 201:
            answer = json.loads(exchange['answer']['body'])
            del answer['intervals']['boot_jitter']
            exchange['answer']['body'] = json.dumps(answer)
    words = '\n'.join(broken(recorded, changed))
    assert "checkin 200: the agent's request has no /health any more" in words
    assert "enrol 201 (claim-code): HQ's answer has no /intervals/boot_jitter any more" in words and 'compatibility.md' in words


def test_version_1_is_in_the_contract(recorded):
    """docs/openapi.yaml says neither less nor something else than what was said then: a member that the contract lost would be
    one too many, one that it requires now would be missing."""
    wrong = []
    for exchange in recorded:
        answer = exchange['answer']
        wrong += contract.answer_problems(exchange['method'], exchange['path'], answer['status'], answer['headers'], answer['body'])
        if answer['status'] < 300:
            wrong += contract.request_problems(exchange['method'], exchange['path'], exchange['headers'].get('content-type'), exchange['body'])
    assert wrong == [], PROMISE


def test_everything_is_recorded(recorded):
    """Each operation of the contract, each credential, and each status that a device acts upon."""
    seen = {(exchange['step'], exchange['answer']['status']) for exchange in recorded}
    operations = {(method.upper(), path) for path, item in contract.document()['paths'].items() for method in item if method != 'parameters'}
    asked = {(exchange['method'], path) for exchange in recorded for path in contract.document()['paths']
             if contract.operation(exchange['method'], exchange['path'])[1] is contract.document()['paths'][path].get(exchange['method'].lower())}
    assert operations - asked == {('GET', '/v1/nonce')}  # the agent asks with HEAD
    assert {('package', 200), ('package', 202), ('package', 304), ('addresses', 409), ('session', 410), ('leave', 204)} <= seen
    enrolled = {wire.message(exchange)['credential']['type'] for exchange in recorded if exchange['step'] == 'enrol' and exchange['answer']['status'] == 201}
    assert enrolled == set(wire.CREDENTIALS)
