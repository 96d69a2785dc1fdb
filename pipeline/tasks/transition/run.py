"""Undo the transitions of a clip: each shot comes out whole, going on through the mixed frames at both its ends.

Find, separate one transition after another, write. Memory is bounded by one transition's window whatever the clip's length: separated
frames wait on disk until one last pass over the clip writes all scenes, in which clean frames pass through untouched.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.run.manifest import SPACES
from pipeline.runtime.memory import (
    check_enough,
    check_room,
    planned,
    retry_on_oom,
    say_halved,
    say_tight,
)
from pipeline.runtime.progress import Step
from pipeline.runtime.remote_store import WRITTEN
from pipeline.task import FitRecord, Job, Result, WrittenLayer
from pipeline.tasks.transition.describe import (
    account,
    anchor_warnings,
    describe_colors,
    describe_transition,
    scene_name,
    search_warnings,
)
from pipeline.tasks.transition.frame_spool import FrameSpool, stored
from pipeline.tasks.transition.search import Searched, search
from stages import safe_files
from stages.checkpoint import Checkpoints
from stages.context import FitSettings
from stages.errors import UnlayerError
from stages.media.clip import FrameIndex, Frames
from stages.media.color_tags import ColorTags
from stages.media.sheet import chosen_frames, draw_sheet, write_sheet
from stages.media.sniff import printable
from stages.media.tone import to_display
from stages.media.write import LayerWriter
from stages.optim.loss_curves import Curves
from stages.shots import Analysis, ColorGap, Shot, Transition
from stages.transition.plan import LARGEST, LEAST, PLANS, Plan, bytes_of, plans_for, within_memory
from stages.transition.separate import Separated, open_mixture, separate_transition
from stages.transition.window import Window

SHEET = "sheet.png"
"""What a transition's contact sheet is called where it waits."""
ANCHORS = 12
"""Clean frames that are shown to the fit at each side of a transition, where there are as many."""


@dataclass
class _Parts:
    """The separated frames of one transition, waiting on disk: ``outgoing.npy``, ``incoming.npy`` and ``matte.npy``, where there is one.

    sums: the SHA-256 of those files and of the sheet's, by name. reduced: how often the working size was halved for want of memory.
    fresh: taken apart by this process, not by one before it.
    """

    transition: Transition
    entry: dict[str, object]
    sheet: str
    seconds: dict[str, float]
    report: dict[str, float]
    plan: dict[str, object]
    sides: tuple[str, ...]
    sums: dict[str, str]
    reduced: int = 0
    fresh: bool = False
    folder: Path | None = None
    trace: Curves = field(default_factory=dict)

    def frames(self, side: str, first: int, last: int) -> torch.Tensor:
        """Frames ``first`` to ``last`` (of the clip, inclusive) of one side as ``(T, C, H, W)`` float32 in [0, 1]."""
        assert self.folder is not None and side in self.sides
        begin = self.transition.first_frame
        return stored(self.folder, side, first - begin, last - begin)


def run(job: Job) -> Result:
    """Does the task ``transition``; see :class:`pipeline.task.Task`."""
    found, mixed = _known(job)
    analysis = found.analysis
    for text in search_warnings(analysis):
        job.stages.warn(text)
    parts: dict[Transition, _Parts] = {}
    seconds: dict[str, float] = defaultdict(float)
    if mixed:
        _check_room(job, range(len(mixed)), mixed)
        with job.stages.stage("separate", within=lambda: seconds) as step:
            plans = _plans(job, analysis, mixed, step)
            for number, transition in enumerate(mixed):
                parts[transition] = _separate(job, analysis, mixed, number, plans[number], step)
                for name, spent in (
                    parts[transition].seconds.items() if parts[transition].fresh else ()
                ):
                    seconds[name] += spent
    with job.stages.stage("write") as step:
        layers = _write(job, analysis, list(parts.values()), found, step)
    entries = [
        parts[item].entry if item in parts else describe_transition(item)
        for item in analysis.transitions
    ]
    trimmed = job.settings.start is not None or job.settings.end is not None
    frames = None if trimmed else analysis.frames
    done = list(parts.values())
    fits = tuple(
        FitRecord(
            part.transition.kind,
            part.transition.first_frame,
            part.transition.last_frame,
            part.trace,
        )
        for part in done
    )
    sheets, colors = tuple(job.work / part.sheet for part in done), tuple(describe_colors(analysis))
    return Result(tuple(layers), frames, tuple(entries), sheets, _report(done), fits, colors)


def count(job: Job) -> int:
    """How many transitions there are to take apart, each a part that may be done by itself; see :class:`pipeline.task.RunParts`."""
    found, mixed = _known(job)
    _plans(job, found.analysis, mixed, lambda done, note: None)
    return len(mixed)


