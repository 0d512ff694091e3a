"""The operator's listener of a real HQ: metrics, health, readiness, and who may see what."""
import json
import os
import re
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from acmeca.client import AcmeCa
from hqserver import Hq
from lab.waiting import wait_until
from metrics import check_histograms, promtool, samples
from postgres import Postgres

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / 'hq/packaging'
OPENMETRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8'


@pytest.fixture(scope='module')
def hq(bin_dir, tmp_path_factory):
    """With a CA, and one device that has its certificate."""
    folder = tmp_path_factory.mktemp('admin')
    ca = AcmeCa(folder / 'ca', None)
    running = Hq(bin_dir / 'nameplate-hq', folder / 'hq', '--acme-directory', ca.directory, '--acme-anchors', str(ca.certificate))
    ca.dns_port = running.dns_port
    with ca:
        with running.conf.open('a') as conf:
            conf.write('acme-limit-orders = "300/3h"\nacme-headroom = 0\n')
        running.start()
        running.directory = ca.directory
        device = running.box = running.device('NP-4000')
        assert device.enrol().status == 201 and device.post_csr(device.csr()).status == 202
        wait_until(lambda: device.package().status == 200, 20, 'the certificate')
        yield running
        assert running.stop() == 0


def metrics_of(hq):
    status, headers, text = hq.admin('/metrics')
    assert status == 200 and headers['Content-Type'] == 'text/plain; version=0.0.4; charset=utf-8'
    return text


def values(hq):
    return samples(parse_prometheus(metrics_of(hq)))


def counted(hq):
    """The metrics once a census has seen the certificate."""
    return wait_until(lambda: (seen := values(hq)).get(('nameplate_hq_certificates', ())) == 1 and seen, 40, 'a census')


def test_metrics(hq):
    seen = counted(hq)
    promtool(metrics_of(hq))
    status, headers, strict = hq.admin('/metrics', Accept=OPENMETRICS + ',text/plain;q=0.5')
    assert status == 200 and headers['Content-Type'] == OPENMETRICS
    families = list(parse_openmetrics(strict))
    check_histograms(families)
    assert set(samples(families)) == set(seen)
    assert seen['nameplate_hq_devices', (('state', 'active'),)] == 1
    assert seen['nameplate_hq_device_versions', (('version', '0.1.0'),)] == 1
    assert seen['nameplate_hq_requests_total', (('code', '201'), ('request', 'enrol'))] == 1
    assert seen['nameplate_hq_request_seconds_count', (('request', 'csr'),)] == 1
    assert seen['nameplate_hq_ca_up', (('ca', hq.directory),)] == 1
    assert seen['nameplate_hq_certificates_issued_total', (('ca', hq.directory),)] == 1
    limit = (('ca', hq.directory), ('limit', 'orders'))
    assert (seen['nameplate_hq_ca_limit', limit], seen['nameplate_hq_ca_limit_left', limit]) == (300, 299)
    assert seen['nameplate_hq_dns_ready', ()] == seen['nameplate_hq_store_up', ()] == 1
    assert seen['nameplate_hq_nameserver_up', (('address', f'127.0.0.1:{hq.dns_port}'), ('name', 'ns1.devices.example'))] == 1
    assert seen['process_resident_memory_bytes', ()] > 1e6 and 5 < seen['process_open_fds', ()] < 1000
    assert seen['nameplate_hq_tls_handshakes_total', (('outcome', 'full'),)] == 1


def test_request_counters(hq):
    before = values(hq)
    client = hq.client()
    assert client.request('GET', '/v1/nonce').status == 204
    assert client.request('GET', '/nothing').status == 404
    assert client.request('DELETE', '/v1/nonce').status == 405
    after = values(hq)
    for request, code in (('nonce', 204), ('other', 404), ('nonce', 405)):
        key = ('nameplate_hq_requests_total', (('code', str(code)), ('request', request)))
        assert after[key] - before.get(key, 0) == 1


def test_publish_lag(hq):
    """A DNS process that is stopped confirms nothing: the lag grows until it goes on."""
    child = next(int(path.name) for path in Path('/proc').iterdir() if path.name.isdigit() and child_of(path, hq.process.pid))
    os.kill(child, 19)  # SIGSTOP
    try:
        assert hq.box.put_addresses(1, ['192.168.1.77'], token=hq.box.token).status in (200, 401)
        device = hq.device('NP-4001')
        assert device.enrol().status == 201
        wait_until(lambda: values(hq)['nameplate_hq_publish_lag_seconds', ()] > 2, 20, 'the lag is seen')
    finally:
        os.kill(child, 18)  # SIGCONT
    wait_until(lambda: values(hq)['nameplate_hq_publish_lag_seconds', ()] == 0, 20, 'it is caught up')


