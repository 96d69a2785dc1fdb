"""Remove haze from pictures and clips: the clear layer, its transmission and the airlight.

    sample --survey---> the airlight, one for the whole clip; it varies slowly over the picture
                        where the haze shows that it does
           --evidence-> how much of what looks like haze is believed; nothing in a clear picture
    window --envelope-> transmission, smooth except at edges, tied along the motion
           --guided filter-> the same at full size --haze model, inverted-> the clear layer

The clear layer is what the haze model says and never drawn by a network, so no detail of the input
is lost.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from stages.context import FORCED, Note, Separation, SeparationContext
from stages.dehaze.airlight import blue_sky, find_airlight
from stages.dehaze.evidence import evidence
from stages.dehaze.field import find_field
from stages.dehaze.floors import find_floors
from stages.dehaze.model import guided, least_transmission, over_picture, rounded
from stages.dehaze.networks_alone import (
    coupled_transmission,
    published_airlight,
    published_transmission,
)
from stages.dehaze.veil import MotionTies, envelope, find_ties, transmission_of
from stages.dehaze.veil_color import veil_color
from stages.diagnosis import spread
from stages.mixing.haze import Haze
from stages.mixing.psnr import psnr_of
from stages.motion.flow import resize, shrunk
from stages.optim.budget import BEFORE_FULL_SIZE
from stages.optim.timing import clocked
from stages.published.fit import shortened_notes
from stages.published.haze import EDGE_VARIANCE as PUBLISHED_EDGE_VARIANCE
from stages.published.haze import LEAST_TRANSMISSION as PUBLISHED_LEAST_TRANSMISSION
from stages.published.haze import RADIUS as PUBLISHED_RADIUS

TURNS = {"fast": 10, "balanced": 14, "best": 24, "paper": 0, "coupled": 0}
"""Turns of the envelope's fit by preset; after ten it has settled to a tenth of a decibel."""
FEWEST_TURNS = 6
"""Fewest turns of that fit, however small the time budget."""
WORK_PIXELS = 320 * 240
"""Pixels of the working pictures."""
SURVEYED_FRAMES = 8
"""Frames of the sample in which the airlight is estimated."""
RADIUS = 8
"""The guided filter's radius, in working pixels."""
EDGE_VARIANCE = 1e-3
"""Variance of edges that the guided filter ignores."""
STEP_SLACK = 1e-3
"""Part of a step of 8 bits up to which a transmission is rounded down, not up."""
LEAST_SECONDS = 1e-6
"""Least seconds of a turn that are divided by."""
BLACK = 0.03
"""How far the darkest things usually are from black, in log t."""
GRAY_BLACK = 0.1
"""The same under an opaque sky, in whose light little is black."""
BLUE_BLACK = 0.2
"""The same under a blue sky. Dense haze would hide the sky, so the veil over far things is air."""

NO_HAZE = (
    "no haze found in {frames}: the clear layer is the input itself; "
    "{strength} 2 removes what little there may be"
)
HAZE_KEPT = "{strength} 0 keeps the haze of {frames}: the clear layer is the input itself"


@dataclass(frozen=True)
class DehazeSurvey:
    """What holds for the whole clip.

    airlight: one colour ``(1, 3, 1, 1)`` or a field on a few nodes ``(1, 3, h, w)``, see
    :func:`stages.dehaze.model.over_picture`; ``None`` for unrelated pictures. black: see
    :func:`stages.dehaze.veil.transmission_of`. sure: how much of the haze is believed, 0 to 1, from
    :func:`stages.dehaze.evidence.evidence`. steps: of the published first pass, which finds the
    airlight for the preset ``paper``.
    """

    airlight: Tensor | None
    black: float = BLACK
    sure: float = 1.0
    steps: int = 0


def survey(sample: Tensor, context: SeparationContext) -> DehazeSurvey:
    """Estimate the airlight of a clip, and the evidence for haze, from frames ``(S, 3, H, W)``.

    Unrelated pictures are surveyed one by one, when they are separated. So is a single picture for
    the preset ``paper``, whose two passes then share its time evenly.
    """
    one = len(sample) == 1
    if (one and context.settings.is_published) or (context.unordered and not one):
        return DehazeSurvey(None)
    return _surveyed(sample, context)


