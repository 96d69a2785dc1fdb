"""Start a run in a process of its own, read what it says, and stop it.

The child stops by itself when this process ends, however that ends.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import PACKAGE
from pipeline.runtime.console_lines import WARNING
from pipeline.runtime.signals import GRACE_SECONDS, STOP_WITH_STDIN_VARIABLE

MAX_ERROR_LINES = 20
"""Last lines of the child's standard error that are kept."""
READER_TIMEOUT = 5
"""Seconds to wait for the rest of the child's output after its end."""
PROGRAM = (sys.executable, "-m", PACKAGE)
"""The first words of a command line that starts this program again."""


def import_folder() -> Path:
    """Return the folder in which Python finds :data:`PACKAGE`."""
    outermost = sys.modules[PACKAGE.partition(".")[0]]
    assert outermost.__file__ is not None, f"{outermost} has no file"
    return Path(outermost.__file__).parents[1]


class Child:
    """One child process.

    words: the command line. threads: how many threads it may compute with.
    extra_environment: variables of its environment in addition to this process's.
    """

    def __init__(
        self, words: Sequence[str], threads: int, extra_environment: Mapping[str, str] | None = None
    ) -> None:
        # The child must import the packages of this process, not files of the same names in the
        # current folder.
        paths = [str(import_folder()), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "PYTHONSAFEPATH": "1",
            "PYTHONPATH": os.pathsep.join(paths),
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            **(extra_environment or {}),
            STOP_WITH_STDIN_VARIABLE: "1",
        }
        self.process = subprocess.Popen(
            words,
            # Nothing is written to it. It ends when this process does, and then the child stops.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            # In a session of its own, so that Ctrl-C reaches only this process, which passes it on.
            start_new_session=True,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self.began = time.monotonic()
        self.ended: float | None = None
        self._output: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._errors: deque[str] = deque(maxlen=MAX_ERROR_LINES)
        self._readers = [
            threading.Thread(target=target, daemon=True)
            for target in (self._read_output, self._read_errors)
        ]
        for reader in self._readers:
            reader.start()

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects that it printed since the last call; skip all other lines."""
        while not self._output.empty():
            try:
                value = json.loads(self._output.get())
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value

    def status(self) -> int | None:
        """Return its exit status; it is negative where a signal killed the child.

        Returns ``None`` while the child runs, or while some of its output is still unread.
        """
        status = self.process.poll()
        if status is None:
            return None
        self._close()
        self.ended = self.ended or time.monotonic()
        return status if self._output.empty() else None

    def seconds(self) -> float:
        """Return for how many seconds it has run."""
        return (self.ended or time.monotonic()) - self.began

    def failure_reason(self, status: int) -> str:
        """Return one line about why it ended with ``status``, its own last error if it has one."""
        if status < 0:
            reason = f"was ended by signal {-status}"
            if status == -signal.SIGKILL:
                reason = "was killed, perhaps for lack of memory"
            return f"{reason}; the same command goes on with it"
        lines = [line for line in self._errors if line.strip() and not line.startswith(WARNING)]
        if not lines:
            return f"ended with status {status} and without a message"
        return lines[-1].removeprefix("unlayer: ")

    def signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end, kill it after :data:`GRACE_SECONDS`, and return its exit status."""
        try:
            status = self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._close()
        return status

    def _close(self) -> None:
        """Read the rest of its output after its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        for reader in self._readers:
            reader.join(READER_TIMEOUT)

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._output.put(line)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self._errors.append(line.rstrip("\n"))
