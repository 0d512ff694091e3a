"""A scripted upstream on loopback, over UDP and TCP."""
import contextlib
import socket
import struct
import threading

import dns.message
import dns.rrset

from resolver_process import free_port


class Upstream:
    """A scripted upstream on loopback: handler(message, over_tcp) gives a list of packets to send back."""

    def __init__(self, handler):
        self.handler = handler
        self.seen = []  # (source port, message, over_tcp)
        self.port = free_port()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(('127.0.0.1', self.port))
        self.tcp = socket.create_server(('127.0.0.1', self.port))
        self.address = f'127.0.0.1:{self.port}'
        for target in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=target, daemon=True).start()

    def _answer(self, packet, port, over_tcp):
        message = dns.message.from_wire(packet)
        self.seen.append((port, message, over_tcp))
        return self.handler(message, over_tcp)

    def _serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                packet, peer = self.udp.recvfrom(65535)
                for answer in self._answer(packet, peer[1], False):
                    self.udp.sendto(answer, peer)

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                sock, peer = self.tcp.accept()
                threading.Thread(target=self._serve_connection, args=(sock, peer), daemon=True).start()

    def _serve_connection(self, sock, peer):
        with contextlib.suppress(OSError), sock, sock.makefile('rb') as stream:
            while True:
                head = stream.read(2)
                if len(head) < 2:
                    return
                for answer in self._answer(stream.read(struct.unpack('>H', head)[0]), peer[1], True):
                    sock.sendall(struct.pack('>H', len(answer)) + answer)

    def close(self):
        self.udp.close()
        self.tcp.close()


def reply(query, *records, rcode=0, flags=0, lower=False):
    """A response to query with `owner ttl type rdata` records, as bytes."""
    answer = dns.message.make_response(query, recursion_available=True)
    answer.set_rcode(rcode)
    answer.flags |= flags
    for record in records:
        owner, ttl, rdtype, rdata = record.split(None, 3)
        answer.answer.append(dns.rrset.from_text(owner, int(ttl), 'IN', rdtype, rdata))
    wire = answer.to_wire(max_size=65535)
    return wire[:12] + bytes(wire[12:]).lower() if lower else wire


def good(query, over_tcp=False):
    """An upstream that knows one address for every name."""
    return [reply(query, f'{query.question[0].name} 60 A 198.51.100.7')]


def silent(query, over_tcp=False):
    return []
