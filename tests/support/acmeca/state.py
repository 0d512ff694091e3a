"""The CA itself: accounts, orders, authorizations, certificates. No HTTP here; acmeca.server brings the requests."""
import datetime
import secrets
import threading
import time

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from . import validate
from .jose import Jws, Refused, b64, public_key, thumbprint, unb64
from .limits import Limits
from .pki import Pki, der_serial, pem

DEFAULTS = {
    'eab': {},              # key id -> base64url MAC key; not empty: a binding is required
    'terms': '',            # URL; not empty: agreement is required
    'profiles': {},         # name -> {'life_s', 'common_name'}, both optional
    'life_s': 90 * 86400,   # of a certificate
    'common_name': False,   # of a leaf: True puts the first name there
    'alternates': False,    # offer the chain to the second root, too
    'challenges': ['dns-01', 'http-01'],
    'authz_life_s': 3600, 'authz_reuse': False, 'order_life_s': 3600,
    'validation_s': 0, 'processing_s': 0,
    'poll_retry_after': '',  # of orders that are pending or processing
    'order_list': False,     # does an account have a list of its orders?
    'order_reuse': False,    # does a pending order answer newOrder for the same names, as Boulder does it?
    'caa_identities': [],    # the CA's own issuer domains; empty: CAA is not looked at
    'ari': False, 'ari_part': [0.64, 0.68], 'ari_retry_after': '21600',
    'ari_windows': {},       # name -> [from, until] in Unix seconds, instead of ari_part
    'domain': '',            # registered domain of the `domain` limit; empty: each name is one
}


