"""One machine of the lab: a namespace with daemons, logs and the tools a tester wants on it."""
import contextlib
import os
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from lab import interrupts
from lab.namespaces import Failed, Namespace
from lab.paths import LOGS, PREFIX, STATE
from lab.waiting import wait_until


class Node(Namespace):
    """`label` is what a person types (`tests/lab shell box`); the namespace's name carries the lab's prefix."""

    def __init__(self, label, about=''):
        super().__init__(PREFIX + label)
        self.label = label
        self.about = about
        self.state = STATE / label
        self.daemons = {}

    def create(self):
        super().create()
        self.state.mkdir(parents=True, exist_ok=True)
        # Duplicate address detection would make every fixed address wait a second or two.
        self.sysctl('ipv6.conf.default.accept_dad', 0)

    def address(self, interface, *addresses):
        for address in addresses:
            extra = ('nodad',) if ':' in address else ()
            self.ip('address', 'add', address, 'dev', interface, *extra)

    def resolvers(self, *servers):
        """In place: what runs already has this very file over its /etc/resolv.conf."""
        (self.etc / 'resolv.conf').write_text(''.join(f'nameserver {s}\n' for s in servers))

    def write(self, name, text):
        """A file in the node's state folder."""
        path = self.state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def tool(self, program, conf, *verbs):
        """Makes `program VERB` in `tests/lab shell` find the configuration of this node."""
        path = self.write(f'bin/{program.name}', f'#!/bin/sh\ncase ${{1:-}} in\n{"|".join(verbs)}) set -- "$@" --config {conf} ;;\nesac\n'
                                                 f'exec {program} "$@"\n')
        path.chmod(0o755)

    # Daemons

    def log(self, name):
        return LOGS / f'{self.label}-{name}.log'

    def daemon(self, name, *argv, ready=None, deadline=10, env=None):
        """Starts a daemon in the foreground with its log in build/lab/logs and waits for `ready()`.

        Failed, with the end of the log, when it ends or is not ready within the deadline.
        """
        LOGS.mkdir(parents=True, exist_ok=True)
        with interrupts.held():
            process = self.spawn(*argv, log=self.log(name), cwd='/', env={**os.environ, **(env or {})})
            self.daemons[name] = process

        def up():
            if process.poll() is not None:
                raise Failed(f'{self.label}: {name} ended with status {process.returncode}:\n{self.tail(name)}')
            return ready is None or ready()
        try:
            wait_until(up, deadline, f'{name} ready')
        except AssertionError as error:
            raise Failed(f'{self.label}: {error}\n{self.tail(name)}') from None
        return process

    def end(self, name, how=signal.SIGTERM, deadline=5):
        """Ends one daemon; after the deadline with SIGKILL. Returns its exit status."""
        process = self.daemons.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            return process.wait(deadline)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def tail(self, name, lines=15):
        with contextlib.suppress(OSError):
            return '\n'.join(self.log(name).read_text(errors='replace').splitlines()[-lines:])
        return f'(no log {self.log(name)})'

    def processes(self, executable):
        """Pids of what runs in this node from a file of this name (`nameplate`), in whatever role."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if Path(os.readlink(f'/proc/{pid}/exe').removesuffix(' (deleted)')).name == executable:
                    found.append(pid)
        return found

    def memory(self, executable):
        """Proportional set size in KiB of every process of a program, by its first argument (its role)."""
        sizes = {}
        for pid in self.processes(executable):
            with contextlib.suppress(OSError):
                role = Path(f'/proc/{pid}/cmdline').read_text().split('\0')[1]
                rollup = Path(f'/proc/{pid}/smaps_rollup').read_text()
                sizes[role] = int(rollup.split('\nPss:')[1].split()[0])
        return sizes

    def listens(self, port, kind='tcp'):
        """True when some socket of this node listens on the port."""
        flag = '-t' if kind == 'tcp' else '-u'
        return bool(self.run('ss', '-Hnl', flag, f'sport = :{port}').strip())

    # What a tester does on a machine

    def ask(self, name, rdtype, server, *, port=53, tcp=False, timeout=2.0, source=None, **options):
        """One DNS question from this node. Returns dnspython's message; OSError (TimeoutError) when none came."""
        query = dns.message.make_query(name, rdtype, **options)
        with self.inside():
            exchange = dns.query.tcp if tcp else dns.query.udp
            try:
                return exchange(query, server, timeout=timeout, port=port, source=source)
            except dns.exception.Timeout:
                raise TimeoutError(f'{server} did not answer {name} {rdtype}') from None

    def connect(self, address, port, timeout=2.0, source=None):
        """A TCP socket of this node, connected. It stays in the node when the caller goes elsewhere."""
        with self.inside():
            return socket.create_connection((address, port), timeout, source and (source, 0))

    def reaches(self, address, port, timeout=1.0):
        """True when a TCP connection from this node to there is accepted."""
        try:
            self.connect(address, port, timeout).close()
            return True
        except OSError:
            return False

    def tls(self, address, name, anchors, port=443, timeout=2.0):
        """A verified TLS connection (anchors: PEM file). ssl.SSLError when the certificate does not hold for `name`."""
        context = ssl.create_default_context(cafile=str(anchors))
        raw = self.connect(address, port, timeout)
        try:
            return context.wrap_socket(raw, server_hostname=name)
        except BaseException:
            raw.close()
            raise

    def http(self, address, request, port=80, tls_name=None, anchors=None, timeout=3.0):
        """Sends a request's bytes, returns (status, headers as dict with small keys, body). Reads to the end of the connection."""
        sock = self.tls(address, tls_name, anchors, port, timeout) if tls_name else self.connect(address, port, timeout)
        with sock:
            sock.settimeout(timeout)
            sock.sendall(request.encode())
            data = b''
            while chunk := sock.recv(65536):
                data += chunk
        head, _, body = data.partition(b'\r\n\r\n')
        lines = head.decode('latin-1').split('\r\n')
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(':') for line in lines[1:])}
        return int(lines[0].split()[1]), headers, body

    def get(self, address, host, path='/', **options):
        return self.http(address, f'GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n', **options)


def records(answer, rdtype):
    """The texts of all records of a type in a message's answer section, sorted."""
    wanted = dns.rdatatype.from_text(rdtype)
    return sorted(r.to_text() for rrset in answer.answer if rrset.rdtype == wanted for r in rrset)


def rcode(answer):
    return dns.rcode.to_text(answer.rcode())
