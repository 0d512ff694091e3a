"""What the steps of the demo share. A step is a function of the Demo that returns (seconds, detail) or raises; the detail
goes into demo.json, and the step's teller makes a few lines of it for a person."""
import time

import dns.edns

from lab.waiting import wait_until

TYPES = ('A', 'AAAA', 'HTTPS', 'TXT', 'SOA', 'MX')
INTERNET_NAME = 'www.example'


class Unseen(AssertionError):
    """A step did not show what it must."""


def must(true, otherwise):
    if not true:
        raise Unseen(otherwise)


def extended_errors(answer):
    """Codes of the extended DNS errors (RFC 8914) in an answer."""
    return [int(option.code) for option in answer.options if isinstance(option, dns.edns.EDEOption)]


def seconds_until(condition, begun, deadline, what):
    """Waits for the condition; seconds since `begun` (time.monotonic())."""
    wait_until(condition, deadline, what, every=0.002)
    return round(time.monotonic() - begun, 3)
