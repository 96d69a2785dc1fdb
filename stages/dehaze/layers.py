"""Takes haze from pictures and clips: the clear layer, its transmission and the airlight.

    sample --survey--> the airlight, one for the whole clip; it varies slowly over the picture where the haze shows that it does
           --evidence--> how much of what looks like haze is to be believed; of a clear picture nothing
    window --envelope--> transmission, smooth but at edges, tied along the motion
           --guided filter--> the same at full size --the haze model, inverted--> the clear layer

The clear layer is never drawn by a network: it is what the haze model says, so that no detail of the input is lost.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from stages.context import Note, Separation, SeparationContext
from stages.dehaze import paper as dehaze_paper
from stages.dehaze.airlight import blue_sky, find_airlight
from stages.dehaze.evidence import evidence, find_floors, veil_colour
from stages.dehaze.field import find_field
from stages.dehaze.model import guided, haze, least_transmission, recover, rounded, spread
from stages.dehaze.veil import envelope, find_ties, transmission_of
from stages.mixing.psnr import psnr_of
from stages.motion.flow import resize, shrunk
from stages.optim.timing import clocked

TURNS = {"fast": 10, "balanced": 14, "best": 24, "paper": 0}
"""Turns of the envelope's fit by preset; it has settled to a tenth of a decibel after ten."""
FEWEST = 6
SHARE = 0.5  # part of a budget for the transmission; the rest is for what has to be done at full size

WORK = 320 * 240  # pixels of the pictures that are worked on
SURVEYED = 8  # frames of the sample that the airlight is sought in
RADIUS = 8  # of the guided filter, in working pixels
EDGES = 1e-3  # variance of the picture's edges that the transmission ignores
BLACK = 0.03  # how far the darkest things around are from black, in log t
GREY_BLACK = 0.1  # the same under an opaque sky, in whose light little is black
BLUE_BLACK = 0.2  # the same under a blue sky: dense haze would hide that, and the clearest air veils what is far

NO_HAZE = "no haze found in {frames}: the clear layer is the input itself; --strength 2 takes off what little there may be"
AS_TOLD = "the haze of {frames} is left, as --strength 0 says: the clear layer is the input itself"


@dataclass(frozen=True)
class Facts:
    """What holds for the whole clip.

    airlight: one colour ``(1, 3, 1, 1)`` or a field on a few nodes ``(1, 3, h, w)``, which :func:`stages.dehaze.model.spread` brings to a
    size; ``None`` for pictures that have nothing to do with each other. black: see ``transmission_of``. sure: how much of the haze is to
    be believed, 0 to 1, as :func:`stages.dehaze.evidence.evidence` has it.
    """

    airlight: Tensor | None
    black: float = BLACK
    sure: float = 1.0


def survey(sample: Tensor, brief: SeparationContext) -> Facts:
    """The airlight of a clip from some of its frames ``(S, 3, H, W)``."""
    if brief.unordered and len(sample) > 1:
        return Facts(None)
    chosen = torch.linspace(0, len(sample) - 1, min(SURVEYED, len(sample))).round().long()
    small = shrunk(sample[chosen], brief.working_pixels(WORK))
    black = BLACK + (BLUE_BLACK - BLACK) * blue_sky(small)
    airlight, opaque = find_airlight(small, black)
    floors = find_floors(small, airlight)
    field = find_field(small, rounded(veil_colour(floors, airlight)), black, opaque)
    return Facts(field, max(black, BLACK + (GREY_BLACK - BLACK) * opaque), evidence(floors))


def power(sure: float, strength: float) -> float:
    """Return the power of the transmission that is taken off, 0 to 2.

    sure: how much of the haze is to be believed, 0 to 1. strength: what the user wants of it, 0 to 2; above 1 it takes off more than
    the evidence says, up to what may be haze, and of a sure haze twice its optical depth.
    """
    return sure * min(1.0, strength) + max(0.0, strength - 1)


def separate(frames: Tensor, facts: Facts, brief: SeparationContext) -> Separation:
    """The layers ``clear`` (3 channels), ``transmission`` (1) and ``airlight`` (3) of frames ``(T, 3, H, W)``."""
    if facts.airlight is None:
        return _each(frames, brief)
    seconds: dict[str, float] = defaultdict(float)
    published = brief.settings.preset == "paper"
    taken = power(1.0 if published else facts.sure, brief.strength)
    if taken == 0:
        return _untouched(frames, facts.airlight, found=facts.sure > 0 or published)
    small = shrunk(frames, brief.working_pixels(WORK))
    airlight = spread(facts.airlight, (frames.shape[-2], frames.shape[-1]))
    with clocked(seconds, "transmission"):
        veil, turns = (_published if published else _drawn)(small, facts, brief)
    radius, edges = (dehaze_paper.RADIUS, dehaze_paper.EDGES) if published else (RADIUS, EDGES)
    transmission, clear = torch.empty_like(frames[:, :1]), torch.empty_like(frames)
    with clocked(seconds, "finish"):
        for index in range(len(frames)):  # one at a time: the coefficients of the filter are four pictures at full size
            brief.progress(0.5 + 0.5 * index / len(frames), "full size")
            one = slice(index, index + 1)
            drawn = guided(small[one], veil[one], frames[one], radius, edges).clamp(0, 1) ** taken
            transmission[one], clear[one] = settled(frames[one], drawn, airlight)
    layers = {"clear": clear, "transmission": transmission, "airlight": airlight.expand(1, 3, *frames.shape[-2:]).contiguous()}
    report = {
        "reconstruction_psnr": _reconstruction_psnr(frames, layers),
        "mean_transmission": float(transmission.mean()),
        "power": taken,
        "turns": float(turns),
        "untouched": 0.0,
    }
    return Separation(layers, frozenset({"airlight"}), report, dict(seconds))


