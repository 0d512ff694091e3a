"""The backend of the TLS bench, in a process of its own so that it does not share Python's lock with the client. Answers "D<count>"
with so many pieces of 64 KiB, and keeps every other connection open. Prints its port; ends with its standard input."""
import contextlib
import os
import socket
import sys
import threading

PIECE = 1 << 16


def serve(sock):
    piece = os.urandom(PIECE)
    with sock, contextlib.suppress(OSError):
        while data := sock.recv(64):
            for _ in range(int(data[1:])):
                sock.sendall(piece)


def accept(listener):
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


def main():
    with socket.create_server(('127.0.0.1', 0), backlog=512) as listener:
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        sys.stdin.read()


if __name__ == '__main__':
    main()
