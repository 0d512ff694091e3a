"""Scripted upstreams on loopback: one that answers what a function says, over UDP and TCP, and a fast one over UDP."""
import collections
import contextlib
import select
import socket
import struct
import threading
import time

import dns.message
import dns.rrset

from ports import free_port

SO_RCVBUFFORCE = 33  # socket(7): over the usual limit, which the tests may since they are root


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


def question_end(packet):
    """Where the question of a query ends, and its name in small letters ('.' for the root)."""
    pos, labels = 12, []
    while packet[pos]:
        labels.append(packet[pos + 1:pos + 1 + packet[pos]])
        pos += 1 + packet[pos]
    return pos + 5, (b'.'.join(labels) + b'.').lower().decode()


def address_reply(packet, end, address=b'\xc6\x33\x64\x07'):
    """A response that gives every name one address (198.51.100.7), made of the query's bytes; with an OPT where that had
    one."""
    opt = b'\0\0\x29\x04\xd0\0\0\0\0\0\0' if packet[11] else b''
    head = packet[:2] + b'\x81\x80' + b'\0\1\0\1\0\0' + (b'\0\1' if opt else b'\0\0')
    return head + packet[12:end] + b'\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4' + address + opt


class FastUpstream:
    """Answers every question with 198.51.100.7 after delay(name) seconds (None: never), many thousand a second. seen: the
    (name, source port, packet) of every query."""

    def __init__(self, delay=lambda name: 0.0, address='127.0.0.1'):
        self.delay = delay
        self.seen = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.sock.bind((address, 0))
        self.sock.setblocking(False)
        self.address = '%s:%d' % self.sock.getsockname()
        self.waiting = collections.deque()  # (when, packet, peer)
        self.closing = self.at_once = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _receive(self):
        for _ in range(500):
            try:
                packet, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            end, name = question_end(packet)
            self.seen.append((name, peer[1], packet))
            delay = self.delay(name)
            if delay is not None:
                self.waiting.append((time.monotonic() + delay, self.answer(packet, end), peer))

    def answer(self, packet, end):
        return address_reply(packet, end)

    def _send(self):
        now = time.monotonic() + (1e9 if self.at_once else 0)
        self.at_once = False
        for _ in range(len(self.waiting)):
            item = self.waiting.popleft()
            if item[0] > now:
                self.waiting.append(item)
                continue
            with contextlib.suppress(OSError):
                self.sock.sendto(item[1], item[2])

    def _serve(self):
        while not self.closing:
            soonest = self.waiting[0][0] if self.waiting else time.monotonic() + 0.05
            with contextlib.suppress(OSError, ValueError):
                select.select([self.sock], [], [], max(0, min(0.05, soonest - time.monotonic())))
            self._receive()
            self._send()

    def answer_all(self):
        """What waits is answered now."""
        self.at_once = True

    def count(self, name):
        return sum(seen == name for seen, _, _ in self.seen)

    def close(self):
        self.closing = True
        self.thread.join()
        self.sock.close()


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
