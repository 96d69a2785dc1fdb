"""The contract of a task: what it is given, what it returns, and what it says about itself.

A task reads the job's clip, writes its layers into the job's work folder and returns a list of
them. The run around it (:mod:`pipeline.run.execute`) owns the run's folder, the clock, the
manifest and all output. Everything that differs from task to task stands in :class:`Task`; no
other module knows a task by its name. :mod:`pipeline.tasks` finds the tasks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.runtime.progress import Stages, Step
from pipeline.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from pipeline.framewise.recipe import Recipe
    from stages.context import ExpectedQuality
    from stages.diagnosis import ClipSample, Diagnosed, Diagnosis
    from stages.media.read import Clip
    from stages.media.stored_frame import StoredFrame
    from stages.optim.loss_curves import Curves
    from stages.storage.checkpoint import Checkpoints

TASK_OPTIONS = (
    "alpha",
    "confidence",
    "force",
    "hint",
    "hint_background",
    "layers",
    "mark",
    "refine",
    "space",
    "shots",
    "strength",
    "timeline",
    "transition",
)
"""Options that only some tasks use. A task that does not name one in ``uses`` refuses it."""


@dataclass(frozen=True)
class WrittenLayer:
    """One layer file that a task has written.

    name: the layer's name, unique in the run. role: one of the task's roles.
    path: the file in the work folder, or the folder of a sequence. The run moves it into its own
        folder under the same name.
    first_frame, last_frame: the frames of the input that it covers, inclusive, counted from 0.
    pattern: the names of a sequence's files, as in ``%06d.png``, where the number is the frame's.
    sounds: the files of its audio beside a sequence.
    data: whether its values are not colours, as in a matte.
    expected: how good it is expected to be in each of its frames, where that is known.
    """

    name: str
    role: str
    path: Path
    first_frame: int
    last_frame: int
    pattern: str = ""
    sounds: tuple[Path, ...] = ()
    data: bool = False
    expected: ExpectedQuality | None = None


@dataclass(frozen=True)
class FitRecord:
    """The losses of one fit.

    name: what was fitted. first_frame, last_frame: the frames it was fitted to, inclusive.
    curves: the losses as :class:`stages.optim.loss_curves.Trace` has them.
    """

    name: str
    first_frame: int
    last_frame: int
    curves: Curves


@dataclass(frozen=True)
class Budget:
    """The time that a run may take.

    total: seconds, or ``None`` for no limit. began: the run's start, as time.monotonic() has it.
    """

    total: float | None = None
    began: float = field(default_factory=time.monotonic)

    def spent(self) -> float:
        """Return the seconds since the run began."""
        return time.monotonic() - self.began

    def left(self) -> float | None:
        """Return the seconds left, 0 or more, or ``None`` where there is no limit."""
        return None if self.total is None else max(0.0, self.total - self.spent())


class FrameWatch(Protocol):
    """What sees all frames while the layers are written, so that the report decodes none again.

    It raises nothing but what stops the run: what it misses, the report makes later.
    """

    def begin(self, planned: Result, time_of: Callable[[int], Fraction]) -> None:
        """Take note of the layers that are about to be written, all of them from their beginning.

        time_of: returns the time of a frame, in seconds.
        """
        ...

    def add_input(self, frame: StoredFrame) -> None:
        """Take the next frame of the input."""
        ...

    def add_layer(self, name: str, frame: StoredFrame, pixels: Tensor | None) -> None:
        """Take a layer's frame: the input's own, or ``pixels`` ``(1, 3, H, W)`` in [0, 1]."""
        ...

    def end(self) -> None:
        """Take note that all frames were seen."""
        ...

    def close(self) -> None:
        """Drop what is not finished. May be called at any time."""
        ...


@dataclass(frozen=True)
class Job:
    """What a task is given.

    clip: the open input. settings: what the user asked for. device: where to compute.
    work: the folder for layer files and temporary files.
    stages: takes progress and warnings.
    budget: the time there is.
    checkpoints: where a resumed run finds what was done.
    sums: the SHA-256 of each input, where they are known.
    watch: sees the frames while the layers are written, for tasks that can show them.
    """

    clip: Clip
    settings: Settings
    device: torch.device
    work: Path
    stages: Stages
    budget: Budget
    checkpoints: Checkpoints
    sums: Sequence[str] = ()
    watch: FrameWatch | None = None


@dataclass(frozen=True)
class Result:
    """What a task made.

    layers: the layer files.
    frames: how many frames the clip has, or ``None`` where only a part was read.
    transitions, colors: entries for the manifest.
    sheets: contact sheets in the work folder.
    report: figures for the manifest's ``report``.
    fits: the losses of each fit.
    variable_rate: whether the input's frames are unevenly spaced in time.
    """

    layers: tuple[WrittenLayer, ...]
    frames: int | None = None
    transitions: tuple[Mapping[str, object], ...] = ()
    sheets: tuple[Path, ...] = ()
    report: Mapping[str, object] = field(default_factory=dict)
    fits: tuple[FitRecord, ...] = ()
    colors: tuple[Mapping[str, object], ...] = ()
    variable_rate: bool = False


@dataclass(frozen=True)
class RunParts:
    """How a run is split into parts that several machines do at the same time.

    count: returns the number of parts. do: does the part of this number, counted from 0.
    room: returns the part's folder among the checkpoints. ``do`` leaves its results there, and
    the task's ``run`` uses them instead of computing them again.
    """

    count: Callable[[Job], int]
    do: Callable[[Job, int], None]
    room: Callable[[int], str]


@dataclass(frozen=True)
class Estimate:
    """What a run will probably cost on this machine.

    seconds: by stage. more: seconds that the networks add if they turn out to be needed.
    memory: the peak, in bytes.
    plans: the planned work on each transition.
    layers: name, role and file suffix of each layer, where known.
    notes: reasons why the estimate is less certain.
    """

    seconds: dict[str, float]
    memory: int
    more: float = 0.0
    plans: tuple[dict[str, object], ...] = ()
    layers: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """The expected seconds in all: the middle of the possible range."""
        return sum(self.seconds.values()) + self.more / 2


@dataclass(frozen=True)
class DryRun:
    """What a task answers to ``--dry-run``.

    frames: the number of the clip's frames. estimate: what the run would cost.
    layers: the layers it would write, as JSON values with ``name``, ``role`` and ``path``.
    found: further facts for ``--json`` (``transitions``, ``colors``).
    warnings: what the run would warn of. notes: remarks on the estimate.
    """

    frames: int
    estimate: Estimate
    layers: Sequence[Mapping[str, object]]
    found: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSummary:
    """What a finished run holds, as its manifest says.

    layers: how many layers. separated_transitions: how many transitions were separated.
    figures: the manifest's ``report``.
    """

    layers: int
    separated_transitions: int
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class BenchClip:
    """A synthetic clip with known layers on which ``bench`` measures a task.

    make: makes it from a height in pixels and a number of frames; see
        :mod:`pipeline.bench.clips`.
    least_frames: the fewest frames it can have. reason: why it needs so many, for the message.
    """

    make: Callable[[int, int], Any]
    least_frames: int = 1
    reason: str = ""


DiagnoseClip = Callable[[Mapping[str, Any], "Diagnosed | None"], "Diagnosed | None"]
"""Diagnoses a clip, given what the search found, as JSON values, and the diagnoses that were kept
with it. Returns the diagnoses, or ``None`` where they are not asked for."""


def _no_headline(summary: RunSummary) -> list[tuple[str, str]]:
    return []


@dataclass(frozen=True)
class Task:
    """A task: how to do it, and all that the rest of the program must know about it.

    name: as ``--task`` has it. help: one line about it.
    roles: the roles of its layers, the main one first.
    run: does the job and returns what it made.
    uses: the options of :data:`TASK_OPTIONS` that it uses.
    parts: how several machines share a run, where they can.
    recipe: the recipe, for tasks that split every frame into the same layers.
    on_cpu: the presets that run on the CPU whatever ``--device`` says.
    dry_run: answers ``--dry-run``. Without it, the task is run on a small piece of the clip and
        its cost is scaled up.
    headline: returns figures for the top of the report, as pairs of a value and its meaning.
    bench: the clip that ``bench`` measures it on, where it can.
    probe: returns what the task finds in a clip, as JSON values, for the command ``probe``.
    diagnose: says whether what the task takes out is in a clip. It gets a small sample of the
        clip, and uses the evidence that ``run`` uses.
    auto_order: the task's place among others in a run without ``--task``, counted upwards. What
        was laid over the rest last is taken off first. ``None``: such a run never does the task.
    explains: names of tasks whose evidence may come from what this task takes out. Where that is
        there, a run without ``--task`` does not do them.
    confidence_roles: the roles of the layers that ``--confidence`` adds.
    """

    name: str
    help: str
    roles: tuple[str, ...]
    run: Callable[[Job], Result]
    uses: frozenset[str] = frozenset()
    parts: RunParts | None = None
    recipe: Recipe | None = None
    on_cpu: frozenset[str] = frozenset()
    dry_run: Callable[[Job], DryRun] | None = None
    headline: Callable[[RunSummary], list[tuple[str, str]]] = _no_headline
    bench: BenchClip | None = None
    probe: Callable[[Clip, Settings, Step, DiagnoseClip], Mapping[str, Any]] | None = None
    diagnose: Callable[[ClipSample], Diagnosis] | None = None
    auto_order: int | None = None
    explains: frozenset[str] = frozenset()
    confidence_roles: tuple[str, ...] = ()

    @property
    def all_roles(self) -> tuple[str, ...]:
        """The roles of all layers that it may write."""
        return self.roles + self.confidence_roles
