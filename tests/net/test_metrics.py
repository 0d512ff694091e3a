"""Metrics of a real agent and of `nameplate resolver`: promtool has nothing to say, and a strict parser of OpenMetrics takes them."""
import json
import os
import signal
import subprocess

import dns.exception
import dns.message
import dns.query
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from fake_hq import NAME as BOX_NAME
from lab.namespaces import attempt
from lab.waiting import wait_until
from metrics import check_histograms, promtool, samples
from real_agent import BOX, OUTSIDE, a_box
from resolver_process import NAME, VIEW, Resolver
from upstream import reply


@pytest.fixture(scope='module')
def box(bin_dir):
    with a_box(bin_dir) as running:
        running.hq.names |= {'www.example': '198.51.100.7', 'evil.example': '192.168.9.9'}
        running.start()
        wait_until(running.serial, 15, 'the first certificate')
        yield running


def shown(box, *options):
    code, out, err = attempt(*box.namespace.argv(box.program, 'status', *options, '--config', box.conf), timeout=10)
    assert code == 0, err
    return out


def test_agent(box):
    with box.outside.inside():
        for name in [BOX_NAME] * 20 + ['www.example', 'evil.example']:
            dns.query.udp(dns.message.make_query(name, 'A'), BOX, timeout=5)
    text, strict = shown(box, '--metrics'), shown(box, '--metrics=openmetrics')
    promtool(text)
    assert shown(box, '--metrics=prometheus').splitlines()[0] == text.splitlines()[0]
    families, strict_families = list(parse_prometheus(text)), list(parse_openmetrics(strict))
    check_histograms(strict_families)
    seen, strict_seen = samples(families), samples(strict_families)
    assert set(seen) == set(strict_seen)
    assert seen['nameplate_enrolled', ()] == seen['nameplate_certificate_valid', ()] == seen['nameplate_dns_up', ()] == 1
    assert seen['nameplate_process_ready', (('process', 'resolver'),)] == 1
    assert seen['nameplate_dns_queries_total', (('outcome', 'own'),)] == 20
    assert seen['nameplate_dns_blocked_total', ()] == 1
    upstream = (('server', f'{OUTSIDE}:53'), ('zone', '.'))
    assert seen['nameplate_dns_upstream_up', upstream] == 1 and seen['nameplate_dns_upstream_answers_total', upstream] >= 2
    # What is JSON in one place is a metric in the other: nothing is forgotten.
    status = json.loads(shown(box, '--json'))['resolver']
    numbers = sum(len(status[group]) for group in ('answers', 'server', 'forward', 'cache'))
    plain = [key for key in seen if key[0].startswith('nameplate_dns_') and not key[0].startswith(
        ('nameplate_dns_upstream_', 'nameplate_dns_answer_seconds', 'nameplate_dns_up'))]
    assert len(plain) == numbers + sum(key[0] == 'nameplate_dns_up' for key in plain)


def test_agent_without_its_resolver(box):
    pid = json.loads(shown(box, '--json'))['processes']['resolver']['pid']
    os.kill(pid, signal.SIGSTOP)
    try:
        text = shown(box, '--metrics')
        promtool(text)
        seen = samples(parse_prometheus(text))
        assert seen['nameplate_dns_up', ()] == 0 and seen['nameplate_enrolled', ()] == 1
    finally:
        os.kill(pid, signal.SIGCONT)


def test_wrong_format(box):
    code, out, err = attempt(*box.namespace.argv(box.program, 'status', '--metrics=xml', '--config', box.conf), timeout=10)
    assert code == 2 and not out and 'must be prometheus or openmetrics' in err


def test_resolver_alone(bin_dir, tmp_path, upstream):
    """A file that is replaced as a whole: at the start, when asked, at the end, and every 15 s (not waited for)."""
    path = tmp_path / 'nameplate.prom'
    server = upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 60 A 192.168.9.9')])
    resolver = Resolver(bin_dir / 'nameplate', tmp_path, VIEW, [server.address], options=('--metrics', str(path)))
    try:
        wait_until(path.exists, what='the file')
        promtool(path.read_text())
        assert samples(parse_prometheus(path.read_text()))['nameplate_dns_queries_total', (('outcome', 'own'),)] == 0
        for _ in range(5):
            assert resolver.ask(NAME).answer
        assert not resolver.ask('evil.example').answer

        def value(name, labels=()):
            return samples(parse_prometheus(path.read_text()))[name, labels]
        resolver.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: value('nameplate_dns_queries_total', (('outcome', 'own'),)) == 5, what='the new counters')
        assert value('nameplate_dns_blocked_total') == 1
        assert 'queries: 5 own' in resolver.log() and f'upstream {server.address} for .: alive' in resolver.log()
        assert not path.with_name(path.name + '.tmp').exists()
        resolver.ask(NAME)
    finally:
        resolver.close()
    promtool(path.read_text())
    assert value('nameplate_dns_queries_total', (('outcome', 'own'),)) == 6, 'written at the end'


def test_file_that_cannot_be_written(bin_dir, tmp_path):
    view = tmp_path / 'view.json'
    view.write_text(json.dumps(VIEW))
    done = subprocess.run([bin_dir / 'nameplate', 'resolver', '--view', view, '--port', '0', '--metrics', '/nonexistent/x.prom'],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and '--port' in done.stderr
    done = subprocess.run([bin_dir / 'nameplate', 'resolver', '--view', view, '--port', '1', '--listen', '127.0.0.1',
                           '--metrics', '/nonexistent/x.prom'], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and '/nonexistent/x.prom: No such file or directory' in done.stderr
