"""Measure a task by running it on a few frames of the clip, made small."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from pipeline.hint_arguments import HintArgument
from pipeline.runtime.progress import SilentReporter, Stages
from pipeline.runtime.run_record import KEPT
from pipeline.runtime.scratch import save_frames
from pipeline.settings import Settings
from pipeline.task import Budget, Job, Result, Task
from pipeline.tasks import naming_package
from stages.errors import UnlayerError
from stages.media.read import Clip, open_clip
from stages.storage.checkpoint import Checkpoints

OTHER_STAGES = ("read", "survey", "write")
"""Stages in which nothing is separated."""

LEAST_PROGRESS = 0.02
"""Progress from 0 to 1 that the last part must have made before its speed is extrapolated."""

LEAST_FRACTION = 0.01
"""The fraction that is assumed where a part has reported less, to bound the extrapolation."""

PICTURE_RATE = Fraction(25)
"""Frame rate of shrunken pictures; it has no effect on a run."""


class OutOfTimeError(UnlayerError):
    """The time for measuring is over."""


class SampleProgress(SilentReporter):
    """The reporter of a sample run: it times the parts, and ends the run that takes too long.

    deadline: the time, by ``time.monotonic``, at which the run ends.
    fraction: how far the current stage is, 0 to 1.
    seconds: seconds spent on separating, by the note with which each part reports its progress.
    stopped: the stage in which the time was over; empty where it was not.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.stage = ""
        self.fraction = 0.0
        self.note = ""
        self.seconds: dict[str, float] = {}
        self.stopped = ""
        self._now = time.monotonic()
        self._part_began = (0.0, 0.0)

    def begin(self, stage: str) -> None:
        """Take note that a stage begins."""
        self._count(0.0, "")
        self.stage = stage

    def step(self, stage: str, fraction: float, note: str) -> None:
        """Take note of progress. Raises OutOfTimeError when the time is over."""
        self._count(fraction, note)
        if self._now > self.deadline:
            self.stopped = stage
            raise OutOfTimeError

    def end(self, stage: str, seconds: float) -> None:
        """Take note that a stage ends."""
        if not self.stopped:
            self._count(0.0, "")
        self.stage = ""

    def warn(self, text: str) -> None:
        """Show nothing: a shrunken clip's warnings mean nothing."""

    def extrapolate(self) -> None:
        """Add the seconds that the rest of the separation would have taken.

        The rest is assumed to go on as its last part did, or, where too little of that was seen,
        as all parts together did.
        """
        began, fraction = self._part_began
        progress = self.fraction - fraction
        seconds = self._now - began
        if progress < LEAST_PROGRESS:
            progress = max(LEAST_FRACTION, self.fraction)
            seconds = sum(self.seconds.values())
        rest = (1 - self.fraction) * seconds / progress
        self.seconds[self.note] = self.seconds.get(self.note, 0.0) + rest

    def _count(self, fraction: float, note: str) -> None:
        before = self._now
        self._now = time.monotonic()
        if self.stage not in ("", *OTHER_STAGES):
            # A part reports its note when it begins.
            self.seconds[self.note] = self.seconds.get(self.note, 0.0) + self._now - before
        if note != self.note:
            self._part_began = self._now, fraction
        self.fraction = fraction
        self.note = note


@dataclass
class SampleRun:
    """What a sample run took.

    pixels: size of a frame.
    survey: seconds of everything before the separation.
    separate: seconds of the separation, by part.
    complete: whether it ran to its end, so that nothing is extrapolated.
    """

    pixels: int
    survey: float = 0.0
    separate: Mapping[str, float] = field(default_factory=dict)
    complete: bool = True
    result: Result | None = field(default=None, repr=False)


