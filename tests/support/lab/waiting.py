"""Wait for a condition with a deadline. Tests and lab never wait for time to pass, only for something to be true."""
import select
import time


class Late(AssertionError):
    """The condition did not come true before its deadline."""


def pause(seconds):
    """One tick of a poll loop."""
    select.select([], [], [], seconds)


def wait_until(condition, deadline=10.0, what=None, every=0.02):
    """Calls `condition` every `every` seconds until it returns something true, and returns that.

    `deadline` is in seconds from now. OSError from the condition counts as "not yet": most conditions open sockets or
    files that are still to come. After the deadline: Late, with `what` and the last error or value.
    """
    end = time.monotonic() + deadline
    while True:
        try:
            last = condition()
            if last:
                return last
        except OSError as error:
            last = error
        if time.monotonic() >= end:
            name = what or getattr(condition, '__doc__', None) or getattr(condition, '__name__', 'condition')
            raise Late(f'not within {deadline:g} s: {name} (last: {last!r})')
        pause(every)


def stays(condition, seconds, what):
    """The condition stays true for so long: AssertionError as soon as it is not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            raise AssertionError(f'no longer so: {what}')
        pause(0.1)
