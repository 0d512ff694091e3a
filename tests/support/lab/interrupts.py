"""Ctrl-C, SIGTERM and SIGHUP end the lab by KeyboardInterrupt, but never between a process and our knowing of it."""
import contextlib
import signal

_held = 0
_pending = False


def install():
    """To be called once by the program that runs a world (the command, or pytest)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


@contextlib.contextmanager
def held():
    """Inside, an interrupt waits until the end of the block."""
    global _held, _pending
    _held += 1
    try:
        yield
    finally:
        _held -= 1
    if _pending and not _held:
        _pending = False
        raise KeyboardInterrupt


def _interrupt(_number, _frame):
    global _pending
    if _held:
        _pending = True
    else:
        raise KeyboardInterrupt
