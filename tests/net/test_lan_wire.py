"""What is no good query, over UDP and TCP: packet by packet, the answer that the RFCs want, or none."""
import contextlib
import socket
import struct

import dns.flags
import dns.message
import dns.rcode
import pytest

from resolver_process import NAME, VIEW, Resolver, edes, frame, texts

ID = b'\x12\x34'
QUERY, RD = 0x0000, 0x0100
TYPES = {'A': 1, 'SOA': 6, 'OPT': 41, 'NXNAME': 128, 'TKEY': 249, 'TSIG': 250, 'IXFR': 251, 'AXFR': 252, 'MAILB': 253, 'MAILA': 254,
         'ANY': 255}
NOERROR, FORMERR, SERVFAIL, NOTIMP, REFUSED, BADVERS = (dns.rcode.from_text(text) for text in
                                                        ('NOERROR', 'FORMERR', 'SERVFAIL', 'NOTIMP', 'REFUSED', 'BADVERS'))
SILENCE = None
NO_ROUTE = [22], [23]  # there is no upstream: whichever of the two is said


def wire_name(text):
    return b''.join(bytes([len(label)]) + label.encode() for label in text.split('.') if label) + b'\0'


def question(name=NAME, rdtype=1, rdclass=1):
    return wire_name(name) + struct.pack('>HH', rdtype, rdclass)


def opt(options=b'', size=1232, version=0, flags=0, owner=b'\0', length=None):
    return owner + struct.pack('>HHBBHH', 41, size, 0, version, flags, len(options) if length is None else length) + options


def option(code, data=b'', length=None):
    return struct.pack('>HH', code, len(data) if length is None else length) + data


def packet(body=None, flags=RD, counts=None, edns=True):
    """A query with the ID, an OPT behind it unless told otherwise; counts as they are, or as they are claimed."""
    body = question() if body is None else body
    counts = counts or (1, 0, 0, int(edns))
    return ID + struct.pack('>H4H', flags, *counts) + body + (opt() if edns else b'')


def opcode(number):
    return packet(flags=number << 11 | RD)


SOA_RECORD = b'\xc0\x0c' + struct.pack('>HHIH', 6, 1, 0, 22) + b'\0\0' + bytes(20)
A_RECORD = b'\xc0\x0c' + struct.pack('>HHIH', 1, 1, 0, 4) + bytes(4)
TSIG_RECORD = b'\0' + struct.pack('>HHIH', 250, 255, 0, 0)
SHORT = object()  # over TCP a frame like this ends the connection

