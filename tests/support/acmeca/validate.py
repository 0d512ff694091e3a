"""What a CA looks up before it believes: the DNS-01 value and the CAA records, at the one DNS server that it is given."""
import base64
import hashlib

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from .jose import Refused

TIMEOUT_S = 3
CHAIN_MAX = 4


class Dns:
    """Look-ups at one server, which is authoritative for whatever a test asks."""

    def __init__(self, host, port):
        self.host, self.port = host, port

    def look_up(self, name, kind):
        """The records of name, CNAMEs followed; [] for NODATA and NXDOMAIN."""
        for _ in range(CHAIN_MAX):
            try:
                query = dns.message.make_query(name, kind)
                answer = dns.query.udp(query, self.host, TIMEOUT_S, port=self.port)
            except (OSError, dns.exception.DNSException) as error:
                raise Refused('dns', f'looking up {kind} of {name}: {error or type(error).__name__}') from error
            if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                raise Refused('dns', f'looking up {kind} of {name}: {dns.rcode.to_text(answer.rcode())}')
            found = [item for rrset in answer.answer if rrset.rdtype == dns.rdatatype.from_text(kind) for item in rrset]
            alias = [item for rrset in answer.answer if rrset.rdtype == dns.rdatatype.CNAME for item in rrset]
            if found or not alias:
                return found
            name = alias[-1].target.to_text()
        raise Refused('dns', f'too many CNAMEs from {name}')


def check_dns01(dns_server, name, key_authorization):
    """RFC 8555 section 8.4: one TXT of the name has to be the digest."""
    wanted = base64.urlsafe_b64encode(hashlib.sha256(key_authorization.encode()).digest()).rstrip(b'=')
    values = [b''.join(item.strings) for item in dns_server.look_up(f'_acme-challenge.{name}', 'TXT')]
    if wanted not in values:
        raise Refused('unauthorized', f'no TXT of _acme-challenge.{name} is {wanted.decode()}; it has {len(values)} others', 403)


def check_caa(dns_server, name, identities, account_url):
    """RFC 8659: the nearest name with CAA decides; RFC 8657: accounturi, where it stands, must be the account's."""
    labels = name.split('.')
    for i in range(len(labels)):
        records = [item for item in dns_server.look_up('.'.join(labels[i:]), 'CAA') if item.tag in (b'issue', b'issuewild')]
        if records:
            break
    else:
        return
    for item in records:
        domain, *parameters = [part.strip() for part in item.value.decode().split(';')]
        values = dict(part.split('=', 1) for part in parameters if '=' in part)
        if item.tag == b'issue' and domain in identities and values.get('accounturi', account_url) == account_url:
            return
    raise Refused('caa', f'the CAA records of {name} allow neither {identities} nor {account_url}', 403)
