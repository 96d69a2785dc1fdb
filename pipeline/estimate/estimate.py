"""Estimate how long a run takes on this machine, and how much memory.

A small piece of the work is measured in a few seconds and scaled up. The result is only an
estimate: clips differ in what moves, and machines in what else they do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from pipeline.estimate.sample_run import SampleRun, run_sample
from pipeline.framewise.recipe import LEAST_WINDOW, Recipe
from pipeline.runtime.memory import BASE, planned
from pipeline.tasks import Job, Task
from pipeline.tasks.transition.separate import window_of
from stages.context import FitSettings
from stages.media.clip import Frames
from stages.media.write import LayerWriter
from stages.optim.timing import seconds_of
from stages.shots import Analysis, Transition
from stages.transition.plan import LARGEST, Costs, Plan, bytes_of, plans_for, within_memory
from stages.transition.separate import open_mixture

MEASURE_SECONDS = 5.0
"""Seconds that a sample run may take before its end is extrapolated."""

SMALL_PIXELS = 64 * 36
"""Pixels of a frame in the first sample run; where it is fast, a second one follows."""

SECOND_SCALE = 4
"""How many times as many pixels the second sample run has."""

DEFAULT_GROWTH = 0.6
"""Exponent of the pixels by which seconds grow, where only one size was measured.

It is below 1 because much of the work is done at a fixed size.
"""

MAX_GROWTH = 1.1
"""Largest exponent that is believed of two measurements: no stage grows faster than its pixels."""

DECODES = 2
"""How often a frame-wise run decodes each frame at full size."""

ENCODED_FRAMES = 8
"""Frames whose decoding and encoding are measured."""


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    seconds: by stage.
    memory: the peak, in bytes.
    more: seconds that come on top if all networks have to run.
    plans: the work on each transition.
    layers: name, role and suffix of each layer, where they are known.
    notes: sentences on what makes the estimate less certain.
    """

    seconds: dict[str, float]
    memory: int
    more: float = 0.0
    plans: tuple[dict[str, object], ...] = ()
    layers: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """The seconds in all, in the middle between the least and the most."""
        return sum(self.seconds.values()) + self.more / 2


def estimate_transitions(job: Job, analysis: Analysis) -> Estimate:
    """Estimate the task ``transition``: measure a step of each kind and count the plans' steps."""
    mixed = [item for item in analysis.transitions if item.separable]
    estimate = _separation(job, analysis, mixed) if mixed else Estimate({}, BASE)
    decode, encode = _decode_and_encode(job)
    covered = [analysis.covered(shot) for shot in range(len(analysis.shots))]
    written = sum(last - first + 1 for first, last in covered)
    writing = analysis.frames * decode + written * encode
    return replace(estimate, seconds={**estimate.seconds, "write": writing})


def _separation(job: Job, analysis: Analysis, mixed: Sequence[Transition]) -> Estimate:
    """Estimate the separation of the transitions, without finding and writing them."""
    full = job.clip.info.width * job.clip.info.height
    windows = [window_of(job, analysis, item) for item in mixed]
    mixture = open_mixture(windows[0], mixed[0], LARGEST)
    settings = FitSettings(
        job.settings.preset, job.settings.seed, job.device, job.settings.max_seconds
    )
    is_paper = settings.preset == "paper"
    costs = Costs(mixture, settings, paper=is_paper)
    plans: list[Plan] = []
    memory: list[int] = []
    for plan, item, window in zip(
        plans_for(mixture, [len(item) for item in mixed], settings, costs),
        mixed,
        windows,
        strict=True,
    ):
        clean = window.last - window.first + 1 - len(item)
        bounded = within_memory(plan, planned(job.settings), len(item), clean, full)
        plans.append(bounded)
        memory.append(bytes_of(bounded.pixels, len(item), clean, full))
    more = 0.0
    if is_paper:
        seconds = {"networks": sum(plan.paper_steps * costs.paper for plan in plans)}
    else:
        without_networks = (replace(plan, fit_steps=0) for plan in plans)
        seconds = {
            "separate": sum(
                costs.of(plan, len(item))
                for plan, item in zip(without_networks, mixed, strict=True)
            )
        }
        more = sum(plan.fit_steps * costs.fit for plan in plans)
    return Estimate(seconds, BASE + max(memory), more, tuple(asdict(plan) for plan in plans))