def do(job: Job, number: int) -> None:
    """Takes transition ``number`` apart, from 0; its layers are kept."""
    found, mixed = _known(job)
    _check_room(job, [number], mixed)
    with job.stages.stage("separate") as step:
        plans = _plans(job, found.analysis, mixed, step)
        _separate(job, found.analysis, mixed, number, plans[number], step)


def _check_room(job: Job, numbers: Iterable[int], mixed: Sequence[Transition]) -> None:
    """Raises UnlayerError where the disk has no room for the frames of all these transitions, which wait there until the end.

    Those that wait there already, of a run that was interrupted, need no more.
    """
    value = (
        3 * job.clip.info.height * job.clip.info.width * (2 if job.clip.info.bit_depth > 8 else 1)
    )
    needed = 0
    for number in numbers:
        sides = 2 - (mixed[number].outgoing, mixed[number].incoming).count(None)
        there = sum(
            path.stat().st_size for path in job.keep.within(room_of(number)).folder.glob("*.npy")
        )
        needed += max(0, sides * value * len(mixed[number]) - there)
    check_room(job.work, needed)


def room_of(number: int) -> str:
    """The folder in the checkpoints that transition ``number``, from 0, has for itself."""
    return f"transition-{number + 1:03d}"


def _known(job: Job) -> tuple[Searched, list[Transition]]:
    """What the search finds, and the transitions that there is something to separate in."""
    with job.stages.stage("find") as step:
        found = job.keep.get_or_compute(
            "find",
            lambda: search(job.clip, job.settings, step, keeper=job.keep),
            Searched,
            Analysis,
            Shot,
            Transition,
            ColorGap,
            FrameIndex,
        )
    if job.keep.has("find"):
        job.keep.drop("search")
    job.clip.seen = found.seen
    for text in anchor_warnings(found.analysis):
        job.stages.warn(text)
    return found, [item for item in found.analysis.transitions if item.separable]


def _plans(job: Job, analysis: Analysis, mixed: Sequence[Transition], step: Step) -> list[Plan]:
    """The work on each transition, fixed before any of it begins. A plan by the clock is kept: a resumed run does the same."""
    if job.settings.max_seconds is None:
        return [PLANS[job.settings.preset]] * len(mixed)

    def measured() -> list[Plan]:
        step(0.0, "measuring this machine")
        settings = FitSettings(
            job.settings.preset, job.settings.seed, job.device, _seconds_left(job)
        )
        return plans_for(
            open_mixture(window_of(job, analysis, mixed[0]), mixed[0], LARGEST),
            [len(item) for item in mixed],
            settings,
        )

    return job.keep.compute_and_save("plans", measured, Plan)


def window_of(job: Job, analysis: Analysis, transition: Transition) -> Window:
    """What the fit is shown: the mixed frames and up to :data:`ANCHORS` clean ones at each side."""
    first, last = transition.first_frame, transition.last_frame
    if transition.outgoing is not None:
        first = min(first, max(analysis.shots[transition.outgoing].first_frame, first - ANCHORS))
    if transition.incoming is not None:
        last = max(last, min(analysis.shots[transition.incoming].last_frame, last + ANCHORS))
    info = job.clip.info
    return Window(job.clip.blocks, first, last, (info.height, info.width), printable(info.path))


def _bounded(job: Job, plan: Plan, window: Window, mixed: int, frames: str) -> Plan:
    """The plan with pictures as small as memory wants them. Raises UnlayerError where the smallest are too large."""
    height, width = window.size
    clean = window.last - window.first + 1 - mixed
    least = bytes_of(LEAST, mixed, clean, height * width)
    warning = check_enough(least, job.settings, f"{window.name}: {frames} of {width}x{height}")
    bounded = within_memory(plan, max(least, planned(job.settings)), mixed, clean, height * width)
    tight = say_tight(
        bytes_of(bounded.pixels, mixed, clean, height * width),
        f"{window.name}: {frames} of {width}x{height}",
    )
    for text in filter(None, (warning, tight)):
        job.stages.warn(text)
    return bounded


