"""Estimate how long a run takes on this machine, and how much memory.

A small piece of the work is measured in a few seconds and scaled up. The result is only an
estimate: clips differ in what moves, and machines in what else they do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from pipeline.estimate.sample_run import SampleRun, run_sample
from pipeline.framewise.layer_files import format_of
from pipeline.framewise.recipe import Recipe, bounded_lengths
from pipeline.framewise.things import requested_things, thing_name
from pipeline.framewise.windows import window_lengths
from pipeline.runtime.layer_format import layer_format
from pipeline.runtime.memory import BASE_BYTES, planned_bytes
from pipeline.task import Estimate, Job, Task
from stages.media.clip import Frames
from stages.media.formats import encoding_for
from stages.media.write import LayerWriter
from stages.optim.timing import seconds_of

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


def decode_and_encode(job: Job) -> tuple[float, float]:
    """Return the seconds to decode a frame at full size, and to encode one frame of a layer."""
    blocks = job.clip.blocks(length=ENCODED_FRAMES)
    began = time.monotonic()
    block = next(blocks)
    decode = (time.monotonic() - began) / len(block)
    is_picture = job.clip.info.is_picture
    writer = LayerWriter(
        job.work / "piece",
        job.clip.info,
        layer_format(job.settings, job.clip.info, picture=is_picture),
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
    recipe = task.recipe
    full = job.clip.info.width * job.clip.info.height
    frame_bytes = (recipe.memory if recipe else Recipe.memory) * 3 * full
    window, overlap = _window_and_overlap(job, recipe, frame_count, frame_bytes)
    windows = len(window_lengths(frame_count, window, overlap))
    sample_frames = min(frame_count, window)
    limits = recipe.limits if recipe else {}
    samples = _sample_runs(job, task, sample_frames, limits, clock)
    sample = samples[-1]
    growth = _growth(samples)
    separate = _seconds_to_separate(sample, full, limits, growth)
    decode, encode = decode_and_encode(job)
    layers = named_layers(job, recipe, sample)
    layer_count = len({role for _, role, _ in layers}) if layers else len(task.roles)
    if recipe is not None and recipe.division is not None:
        layer_count = len(layers)
    # Frames in which two windows overlap are separated twice.
    separated_frames = frame_count + overlap * (windows - 1)
    seconds = {
        "survey": (full / sample.pixels) ** growth * sample.survey,
        "separate": separate * separated_frames / sample_frames,
        "files": frame_count * (DECODES * decode + layer_count * encode),
    }
    notes: tuple[str, ...] = ()
    if not sample.complete:
        notes = (
            "even a small piece was not done in time; these seconds may be wrong by several times",
        )
    return Estimate(
        seconds,
        int(BASE_BYTES + frame_bytes * sample_frames),
        layers=layers,
        notes=notes,
    )


def _seconds_to_separate(
    sample: SampleRun, full: int, limits: Mapping[str, int], growth: float
) -> float:
    """Return the seconds that the frames of a sample run would take at full size.

    full: pixels of a frame at full size. limits: by part, the pixels beyond which it costs no more.
    growth: the exponent of the pixels by which seconds grow.
    """
    seconds = 0.0
    for part, spent in sample.separate.items():
        limit = limits.get(part, full)
        seconds += spent * (min(full, limit) / min(sample.pixels, limit)) ** growth
    return seconds


def _sample_runs(
    job: Job, task: Task, frame_count: int, limits: Mapping[str, int], clock: Callable[[], float]
) -> list[SampleRun]:
    """Run the task on small frames, and once more on larger ones where that was fast.

    frame_count: how many frames to use. limits: as in :class:`pipeline.framewise.recipe.Recipe`.
    """
    full = job.clip.info.width * job.clip.info.height
    # Measure at the size cap, where cost stops growing.
    small = max(SMALL_PIXELS, min(limits.values(), default=SMALL_PIXELS))
    began = clock()
    first = run_sample(job, task, frame_count, min(full, small), began + MEASURE_SECONDS)
    is_fast = clock() - began < MEASURE_SECONDS / 2
    if not (first.complete and first.pixels < full and is_fast):
        return [first]
    pixels = min(full, SECOND_SCALE * small)
    larger = run_sample(job, task, frame_count, pixels, clock() + MEASURE_SECONDS)
    return [first, larger] if larger.complete else [first]


def named_layers(
    job: Job, recipe: Recipe | None, sample: SampleRun
) -> tuple[tuple[str, str, str], ...]:
    """Return name, role and file suffix of each layer that the run is expected to write.

    Several pictures and tasks of other packages have those of the sample run, if it got so far. Of
    a divided foreground there are as many as are asked for, and one with ``--layers auto``.
    """
    info = job.clip.info
    if recipe is None or (info.is_picture and len(job.clip.paths) > 1):
        written = sample.result.layers if sample.result else ()
        return tuple((layer.name, layer.role, layer.path.suffix) for layer in written)
    layers = []
    things = requested_things(job.settings)
    confidences = recipe.confidence_outputs() if job.settings.confidence else ()
    for output in (*recipe.outputs, *confidences):
        names = [output.role]
        if output.divided and recipe.division is not None and things != 1:
            names = [thing_name(output.role, number) for number in range(1, max(1, things) + 1)]
        suffix = encoding_for(info, format_of(output, job.settings, info)).suffix
        layers += [(name, output.role, suffix) for name in names]
    return tuple(layers)


def _window_and_overlap(
    job: Job, recipe: Recipe | None, frame_count: int, frame_bytes: float
) -> tuple[int, int]:
    """Return the frames of a window and of an overlap, as the run will have them."""
    if job.clip.info.is_picture:
        return frame_count, 0
    in_memory = int(planned_bytes(job.settings) / frame_bytes)
    # A task without a recipe is taken to be like a recipe that says nothing of its windows.
    lengths = recipe or Recipe
    return bounded_lengths(lengths.window, lengths.overlap, in_memory)


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