def child_of(path, parent):
    try:
        return path.joinpath('stat').read_text().rsplit(')', 1)[1].split()[1] == str(parent)
    except OSError:
        return False


def test_health(hq):
    assert hq.admin('/healthz')[::2] == (200, 'alive\n')
    assert hq.admin('/readyz')[::2] == (200, 'store: ready\nzone: ready\nca: ready\n')
    assert hq.admin('/healthz', 'HEAD')[::2] == (200, '')
    assert hq.admin('/healthz', 'POST')[0] == 405
    assert hq.admin('/nothing')[0] == 404
    assert hq.admin('/metrics/')[0] == 404


def test_not_ready_without_its_ca(bin_dir, tmp_path):
    """The CA is not there: said, and why; the devices are served all the same."""
    hq = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq').start()
    try:
        status, _, text = hq.admin('/readyz')
        assert status == 503 and 'ca: not ready: there is no account at https://127.0.0.1:9/dir yet' in text
        assert text.startswith('store: ready\nzone: ready\n')
        assert hq.admin('/healthz')[0] == 200
        assert values(hq)['nameplate_hq_ca_up', (('ca', 'https://127.0.0.1:9/dir'),)] == 0
        assert hq.device().enrol().status == 201
    finally:
        assert hq.stop() == 0


def test_database_away(bin_dir, tmp_path):
    """A PostgreSQL that is stopped: not ready, and why; what was counted before is still told, with its age."""
    hq = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq')
    with Postgres() as postgres:
        text = re.sub(r'^database = .*$', f'database = "{postgres.create("away")}"', hq.conf.read_text(), flags=re.M)
        hq.conf.write_text(text)
        hq.start()
        try:
            wait_until(lambda: 'store: ready\n' in hq.admin('/readyz')[2], 20, 'the database answers')
            wait_until(lambda: ('nameplate_hq_certificates', ()) in values(hq), 30, 'a census')
            postgres.stop()
            status, _, said = wait_until(lambda: 'store: not ready: ' in (seen := hq.admin('/readyz'))[2] and seen, 30, 'it is missed')
            assert status == 503, said
            seen = values(hq)
            assert seen['nameplate_hq_store_up', ()] == 0 and ('nameplate_hq_certificates', ()) in seen
            assert hq.admin('/healthz')[0] == 200
            postgres.start()
            wait_until(lambda: 'store: ready\n' in hq.admin('/readyz')[2], 30, 'it answers again')
        finally:
            hq.stop()


def test_another_host_needs_the_token(hq):
    """A page whose name points to this machine (DNS rebinding) is not answered."""
    for host in ('evil.example', 'evil.example:80', '127.0.0.1.evil.example', 'localhost.evil.example', ''):
        status, headers, text = hq.admin('/metrics', Host=host)
        assert status == 401 and headers['WWW-Authenticate'].startswith('Bearer') and 'nameplate_hq' not in text, host
    for host in ('localhost', 'localhost:9180', '127.0.0.1', '[::1]:9180', '192.168.1.5:80'):
        assert hq.admin('/metrics', Host=host)[0] == 200, host
    token = hq.admin_token()
    assert hq.admin('/metrics', Host='metrics.example', Authorization=f'Bearer {token}')[0] == 200
    for wrong in (f'Bearer {token}x', f'Bearer {token[:-1]}', 'Bearer ', 'Bearer', f'Basic {token}', token):
        assert hq.admin('/metrics', Host='metrics.example', Authorization=wrong)[0] == 401, wrong


def test_token_file(hq, bin_dir, tmp_path):
    path = hq.folder / 'admin-token'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and re.fullmatch(r'[\w-]{43}\n', path.read_text())
    other = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq')
    (other.folder / 'admin-token').unlink()
    other.start()
    made = (other.folder / 'admin-token').read_text()
    assert made != path.read_text() and stat.S_IMODE((other.folder / 'admin-token').stat().st_mode) == 0o600
    assert other.stop() == 0
    (other.folder / 'admin-token').write_text('short\n')
    other.log.unlink()
    other.start()
    other.wait_for_log("an operator's token has 32 to 128")
    with pytest.raises(ConnectionRefusedError):
        other.admin('/healthz')
    assert other.stop() == 0