def _separate(
    job: Job, analysis: Analysis, mixed: Sequence[Transition], number: int, plan: Plan, step: Step
) -> _Parts:
    """Takes transition ``number`` of ``mixed`` apart, puts its layers on disk and draws its sheet; once: a resumed run finds them there."""
    transition, alone = mixed[number], len(mixed) == 1
    suffix = "" if alone else f"-{number + 1:03d}"
    room = job.keep.within(room_of(number))

    def progress(fraction: float, note: str) -> None:
        step(
            (number + fraction) / len(mixed),
            note if alone else f"{note} ({number + 1} of {len(mixed)})",
        )

    def work() -> _Parts:
        frames = f"frames {transition.first_frame} to {transition.last_frame}"
        progress(0.0, frames)
        window = window_of(job, analysis, transition)
        bounded = _bounded(job, plan, window, len(transition), frames)
        settings = FitSettings(job.settings.preset, job.settings.seed, job.device)

        def separate(times: int, keeper: Checkpoints) -> tuple[Separated, FrameSpool]:
            smaller = (
                replace(
                    bounded, pixels=min(bounded.pixels, window.size[0] * window.size[1]) >> times
                )
                if times
                else bounded
            )
            shelf = FrameSpool(
                room.folder,
                transition,
                deep=job.clip.info.bit_depth > 8,
                shown=chosen_frames(len(transition)),
            )
            with shelf:
                done = separate_transition(
                    window,
                    transition,
                    settings=settings,
                    progress=progress,
                    put=shelf,
                    plan=smaller,
                    keeper=keeper,
                )
            return done, shelf

        (separated, shelf), reduced = retry_on_oom(separate, room)
        entry = describe_transition(
            transition,
            mix=separated.mix,
            space=separated.space,
            matte=f"matte{suffix}" if separated.has_matte else None,
        )
        write_sheet(room.folder / SHEET, _sheet(transition, separated, shelf, job.clip.info.color))
        sums = {**shelf.sums(), SHEET: safe_files.checksum(room.folder / SHEET)}
        done = separated.seconds, separated.report, separated.plan, shelf.sides, sums
        return _Parts(
            transition, entry, f"sheet{suffix}.png", *done, reduced, trace=separated.trace
        )

    known = room.newest("parts", _Parts, Transition) is not None
    parts = room.compute_and_save("parts", work, _Parts, Transition)
    parts.fresh = not known
    if known:
        # What the fit would come to again, not what somebody made of it since.
        same = (parts.transition, parts.sheet) == (transition, f"sheet{suffix}.png")
        for name in (*(f"{side}.npy" for side in parts.sides), SHEET):
            room.verify(name, parts.sums.get(name) if same else None)
    room.drop("standing")
    if parts.reduced:
        job.stages.warn(
            say_halved(transition.first_frame, transition.last_frame, job.device, parts.reduced)
        )
    parts.folder = room.folder
    safe_files.copy(room.folder / SHEET, job.work / parts.sheet)
    return parts


def _sheet(
    transition: Transition, separated: Separated, shelf: FrameSpool, color: ColorTags
) -> NDArray[np.uint8]:
    """The contact sheet of one transition."""
    shots = {"outgoing": transition.outgoing, "incoming": transition.incoming}
    rows = {}
    for name, pictures in shelf.rows.items():
        shot = shots.get(name)
        row = torch.stack(pictures)
        rows[name if shot is None else scene_name(shot)] = (
            row if name == "matte" else to_display(row, color)
        )
    title = f"{transition.kind}, frames {transition.first_frame} to {transition.last_frame}, mixed in {SPACES[separated.space]}"
    numbers = [transition.first_frame + place for place in chosen_frames(len(transition))]
    return draw_sheet(rows, numbers, separated.mix, transition.first_frame, title=title)


def _seconds_left(job: Job) -> float | None:
    """Return what is left of the budget for all transitions together."""
    if (left := job.budget.left()) is None:
        return None
    # Writing decodes the clip again at full size and encodes it: some times what the search took.
    return left - min(0.2 * left, 4 * job.stages.seconds.get("find", 0.0))


@dataclass
class _Output:
    """A layer that is to be written: frames ``first`` to ``last``, from the clip and from separated parts."""

    name: str
    role: str
    first: int
    last: int
    pixels: Callable[[Frames, int, int], torch.Tensor]
    sound: bool = True


