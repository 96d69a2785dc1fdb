"""``batch --ray``: a folder of clips on an existing Ray cluster. The only module that knows Ray, which is an optional extra.

A clip is prepared by one task, each of its transitions is a task, and a last one puts the run together, so that one long film is spread
over many machines too. What is done lies in the run's folder, on storage that all machines see under the same path: a task whose worker
is lost is tried again elsewhere and goes on from its checkpoint, and a driver that is started again goes on with what is left.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.batch import distributed_run as parts
from pipeline.batch.clips import Item, check_place, out_of, store_of
from pipeline.batch.display import BatchDisplay
from pipeline.option_hints import with_options
from pipeline.settings import Settings
from stages.errors import UnlayerError, UsageError

RETRIES = 3
"""How often a task is tried again whose worker or machine was lost. Errors of ours are no such loss: they are not tried again."""


@dataclass
class _Clip:
    """A clip in work: when it began, how many parts it has and how many of them are not done yet."""

    item: Item
    settings: Settings
    began: float = field(default_factory=time.monotonic)
    parts: int = 0
    left: int = 0


@dataclass
class Cluster:
    """The tasks of all clips on Ray. ``cpus``, ``gpus``: what a part takes of a machine; a fraction of a GPU is shared."""

    address: str
    settings: Settings
    cpus: float = 1.0
    gpus: float = 0.0
    ray: Any = None
    _clips: dict[Any, tuple[_Clip, str]] = field(default_factory=dict)

    def __enter__(self) -> Cluster:
        # Set before Ray is loaded: it reads them then.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                "--ray needs Ray, which is not installed; pip install 'unlayer[ray]'"
            ) from error
        self.ray = ray
        try:
            _knock(self.address)
            ray.init(
                address=self.address,
                log_to_driver=False,
                configure_logging=False,
                ignore_reinit_error=True,
            )
        # Ray ends the process where nobody answers.
        except (
            ConnectionError,
            RuntimeError,
            ValueError,
            OSError,
            SystemExit,
            ray.exceptions.RayError,
        ) as error:
            line = (
                str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            )
            raise UnlayerError(
                f"--ray {self.address}: no cluster answers ({line}); start one with: ray start --head"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.ray.shutdown()

    def run(self, items: list[Item], shown: BatchDisplay, ended: Callable[[Item], None]) -> None:
        """Does all clips; ``ended`` is called for each that is over."""
        waiting = deque(item for item in items if item.status == "waiting")
        # Enough in flight to keep every machine busy, not a task for each clip of a large archive at once.
        most = max(2, 2 * int(self.ray.cluster_resources().get("CPU", 1) / self.cpus))
        while waiting or self._clips:
            while waiting and len(self._clips) < most:
                item = waiting.popleft()
                try:
                    check_place(item, out_of(self.settings))
                except (UnlayerError, OSError) as error:
                    item.status, item.error = "failed", str(error)
                    ended(item)
                    continue
                item.status, item.stage = "running", "prepare"
                clip = _Clip(item, self._settings(item))
                self._submit(clip, "prepare", parts.prepare, clip.settings)
                shown.began(item)
            done, _ = self.ray.wait(list(self._clips), num_returns=1, timeout=1.0)
            for reference in done:
                clip, stage = self._clips.pop(reference)
                before = clip.item.status
                self._next(clip, stage, reference)
                if before == "running" and clip.item.status != "running":
                    ended(clip.item)
            shown.show(items)

    def _settings(self, item: Item) -> Settings:
        store = store_of(item, self.settings)
        url = store.url if store else None
        return replace(
            self.settings,
            inputs=(item.path.resolve(),),
            out=item.out.resolve(),
            resume=True,
            anew=True,
            ray=None,
            store=url,
        )

    def _submit(self, clip: _Clip, stage: str, work: Callable[..., Any], *words: Any) -> None:
        remote = self.ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=RETRIES, retry_exceptions=False
        )
        name = f"{stage} {clip.item.path.name}"
        self._clips[remote(work).options(name=name).remote(*words)] = clip, stage

    def _next(self, clip: _Clip, stage: str, reference: Any) -> None:
        """Takes note of a task's end and submits what comes after it."""
        item = clip.item
        item.seconds = time.monotonic() - clip.began
        try:
            answer = self.ray.get(reference)
        except Exception as error:
            item.status, item.stage, item.error = "failed", "", _line(error)
            self._give_up(clip)
            return
        result, told = (0, answer) if stage == "part" else answer
        item.warnings += [text for text in told if text not in item.warnings]
        if stage == "prepare":
            clip.parts = clip.left = result
            for number in range(clip.parts):
                self._submit(clip, "part", parts.do, clip.settings, number)
            item.stage = "separate"
        elif stage == "part":
            clip.left -= 1
            item.fraction = 1 - clip.left / clip.parts
        else:
            item.status, item.stage = ("done" if result else "unchanged"), ""
            return
        if clip.left == 0:
            item.stage = "finish"
            self._submit(clip, "finish", parts.finish, clip.settings)

    def _give_up(self, clip: _Clip) -> None:
        """Ends the other tasks of a clip that failed; what they have kept stays."""
        for reference in [
            reference for reference, (other, _) in self._clips.items() if other is clip
        ]:
            del self._clips[reference]
            self.ray.cancel(reference, recursive=False)


def _knock(address: str) -> None:
    """Raises OSError at once where nobody listens at ``host:port``; Ray would try for minutes. Other kinds of address are Ray's own."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _line(error: Exception) -> str:
    """One line of what a task failed with: our own error's, where it is one."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, UnlayerError):
        return with_options(cause)
    text = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {text[-1] if text else 'no more is known'}"
