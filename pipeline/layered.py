"""Runs a task that splits every frame into the same layers: survey the whole clip, separate it window by window, write as it goes.

Memory is bounded by one window whatever the clip's length. Windows overlap; their layers are faded into each other there, so that no
seam shows. A task says what its layers are called and brings two functions, see :class:`Recipe`.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.hint import Hint
from pipeline.memory import check_enough, check_room, halving, planned, say_halved, say_tight
from pipeline.progress import Step
from pipeline.tasks import Fit, Job, Layer, Result, Task
from stages.brief import Brief, Separation
from stages.checkpoint import Checkpoints, Keeper
from stages.clip import ClipInfo, Frames
from stages.errors import UnlayerError
from stages.flow import resize
from stages.plan import FitSettings
from stages.read import Clip
from stages.sheet import COLUMNS, chosen_frames, draw_sheet, write_sheet
from stages.sniff import printable
from stages.trace import Curves, Trace, joined, placed, thinned
from stages.write import LayerWriter

SHEET_SIDE = 256
SPARE = 4 * 2**30
"""Bytes of disk that checkpoints leave free, beside what the layers need."""
_STEPS = 65535
WRITING = 0.15  # part of what is left of a budget that is kept for writing
SURVEYING = 0.15  # part of a budget for the survey


@dataclass(frozen=True)
class Output:
    """A layer that is written. ``alpha``: the name of the layer that is its alpha channel. ``sound``: whether the input's goes with it."""

    role: str
    alpha: str | None = None
    sound: bool = True


