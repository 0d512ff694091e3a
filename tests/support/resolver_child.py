"""The resolver in its role as the agent's child, with a test in the agent's place: frames over descriptor 3."""
import array
import contextlib
import json
import os
import socket
import subprocess

from lab.waiting import wait_until


class ResolverChild:
    """A running `nameplate child-resolver`, in its sandbox. `with` ends it as the agent's end would."""

    def __init__(self, program, log_path):
        self.log_path = log_path
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(20)
        argv = ['bash', '-c', f'exec 3<&{theirs.fileno()} {theirs.fileno()}<&-; exec "$0" child-resolver', str(program)]
        # LeakSanitizer stops its own process with ptrace, which a sandboxed one does not allow.
        env = dict(os.environ, ASAN_OPTIONS='detect_leaks=0')
        with theirs, open(log_path, 'w') as log:
            self.process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=log, env=env)
        self.ready = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
        try:
            assert self.process.wait(10) == 0, self.log()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def log(self):
        return self.log_path.read_text()

    def send(self, kind, payload=b'', fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        self.channel.sendmsg([kind + payload], ancillary)

    def receive(self, kind):
        frame = self.channel.recv(256 * 1024)
        assert frame[:4] == kind, (frame[:4], self.log())
        return frame[4:]

    def listen(self, address, port=0, tcp=False):
        """Opens a UDP (or TCP) socket, hands it over, and returns (the LSTN item, the port)."""
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as sock:
            sock.bind((address, port))
            if tcp:
                sock.listen(128)
            item = {'address': address, 'port': sock.getsockname()[1], 'kind': 'dns-tcp' if tcp else 'dns-udp', 'ifindex': 1}
            self.send(b'LSTN', json.dumps([item]).encode(), [sock.fileno()])
        return item, item['port']

    def view(self, view):
        """Sends a snapshot. It is in force once `stats` has answered."""
        self.send(b'VIEW', json.dumps(view).encode())
        if not self.ready:
            self.receive(b'REDY')
            self.ready = True

    def stats(self):
        """The counters; every frame sent before has been dealt with."""
        self.send(b'STAT')
        return json.loads(self.receive(b'STAT'))

    def drop(self, *items):
        self.send(b'DROP', json.dumps(items).encode())

    def proc(self, name):
        """A file of the process in /proc."""
        with open(f'/proc/{self.process.pid}/{name}') as file:
            return file.read()

    def wait_sandboxed(self):
        """bash has made way for the resolver, and that has entered its sandbox."""
        def sandboxed():
            with contextlib.suppress(OSError):
                return 'Name:\tnp-resolver' in self.proc('status') and 'Seccomp:\t2' in self.proc('status')
        wait_until(sandboxed, what='the sandbox')