def _surveyed(sample: Tensor, context: SeparationContext) -> DehazeSurvey:
    """Return what holds for frames ``(S, 3, H, W)`` of one clip, or for one picture."""
    if context.settings.is_published:
        middle = len(sample) // 2
        airlight, steps = published_airlight(sample[middle : middle + 1], context)
        return DehazeSurvey(airlight, steps=steps)
    small = shrunk(spread(sample, SURVEYED_FRAMES), context.working_pixels(WORK_PIXELS))
    black = BLACK + (BLUE_BLACK - BLACK) * blue_sky(small)
    airlight, in_view = find_airlight(small, black)
    floors = find_floors(small, airlight)
    field = find_field(small, rounded(veil_color(floors, airlight)), black, in_view)
    black = max(black, BLACK + (GRAY_BLACK - BLACK) * in_view)
    return DehazeSurvey(field, black, evidence(floors))


def power(sure: float, strength: float) -> float:
    """Return the exponent of the transmission that is removed, 0 to 2.

    0 removes nothing, and 1 all that was estimated.

    sure: how much of the haze is believed, 0 to 1. strength: what the user wants, 0 to 2. Above 1
    more is removed than the evidence supports: up to all that may be haze, and of certain haze
    twice its optical depth.
    """
    return sure * min(1.0, strength) + max(0.0, strength - 1)


def separate(frames: Tensor, facts: DehazeSurvey, context: SeparationContext) -> Separation:
    """Separate frames ``(T, 3, H, W)`` into ``clear``, ``transmission`` and ``airlight``.

    facts: from :func:`survey`. The transmission has one channel. The airlight is one picture for
    all frames, ``(1, 3, H, W)``.
    """
    if facts.airlight is None:
        return _separated_one_by_one(frames, context)
    seconds: dict[str, float] = defaultdict(float)
    is_forced = facts.sure == 0 and context.should_separate(facts.sure, 0.0)
    exponent = power(1.0 if is_forced else facts.sure, context.strength)
    if exponent == 0:
        return _untouched(frames, facts.airlight, found=facts.sure > 0)
    size = (frames.shape[-2], frames.shape[-1])
    airlight = over_picture(facts.airlight, size)
    with clocked(seconds, "transmission"):
        working = _working_transmission(frames, facts, context)
    with clocked(seconds, "finish"):
        transmission, clear = _frames_at_full_size(frames, working, airlight, exponent, context)
    layers = {
        "clear": clear,
        "transmission": transmission,
        "airlight": airlight.expand(1, 3, *size).contiguous(),
    }
    report = {
        "reconstruction_psnr": _reconstruction_psnr(frames, layers),
        "mean_transmission": float(transmission.mean()),
        "power": exponent,
        "turns": float(working.turns),
        "untouched": 0.0,
    }
    if working.fit_steps is not None:
        report["fit_steps"] = float(working.fit_steps)
    notes: tuple[Note, ...] = ()
    if is_forced:
        notes = (Note(FORCED, tuple(range(len(frames)))),)
    if working.whole_fit_steps is not None:
        report["whole_fit_steps"] = float(working.whole_fit_steps)
        notes = shortened_notes(working.fit_steps or 0, working.whole_fit_steps, len(frames))
    return Separation(layers, frozenset({"airlight"}), report, dict(seconds), notes=notes)


def _frames_at_full_size(
    frames: Tensor,
    working: _WorkingTransmission,
    airlight: Tensor,
    exponent: float,
    context: SeparationContext,
) -> tuple[Tensor, Tensor]:
    """Return transmission ``(T, 1, H, W)`` and clear layer ``(T, 3, H, W)`` at full size.

    frames: at full size. airlight: as :func:`stages.dehaze.model.over_picture` returns it.
    exponent: from :func:`power`.
    """
    published = context.settings.is_published
    transmission, clear = torch.empty_like(frames[:, :1]), torch.empty_like(frames)
    # One frame at a time: the coefficients of the filter are four pictures at full size.
    for index in range(len(frames)):
        context.progress(0.5 + 0.5 * index / len(frames), "full size")
        one = slice(index, index + 1)
        fine = _at_full_size(
            working.frames[one], working.transmission[one], frames[one], published=published
        )
        transmission[one], clear[one] = consistent_layers(frames[one], fine**exponent, airlight)
    return transmission, clear