def stamp(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')


def problem_json(error):
    return {'type': f'urn:ietf:params:acme:error:{error.kind}', 'detail': error.detail, 'status': error.status}


class Ca:
    """base: the URL that everything hangs below."""

    def __init__(self, base, dns_server, label):
        self.base, self.dns, self.pki = base, dns_server, Pki(label)
        self.settings, self.limits = dict(DEFAULTS), Limits()
        self.lock = threading.RLock()
        self.accounts, self.orders, self.authzs, self.certificates = {}, {}, {}, {}

    def url(self, *parts):
        return '/'.join((self.base,) + parts)

    # ---- Accounts ----

    def directory(self):
        names = ('newNonce', 'newAccount', 'newOrder', 'revokeCert', 'keyChange')
        meta = {'externalAccountRequired': bool(self.settings['eab'])}
        if self.settings['caa_identities']:
            meta['caaIdentities'] = self.settings['caa_identities']
        if self.settings['profiles']:
            meta['profiles'] = {name: f'https://ca.example/profiles/{name}' for name in self.settings['profiles']}
        if self.settings['terms']:
            meta['termsOfService'] = self.settings['terms']
        ari = {'renewalInfo': self.url('renewalInfo')} if self.settings['ari'] else {}
        return {name: self.url(name) for name in names} | ari | {'meta': meta}

    def account_of(self, jws):
        """The account that signed, by its kid."""
        account = self.accounts.get(str(jws.header.get('kid')).rpartition('/')[2])
        if not account or jws.header.get('kid') != account['url']:
            raise Refused('accountDoesNotExist', 'no account with this key id')
        jws.verify(account['jwk'])
        if account['status'] != 'valid':
            raise Refused('unauthorized', f'the account is {account["status"]}', 401)
        return account

    def new_account(self, jws):
        jwk, payload = jws.header.get('jwk'), jws.payload or {}
        public_key(jwk)
        jws.verify(jwk)
        print_of_key = thumbprint(jwk)
        for account in self.accounts.values():
            if account['thumbprint'] == print_of_key:
                return 200, account
        if payload.get('onlyReturnExisting'):
            raise Refused('accountDoesNotExist', 'no account with this key')
        if self.settings['terms'] and payload.get('termsOfServiceAgreed') is not True:
            raise Refused('userActionRequired', f'agree to {self.settings["terms"]}', 403)
        self._check_binding(payload.get('externalAccountBinding'), jwk)
        name = secrets.token_hex(6)
        self.accounts[name] = {'url': self.url('account', name), 'jwk': jwk, 'thumbprint': print_of_key, 'status': 'valid',
                               'contact': payload.get('contact', []), 'kid': None}
        return 201, self.accounts[name]

    def _check_binding(self, binding, jwk):
        keys = self.settings['eab']
        if not keys:
            return
        if not binding:
            raise Refused('externalAccountRequired', 'an external account binding is required', 403)
        inner = Jws(binding)
        key = keys.get(inner.header.get('kid'))
        if not key or inner.header.get('url') != self.url('newAccount') or inner.payload != jwk:
            raise Refused('unauthorized', 'the external account binding is for another key, URL or account', 401)
        inner.verify_mac(unb64(key))

    def account_json(self, account):
        shown = {'status': account['status'], 'contact': account['contact']}
        return shown | ({'orders': account['url'] + '/orders'} if self.settings['order_list'] else {})

    def key_change(self, account, jws):
        """RFC 8555 section 7.3.5."""
        inner = Jws(jws.payload if isinstance(jws.payload, dict) else {})
        new = inner.header.get('jwk')
        public_key(new)
        inner.verify(new)
        if inner.header.get('url') != jws.header.get('url') or 'nonce' in inner.header:
            raise Refused('malformed', 'the inner JWS has another URL, or a nonce')
        if inner.payload != {'account': account['url'], 'oldKey': account['jwk']}:
            raise Refused('malformed', 'the inner payload does not name this account and its key')
        for other in self.accounts.values():
            if other['thumbprint'] == thumbprint(new):
                raise Refused('malformed', 'another account has this key', 409, {'Location': other['url']})
        account.update(jwk=new, thumbprint=thumbprint(new))

    # ---- Orders ----

    def new_order(self, account, payload):
        try:
            names = [item['value'].lower() for item in payload['identifiers'] if item['type'] == 'dns']
            assert names and len(names) == len(payload['identifiers'])
        except (KeyError, TypeError, AssertionError) as error:
            raise Refused('malformed', 'identifiers') from error
        profile = payload.get('profile')
        if profile is not None and profile not in self.settings['profiles']:
            raise Refused('invalidProfile', f'no profile {profile}')
        for order in self.orders.values():
            if self.settings['order_reuse'] and order['account'] == account['url'] and order['names'] == names \
                    and self.refresh(order)['status'] in ('pending', 'ready'):
                return order
        replaced, exempt = self._check_replaces(account, payload.get('replaces'), names)
        self._check_limits(account, names, exempt)
        name, now = secrets.token_hex(8), time.time()
        order = {'id': name, 'url': self.url('order', name), 'account': account['url'], 'names': names, 'profile': profile,
                 'replaces': payload.get('replaces'), 'status': 'pending', 'error': None, 'expires': now + self.settings['order_life_s'],
                 'authzs': [self._authz(account, name) for name in names], 'certificate': None, 'exempt': exempt, 'created': now}
        if replaced:
            replaced['replaced_by'] = order['id']
        self.orders[name] = order
        return order

    def _check_replaces(self, account, replaces, names):
        """RFC 9773 section 5. Returns the certificate, and whether the limits do not count."""
        if replaces is None:
            return None, False
        certificate = self._by_ari_id(replaces)
        if not certificate or certificate['account'] != account['url'] or not set(names) & set(certificate['names']):
            raise Refused('malformed', f'replaces: no certificate {replaces} of yours with these names', 404)
        earlier = self.orders.get(certificate['replaced_by'])
        if earlier and self.refresh(earlier)['status'] != 'invalid':
            raise Refused('alreadyReplaced', f'an order replaces {replaces} already', 409)
        start, end = self._window(certificate)
        return certificate, start <= time.time() <= end

    def _limit_domains(self, names):
        return sorted({self.settings['domain'] or name.removeprefix('*.') for name in names})

    def _check_limits(self, account, names, exempt):
        renewed = any(sorted(names) == sorted(item['names']) for item in self.certificates.values())
        if exempt:
            return
        self.limits.check('names', ','.join(sorted(names)))
        for name in names:
            self.limits.check('failures', name)
        if not renewed:
            self.limits.check('orders', account['url'])
            for domain in self._limit_domains(names):
                self.limits.check('domain', domain)
            self.limits.spend('orders', account['url'])

    def _authz(self, account, full_name):
        now, name = time.time(), full_name.removeprefix('*.')
        for authz in self.authzs.values():
            if self.settings['authz_reuse'] and authz['account'] == account['url'] and authz['full_name'] == full_name \
                    and authz['status'] == 'valid' and authz['expires'] > now:
                return authz['id']
        key = secrets.token_hex(8)
        self.authzs[key] = {'id': key, 'account': account['url'], 'full_name': full_name, 'name': name, 'status': 'pending',
                            'expires': now + self.settings['authz_life_s'], 'token': secrets.token_urlsafe(32), 'error': None,
                            'challenged': False}
        return key

    def refresh(self, order):
        """Lets time and authorizations change an order's status."""
        authzs = [self.authzs[key] for key in order['authzs']]
        for authz in authzs:
            if authz['status'] in ('pending', 'valid') and authz['expires'] < time.time():
                authz['status'] = 'expired'
        if order['status'] in ('pending', 'ready'):
            bad = next((authz for authz in authzs if authz['status'] not in ('pending', 'valid')), None)
            if bad:
                order['error'] = bad['error'] or problem_json(Refused('unauthorized', f'the authorization for {bad["name"]} is {bad["status"]}', 403))
            if bad or order['expires'] < time.time():
                order['status'] = 'invalid'
            elif all(authz['status'] == 'valid' for authz in authzs):
                order['status'] = 'ready'
        return order

    def order_json(self, order):
        self.refresh(order)
        shown = {'status': order['status'], 'expires': stamp(order['expires']), 'finalize': self.url('finalize', order['id']),
                 'identifiers': [{'type': 'dns', 'value': name} for name in order['names']],
                 'authorizations': [self.url('authz', key) for key in order['authzs']]}
        extra = {'error': order['error'], 'profile': order['profile'], 'replaces': order['replaces'],
                 'certificate': order['certificate'] and self.url('certificate', order['certificate'])}
        return shown | {name: value for name, value in extra.items() if value is not None}

    def authz_json(self, authz):
        challenge = {'token': authz['token'], 'url': self.url('challenge', authz['id']),
                     'status': 'processing' if authz['challenged'] and authz['status'] == 'pending' else
                     {'pending': 'pending', 'valid': 'valid'}.get(authz['status'], 'invalid')}
        if authz['error']:
            challenge['error'] = authz['error']
        kinds = [{'type': kind} | challenge for kind in self.settings['challenges']]
        return {'status': authz['status'], 'expires': stamp(authz['expires']), 'identifier': {'type': 'dns', 'value': authz['name']},
                'challenges': kinds} | ({'wildcard': True} if authz['full_name'].startswith('*.') else {})

    def challenge(self, account, authz):
        """The client says that the value is there: look, in a thread of its own."""
        if authz['status'] != 'pending' or authz['expires'] < time.time():
            raise Refused('malformed', f'the authorization is {authz["status"]}')
        if not authz['challenged']:
            authz['challenged'] = True
            threading.Timer(self.settings['validation_s'], self._validate, (account, authz)).start()

    def _validate(self, account, authz):
        status, problem = 'valid', None
        try:
            validate.check_dns01(self.dns, authz['name'], f'{authz["token"]}.{account["thumbprint"]}')
            if self.settings['caa_identities']:
                validate.check_caa(self.dns, authz['name'], self.settings['caa_identities'], account['url'])
        except Refused as error:
            status, problem = 'invalid', problem_json(error)
        with self.lock:
            authz.update(status=status, error=problem)
            if problem:
                self.limits.spend('failures', authz['full_name'])

    # ---- Certificates ----

    def finalize(self, account, order, payload):
        self.refresh(order)
        if order['status'] != 'ready':
            raise Refused('orderNotReady', f'the order is {order["status"]}', 403)
        try:
            csr = x509.load_der_x509_csr(unb64((payload or {}).get('csr')))
            names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
            if not csr.is_signature_valid:
                raise ValueError('the signature does not verify')
        except (ValueError, x509.ExtensionNotFound, InvalidSignature, UnsupportedAlgorithm) as error:
            raise Refused('badCSR', str(error)) from error
        if sorted(names) != sorted(order['names']):
            raise Refused('badCSR', f'the CSR is for {names}')
        order['status'] = 'processing'
        if not order['exempt']:
            self.limits.spend('names', ','.join(sorted(names)))
            if not any(sorted(names) == sorted(item['names']) for item in self.certificates.values()):
                for domain in self._limit_domains(names):
                    self.limits.spend('domain', domain)
        if self.settings['processing_s']:
            threading.Timer(self.settings['processing_s'], self._issue, (account, order, csr, names)).start()
        else:
            self._issue(account, order, csr, names)

    def _issue(self, account, order, csr, names):
        profile = self.settings['profiles'].get(order['profile']) or {}
        with self.lock:
            leaf = self.pki.issue(csr, names, profile.get('life_s', self.settings['life_s']),
                                  profile.get('common_name', self.settings['common_name']))
            key = f'{leaf.serial_number:x}'
            self.certificates[key] = {'leaf': leaf, 'names': names, 'account': account['url'], 'revoked': None, 'replaced_by': None,
                                      'order': order['id'], 'profile': order['profile']}
            order.update(status='valid', certificate=key)

    def chain(self, key, alternate):
        leaf = self.certificates[key]['leaf']
        return ''.join(pem(certificate) for certificate in [leaf] + self.pki.chains[alternate])

    def revoke(self, jws, account):
        try:
            leaf = x509.load_der_x509_certificate(unb64((jws.payload or {}).get('certificate')))
        except ValueError as error:
            raise Refused('malformed', 'no certificate') from error
        certificate = self.certificates.get(f'{leaf.serial_number:x}')
        if not certificate or certificate['account'] != account['url']:
            raise Refused('unauthorized', 'not a certificate of this account', 403)
        if certificate['revoked'] is not None:
            raise Refused('alreadyRevoked', 'it is revoked already')
        certificate['revoked'] = (jws.payload or {}).get('reason', 0)

    # ---- Renewal information (RFC 9773) ----

    def ari_id(self, certificate):
        return f'{b64(self.pki.key_identifier())}.{b64(der_serial(certificate["leaf"]))}'

    def _by_ari_id(self, text):
        return next((item for item in self.certificates.values() if self.ari_id(item) == text), None)

    def _window(self, certificate):
        leaf = certificate['leaf']
        start, end = (when.replace(tzinfo=datetime.timezone.utc).timestamp() for when in (leaf.not_valid_before, leaf.not_valid_after))
        for name in certificate['names']:
            if name in self.settings['ari_windows']:
                return tuple(self.settings['ari_windows'][name])
        return tuple(int(start + (end - start) * part) for part in self.settings['ari_part'])  # as it is told: in seconds

    def renewal_info(self, text):
        certificate = self._by_ari_id(text)
        if not certificate:
            raise Refused('malformed', 'no such certificate', 404)
        start, end = self._window(certificate)
        return {'suggestedWindow': {'start': stamp(start), 'end': stamp(end)}, 'explanationURL': 'https://ca.example/why'}
