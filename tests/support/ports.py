"""Ports for the servers of tests."""
import contextlib
import itertools
import random
import socket

# Below Linux's own choice for connections (net.ipv4.ip_local_port_range begins at 32768): nothing of another test, nor a
# connection that ends slowly, gets the port between this look and the server's bind, or while a server is started anew.
FIRST, LAST = 20000, 32767

_next = itertools.count(random.randrange(LAST - FIRST))


def free_port(host='127.0.0.1'):
    """A port that is free for UDP and TCP at this moment, and not given to anybody else by this process for long."""
    while True:
        port = FIRST + next(_next) % (LAST - FIRST + 1)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            with contextlib.suppress(OSError):
                tcp.bind((host, port))
                udp.bind((host, port))
                return port