def _at_full_size(small: Tensor, transmission: Tensor, frame: Tensor, *, published: bool) -> Tensor:
    """Return a frame's transmission ``(1, 1, H, W)``, drawn onto its edges by a guided filter.

    small, transmission: the frame at the working size, and its transmission there. frame: at full
    size. published: whether the networks of the preset ``paper`` found the transmission.
    """
    if not published:
        return guided(small, transmission, frame, RADIUS, EDGE_VARIANCE).clamp(0, 1)
    fine = guided(small, transmission, frame, PUBLISHED_RADIUS, PUBLISHED_EDGE_VARIANCE)
    return fine.clamp(0, 1).clamp_min(PUBLISHED_LEAST_TRANSMISSION)


@dataclass(frozen=True)
class _WorkingTransmission:
    """Frames at the working size ``(T, 3, h, w)``, and their transmission ``(T, 1, h, w)``.

    turns: of the envelope's fit. fit_steps: of networks, where they found the transmission.
    whole_fit_steps: those of the published fit without a time budget.
    """

    frames: Tensor
    transmission: Tensor
    turns: int = 0
    fit_steps: int | None = None
    whole_fit_steps: int | None = None


def _working_transmission(
    frames: Tensor, facts: DehazeSurvey, context: SeparationContext
) -> _WorkingTransmission:
    """Return the transmission of ``frames`` ``(T, 3, H, W)`` at the working size."""
    assert facts.airlight is not None
    if context.settings.is_published:
        drawn = published_transmission(frames, facts.airlight, context)
        return _WorkingTransmission(
            drawn.guide,
            drawn.transmission,
            fit_steps=facts.steps + drawn.steps,
            whole_fit_steps=2 * drawn.full_steps,
        )
    if context.settings.preset == "coupled":
        drawn = coupled_transmission(frames, facts.airlight, context)
        return _WorkingTransmission(drawn.guide, drawn.transmission, fit_steps=drawn.steps)
    small = shrunk(frames, context.working_pixels(WORK_PIXELS))
    transmission, turns = _fitted_transmission(small, facts, context)
    return _WorkingTransmission(small, transmission, turns)


def _untouched(frames: Tensor, airlight: Tensor, found: bool) -> Separation:
    """Pass frames ``(T, 3, H, W)`` through as they are, with a note that says why.

    found: whether there is haze, which the user wants to keep.
    """
    size = (frames.shape[-2], frames.shape[-1])
    layers = {
        "clear": frames,
        "transmission": torch.ones_like(frames[:, :1]),
        "airlight": over_picture(airlight, size).expand(1, 3, *size).contiguous(),
    }
    report = {
        "reconstruction_psnr": _reconstruction_psnr(frames, layers),
        "mean_transmission": 1.0,
        "power": 0.0,
        "turns": 0.0,
        "untouched": 1.0,
    }
    note = Note(HAZE_KEPT if found else NO_HAZE, tuple(range(len(frames))))
    return Separation(layers, frozenset({"airlight"}), report, {}, notes=(note,))


def _fitted_transmission(
    small: Tensor, facts: DehazeSurvey, context: SeparationContext
) -> tuple[Tensor, int]:
    """Fit the envelope; return the working frames' transmission ``(T, 1, h, w)`` and the turns."""
    assert facts.airlight is not None
    airlight = facts.airlight
    context.progress(0.0, "motion")
    ties = find_ties(small)
    turns = TURNS[context.settings.preset]
    if (budget := context.settings.max_seconds) is not None:
        within_budget = partial(_turns_within, budget, small, airlight, ties)
        turns = context.checkpoints.compute_and_save("turns", within_budget)
    context.progress(0.2, "transmission")
    note = partial(context.trace.add, "transmission")
    log_transmission = envelope(small, airlight, ties, turns=turns, on_step=note)
    size = (small.shape[-2], small.shape[-1])
    return resize(transmission_of(log_transmission, facts.black), size), turns