def test_taken_port(hq, bin_dir, tmp_path):
    """Told, and no reason not to serve the devices."""
    other = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq', '--admin-listen', f'127.0.0.1:{hq.admin_port}').start()
    try:
        other.wait_for_log(f"no operator's listener: cannot listen on 127.0.0.1:{hq.admin_port}: Address already in use")
        assert other.client().request('GET', '/v1/nonce').status == 204
    finally:
        assert other.stop() == 0


def test_none(bin_dir, tmp_path):
    hq = Hq(bin_dir / 'nameplate-hq', tmp_path / 'hq', '--admin-listen', 'none').start()
    with pytest.raises(ConnectionRefusedError):
        hq.admin('/healthz')
    assert hq.stop() == 0
    hq.conf.write_text(hq.conf.read_text() + 'admin-listen = "here"\n')
    done = hq.run('serve', check=False)
    assert done.returncode == 1 and 'admin-listen = here: must be ADDRESS:PORT' in done.stderr


def test_garbage(hq):
    """Whatever is sent, the next one is answered."""
    for data in (b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + os.urandom(200), b'GET ' + b'/' * 70000, os.urandom(3000),
                 b'POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n' + b'x' * 5000,
                 b'GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n' + b'Cookie: ' + b'nameplate-hq=1;' * 3000 + b'\r\n\r\n'):
        with socket.create_connection(('127.0.0.1', hq.admin_port), 5) as stream:
            stream.settimeout(0.2)
            try:
                stream.sendall(data)
                stream.recv(100)
            except OSError:
                pass
        assert hq.admin('/healthz')[0] == 200


def test_alert_rules(hq):
    """promtool likes them, they fire when they should, and every metric in them is one that HQ has."""
    rules = PACKAGING / 'prometheus/alerts.yml'
    for words in (['check', 'rules', rules], ['test', 'rules', ROOT / 'tests/net/alerts_test.yml']):
        done = subprocess.run(['promtool', *words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    text = counted(hq) and metrics_of(hq)
    known = set(re.findall(r'^# TYPE (\S+)', text, re.M))
    asked = set(re.findall(r'\b(?:nameplate_hq|process)_\w+', rules.read_text()))
    assert asked and asked - known == set()


def test_grafana_dashboard(hq, tmp_path):
    """Every query is PromQL, and asks for what HQ has, by labels that it has."""
    dashboard = json.loads((PACKAGING / 'grafana/nameplate-hq.json').read_text())
    queries = [target['expr'] for panel in dashboard['panels'] for target in panel['targets']]
    rules = [{'record': f'panel:query{n}', 'expr': query.replace('$instance', '.*')} for n, query in enumerate(queries)]
    (tmp_path / 'rules.yml').write_text(json.dumps({'groups': [{'name': 'panels', 'rules': rules}]}))  # JSON is YAML
    done = subprocess.run(['promtool', 'check', 'rules', tmp_path / 'rules.yml'], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and len(queries) > 20, done.stdout + done.stderr
    text = counted(hq) and metrics_of(hq)
    types = dict(re.findall(r'^# TYPE (\S+) (\S+)', text, re.M))
    known = set(types) | {f'{name}_bucket' for name, kind in types.items() if kind == 'histogram'}
    asked = set(re.findall(r'\b(?:nameplate_hq|process)_\w+', ' '.join(queries)))
    assert asked - known == set()
    labels = set(re.findall(r'(\w+)="', text)) | {'instance', 'job'}
    assert set(re.findall(r'(\w+)=~?"', ' '.join(queries))) <= labels
    places = [tuple(panel['gridPos'].values()) for panel in dashboard['panels']]
    assert len(set(places)) == len(places) and len({panel['id'] for panel in dashboard['panels']}) == len(places)


def test_every_metric_is_in_the_manual(hq):
    text = (ROOT / 'docs/operations.md').read_text()
    known = set(re.findall(r'^# TYPE (nameplate_hq_\S+)', counted(hq) and metrics_of(hq), re.M))
    assert {name for name in known if f'`{name.removeprefix("nameplate_hq_")}`' not in text} == set()


def test_stats_agree(hq):
    """`stats --json` and the metrics count the same."""
    seen, stats = counted(hq), json.loads(hq.run('stats', '--json').stdout)
    assert stats['certificates']['total'] == seen['nameplate_hq_certificates', ()]
