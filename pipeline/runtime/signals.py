"""Handle Ctrl-C, SIGTERM and SIGHUP: the first stops the work, and none ends in a traceback.

Every file on disk is whole at every moment, so a run may also be ended at once; the third signal
does that, and so does the first one while a module is imported. This module imports little, so that
its handlers are in place before anything slow is imported.
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
"""Exit statuses as shells count them: 128 plus the signal's number."""
SIGNALS_TO_END_AT_ONCE = 3
"""How many signals it takes to end the process without any clean-up."""
STOP_WITH_STDIN_VARIABLE = "UNLAYER_STOPS_WITH_STDIN"
"""The environment variable that tells a process to stop when its standard input ends.

The process that started it holds the other end.
"""
GRACE_SECONDS = 30.0
"""Seconds that a process may take to stop when it is asked to, before it is killed."""
RESEND_SECONDS = 0.02
"""Seconds after which a swallowed signal is sent again."""
CHUNK = 1024
"""Bytes to read from standard input at once; what they are does not matter."""
_SHOW_CURSOR = b"\x1b[?25h\r"


class Stopped(KeyboardInterrupt):
    """A signal asked this process to stop. number: the signal."""

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
    """The handler of signals, which remembers what became of them.

    seen: the signals that arrived, in order. telling: whether the user is being told, or was told,
    that the work stopped. over: whether there is nothing left to stop.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.telling = False
        self.over = False

    def __call__(self, number: int, frame: FrameType | None = None) -> None:
        """Handle a signal: the first raises Stopped, the third ends the process at once.

        While anything is imported, the first one ends it at once, too.
        """
        self.seen.append(number)
        if self.over:
            return
        if len(self.seen) >= SIGNALS_TO_END_AT_ONCE:
            end_at_once(self.seen[0])
        if self.telling:
            # Raised now, it would take the place of the line that says that the work stopped.
            return
        if _is_importing(frame):
            # An exception may end there in a library's C++ code, which would abort.
            end_at_once(self.seen[0])
        raise Stopped(self.seen[0])

    def resend_swallowed(self, lost: Any) -> bool:
        """Send a signal again whose exception Python swallowed, as it does in ``__del__``.

        lost: what ``sys.unraisablehook`` is called with. Returns whether it was such an exception.
        """
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            return False
        if self.seen:
            # Sent at once, it would be swallowed in the same place.
            threading.Timer(RESEND_SECONDS, _send, (self.seen.pop(),)).start()
        return True


def _is_importing(frame: FrameType | None) -> bool:
    """Return whether an import called ``frame``, at any depth."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _send(number: int) -> None:
    """Send this process a signal that its main thread notices even while it waits."""
    main = threading.main_thread()
    if hasattr(signal, "pthread_kill") and main.ident is not None and main.is_alive():
        signal.pthread_kill(main.ident, number)
    else:
        signal.raise_signal(number)


def end_at_once(number: int, frame: FrameType | None = None) -> None:
    """End the process with one line, as if by signal ``number``."""
    with suppress(OSError):
        # A progress bar may have hidden the cursor.
        cursor = _SHOW_CURSOR if os.isatty(2) else b""
        os.write(2, cursor + b"unlayer: stopped\n")
    os._exit(STATUS.get(signal.Signals(number), 130))


@contextmanager
def stopping() -> Iterator[Stopping]:
    """Let signals raise :class:`Stopped` in the main thread while the block runs.

    Signals that are ignored stay ignored, as under ``nohup``.
    """
    stop = Stopping()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    handlers = {number: signal.getsignal(number) for number in STATUS}
    before = {
        number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN
    }
    hook = sys.unraisablehook

    def unraisable(lost: Any) -> None:
        if not stop.resend_swallowed(lost):
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
    """Handle signals while the process still imports what it needs: end it with one line.

    A process that was started by :class:`pipeline.runtime.child_process.Child` also begins to watch
    for the end of its parent.
    """
    for number in STATUS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end_at_once)
    if os.environ.pop(STOP_WITH_STDIN_VARIABLE, None):
        stop_with_stdin()


def guard_end() -> None:
    """Ignore Ctrl-C from now on: the work is over, and the interpreter only shuts down."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in set(STATUS) - {signal.SIGINT}:
        if signal.getsignal(number) is end_at_once:
            signal.signal(number, signal.SIG_DFL)


def stop_with_stdin(
    grace: float = GRACE_SECONDS, end: Callable[[int], None] = os._exit
) -> threading.Thread:
    """Stop this process, as by SIGTERM, when its standard input ends.

    grace: seconds after which it is ended if it has not stopped. end: ends it with a status.
    Returns the thread that waits.
    """

    def wait() -> None:
        with suppress(OSError):
            while os.read(0, CHUNK):
                pass
        _send(signal.SIGTERM)
        threading.Event().wait(grace)
        end(STATUS[signal.SIGTERM])

    thread = threading.Thread(target=wait, name="stops with its parent", daemon=True)
    thread.start()
    return thread