def _turns_within(budget: float, small: Tensor, airlight: Tensor, ties: MotionTies | None) -> int:
    """Return how many turns of the envelope's fit take their part of ``budget`` seconds.

    The cost of a turn is measured. small, airlight, ties: see :func:`envelope`.
    """
    began = time.monotonic()
    envelope(small, airlight, ties, turns=1)
    seconds_a_turn = time.monotonic() - began + LEAST_SECONDS
    fitting = int(BEFORE_FULL_SIZE * budget / seconds_a_turn)
    return min(TURNS["best"], max(FEWEST_TURNS, fitting))


def settle(frames: Tensor, layers: dict[str, Tensor], facts: DehazeSurvey) -> dict[str, Tensor]:
    """Return layers that mix to ``frames`` again after they were faded between two windows.

    frames and the layers: ``(T, C, H, W)`` in [0, 1]. The airlight and the transmission stay, as
    far as the clear picture lies in [0, 1].
    """
    del facts
    transmission, clear = consistent_layers(frames, layers["transmission"], layers["airlight"])
    return layers | {"transmission": transmission, "clear": clear}


def consistent_layers(
    frames: Tensor, transmission: Tensor, airlight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the transmission as a file holds it, and the clear picture that follows from it.

    The transmission ``(T, 1, H, W)`` is raised where the clear picture would leave [0, 1], and
    rounded up to 8 bits: half a step below the least would put the darkest pixels out of range.
    """
    raised = torch.maximum(transmission, least_transmission(frames, airlight)).clamp(max=1)
    held = ((raised * 255 - STEP_SLACK).ceil() / 255).clamp(0, 1)
    return held, Haze(held).reconcile(frames, airlight, frames)[1]


def _separated_one_by_one(frames: Tensor, context: SeparationContext) -> Separation:
    """Separate unrelated pictures ``(T, 3, H, W)`` one by one."""
    budget = context.settings.max_seconds
    part_budget = None if budget is None else budget / len(frames)
    settings = replace(context.settings, max_seconds=part_budget)
    if settings.is_published and part_budget is not None:
        # The published method has two passes of the same length: survey and separation.
        settings = replace(settings, max_seconds=part_budget / 2)
    parts = []
    for index in range(len(frames)):
        context.progress(index / len(frames), f"picture {index + 1} of {len(frames)}")
        one = frames[index : index + 1]
        quiet = replace(
            context,
            settings=settings,
            progress=lambda fraction, note: None,
            unordered=False,
            checkpoints=context.checkpoints.namespace(f"picture-{index + 1:03d}"),
        )
        first = replace(quiet, checkpoints=quiet.checkpoints.namespace("survey"))
        parts.append(separate(one, _surveyed(one, first), quiet))
    layers = {name: torch.cat([part.layers[name] for part in parts]) for name in parts[0].layers}
    seconds: dict[str, float] = defaultdict(float)
    for part in parts:
        for name, spent in part.seconds.items():
            seconds[name] += spent
    # A picture that is left as it is has no figures of a fit.
    figures: dict[str, list[float]] = defaultdict(list)
    for part in parts:
        for name, figure in part.report.items():
            figures[name].append(figure)
    report = {name: statistics.fmean(values) for name, values in figures.items()}
    notes = tuple(note.moved(index) for index, part in enumerate(parts) for note in part.notes)
    return Separation(layers, frozenset(), report, dict(seconds), notes=notes)


def _reconstruction_psnr(frames: Tensor, layers: dict[str, Tensor]) -> float:
    """Return the PSNR in dB of the layers, rounded to 8 bits and mixed, against the input."""
    error = 0.0
    airlight = rounded(layers["airlight"][0])
    for frame, clear, transmission in zip(
        frames, layers["clear"], layers["transmission"], strict=True
    ):
        again = Haze(rounded(transmission)).mix(airlight, rounded(clear))
        error += float((again - frame).square().mean()) / len(frames)
    return psnr_of(error)
