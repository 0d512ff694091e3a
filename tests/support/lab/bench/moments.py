"""How soon: a new box's certificate beside uacme's, and a changed address at the box's own resolver and at HQ's name server."""
import contextlib
import select
import socket
import subprocess
import time

import dns.exception
import dns.message
import dns.rdatatype

from lab.bench.clients import Clients
from lab.bench.figures import Row, interval, median, percentile
from lab.bench.homes import OUTSIDE, Homes
from lab.kernel import RTM_NEWADDR, AddressSocket
from lab.namespaces import Failed
from lab.waiting import pause

BOOT_BAR_S, LOCAL_BAR_MS, PUBLIC_BAR_S = 1.0, 100, 2.0
QUIET_S = 10.0
CHANGE_DEADLINE_S = 15.0
ASK_S = {'local': 0.003, 'public': 0.005}  # between questions while the answer is still the old one, or none


# ---- A new box ----

def boot(bench):
    pairs = 2 if bench.quick else 15
    ours, theirs = [], []
    with Homes(bench.bin_dir, knot=True) as homes:
        box = homes.box()
        with homes.outside.inside():
            clients = Clients(homes.folder / 'clients', homes.pebble, homes.server)
            clients.prepare('uacme')

        def uacme():
            with homes.outside.inside():
                theirs.append(clients.issue_s('uacme'))

        def nameplate():
            box.renew()
            ours.append(box.boot())
        box.boot()  # HQ's account at the CA is made beforehand too
        for n in range(pairs):
            for one in (nameplate, uacme) if n % 2 else (uacme, nameplate):
                one()
    later = [a - b for a, b in zip(ours, theirs)]
    low, high = interval(later)
    return [Row('boot', 'first boot to a served certificate', 's', value=median(ours), peers={'uacme': median(theirs)},
                bar=f'within {BOOT_BAR_S:g} of uacme', met=median(later) <= BOOT_BAR_S,
                notes=[f'{pairs} pairs in turn, one Knot, one Pebble: later than uacme by {median(later):.2f} s [{low:.2f}, {high:.2f}]; '
                       f'slowest {max(ours):.2f} s, uacme\'s {max(theirs):.2f} s'])]


# ---- Another address ----

class Question:
    """A question for a box's address that is asked until the answer is the one that is waited for."""

    def __init__(self, box, server, every_s):
        self.box, self.server, self.every_s = box, server, every_s
        self.wire = dns.message.make_query(box.name, 'A').to_wire()
        with box.homes.outside.inside():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.asked = self.seen = None

    def ask(self, now):
        """Asks again if it is time to."""
        if self.seen is None and (self.asked is None or now - self.asked >= self.every_s):
            self.asked = now
            with contextlib.suppress(OSError):
                self.socket.sendto(self.wire, (self.server, 53))

    def hear(self, now):
        """Takes what has come."""
        with contextlib.suppress(OSError, dns.exception.DNSException):
            while True:
                answer = dns.message.from_wire(self.socket.recv(4096))
                found = [item.to_text() for rrset in answer.answer if rrset.rdtype == dns.rdatatype.A for item in rrset]
                if self.seen is None and found == [self.box.address]:
                    self.seen = now


def change_one(homes, box):
    """The box gets another address. Returns seconds from the kernel's word to the answers: its own, and HQ's (None: none came)."""
    old = box.address
    box.turn += 1
    batch = homes.folder / 'batch'
    batch.write_text(f'address del {old}/24 dev lan0\naddress add {box.address}/24 dev lan0\n')
    questions = {kind: Question(box, server, ASK_S[kind]) for kind, server in (('local', box.address), ('public', OUTSIDE))}
    with contextlib.ExitStack() as stack:
        kernel = stack.enter_context(AddressSocket(box.namespace))
        for question in questions.values():
            stack.enter_context(question.socket)
        process = subprocess.Popen(['ip', '-n', box.namespace.name, '-batch', str(batch)])
        stack.callback(process.wait)
        begun, changed = time.monotonic(), None
        while any(question.seen is None for question in questions.values()) and time.monotonic() - begun < CHANGE_DEADLINE_S:
            ready = select.select([kernel.socket, *(question.socket for question in questions.values())], [], [], min(ASK_S.values()))[0]
            now = time.monotonic()
            if changed is None and kernel.socket in ready and (RTM_NEWADDR, box.address) in kernel.read():
                changed = now
            for question in questions.values():
                if question.socket in ready:
                    question.hear(now)
                if changed is not None:
                    question.ask(now)
    if changed is None:
        raise Failed(f'{box.address} could not be added')
    return [question.seen and question.seen - changed for question in questions.values()]


def change(bench):
    boxes, rounds = (2, 1) if bench.quick else (12, 10)
    local, public, lost, boots = [], [], 0, []
    with Homes(bench.bin_dir) as homes:
        for _ in range(boxes):
            boots.append(homes.box().boot())
        quiet_since = dict.fromkeys(homes.boxes, time.monotonic())
        for _ in range(rounds):
            for box in homes.boxes:
                pause(max(0.0, quiet_since[box] + QUIET_S - time.monotonic()))
                times = change_one(homes, box)
                lost += times.count(None)
                for list_, value in zip((local, public), times):
                    list_.append(CHANGE_DEADLINE_S if value is None else value)
                quiet_since[box] = time.monotonic()
    what = f'{len(local)} changes of {boxes} boxes, each after {QUIET_S:g} s of quiet'
    notes = [f'{lost} answers never came'] if lost else []
    own = Row('change', 'another address, to the local answer, p99', 'ms', value=percentile(local, 99) * 1000, bar=f'under {LOCAL_BAR_MS}',
              notes=[f'{what}: median {median(local) * 1000:.1f}, most {max(local) * 1000:.1f}', *notes])
    hqs = Row('change', 'another address, to HQ\'s answer, p99', 's', value=percentile(public, 99), bar=f'under {PUBLIC_BAR_S:g}',
              notes=[f'median {median(public):.2f}, most {max(public):.2f}; first boots at HQ\'s own name server: median {median(boots):.2f} s'])
    own.met, hqs.met = own.value < LOCAL_BAR_MS, hqs.value < PUBLIC_BAR_S
    return [own, hqs]