# What it is called, the packet, what is expected: (RCODE, EDEs) or SILENCE.
ROWS = {
    'nothing': (b'', SHORT),
    'one byte': (b'\x12', SHORT),
    'a header less a byte': (packet()[:11], SHORT),
    'a header alone': (packet(b'', counts=(0, 0, 0, 0), edns=False), (FORMERR, [])),
    'a header that promises a question': (packet(b'', counts=(1, 0, 0, 0), edns=False), (FORMERR, [])),
    'a response': (packet(flags=0x8180), SILENCE),
    'a response with another opcode': (packet(flags=0x8180 | 5 << 11), SILENCE),
    'a broken response': (packet(flags=0x8180)[:20], SILENCE),
    'no question': (packet(b'', counts=(0, 0, 0, 1)), (FORMERR, [])),
    'two questions': (packet(question() * 2, counts=(2, 0, 0, 1)), (FORMERR, [])),
    'two questions promised': (packet(counts=(2, 0, 0, 1)), (FORMERR, [])),
    '65535 questions': (packet(counts=(65535, 0, 0, 1)), (FORMERR, [])),
    'an answer record': (packet(question() + A_RECORD, counts=(1, 1, 0, 1)), (FORMERR, [])),
    'an answer promised': (packet(counts=(1, 65535, 0, 1)), (FORMERR, [])),
    '65535 additional records': (packet(counts=(1, 0, 0, 65535)), (FORMERR, [])),
    'bytes left over': (packet(edns=False) + b'\0', (FORMERR, [])),
    'bytes left over behind the OPT': (packet() + b'\0', (FORMERR, [])),
    'a pointer into the header': (packet(b'\xc0\x04' + question()[-4:]), (FORMERR, [])),
    'a pointer to itself': (packet(b'\xc0\x0c' + question()[-4:]), (FORMERR, [])),
    'a pointer forwards': (packet(b'\1a\xc0\x14' + question()[-4:] + b'\0\0'), (FORMERR, [])),
    'a label of the type 01': (packet(b'\x41' + b'a' * 65 + question()), (FORMERR, [])),
    'a label of the type 10': (packet(b'\x81' + b'a' * 65 + question()), (FORMERR, [])),
    'a name of 256 bytes': (packet(b'\x3f' + b'a' * 63 + (b'\x3f' + b'b' * 63) * 3 + b'\0\0\1\0\1'), (FORMERR, [])),
    'a name of 255 bytes': (packet(b'\x3f' + b'a' * 63 + (b'\x3f' + b'b' * 63) * 2 + b'\x3d' + b'c' * 61 + b'\0\0\1\0\1'), (SERVFAIL, NO_ROUTE)),
    'the root': (packet(question('.', 2)), (SERVFAIL, NO_ROUTE)),
    # opcodes
    'IQUERY': (opcode(1), (NOTIMP, [21])),
    'STATUS': (opcode(2), (NOTIMP, [21])),
    'opcode 3': (opcode(3), (NOTIMP, [21])),
    'NOTIFY': (packet(question(rdtype=6) + SOA_RECORD, 4 << 11, (1, 1, 0, 1)), (NOTIMP, [])),
    'UPDATE': (packet(question(rdtype=6) + A_RECORD, 5 << 11, (1, 0, 1, 1)), (NOTIMP, [21])),
    'DSO': (packet(struct.pack('>HHII', 1, 8, 15000, 60000), 6 << 11, (0, 0, 0, 0), edns=False), (NOTIMP, [])),
    'opcode 15': (opcode(15), (NOTIMP, [21])),
    'a broken UPDATE': (packet(flags=5 << 11)[:-3], (NOTIMP, [])),
    # EDNS
    'EDNS version 1': (packet(question() + opt(version=1), counts=(1, 0, 0, 1), edns=False), (BADVERS, [])),
    'EDNS version 255': (packet(question() + opt(b'x', version=255, length=9), counts=(1, 0, 0, 1), edns=False), (FORMERR, [])),
    'two OPTs': (packet(question() + opt() * 2, counts=(1, 0, 0, 2), edns=False), (FORMERR, [])),
    'an OPT in authority': (packet(question() + opt(), counts=(1, 0, 1, 0), edns=False), (FORMERR, [])),
    'an OPT of a name': (packet(question() + opt(owner=b'\1x\0'), counts=(1, 0, 0, 1), edns=False), (FORMERR, [])),
    'an option cut off': (packet(question() + opt(option(10, bytes(8), 9)), counts=(1, 0, 0, 1), edns=False), (FORMERR, [])),
    'an option without length': (packet(question() + opt(b'\0\x0a'), counts=(1, 0, 0, 1), edns=False), (FORMERR, [])),
    'client subnet, family 1, 33 bits': (packet(question() + opt(option(8, b'\0\1\x21\0' + bytes(5))), counts=(1, 0, 0, 1), edns=False),
                                         (FORMERR, [])),
    'client subnet, bits beyond': (packet(question() + opt(option(8, b'\0\1\x08\0\x0a\1')), counts=(1, 0, 0, 1), edns=False), (FORMERR, [])),
    # types and classes
    'type 0': (packet(question(rdtype=0)), (FORMERR, [30])),
    'OPT': (packet(question(rdtype=41)), (FORMERR, [30])),
    'TSIG': (packet(question(rdtype=250)), (FORMERR, [30])),
    'NXNAME': (packet(question(rdtype=128)), (FORMERR, [30])),
    'TKEY': (packet(question(rdtype=249)), (NOTIMP, [21])),
    'MAILA': (packet(question(rdtype=254)), (NOTIMP, [21])),
    'MAILB': (packet(question(rdtype=253)), (NOTIMP, [21])),
    'AXFR': (packet(question(rdtype=252)), (REFUSED, [18])),
    'AXFR of another zone': (packet(question('example.', 252)), (REFUSED, [18])),
    'IXFR': (packet(question(rdtype=251) + SOA_RECORD, counts=(1, 0, 1, 1)), (REFUSED, [18])),
    'class 0': (packet(question(rdclass=0)), (REFUSED, [21])),
    'class CH': (packet(question('version.bind', 16, 3)), (REFUSED, [21])),
    'class HS': (packet(question(rdclass=4)), (REFUSED, [21])),
    'class NONE': (packet(question(rdclass=254)), (REFUSED, [21])),
    'class ANY': (packet(question(rdclass=255)), (REFUSED, [21])),
    # recursion
    'RD clear': (packet(question('www.example.'), QUERY), (REFUSED, [20])),
    'RD clear, DS at the cut': (packet(question(rdtype=43), QUERY), (REFUSED, [20])),
    # good ones
    'plain': (packet(edns=False), (NOERROR, [])),
    'every flag of a query': (packet(flags=0x07ff), (NOERROR, [])),
    'RD clear, own name': (packet(flags=QUERY), (NOERROR, [])),
    'type ANY': (packet(question(rdtype=255)), (NOERROR, [])),
    'type 65535': (packet(question(rdtype=65535)), (NOERROR, [])),
    'a TSIG that we have no key for': (packet(question() + TSIG_RECORD, counts=(1, 0, 0, 1), edns=False), (NOERROR, [])),
    'a DS at the cut': (packet(question(rdtype=43)), (NOERROR, [])),
}
for size in (0, 511, 512, 1232, 65535):
    ROWS[f'EDNS size {size}'] = packet(question() + opt(size=size), counts=(1, 0, 0, 1), edns=False), (NOERROR, [])
