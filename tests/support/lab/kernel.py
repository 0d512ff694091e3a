"""What the kernel of a node says about its addresses, with the time at which it said so."""
import contextlib
import ipaddress
import socket
import struct
import threading
import time

from lab.waiting import wait_until

NETLINK_ROUTE = 0
RTM_NEWADDR, RTM_DELADDR = 20, 21
RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x10, 0x100
IFA_ADDRESS, IFA_LOCAL = 1, 2


class AddressSocket:
    """`with AddressSocket(node) as kernel:` hears what the kernel of the node says about its addresses."""

    def __init__(self, node):
        with node.inside():
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)
            self.socket.bind((0, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.socket.close()

    def read(self):
        """[(type, address)] of the next datagram."""
        return _addresses(self.socket.recv(65536))


class AddressWatch:
    """`with AddressWatch(node) as watch:` collects NEWADDR and DELADDR of the node; times are time.monotonic()."""

    def __init__(self, node):
        self.node = node
        self.events = []
        self._kernel = None
        self._thread = threading.Thread(target=self._collect, daemon=True)

    def __enter__(self):
        self._kernel = AddressSocket(self.node)
        self._kernel.socket.settimeout(0.1)
        self._thread.start()
        return self

    def __exit__(self, kind, value, trace):
        # Closed by us, read by the thread: it ends with OSError at its next look.
        self._kernel.socket.close()
        self._thread.join()

    def _collect(self):
        with contextlib.suppress(OSError, ValueError):
            while self._kernel.socket.fileno() >= 0:
                with contextlib.suppress(TimeoutError):
                    self.events += [(kind, address, time.monotonic()) for kind, address in self._kernel.read()]

    def new(self, address, deadline=20):
        """When the kernel announced the address; waits for it."""
        return self._when(RTM_NEWADDR, address, deadline)

    def gone(self, address, deadline=20):
        return self._when(RTM_DELADDR, address, deadline)

    def _when(self, kind, address, deadline):
        def seen():
            return next((at for what, which, at in list(self.events) if (what, which) == (kind, address)), None)
        return wait_until(seen, deadline, f'the kernel announces {address}', every=0.002)


def _addresses(data):
    """(type, address) of every address message in a datagram."""
    found = []
    while len(data) >= 16:
        length, kind = struct.unpack_from('=IH', data)
        body, data = data[16:length], data[max(16, (length + 3) & ~3):]
        if kind in (RTM_NEWADDR, RTM_DELADDR):
            attributes = _attributes(body[8:])
            raw = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS)
            found += [(kind, str(ipaddress.ip_address(raw)))] if raw else []
    return found


def _attributes(data):
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from('=HH', data)
        found[kind] = data[4:length]
        data = data[max(4, (length + 3) & ~3):]
    return found
