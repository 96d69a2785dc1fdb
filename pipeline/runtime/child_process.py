"""A run in a process of its own: started, heard line by line, stopped. It stops by itself when this process ends, however that ends."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.signals import GRACE, PARENT


class Child:
    """One process. ``threads``: how many it may compute with. ``more``: of its environment."""

    def __init__(
        self, words: Sequence[str], threads: int, more: Mapping[str, str] | None = None
    ) -> None:
        # The package that runs here, not a file of its name in the current folder.
        paths = os.pathsep.join(
            [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": paths}
        environment |= {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            **(more or {}),
        }
        environment[PARENT] = "1"
        # In a session of its own: Ctrl-C reaches us alone, and we pass it on in our own time.
        self.process = subprocess.Popen(
            words,
            # Nothing is ever written to it: it ends when this process does, and the child with it.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self.began = time.monotonic()
        self.ended: float | None = None
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._complaints: deque[str] = deque(maxlen=20)
        self._readers = [
            threading.Thread(target=target, daemon=True)
            for target in (self._read_told, self._read_complaints)
        ]
        for reader in self._readers:
            reader.start()

    def events(self) -> Iterator[dict[str, Any]]:
        """What it has said on its standard output since the last call; lines that are no JSON object are left out."""
        while not self._told.empty():
            try:
                value = json.loads(self._told.get())
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value

    def status(self) -> int | None:
        """Its exit status (negative: the signal that killed it), or ``None`` while it runs or something it said is still unheard."""
        status = self.process.poll()
        if status is None:
            return None
        self._close()
        self.ended = self.ended or time.monotonic()
        return status if self._told.empty() else None

    def seconds(self) -> float:
        """How long it has run."""
        return (self.ended or time.monotonic()) - self.began

    def complaint(self, status: int) -> str:
        """One line on why it failed: its own last one, where it said any."""
        if status < 0:
            why = (
                "killed, for want of memory perhaps"
                if status == -signal.SIGKILL
                else f"ended by signal {-status}"
            )
            return f"was {why}; the same command goes on with it"
        said = [
            line
            for line in self._complaints
            if line.strip() and not line.startswith("unlayer: warning:")
        ]
        return (
            said[-1].removeprefix("unlayer: ")
            if said
            else f"ended with status {status} and said nothing"
        )

    def signal(self, number: int) -> None:
        """Sends it a signal, where it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self) -> int:
        """Waits for its end; kills it after :data:`GRACE` seconds."""
        try:
            status = self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._close()
        return status

    def _close(self) -> None:
        """After its end: hears the rest of what it said."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        for reader in self._readers:
            reader.join(5)

    def _read_told(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._told.put(line)

    def _read_complaints(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self._complaints.append(line.rstrip("\n"))