for code, data in ((3, b''), (10, bytes(8)), (10, bytes(7)), (10, bytes(41)), (11, b'\0\x64'), (11, b''), (12, bytes(300)), (15, b'\0\0x'),
                   (8, b'\0\0\0\0'), (8, b'\0\1\x18\0\xc0\xa8\7'), (65001, b'x' * 1000)):
    ROWS[f'option {code} of {len(data)} bytes'] = packet(question() + opt(option(code, data)), counts=(1, 0, 0, 1), edns=False), (NOERROR, [])
for cut in range(12, len(packet()) - 1, 3):
    ROWS[f'cut after {cut} bytes'] = packet()[:cut], (FORMERR, [])

FENCE = dns.message.make_query(NAME, 'A', id=0x7777).to_wire()


@pytest.fixture(scope='module')
def resolver(bin_dir, tmp_path_factory):
    running = Resolver(bin_dir / 'nameplate', tmp_path_factory.mktemp('wire'), VIEW)
    yield running
    running.close()


def udp(port, sent, answered):
    """The answer; where none is to come, what comes back before the answer to a good query sent behind it: None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(('127.0.0.1', port))
        sock.send(sent)
        if not answered:
            sock.send(FENCE)
        answer = sock.recv(65535)
        return None if answer[:2] == FENCE[:2] else answer


def tcp(port, sent, answered):
    """The same over TCP; EOFError where the server ended the connection."""
    with socket.create_connection(('127.0.0.1', port), timeout=10) as sock, sock.makefile('rb') as stream:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for message in (sent, FENCE):
                sock.sendall(struct.pack('>H', len(message)) + message)
        answers = {}
        while (ID if answered else FENCE[:2]) not in answers:
            try:
                head = stream.read(2)
            except ConnectionResetError:
                head = b''
            if len(head) < 2:
                raise EOFError
            answer = stream.read(struct.unpack('>H', head)[0])
            answers[answer[:2]] = answer
        return answers.get(ID)


@pytest.mark.parametrize('exchange', [udp, tcp])
@pytest.mark.parametrize('row', ROWS)
def test_row(resolver, row, exchange):
    sent, want = ROWS[row]
    if want is SHORT and exchange is tcp:
        with pytest.raises(EOFError):
            exchange(resolver.port, sent, False)
        return
    got = exchange(resolver.port, sent, want not in (SILENCE, SHORT))
    if want in (SILENCE, SHORT):
        assert got is None
        return
    rcode, extended = want
    assert got is not None and got[:2] == ID and len(got) <= (1232 if exchange is udp else 65535)
    flags, questions = struct.unpack('>HH', got[2:6])
    asked = struct.unpack('>H', sent[2:4])[0]
    assert flags & 0x8000 and flags & 0x7800 == asked & 0x7800 and not flags & 0x0060, 'QR, opcode, Z, AD'
    assert flags & 0x0110 == asked & 0x0110, 'RD and CD'
    if questions == 0:
        assert rcode in (FORMERR, NOTIMP) and flags & 15 == rcode and got[12:] in (b'', opt())
        return
    assert got[12:12 + len(question())] == sent[12:12 + len(question())] or rcode != NOERROR
    answer = dns.message.from_wire(got[:2] + struct.pack('>H', flags & ~0x7800) + got[4:])  # dnspython knows only some opcodes
    assert answer.rcode() == rcode
    if isinstance(extended, tuple):
        assert edes(answer) in extended
    else:
        assert edes(answer) == (extended if answer.edns >= 0 else [])
    # These clients are on loopback, where a forwarder is told for which network its answer holds (RFC 7871).
    assert not [item for item in answer.options if int(item.otype) not in (8, 15)], "the client's options are not given back"
    if rcode == NOERROR:
        assert answer.flags & dns.flags.AA and (answer.answer or answer.authority)
    assert texts(resolver.ask(NAME).answer) == [f'{NAME} 10 IN A 192.168.1.1']


def test_frame_helper():
    """The rows are what they say: the first of them is what dnspython writes."""
    query = dns.message.make_query(NAME, 'A', id=0x1234, use_edns=0, payload=1232)
    assert query.to_wire() == packet() and frame(query)[2:] == packet()
