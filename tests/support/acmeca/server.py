"""The CA's HTTPS, its control endpoint (plain HTTP on loopback), and the faults that a test can ask for.

Control: GET /stats; POST /set {settings}, /limits {kind: [count, seconds]}, /faults [fault, ...] (replacing those before).
A fault names a resource (`on`, as in the directory, or order, authz, challenge, finalize, certificate, account, `*`) and
what happens to it, `count` times (1; -1: always) after the first `skip`:
    status, type, detail, retry_after   a problem instead of an answer
    body                                'garbage', 'html', 'huge' or 'cut' instead of the answer's own
    close                               the connection ends without an answer; with `after`, once the work was done
    delay                               seconds before anything else
"""
import argparse
import http.server
import json
import os
import secrets
import ssl
import sys
import threading
from collections import Counter, deque
from pathlib import Path

from lab.waiting import pause

from .jose import Jws, Refused
from .state import Ca, problem_json
from .validate import Dns

NONCES_KEPT = 1000
BODY_MAX = 64 * 1024


class Cut(Exception):
    """The connection is to end here."""


class Faults:
    def __init__(self):
        self.lock, self.list = threading.Lock(), []

    def replace(self, faults):
        with self.lock:
            self.list = [{'count': 1, 'skip': 0} | fault for fault in faults]

    def take(self, resource):
        """The first fault that wants this request, or {}."""
        with self.lock:
            for fault in self.list:
                if fault['on'] not in (resource, '*') or fault['count'] == 0:
                    continue
                if fault['skip'] > 0:
                    fault['skip'] -= 1
                    continue
                fault['count'] -= 1
                return fault
        return {}


class Front:
    """What the handlers share."""

    def __init__(self, ca):
        self.ca, self.faults = ca, Faults()
        self.nonces, self.requests = deque(maxlen=NONCES_KEPT), Counter()
        self.connections = self.connections_max = self.connections_all = 0

    def nonce(self):
        fresh = secrets.token_urlsafe(16)
        self.nonces.append(fresh)
        return fresh

    def spend(self, nonce):
        try:
            self.nonces.remove(nonce)
        except ValueError:
            raise Refused('badNonce', 'not a nonce of mine, or used already') from None

    def stats(self):
        ca = self.ca
        with ca.lock:
            shown = ('names', 'profile', 'replaces', 'status', 'exempt', 'created', 'error', 'account')
            return {'requests': dict(self.requests), 'accounts': [account['url'] for account in ca.accounts.values()],
                    'keys': [account['thumbprint'] for account in ca.accounts.values()],
                    'orders': [{name: ca.refresh(order)[name] for name in shown} for order in ca.orders.values()],
                    'certificates': [{'serial': key, 'names': item['names'], 'profile': item['profile'], 'revoked': item['revoked'],
                                      'ari_id': ca.ari_id(item)} for key, item in ca.certificates.items()],
                    'limited': ca.limits.refused, 'connections': self.connections_all, 'connections_max': self.connections_max}


class AcmeHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave together
    front = None

    def setup(self):
        self.request.settimeout(120)
        self.request.do_handshake()  # here, in the connection's thread: a slow client keeps nobody waiting
        super().setup()
        front = self.front
        with front.ca.lock:
            front.connections += 1
            front.connections_all += 1
            front.connections_max = max(front.connections_max, front.connections)

    def finish(self):
        with self.front.ca.lock:
            self.front.connections -= 1
        super().finish()

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.serve()

    do_HEAD = do_POST = do_GET

    def serve(self):
        parts = self.path.strip('/').split('/')
        body = self.rfile.read(min(int(self.headers.get('Content-Length') or 0), BODY_MAX))
        with self.front.ca.lock:
            self.front.requests[parts[0]] += 1
        fault = self.front.faults.take(parts[0])
        pause(fault.get('delay', 0))
        try:
            if fault.get('close') and not fault.get('after'):
                raise Cut
            if 'status' in fault:
                headers = {'Retry-After': str(fault['retry_after'])} if 'retry_after' in fault else {}
                raise Refused(fault.get('type', 'serverInternal'), fault.get('detail', 'as asked'), fault['status'], headers)
            answer = self.route(parts, body)
            if fault.get('close'):
                raise Cut
        except Refused as error:
            answer = (error.status, problem_json(error), error.headers | {'Content-Type': 'application/problem+json'})
        except Cut:
            self.close_connection = True
            return
        self.answer(*answer, fault=fault)

    def route(self, parts, body):
        ca, resource = self.front.ca, parts[0]
        if self.command == 'HEAD' and resource == 'newNonce':
            return 200, b'', {}
        if self.command == 'GET' and resource == 'dir':
            return 200, ca.directory(), {}
        if self.command == 'GET' and resource == 'renewalInfo' and len(parts) == 2 and ca.settings['ari']:
            with ca.lock:
                return 200, ca.renewal_info(parts[1]), {'Retry-After': ca.settings['ari_retry_after']}
        if self.command != 'POST' or self.headers.get('Content-Type') != 'application/jose+json':
            raise Refused('malformed', 'POST with application/jose+json', 405)
        jws = Jws(body)
        if jws.header.get('url') != ca.base + self.path:
            raise Refused('unauthorized', 'the URL in the header is another one', 401)
        if ('kid' in jws.header) == ('jwk' in jws.header) or ('jwk' in jws.header) != (resource == 'newAccount'):
            raise Refused('malformed', 'kid or jwk')
        self.front.spend(jws.header.get('nonce'))
        with ca.lock:
            if resource == 'newAccount':
                status, account = ca.new_account(jws)
                return status, ca.account_json(account), {'Location': account['url']}
            return self.signed(parts, jws, ca.account_of(jws))

    def signed(self, parts, jws, account):
        """A request of a known account."""
        ca, resource = self.front.ca, parts[0]
        if resource == 'newOrder':
            order = ca.new_order(account, jws.payload)
            return 201, ca.order_json(order), {'Location': order['url']}
        if resource == 'revokeCert':
            ca.revoke(jws, account)
            return 200, b'', {}
        if resource == 'keyChange':
            ca.key_change(account, jws)
            return 200, ca.account_json(account), {}
        if resource == 'account':
            return 200, {'orders': [order['url'] for order in ca.orders.values() if order['account'] == account['url']]}, {}
        tables = {'order': ca.orders, 'finalize': ca.orders, 'authz': ca.authzs, 'challenge': ca.authzs, 'certificate': ca.certificates}
        item = tables.get(resource, {}).get(parts[1] if len(parts) > 1 else '')
        if not item or item['account'] != account['url']:
            raise Refused('malformed', 'not found', 404)
        return self.item(resource, parts, item, jws, account)

    def item(self, resource, parts, item, jws, account):
        ca = self.front.ca
        if resource == 'authz':
            return 200, ca.authz_json(item), {}
        if resource == 'challenge':
            ca.challenge(account, item)
            return 200, ca.authz_json(item)['challenges'][0], {}
        if resource == 'certificate':
            return self.certificate(parts, item)
        if resource == 'finalize':
            ca.finalize(account, item, jws.payload)
        shown = ca.order_json(item)
        wait = ca.settings['poll_retry_after'] if shown['status'] in ('pending', 'processing') else ''
        return 200, shown, {'Location': item['url']} | ({'Retry-After': wait} if wait else {})

    def certificate(self, parts, item):
        ca, key, alternate = self.front.ca, parts[1], len(parts) > 2 and parts[2] == '1'
        headers = {'Content-Type': 'application/pem-certificate-chain'}
        if ca.settings['alternates']:
            headers['Link'] = f'<{ca.url("certificate", key, "0" if alternate else "1")}>;rel="alternate"'
        return 200, ca.chain(key, int(alternate)).encode(), headers

    def answer(self, status, body, headers, fault):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = fault.get('body')
        if kind == 'garbage':
            data = os.urandom(600)
        elif kind == 'html':
            data = b'<html><body>502 Bad Gateway</body></html>'
        elif kind == 'huge':
            data = b'[' + b'0,' * 100000 + b'0]'
        elif kind == 'cut':
            data = data[:len(data) // 2]
        ca = self.front.ca
        headers = {'Content-Type': 'application/json'} | headers
        links = [f'<{ca.url("dir")}>;rel="index"'] + ([headers.pop('Link')] if 'Link' in headers else [])
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        for link in links:
            self.send_header('Link', link)
        if self.command != 'GET':
            self.send_header('Replay-Nonce', self.front.nonce())
        self.send_header('Cache-Control', 'no-store')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(data)
        self.wfile.flush()


class ControlHandler(http.server.BaseHTTPRequestHandler):
    front = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.reply(self.front.stats())

    def do_POST(self):
        value = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        ca = self.front.ca
        with ca.lock:
            if self.path == '/set':
                unknown = set(value) - set(ca.settings)
                ca.settings.update({} if unknown else value)
                return self.reply({'unknown': sorted(unknown)}, 400 if unknown else 200)
            if self.path == '/limits':
                ca.limits.rules, ca.limits.buckets = value, {}
            elif self.path == '/faults':
                self.front.faults.replace(value)
        return self.reply({})

    def reply(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class TlsServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (OSError, ssl.SSLError)):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(prog='acmeca', description=__doc__.splitlines()[0])
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--control-port', type=int, required=True)
    parser.add_argument('--certificate', required=True)
    parser.add_argument('--key', required=True)
    parser.add_argument('--dns', required=True, metavar='HOST:PORT')
    parser.add_argument('--label', default='Own Test')
    parser.add_argument('--roots', type=Path, help='where the roots go, PEM')
    options = parser.parse_args()
    host, port = options.dns.rsplit(':', 1)
    ca = Ca(f'https://localhost:{options.port}', Dns(host, int(port)), options.label)
    if options.roots:
        from .pki import pem
        options.roots.write_text(''.join(pem(root) for root in ca.pki.roots))
    front = AcmeHandler.front = ControlHandler.front = Front(ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certificate, options.key)
    server = TlsServer(('127.0.0.1', options.port), AcmeHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    control = http.server.ThreadingHTTPServer(('127.0.0.1', options.control_port), ControlHandler)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    server.serve_forever()
    return front