def run_sample(job: Job, task: Task, frame_count: int, pixels: int, deadline: float) -> SampleRun:
    """Run the task on the first frames of the clip, shrunk.

    job: the whole run; its trim is respected, its budget is not.
    frame_count: how many frames are used.
    pixels: about how many pixels a frame then has.
    deadline: the time, by ``time.monotonic``, at which the sample run is ended.
    """
    info = job.clip.info
    scale = math.sqrt(min(1.0, pixels / (info.width * info.height)))
    size = max(1, round(info.height * scale)), max(1, round(info.width * scale))
    folder = job.work / f"{size[0]}-{frame_count}"
    work = folder / "work"
    work.mkdir(parents=True)
    first = next(job.clip.blocks(size=(1, 1), length=1)).first
    frames = first, first + frame_count - 1
    clip = _shrunk(job.clip, folder, frames, size)
    settings = _sample_settings(job, folder, frames, size)
    progress = SampleProgress(deadline)
    stages = Stages(progress)
    sample = SampleRun(size[0] * size[1])
    checkpoints = Checkpoints(folder / KEPT, "measured")
    small = Job(
        clip=clip,
        settings=settings,
        device=job.device,
        work=work,
        stages=stages,
        budget=Budget(None),
        checkpoints=checkpoints,
    )
    try:
        with naming_package(task.name):
            sample.result = task.run(small)
    except OutOfTimeError:
        sample.complete = False
    _take_seconds(sample, progress, stages)
    return sample


def _sample_settings(
    job: Job, folder: Path, frames: tuple[int, int], size: tuple[int, int]
) -> Settings:
    """Return the settings of a sample run of ``frames`` (inclusive) in ``size`` ``(H, W)``.

    job: the whole run. folder: where shrunk hints are written.
    """
    full_size = job.clip.info.height, job.clip.info.width
    hints = tuple(
        _shrunk_hint(hint, folder / f"hint-{number}", frames, full_size, size)
        for number, hint in enumerate(job.settings.hint)
    )
    return replace(
        job.settings,
        hint=hints,
        # Hints of the background cost no time, and shrunk ones might contradict the others.
        hint_background=(),
        # An earlier matte has another size; a first run costs about as much as its correction.
        refine=None,
        max_seconds=None,
        start=None,
        end=None,
    )


def _take_seconds(sample: SampleRun, progress: SampleProgress, stages: Stages) -> None:
    """Set the seconds of a sample run, extrapolated where it was stopped."""
    sample.survey = stages.seconds.get("survey", 0.0)
    if progress.stopped == "survey":
        sample.survey /= max(LEAST_FRACTION, progress.fraction)
    if progress.stopped in ("read", "survey"):
        # The separation was not reached. The best guess is that it takes as long as the survey.
        progress.seconds = {"": sample.survey}
    elif not sample.complete:
        progress.extrapolate()
    sample.separate = progress.seconds


def _shrunk(clip: Clip, folder: Path, span: tuple[int, int], size: tuple[int, int]) -> Clip:
    """Write frames ``span`` (inclusive) of a clip in ``size`` ``(H, W)``; return that clip."""
    frames = clip.frames(*span, size)
    if clip.info.is_picture:
        paths = [
            save_frames(folder / f"{index:03d}", one[None], 8, PICTURE_RATE, picture=True)
            for index, one in enumerate(frames.pixels)
        ]
        return open_clip(paths)
    path = save_frames(folder / "piece", frames.pixels, 8, clip.info.rate)
    return open_clip([path], interlaced="keep")


def _shrunk_hint(
    hint: HintArgument,
    path: Path,
    span: tuple[int, int],
    full_size: tuple[int, int],
    size: tuple[int, int],
) -> HintArgument:
    """Return the hint for the sample run, at ``path`` if it is a file.

    span: the frames of the sample run. full_size, size: ``(H, W)`` of the input and of that run.
    """
    frame = None if hint.frame is None else min(hint.frame - span[0], span[1] - span[0])
    frame = None if frame is None else max(0, frame)
    if hint.area is not None:
        left, top, width, height = hint.area
        across, down = size[1] / full_size[1], size[0] / full_size[0]
        x, y = min(int(left * across), size[1] - 1), min(int(top * down), size[0] - 1)
        right = min(size[1], math.ceil((left + width) * across))
        bottom = min(size[0], math.ceil((top + height) * down))
        return HintArgument(frame, box=(x, y, max(1, right - x), max(1, bottom - y)))
    assert hint.file is not None, "a hint is a box, a point or a file"
    clip = open_clip([hint.file], interlaced="keep")
    is_picture = clip.info.is_picture
    frames = clip.frames(0, 0, size) if is_picture else clip.frames(*span, size)
    # A thin stroke must not vanish.
    drawn = (frames.pixels > 0).float()
    saved = save_frames(path, drawn, 8, PICTURE_RATE, picture=is_picture)
    return HintArgument(frame, file=saved)