def _write(
    job: Job, analysis: Analysis, parts: Sequence[_Parts], found: Searched, step: Step
) -> list[WrittenLayer]:
    """One pass over the clip that writes all layers. A layer that is whole is kept: a resumed run goes on with the first that is not."""
    times, first = found.times, found.first
    written = job.keep.within(WRITTEN)
    layers: list[WrittenLayer] = []
    waiting: list[_Output] = []

    def over(output: _Output, name: str, warnings: Sequence[str]) -> None:
        layers.append(
            WrittenLayer(output.name, output.role, job.work / name, output.first, output.last)
        )
        for warning in warnings:
            job.stages.warn(f"{output.name}: {warning}")

    for output in sorted(_outputs(analysis, parts), key=lambda output: output.first):
        known = written.newest(output.name)
        # Where files cannot be linked, a layer that was moved to its place is written again.
        if known is not None and os.path.lexists(written.folder / known[0]):
            name, warnings, checksum = known
            written.verify(name, checksum)
            over(output, name, warnings)
        else:
            waiting.append(output)
    open_now: list[tuple[_Output, LayerWriter, ExitStack]] = []
    end = dict(enumerate(times[1:], first))
    with ExitStack() as everything:
        for block in job.clip.blocks(waiting[0].first) if waiting else ():
            while waiting and waiting[0].first <= block.last:
                output = waiting.pop(0)
                stop = end.get(output.last, times[-1] + 1 / job.clip.info.rate)
                sound = job.clip.sound(times[output.first - first], stop) if output.sound else None
                closing = everything.enter_context(ExitStack())
                writer = LayerWriter(
                    job.work / output.name,
                    job.clip.info,
                    lossless=job.settings.lossless,
                    bit_depth=job.clip.info.bit_depth if job.settings.lossless else 8,
                    sound=sound,
                    pictures=job.clip.info.is_picture and output.first == output.last,
                    data=output.role == "matte",
                    first_frame=output.first,
                )
                open_now.append((output, closing.enter_context(writer), closing))
            for output, writer, closing in list(open_now):
                begin, last = max(block.first, output.first), min(block.last, output.last)
                chosen = slice(begin - block.first, last - block.first + 1)
                writer.write(Frames(output.pixels(block, begin, last), block.times[chosen], begin))
                if last == output.last:
                    closing.close()
                    open_now.remove((output, writer, closing))
                    over(output, writer.path.name, writer.warnings)
                    # With a store it would be sent twice, as a part of the run that is not over and of the one that is.
                    if job.settings.store is None:
                        written.folder.mkdir(parents=True, exist_ok=True)
                        writer.path.replace(written.folder / writer.path.name)
                        kept = written.folder / writer.path.name
                        written.keep(
                            output.name, (kept.name, writer.warnings, safe_files.checksum(kept))
                        )
            step(
                (block.last + 1 - first) / len(times),
                f"frame {block.last + 1} of {analysis.frames}",
            )
    if waiting or open_now:
        raise UnlayerError(
            f"{printable(job.clip.info.path)}: gave fewer frames on the second reading than on the first; is it still being written?"
        )
    for layer in layers:
        if not layer.path.exists():
            whole = written.folder / layer.path.name
            # A second name for the same bytes, so that a run which is stopped in its report has its layers still.
            try:
                os.link(whole, layer.path)
            except OSError:  # not every file system has links
                whole.replace(layer.path)
    return layers


def _outputs(analysis: Analysis, parts: Sequence[_Parts]) -> list[_Output]:
    """All layers of the clip: a scene for each shot, and a matte for each transition that has one."""
    outputs: list[_Output] = []
    for shot in range(len(analysis.shots)):
        touching = [
            part for part in parts if shot in (part.transition.outgoing, part.transition.incoming)
        ]

        def scene(
            block: Frames,
            first: int,
            last: int,
            *,
            shot: int = shot,
            touching: Sequence[_Parts] = touching,
        ) -> torch.Tensor:
            pixels = block.pixels[first - block.first : last - block.first + 1]
            for part in touching:
                begin, end = (
                    max(first, part.transition.first_frame),
                    min(last, part.transition.last_frame),
                )
                if begin <= end:
                    pixels = pixels.clone()
                    side = "outgoing" if part.transition.outgoing == shot else "incoming"
                    pixels[begin - first : end - first + 1] = part.frames(side, begin, end)
            return pixels

        outputs.append(_Output(scene_name(shot), "scene", *analysis.covered(shot), scene))
    for part in parts:
        if (name := part.entry["matte"]) is not None:

            def matte(block: Frames, first: int, last: int, *, part: _Parts = part) -> torch.Tensor:
                return part.frames("matte", first, last).expand(-1, 3, -1, -1).contiguous()

            outputs.append(
                _Output(
                    str(name),
                    "matte",
                    part.transition.first_frame,
                    part.transition.last_frame,
                    matte,
                    sound=False,
                )
            )
    return outputs


def _report(parts: Sequence[_Parts]) -> dict[str, object]:
    """The transitions' figures as one set, means weighted by frames, and each transition's own with the plan that made it."""
    means: dict[str, object] = {"reconstruction_psnr": None}
    for name in sorted({name for part in parts for name in part.report}):
        pairs = [(part.report[name], len(part.transition)) for part in parts if name in part.report]
        means[name] = round(
            sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs), 4
        )
    means |= account(means.get("explained"))
    means["transitions"] = [
        {
            "first_frame": part.transition.first_frame,
            **{name: round(value, 4) for name, value in part.report.items()},
            "seconds": {name: round(spent, 3) for name, spent in part.seconds.items()},
            "plan": part.plan,
            "reduced": part.reduced,
        }
        for part in parts
    ]
    return means