def _decode_and_encode(job: Job) -> tuple[float, float]:
    """Return the seconds to decode a frame at full size, and to encode one frame of a layer."""
    blocks = job.clip.blocks(length=ENCODED_FRAMES)
    began = time.monotonic()
    block = next(blocks)
    decode = (time.monotonic() - began) / len(block)
    is_picture = job.clip.info.is_picture
    writer = LayerWriter(
        job.work / "piece",
        job.clip.info,
        lossless=job.settings.lossless,
        pictures=is_picture,
    )
    frames = Frames(block.pixels[:1], block.times[:1]) if is_picture else block

    def encode() -> None:
        with writer:
            writer.write(frames)

    return decode, seconds_of(encode) / len(frames)


def estimate_frames(
    job: Job, task: Task, frame_count: int, clock: Callable[[], float] = time.monotonic
) -> Estimate:
    """Estimate a frame-wise task: run it on a window of small frames and scale up.

    frame_count: how many frames the clip has.
    clock: returns the time in seconds.
    """
    recipe = task.recipe if isinstance(task.recipe, Recipe) else None
    full = job.clip.info.width * job.clip.info.height
    frame_bytes = (recipe.memory if recipe else Recipe.memory) * 3 * full
    window, overlap = _window_and_overlap(job, recipe, frame_count, frame_bytes)
    windows = max(1, math.ceil((frame_count - overlap) / max(1, window - overlap)))
    sample_frames = min(frame_count, window)
    limits = recipe.limits if recipe else {}
    # Measure at the size cap, where cost stops growing.
    small = max(SMALL_PIXELS, min(limits.values(), default=SMALL_PIXELS))
    began = clock()
    samples = [run_sample(job, task, sample_frames, min(full, small), began + MEASURE_SECONDS)]
    is_fast = clock() - began < MEASURE_SECONDS / 2
    if samples[0].complete and samples[0].pixels < full and is_fast:
        pixels = min(full, SECOND_SCALE * small)
        larger = run_sample(job, task, sample_frames, pixels, clock() + MEASURE_SECONDS)
        samples += [larger] if larger.complete else []
    sample = samples[-1]
    growth = _growth(samples)
    separate = 0.0
    for part, spent in sample.separate.items():
        limit = limits.get(part, full)
        separate += spent * (min(full, limit) / min(sample.pixels, limit)) ** growth
    decode, encode = _decode_and_encode(job)
    layers = sample.result.layers if sample.result else ()
    layer_count = len({layer.role for layer in layers}) if sample.result else len(task.roles)
    seconds = {
        "survey": (full / sample.pixels) ** growth * sample.survey,
        "separate": separate * (frame_count + overlap * (windows - 1)) / sample_frames,
        "files": frame_count * (DECODES * decode + layer_count * encode),
    }
    notes: tuple[str, ...] = ()
    if not sample.complete:
        notes = (
            "even a small piece was not done in time; these seconds may be wrong by several times",
        )
    return Estimate(
        seconds,
        int(BASE + frame_bytes * sample_frames),
        layers=tuple((layer.name, layer.role, layer.path.suffix) for layer in layers),
        notes=notes,
    )


def _window_and_overlap(
    job: Job, recipe: Recipe | None, frame_count: int, frame_bytes: float
) -> tuple[int, int]:
    """Return the frames of a window and of an overlap, as the run will have them."""
    if job.clip.info.is_picture:
        return frame_count, 0
    in_memory = max(LEAST_WINDOW, int(planned(job.settings) / frame_bytes))
    window = max(LEAST_WINDOW, min(recipe.window if recipe else Recipe.window, in_memory))
    return window, min(recipe.overlap if recipe else Recipe.overlap, window // 3)


def _growth(samples: Sequence[SampleRun]) -> float:
    """Return the exponent of the pixels by which seconds grow, from one or two sample runs."""
    small, large = (
        sample.survey + sum(sample.separate.values()) for sample in (samples[0], samples[-1])
    )
    if len(samples) < 2 or min(small, large) <= 0:
        return DEFAULT_GROWTH
    measured = math.log(large / small) / math.log(samples[-1].pixels / samples[0].pixels)
    # In small pictures the fixed cost of each operation hides the growth, so go half way to 1.
    return (min(MAX_GROWTH, max(DEFAULT_GROWTH, measured)) + 1) / 2
