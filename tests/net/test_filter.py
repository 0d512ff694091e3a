"""The rebinding filter of `nameplate resolver`: every private form in every shape of answer, exceptions, the switch, the log."""
import dns.rcode
import dns.rdatatype
import pytest

from resolver_process import VIEW, edes
from upstream import reply


def test_rebinding_exceptions(start, upstream):
    def handler(query, over_tcp):
        name = query.question[0].name.to_text().lower()
        address = '192.168.2.9' if 'far' in name else '192.168.1.9'
        return [reply(query, f'{name} 60 A {address}')]
    server = upstream(handler)
    view = dict(VIEW, forward=[{'zone': 'lan', 'to': [server.address]}])
    resolver = start(view, [server.address])
    assert resolver.ask('nas.devices.example').answer
    assert not resolver.ask('far.devices.example').answer
    assert not resolver.ask('evil.example').answer
    assert resolver.ask('far.lan').answer, "the owner's own server may name what it likes"


# Every form of an address inside a home, as a record's rdata.
PRIVATE_FORMS = [('A', form) for form in (
    '10.1.2.3', '172.16.0.1', '172.31.255.254', '192.168.9.9', '100.64.0.1', '127.0.0.1', '127.255.0.1', '169.254.169.254',
    '0.0.0.0', '0.1.2.3')] + [('AAAA', form) for form in (
        '::', '::1', 'fc00::1', 'fd42::9', 'fe80::1', 'febf::1', '::ffff:192.168.9.9', '::ffff:198.51.100.7', '::192.168.9.9',
        '::ffff:0:192.168.9.9', '64:ff9b::192.168.9.9', '64:ff9b::127.0.0.1', '64:ff9b:1::1', '2002:c0a8:909::1',
        '2002:c633:6407::1')]


def names_private(address):
    """An upstream whose answers all name this address (rdtype, text); the shape is the question's first label."""
    rdtype, text = address
    hint = f'ipv{4 if rdtype == "A" else 6}hint={text}'
    public = '198.51.100.7' if rdtype == 'A' else '2001:db8::7'

    def handler(query, over_tcp):
        name = query.question[0].name.to_text().lower()
        shapes = {
            'alone': [f'{name} 60 {rdtype} {text}'],
            'mixed': [f'{name} 60 {rdtype} {public}', f'{name} 60 {rdtype} {text}'],
            'cname': [f'{name} 60 CNAME a.example.', 'a.example. 60 CNAME b.example.', f'b.example. 60 {rdtype} {text}'],
            'https': [f'{name} 60 HTTPS 1 . alpn=h2 {hint}'],
            'svcb': [f'{name} 60 SVCB 1 target.example. {hint}'],
            'chain': [f'{name} 60 CNAME c.example.', f'c.example. 60 HTTPS 2 . port=8443 {hint}'],
        }
        return [reply(query, *shapes[name.split('.')[0]])]
    return handler


SHAPES = [('alone', None), ('mixed', None), ('cname', None), ('https', 'HTTPS'), ('svcb', 'SVCB'), ('chain', 'HTTPS')]


@pytest.mark.parametrize('address', PRIVATE_FORMS, ids=lambda address: address[1])
def test_rebinding_forms(start, upstream, address):
    resolver = start(upstreams=[upstream(names_private(address)).address])
    for shape, rdtype in SHAPES:
        answer = resolver.ask(f'{shape}.evil.example', rdtype or address[0], use_edns=0)
        assert answer.rcode() == dns.rcode.NOERROR and answer.answer == [] and edes(answer) == [15], (shape, answer)
        assert [rrset.rdtype for rrset in answer.authority] == [dns.rdatatype.SOA]


@pytest.mark.parametrize('address', [('A', '8.8.8.8'), ('A', '192.0.0.170'), ('AAAA', '2606:4700::1'), ('AAAA', '64:ff9b::8.8.8.8')],
                         ids=lambda address: address[1])
def test_rebinding_passes_what_is_public(start, upstream, address):
    """That of a DNS64 among it: behind one every IPv4 server has such an address."""
    resolver = start(upstreams=[upstream(names_private(address)).address])
    for shape, rdtype in SHAPES:
        assert resolver.ask(f'{shape}.good.example', rdtype or address[0]).answer, shape


def test_rebinding_exceptions_by_name(start, upstream):
    server = upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 60 A 192.168.9.9')])
    view = dict(VIEW, rebind={'allow': ['router.example', '*.plex.direct', '*.list.example']})
    resolver = start(view, [server.address])
    for name in ('router.example', 'RouTer.example', 'a.plex.direct', 'a.b.plex.direct', '2.0.0.127.list.example'):
        assert resolver.ask(name).answer, name
    for name in ('www.router.example', 'plex.direct', 'xplex.direct', 'example', 'list.example', 'a.router.example.evil.example'):
        assert not resolver.ask(name).answer, name
    # Not by way of a name that somebody else leads to it.
    evil = upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 60 CNAME router.example.',
                                                   'router.example. 60 A 192.168.9.9')])
    assert not start(view, [evil.address]).ask('evil.example').answer


@pytest.mark.parametrize('role, word, blocked', [('router', 'off', False), ('host', 'on', True), ('host', 'auto', False),
                                                 ('router', 'auto', True)])
def test_rebinding_switch(start, upstream, role, word, blocked):
    server = upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 60 A 192.168.9.9')])
    resolver = start(dict(VIEW, role=role, rebind={'filter': word}), [server.address])
    assert (not resolver.ask('evil.example').answer) == blocked


def test_rebinding_log_is_paced(start, upstream):
    """A page with a thousand names does not fill the log; what is left out is told with the next line."""
    server = upstream(lambda query, over_tcp: [reply(query, f'{query.question[0].name} 60 A 192.168.9.9')])
    resolver = start(upstreams=[server.address])
    assert not resolver.ask('a\\010rebinding filter\\:.evil.example').answer
    for i in range(100):
        assert not resolver.ask(f'x{i}.evil.example').answer
    lines = [line for line in resolver.log().splitlines() if 'rebinding filter' in line]
    assert 10 <= len(lines) <= 12, lines
    assert lines[0].endswith('rebinding filter: a\\010rebinding\\032filter\\058.evil.example type 1 named 192.168.9.9')
    assert lines[1].endswith('rebinding filter: x0.evil.example type 1 named 192.168.9.9')
