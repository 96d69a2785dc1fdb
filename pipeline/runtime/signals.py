"""Ctrl-C, SIGTERM and SIGHUP: the first stops the work so that it is tidied up, and none of them ever ends in a traceback.

Everything on disk is whole at every moment, so a run may also be ended at once: the third signal does that. This module imports little,
so that it is there before anything that takes time is imported.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

STATUS = {
    signal.SIGINT: 130,
    signal.SIGTERM: 143,
    **({signal.SIGHUP: 129} if hasattr(signal, "SIGHUP") else {}),
}
"""Exit statuses as shells count them: 128 and the signal's number."""
AT_ONCE = 3
"""The signal, counted from the first, that ends the process without any tidying."""
PARENT = "UNLAYER_STOPS_WITH_STDIN"
"""The environment variable that tells a process to stop when its standard input ends: who started it holds the other end."""
GRACE = 30.0
"""Seconds that a process may take to stop when it is asked to, before it is ended."""


class Stopped(KeyboardInterrupt):
    """A signal asked us to stop. number: the signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    @property
    def status(self) -> int:
        """The exit status."""
        return STATUS.get(signal.Signals(self.number), 130)


def status_of(stop: KeyboardInterrupt) -> int:
    """Return the exit status that belongs to ``stop``."""
    return stop.status if isinstance(stop, Stopped) else STATUS[signal.SIGINT]


class Stopping:
    """What became of the signals so far.

    seen: those that arrived, in order. told: the user was told of it. over: nothing is left to be stopped.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.told = False
        self.over = False

    def __call__(self, number: int, frame: FrameType | None = None) -> None:
        """Handle a signal."""
        self.seen.append(number)
        if self.over:
            return
        if len(self.seen) >= AT_ONCE:
            end_at_once(self.seen[0])
        raise Stopped(self.seen[0])

    def again(self, lost: Any) -> bool:
        """Send the signal again whose exception ``lost`` was swallowed where none can pass, as in ``__del__``; whether it was one."""
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            return False
        if self.seen:
            # A moment later: here it would be swallowed as well.
            threading.Timer(0.02, _send, (self.seen.pop(),)).start()
        return True


def _send(number: int) -> None:
    """Send this process a signal so that its main thread notices, even where it waits."""
    main = threading.main_thread()
    if hasattr(signal, "pthread_kill") and main.ident is not None and main.is_alive():
        signal.pthread_kill(main.ident, number)
    else:
        signal.raise_signal(number)


def end_at_once(number: int, frame: FrameType | None = None) -> None:
    """End the process with one line, as if by signal ``number``."""
    with suppress(OSError):
        # The cursor that a progress bar hides comes back.
        os.write(2, (b"\x1b[?25h\r" if os.isatty(2) else b"") + b"unlayer: stopped\n")
    os._exit(STATUS.get(signal.Signals(number), 130))


@contextmanager
def stopping() -> Iterator[Stopping]:
    """Let signals raise :class:`Stopped` in the main thread for as long as this lasts. Those that are ignored stay ignored (nohup)."""
    stop = Stopping()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {
        number: handler
        for number in STATUS
        if (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }
    hook = sys.unraisablehook

    def unraisable(lost: Any) -> None:
        if not stop.again(lost):
            hook(lost)

    try:
        sys.unraisablehook = unraisable
        for number in before:
            signal.signal(number, stop)
        yield stop
    finally:
        stop.over = True
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def guard_start() -> None:
    """End the process with one line at a signal that comes while it still imports what it needs, and stop with who started it."""
    for number in STATUS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end_at_once)
    if os.environ.pop(PARENT, None):
        stop_with_stdin()


def guard_end() -> None:
    """Ignore Ctrl-C from now on: the work is over, and the interpreter's own end has nothing to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in set(STATUS) - {signal.SIGINT}:
        if signal.getsignal(number) is end_at_once:
            signal.signal(number, signal.SIG_DFL)


def stop_with_stdin(
    grace: float = GRACE, end: Callable[[int], None] = os._exit
) -> threading.Thread:
    """Stop, as by SIGTERM, when standard input ends; after ``grace`` seconds more the process is ended. Returns the thread that waits."""

    def wait() -> None:
        with suppress(OSError):
            while os.read(0, 1024):
                pass
        _send(signal.SIGTERM)
        threading.Event().wait(grace)
        end(STATUS[signal.SIGTERM])

    thread = threading.Thread(target=wait, name="stops with its parent", daemon=True)
    thread.start()
    return thread
