"""Run a batch on an existing Ray cluster (``batch --ray``).

This is the only module that knows Ray, which is an optional extra.

One Ray task prepares a clip, each of its transitions is a task, and a last task puts the run
together. So one long film is spread over many machines too. Results lie in the run's folder, on
storage that all machines see under the same path. A task whose worker is lost is tried again
elsewhere and goes on from its checkpoint. A driver that is started again does what is left.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.batch import distributed_run
from pipeline.batch.clips import BatchClip, make_parent_folders, runs_folder, store_of
from pipeline.batch.display import BatchDisplay
from pipeline.option_names import with_options
from pipeline.settings import Settings
from stages.errors import UnlayerError, UsageError

RETRIES = 3
"""How often a task whose worker was lost is tried again. Our own errors are not tried again."""

CONNECT_SECONDS = 10
"""Seconds to wait for an answer from the cluster's address."""

TASKS_PER_SLOT = 2
"""Tasks that are given to the cluster for each one that it can do at once, so that none waits."""

WAIT_SECONDS = 1.0
"""Seconds to wait for a task to end before the display is refreshed."""


@dataclass
class _ClipProgress:
    """A clip that runs: when it began, how many parts it has, and how many are left."""

    clip: BatchClip
    settings: Settings
    began: float = field(default_factory=time.monotonic)
    parts: int = 0
    left: int = 0


@dataclass
class RayCluster:
    """The Ray cluster that runs the tasks of all clips.

    settings: the batch's. They say where the cluster is, and how much of a machine one task takes.
    ray: the package, once it is imported.
    """

    settings: Settings
    ray: Any = None
    _running: dict[Any, tuple[_ClipProgress, str]] = field(default_factory=dict)

    def __enter__(self) -> RayCluster:
        # Ray reads this variable when it is imported.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                "--ray needs Ray, which is not installed; pip install 'unlayer[ray]'"
            ) from error
        self.ray = ray
        try:
            assert self.settings.ray is not None
            _check_listening(self.settings.ray)
            ray.init(
                address=self.settings.ray,
                log_to_driver=False,
                configure_logging=False,
                ignore_reinit_error=True,
            )
        # Ray raises SystemExit where nobody answers.
        except (
            ConnectionError,
            RuntimeError,
            ValueError,
            OSError,
            SystemExit,
            ray.exceptions.RayError,
        ) as error:
            lines = str(error).strip().splitlines()
            line = lines[0] if lines else type(error).__name__
            raise UnlayerError(
                f"--ray {self.settings.ray}: no cluster answers ({line}); start one with: "
                "ray start --head"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.ray.shutdown()

    def run(
        self,
        clips: list[BatchClip],
        display: BatchDisplay,
        on_ended: Callable[[BatchClip], None],
    ) -> None:
        """Run all clips; call ``on_ended`` for each that has ended."""
        waiting = deque(clip for clip in clips if clip.status == "waiting")
        # Enough clips to keep every machine busy, without a task for each clip of a large archive.
        cpus = self.ray.cluster_resources().get("CPU", 1)
        max_running = max(2, TASKS_PER_SLOT * int(cpus / self.settings.ray_cpus))
        while waiting or self._running:
            while waiting and len(self._running) < max_running:
                self._begin(waiting.popleft(), display, on_ended)
            done, _ = self.ray.wait(list(self._running), num_returns=1, timeout=WAIT_SECONDS)
            for reference in done:
                progress, stage = self._running.pop(reference)
                before = progress.clip.status
                self._continue(progress, stage, reference)
                if before == "running" and progress.clip.status != "running":
                    on_ended(progress.clip)
            display.show(clips)

    def _begin(
        self, clip: BatchClip, display: BatchDisplay, on_ended: Callable[[BatchClip], None]
    ) -> None:
        """Submit the first task of a clip."""
        try:
            make_parent_folders(clip, runs_folder(self.settings))
        except (UnlayerError, OSError) as error:
            clip.status = "failed"
            clip.error = str(error)
            on_ended(clip)
            return
        clip.status = "running"
        clip.stage = "prepare"
        progress = _ClipProgress(clip, self._settings(clip))
        self._submit(progress, "prepare", distributed_run.prepare, progress.settings)
        display.began(clip)

    def _settings(self, clip: BatchClip) -> Settings:
        """Return the settings of a clip's run."""
        store = store_of(clip, self.settings)
        return replace(
            self.settings,
            inputs=(clip.path.resolve(),),
            out=clip.out.resolve(),
            resume=True,
            anew=True,
            ray=None,
            store=store.url if store else None,
        )

    def _submit(
        self, progress: _ClipProgress, stage: str, work: Callable[..., Any], *arguments: Any
    ) -> None:
        remote = self.ray.remote(
            num_cpus=self.settings.ray_cpus,
            num_gpus=self.settings.ray_gpus,
            max_retries=RETRIES,
            retry_exceptions=False,
        )
        name = f"{stage} {progress.clip.path.name}"
        reference = remote(work).options(name=name).remote(*arguments)
        self._running[reference] = progress, stage

    def _continue(self, progress: _ClipProgress, stage: str, reference: Any) -> None:
        """Take the result of a task that has ended and submit what comes after it.

        After ``prepare`` come the parts, and after the last part ``finish``.
        """
        clip = progress.clip
        clip.seconds = time.monotonic() - progress.began
        try:
            answer = self.ray.get(reference)
        except Exception as error:
            clip.status = "failed"
            clip.stage = ""
            clip.error = _error_line(error)
            self._cancel(progress)
            return
        result, warnings = (0, answer) if stage == "part" else answer
        clip.warnings += [text for text in warnings if text not in clip.warnings]
        if stage == "finish":
            clip.status = "done" if result else "unchanged"
            clip.stage = ""
            return
        if stage == "prepare":
            progress.parts = progress.left = result
            for number in range(result):
                self._submit(progress, "part", distributed_run.do_part, progress.settings, number)
            clip.stage = "separate"
        else:
            progress.left -= 1
            clip.fraction = 1 - progress.left / progress.parts
        if progress.left == 0:
            clip.stage = "finish"
            self._submit(progress, "finish", distributed_run.finish, progress.settings)

    def _cancel(self, progress: _ClipProgress) -> None:
        """Cancel the other tasks of a clip that failed; their checkpoints stay."""
        own = [reference for reference, (other, _) in self._running.items() if other is progress]
        for reference in own:
            del self._running[reference]
            self.ray.cancel(reference, recursive=False)


def _check_listening(address: str) -> None:
    """Raise OSError at once where nobody listens at ``host:port``; Ray would try for minutes.

    Other kinds of address are left to Ray.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


def _error_line(error: Exception) -> str:
    """Return one line about the error of a task; our own errors' messages are unchanged."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, UnlayerError):
        return with_options(cause)
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[-1] if lines else 'no more is known'}"