def _untouched(frames: Tensor, airlight: Tensor, found: bool) -> Separation:
    """Frames ``(T, 3, H, W)`` put through as they are, with a note on why. found: whether there was haze, which the user wants to keep."""
    size = (frames.shape[-2], frames.shape[-1])
    whole = spread(airlight, size).expand(1, 3, *size).contiguous()
    layers = {"clear": frames, "transmission": torch.ones_like(frames[:, :1]), "airlight": whole}
    report = {"reconstruction_psnr": _reconstruction_psnr(frames, layers), "mean_transmission": 1.0, "power": 0.0, "turns": 0.0}
    report["untouched"] = 1.0
    note = Note(AS_TOLD if found else NO_HAZE, tuple(range(len(frames))))
    return Separation(layers, frozenset({"airlight"}), report, {}, notes=(note,))


def _drawn(small: Tensor, facts: Facts, brief: SeparationContext) -> tuple[Tensor, int]:
    """The transmission ``(T, 1, h, w)`` of working frames as the envelope has it, and the turns that this took."""
    assert facts.airlight is not None
    settings, airlight = brief.settings, facts.airlight
    brief.progress(0.0, "motion")
    ties = find_ties(small)
    turns = TURNS[settings.preset]
    if (budget := settings.max_seconds) is not None:

        def measured() -> int:
            began = time.monotonic()
            envelope(small, airlight, ties, turns=1)
            return min(TURNS["best"], max(FEWEST, int(SHARE * budget / (time.monotonic() - began + 1e-6))))

        turns = brief.checkpoints.compute_and_save("turns", measured)
    brief.progress(0.2, "transmission")
    log = envelope(small, airlight, ties, turns=turns, on_step=partial(brief.trace.add, "transmission"))
    return resize(transmission_of(log, facts.black), (small.shape[-2], small.shape[-1])), turns


def _published(small: Tensor, facts: Facts, brief: SeparationContext) -> tuple[Tensor, int]:
    """The transmission ``(T, 1, h, w)`` of working frames as the published method finds it, and its steps for each frame."""
    assert facts.airlight is not None
    settings, airlight = brief.settings, spread(facts.airlight, (small.shape[-2], small.shape[-1]))
    steps = dehaze_paper.STEPS
    if (budget := settings.max_seconds) is not None:

        def measured() -> int:
            for count in (1, 4):  # the first call also starts threads and allocates
                began = time.monotonic()
                dehaze_paper.fit_paper(small[:1], airlight, steps=count, seed=settings.seed, device=settings.device)
            return min(dehaze_paper.STEPS, max(1, int(SHARE * budget / len(small) * 4 / (time.monotonic() - began))))

        steps = brief.checkpoints.compute_and_save("steps", measured)

    def note(done: float, losses: Mapping[str, float]) -> None:
        brief.progress(0.5 * done, "published networks")
        brief.trace.add("networks", done, losses)

    return dehaze_paper.fit_paper(small, airlight, steps=steps, seed=settings.seed, device=settings.device, on_step=note), steps


def settle(frames: Tensor, layers: dict[str, Tensor], facts: Facts) -> dict[str, Tensor]:
    """Layers between two windows' answers, made to mix to the input again."""
    del facts
    transmission, clear = settled(frames, layers["transmission"], layers["airlight"])
    return layers | {"transmission": transmission, "clear": clear}


def settled(frames: Tensor, transmission: Tensor, airlight: Tensor) -> tuple[Tensor, Tensor]:
    """A transmission raised, where it must be, to keep the clear picture in [0, 1], and rounded as a file holds it; and that picture."""
    # Rounded up, as half a step below the least would put the darkest pixels out of range.
    raised = torch.maximum(transmission, least_transmission(frames, airlight)).clamp(max=1)
    held = ((raised * 255 - 1e-3).ceil() / 255).clamp(0, 1)
    return held, recover(frames, held, airlight)


def _each(frames: Tensor, brief: SeparationContext) -> Separation:
    """Pictures that have nothing to do with each other, one by one."""
    parts, seconds_each = [], brief.settings.max_seconds
    told = replace(brief.settings, max_seconds=None if seconds_each is None else seconds_each / len(frames))
    for index in range(len(frames)):
        brief.progress(index / len(frames), f"picture {index + 1} of {len(frames)}")
        one = frames[index : index + 1]
        quiet = SeparationContext(told, strength=brief.strength, trace=brief.trace)
        parts.append(separate(one, survey(one, quiet), quiet))
    layers = {name: torch.cat([part.layers[name] for part in parts]) for name in parts[0].layers}
    seconds: dict[str, float] = defaultdict(float)
    for part in parts:
        for name, spent in part.seconds.items():
            seconds[name] += spent
    report = {name: sum(part.report[name] for part in parts) / len(parts) for name in parts[0].report}
    notes = tuple(note.moved(index) for index, part in enumerate(parts) for note in part.notes)
    return Separation(layers, frozenset(), report, dict(seconds), notes=notes)


def _reconstruction_psnr(frames: Tensor, layers: dict[str, Tensor]) -> float:
    """PSNR in dB of the layers, rounded to 8 bits, mixed back, against the input."""
    error = 0.0
    for frame, clear, transmission in zip(frames, layers["clear"], layers["transmission"], strict=True):
        again = haze(rounded(clear), rounded(transmission), rounded(layers["airlight"][0]))
        error += float((again - frame).square().mean()) / len(frames)
    return psnr_of(error)
