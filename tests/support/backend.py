"""A backend behind the front: a TCP server on loopback that a test fills with what it does."""
import contextlib
import hashlib
import socket
import threading

from front_process import NAME, listening


class Backend:
    """A TCP server on loopback; handler(socket) serves one connection."""

    def __init__(self, handler):
        self.listener = listening('127.0.0.1')
        self.listener.setblocking(True)
        self.address = '127.0.0.1:%d' % self.listener.getsockname()[1]
        self.handler = handler
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock, contextlib.suppress(OSError):
            self.handler(sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


@contextlib.contextmanager
def relaying(front, ca, handler, **settings):
    with Backend(handler) as backend:
        front.send('CERT', ca.certificate_frame(NAME)[0])
        front.configure(backend=backend.address, **settings)
        yield backend


def read_all(sock):
    digest, total = hashlib.sha256(), 0
    while chunk := sock.recv(1 << 16):
        digest.update(chunk)
        total += len(chunk)
    return total, digest.hexdigest()