@dataclass(frozen=True)
class Recipe:
    """A task, as far as it is not the same for all.

    outputs: the layers, in the order of the sheet. survey: what holds for the whole clip, from up to ``sample`` evenly spread frames.
    separate: the layers of a window of frames, given that. window, overlap: frames of a window and what two of them share.
    settle: makes layers mix to the input again, exactly, where two windows' answers were faded into each other.
    memory: bytes that a value of a window's frames takes when most of them are in use, measured; windows are as long as memory allows.
    kinds: the dataclasses that are in what ``survey`` returns, so that a checkpoint may hold it.
    limits: for an estimate, the pixels beyond which parts of ``separate`` cost no more, by the notes with which they tell their progress.
    """

    outputs: tuple[Output, ...]
    survey: Callable[[Tensor, Brief], Any]
    separate: Callable[[Tensor, Any, Brief], Separation]
    window: int = 48
    overlap: int = 8
    sample: int = 24
    memory: float = 24.0
    settle: Callable[[Tensor, dict[str, Tensor], Any], dict[str, Tensor]] | None = None
    kinds: tuple[type, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)

    def lengths(self, info: ClipInfo, most: int) -> tuple[int, int]:
        """Frames of a window, ``most`` or fewer where it has room for no more, and of an overlap, at most a third of the window."""
        window = max(3, min(self.window, most))
        return window, min(self.overlap, window // 3)


def layered_task(name: str, help: str, recipe: Recipe, uses: frozenset[str] = frozenset()) -> Task:
    """The task that does ``recipe``; its roles are the recipe's outputs. ``uses``: which of the options that only some tasks have."""
    return Task(name, help, tuple(output.role for output in recipe.outputs), lambda job: run_layered(job, recipe), uses, recipe=recipe)


@dataclass
class _Seen:
    """What the first pass learnt: the frames' times, the first one's index, and evenly spread frames."""

    first: int
    times: list[Fraction]
    kept: list[int]
    sample: Tensor


def run_layered(job: Job, recipe: Recipe) -> Result:
    """Does ``recipe`` on the job's clip; see :class:`pipeline.tasks.Task`."""
    hint = Hint.of(job)
    unordered = job.clip.info.is_picture and len(job.clip.paths) > 1
    seconds: dict[str, float] = defaultdict(float)
    most = _room(job, recipe, unordered)
    with job.stages.stage("read") as step:
        seen = _look(job.clip, min(recipe.sample, max(2, most)), step)
        if hint is not None:
            hint.check(seen.first + len(seen.times))
    with job.stages.stage("survey") as step:
        facts, told = _survey(job, recipe, seen, hint, unordered, step)
    begin = SURVEYING if told else 0.0
    told = placed(told, 0.0, begin)
    report: dict[str, list[tuple[float, int]]] = defaultdict(list)
    # Pictures that were given one by one belong together: they are one window.
    length, overlap = (len(seen.times), 0) if unordered else recipe.lengths(job.clip.info, most)
    size = 0
    if job.settings.lossless and not job.clip.info.is_picture:
        # Without loss video takes about half of its values.
        values = 3 * job.clip.info.height * job.clip.info.width * len(seen.times) * len(recipe.outputs)
        size = values * (2 if job.clip.info.bit_depth > 8 else 1) // 2
        check_room(job.work, size)
    files = _Files(job, recipe, seen, unordered, overlap)
    with files.open, job.stages.stage("separate", within=lambda: seconds) as step:
        done = 0
        for window in _windows(job.clip, length, overlap):
            left = len(seen.times) - done
            share = None if job.budget.left() is None else (1 - WRITING) * (job.budget.left() or 0.0) * min(1.0, len(window) / max(1, left))
            marks = hint.frames(range(window.first, window.last + 1)) if hint else None
            span = done / len(seen.times), min(1.0, (done + len(window)) / len(seen.times))
            room = job.keep.within(f"window-{window.first:06d}")
            brief = _brief(job, share, step, marks, unordered, room, span)
            # What is kept leaves the room that the layers still to be written need, so that a resumed run has it too.
            spare = SPARE + size * (len(seen.times) - files.written) // len(seen.times)

            def separate(times: int, keeper: Checkpoints, window: Frames = window, brief: Brief = brief, spare: int = spare) -> Separation:
                again = replace(brief, reduced=times, keeper=keeper, trace=Trace())
                return _kept(
                    keeper, lambda: checked(recipe.separate(window.pixels, facts, again), recipe, window.pixels), window, again, spare
                )

            separated, reduced = halving(separate, room)
            told = joined(told, placed(separated.trace, *(begin + (1 - begin) * at for at in span)))
            if reduced:
                job.stages.warn(say_halved(window.first, window.last, job.device, reduced))
            report["reduced"].append((reduced, len(window)))
            for name, spent in separated.seconds.items():
                seconds[name] += spent
            for name, value in separated.report.items():
                report[name].append((value, len(window)))
            done = files.add(window, separated, facts)
        done = files.finish()
        if done != len(seen.times):
            raise UnlayerError(
                f"{printable(job.clip.info.path)}: gave {done} frames on the second reading and {len(seen.times)} on the first; "
                "is it still being written?"
            )
        sheet = files.sheet()
    means = {
        name: round(sum(value * weight for value, weight in values) / sum(weight for _, weight in values), 4)
        for name, values in sorted(report.items())
    }
    trimmed = job.settings.start is not None or job.settings.end is not None
    fits = (Fit(job.settings.task, seen.first, seen.first + len(seen.times) - 1, thinned(told)),) if told else ()
    return Result(tuple(files.layers), None if trimmed else len(seen.times), sheets=(sheet,), report=means, fits=fits)


def _survey(job: Job, recipe: Recipe, seen: _Seen, hint: Hint | None, unordered: bool, step: Step) -> tuple[Any, Curves]:
    """What holds for the whole clip, and the losses on the way to it. The sample is let go afterwards."""
    share = None if job.budget.left() is None else SURVEYING * (job.budget.left() or 0.0)
    room = job.keep.within("survey")
    brief = _brief(job, share, step, hint.frames(seen.kept) if hint else None, unordered, room)
    sample, seen.sample = seen.sample, torch.empty(0)

    def survey(times: int, keeper: Checkpoints) -> tuple[Any, Curves]:
        again = replace(brief, reduced=times, keeper=keeper, trace=Trace())
        return recipe.survey(sample, again), again.trace.curves()

    # What a budget decides would come out differently the next time.
    keep = job.keep.recall if job.settings.max_seconds is None else job.keep.fixed
    return keep("survey", lambda: halving(survey, room)[0], *recipe.kinds)


def _room(job: Job, recipe: Recipe, unordered: bool) -> int:
    """How many frames a window may have by the memory there is. Raises UnlayerError where it has no room for the fewest."""
    info = job.clip.info
    each = recipe.memory * 3 * info.height * info.width
    least = len(job.clip.paths) if unordered else 1 if info.frames == 1 else 3

    def frames(count: int) -> str:
        return f"{printable(info.path)}: {f'{count} frames' if count > 1 else 'a frame'} of {info.width}x{info.height}"

    most = max(least, int(planned(job.settings) / each))
    window = least if unordered else min(recipe.lengths(info, most)[0], info.frames or most)
    for warning in (check_enough(each * least, job.settings, frames(least)), say_tight(each * window, frames(window))):
        if warning:
            job.stages.warn(warning)
    return most


def _brief(
    job: Job,
    share: float | None,
    step: Step,
    hint: Tensor | None,
    unordered: bool,
    keeper: Keeper,
    at: tuple[float, float] = (0, 1),
) -> Brief:
    settings = FitSettings(preset=job.settings.preset, seed=job.settings.seed, device=job.device, max_seconds=share)
    begin, end = at
    space = job.settings.space
    return Brief(settings, lambda done, note: step(begin + (end - begin) * done, note), hint, unordered, space, keeper=keeper)


def _kept(room: Checkpoints, separate: Callable[[], Separation], window: Frames, brief: Brief, spare: int) -> Separation:
    """A window's layers, from the checkpoint where they are in one; in steps of 1/65535, as which they are kept, in any case.

    Such steps hold values of 8 and 16 bits exactly. Where the disk has no room for more windows and ``spare`` bytes nothing is kept.
    """

    def work() -> Separation:
        made = separate()
        coarse = {name: (pixels.clamp(0, 1) * _STEPS).round().to(torch.int32).to(torch.uint16) for name, pixels in made.layers.items()}
        return Separation(coarse, made.shared, dict(made.report), dict(made.seconds), brief.trace.curves())

    size = 2 * 3 * window.pixels.numel()
    scarce = shutil.disk_usage(nearest_folder(room.folder)).free < spare + 4 * size
    kept = work() if scarce else room.recall("layers", work, Separation)
    fine = {name: pixels.to(torch.int32).float() / _STEPS for name, pixels in kept.layers.items()}
    return Separation(fine, kept.shared, kept.report, kept.seconds, kept.trace)


def checked(made: object, recipe: Recipe, window: Tensor) -> Separation:
    """The layers of a window ``(T, 3, H, W)``, as ``recipe`` gave them. Raises ValueError, which says what is wrong with them."""
    if not isinstance(made, Separation):
        raise ValueError(f"separate() gave a {type(made).__name__}, no Separation")
    wanted = {name for output in recipe.outputs for name in (output.role, output.alpha) if name}
    if missing := wanted - set(made.layers):
        raise ValueError(f"separate() gave the layers {', '.join(sorted(made.layers))}; {', '.join(sorted(missing))} is missing")
    for name in sorted(wanted):
        pixels, length = made.layers[name], 1 if name in made.shared else len(window)
        if tuple(pixels.shape) not in [(length, channels, *window.shape[-2:]) for channels in (1, 3)]:
            raise ValueError(f"the layer {name} is {tuple(pixels.shape)} for a window of {tuple(window.shape)}")
        if not bool(pixels.isfinite().all()):
            raise ValueError(f"the layer {name} holds values that are no numbers")
    return made


def nearest_folder(path: Path) -> Path:
    """``path``, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _look(clip: Clip, most: int, step: Step) -> _Seen:
    """The first pass: counts, and keeps every ``stride``-th frame, with ``stride`` doubled whenever too many are kept."""
    times: list[Fraction] = []
    kept: list[tuple[int, Tensor]] = []
    first, stride = 0, 1
    for block in clip.blocks():
        first = block.first if not times else first
        for pixels in block.pixels:
            if len(times) % stride == 0:
                kept.append((first + len(times), pixels.clone()))
                if len(kept) > 2 * most - 1:
                    kept, stride = kept[::2], 2 * stride
            times.append(block.times[len(times) - (block.first - first)])
        step(len(times) / max(len(times), clip.info.frames or 1), f"frame {block.last + 1}")
    if len(kept) > most:
        kept = [kept[round(place * (len(kept) - 1) / (most - 1))] for place in range(most)]
    return _Seen(first, times, [index for index, _ in kept], torch.stack([pixels for _, pixels in kept]))


def _windows(clip: Clip, length: int, overlap: int) -> Iterator[Frames]:
    """The clip in windows of ``length`` frames that share ``overlap`` with the one before; the last may be shorter."""
    held: Frames | None = None
    fresh = 0
    for block in clip.blocks():
        held = block if held is None else _joined(held, block)
        fresh += len(block)
        while len(held) >= length:
            yield _cut(held, 0, length)
            held = _cut(held, length - overlap, len(held))
            fresh = len(held) - overlap
    if held is not None and fresh > 0:
        yield held


def _joined(one: Frames, other: Frames) -> Frames:
    return Frames(torch.cat([one.pixels, other.pixels]), one.times + other.times, one.first)


def _cut(frames: Frames, begin: int, end: int) -> Frames:
    # A copy: what is cut off must not be held in memory by what is kept.
    return Frames(frames.pixels[begin:end].clone(), frames.times[begin:end], frames.first + begin)


class _Files:
    """The layers' files. Frames that the next window will answer too are held back until it has, and faded into its answer."""

    def __init__(self, job: Job, recipe: Recipe, seen: _Seen, unordered: bool, overlap: int) -> None:
        self.job, self.recipe, self.seen, self.unordered, self.overlap = job, recipe, seen, unordered, overlap
        self.layers: list[Layer] = []
        self.written = 0
        self.open = ExitStack()
        self._writers: dict[str, LayerWriter] = {}
        self._held: tuple[Frames, dict[str, Tensor]] | None = None
        self._shown = [seen.first + place for place in chosen_frames(len(seen.times), COLUMNS)]
        self._rows: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, window: Frames, separated: Separation, facts: Any) -> int:
        """Takes a window's layers. Returns how many frames of the clip are answered by now."""
        layers = {name: pixels.expand(len(window), -1, -1, -1) for name, pixels in separated.layers.items()}
        if self._held is not None and self._held[0].last >= window.first:
            before, old = self._held
            count = before.last - window.first + 1
            rise = (torch.arange(1, count + 1) / (count + 1)).view(-1, 1, 1, 1)
            faded = {name: old[name][-count:] + rise * (pixels[:count] - old[name][-count:]) for name, pixels in layers.items()}
            if self.recipe.settle is not None:
                faded = self.recipe.settle(window.pixels[:count], faded, facts)
            layers = {name: torch.cat([faded[name], pixels[count:]]) for name, pixels in layers.items()}
        # A later window shares at most this many frames.
        ready = len(window) - self.overlap
        self._write(_cut(window, 0, max(0, ready)), {name: pixels[: max(0, ready)] for name, pixels in layers.items()}, separated.shared)
        rest = {name: pixels[max(0, ready) :].clone() for name, pixels in layers.items()}
        self._held = _cut(window, max(0, ready), len(window)), rest
        self._shared = separated.shared
        return window.last - self.seen.first + 1

    def finish(self) -> int:
        """Writes what was held back and closes the files. Returns how many frames were written."""
        if self._held is not None:
            self._write(*self._held, self._shared)
        self.open.close()
        for output in self.recipe.outputs:
            if (writer := self._writers.get(output.role)) is not None:
                first = self.seen.first
                self.layers.append(Layer(output.role, output.role, writer.path, first, first + self.written - 1))
                for warning in writer.warnings:
                    self.job.stages.warn(f"{output.role}: {warning}")
        return self.written

    def sheet(self) -> Path:
        """Draws the contact sheet, the input and every layer in a few frames, and returns where it is."""
        rows = {name: torch.stack(pictures) for name, pictures in self._rows.items()}
        path = self.job.work / "sheet.png"
        write_sheet(path, draw_sheet(rows, self._shown, title=self.job.settings.task))
        return path

    def _write(self, frames: Frames, layers: Mapping[str, Tensor], shared: frozenset[str]) -> None:
        self._show(frames, layers)
        if self.job.clip.info.is_picture:
            self._write_pictures(frames, layers, shared)
        elif len(frames):
            for output in self.recipe.outputs:
                if output.role not in self._writers:
                    self._writers[output.role] = self.open.enter_context(self._writer(output, output.role))
                alpha = layers[output.alpha] if output.alpha else None
                colour = layers[output.role].expand(-1, 3, -1, -1).contiguous()
                self._writers[output.role].write(Frames(colour, frames.times, frames.first), alpha)
        self.written += len(frames)

    def _write_pictures(self, frames: Frames, layers: Mapping[str, Tensor], shared: frozenset[str]) -> None:
        """One PNG a picture and layer; one in all for a layer that the pictures share."""
        for output in self.recipe.outputs:
            for place, number in enumerate(range(frames.first, frames.last + 1)):
                common = output.role in shared
                if common and number != self.seen.first:
                    continue
                name = output.role if common or len(self.seen.times) == 1 else f"{output.role}-{number + 1:03d}"
                one = slice(place, place + 1)
                with self._writer(output, name) as writer:
                    colour = layers[output.role][one].expand(-1, 3, -1, -1).contiguous()
                    writer.write(Frames(colour, frames.times[one], number), layers[output.alpha][one] if output.alpha else None)
                last = len(self.seen.times) - 1 if common else number
                self.layers.append(Layer(name, output.role, writer.path, number, last))

    def _writer(self, output: Output, name: str) -> LayerWriter:
        clip, settings = self.job.clip, self.job.settings
        times = self.seen.times
        alpha = (settings.alpha or ("ffv1" if settings.lossless else "prores")) if output.alpha else None
        return LayerWriter(
            self.job.work / name,
            clip.info,
            lossless=settings.lossless,
            alpha=alpha,
            bit_depth=clip.info.bit_depth if settings.lossless else 8,
            sound=clip.sound(times[0], times[-1] + 1 / clip.info.rate) if output.sound else None,
            pictures=clip.info.is_picture,
        )

    def _show(self, frames: Frames, layers: Mapping[str, Tensor]) -> None:
        """Keeps small copies of the frames that the sheet shows."""
        height, width = frames.pixels.shape[-2:]
        scale = min(1.0, SHEET_SIDE / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        for number in self._shown:
            if frames.first <= number <= frames.last:
                at = number - frames.first
                self._rows["input"].append(resize(frames.pixels[at][None], size)[0])
                for output in self.recipe.outputs:
                    self._rows[output.role].append(resize(layers[output.role][at][None].expand(-1, 3, -1, -1), size)[0])
