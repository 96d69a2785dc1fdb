"""Take a watermark off a picture with a box around it, off several pictures under one mark, or off a clip with a logo.

The model is ``I = (1 - m) C + m W`` with a matte m and a mark W that all frames share. The survey finds both once, so every
window undoes the same mark (:mod:`stages.watermark.search`, :mod:`stages.watermark.evidence`,
:mod:`stages.watermark.fit`). Where the mark is opaque, a generator fills the picture.

Frames ``(T, 3, H, W)`` in [0, 1]; matte ``(1, H, W)``, colour ``(3, H, W)``, maps ``(H, W)``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.context import Note, Separation, SeparationContext
from stages.motion.flow import resize
from stages.optim.losses import gradients
from stages.watermark.colours import all_colours
from stages.watermark.compression import jpeg_quality, without_rounding
from stages.watermark.evidence import Evidence
from stages.watermark.fill import fill
from stages.watermark.find import CLEAR, Mark, texture
from stages.watermark.fit import OPAQUE, agreed_mark, continuity, drawn, left_over
from stages.watermark.paper import separate_published
from stages.watermark.repeat import grid_of
from stages.watermark.search import HYPOTHESES, ROUNDS, SETTLED, find_mark, outlined

FAINT = 2 / 255  # a matte below this changes no picture of 8 bits
MARGIN = 16  # pixels around the mark or the box that the search also reads
STIRRED = 0.03  # spread over the frames at which a pixel counts fully: what never changes may belong to the scene
UNLIKE, SAME = (
    1.5,
    1.1,
)  # fewer independent frames (or separately given pictures) than this count as one
COPY = 0.9  # correlation of edges above which two pictures are copies
RINGS = 4  # pixels around a pixel in which its change over the frames is measured
COMPARED = 40_000  # pixels of the reduced pictures that are compared
BUDGET_PART = 0.7  # part of the time budget that the plan may use


@dataclass(frozen=True)
class Effort:
    """Hold the amount of work: sizes of search and fit, iterations of a cut, steps and rounds of the fit, steps of the fill."""

    search_pixels: int
    fit_pixels: int
    pictures: int
    turns: int
    steps: int
    rounds: int
    fill_steps: int

    @property
    def work(self) -> float:
        """Return the work in units of one fit step on one pixel."""
        tries = len(HYPOTHESES) + 2 * SETTLED * ROUNDS
        # A single picture is searched a second time, for further colours.
        often = 2 if self.pictures == 1 else 1
        search = (
            self.search_pixels
            * tries
            * often
            * (0.5 * min(self.pictures, SEARCHED) + 0.06 * self.turns)
        )
        # Several pictures get two fits: a mark of one colour, and one of all colours.
        drawings = 1 if self.pictures == 1 else 2
        return search + drawings * self.fit_pixels * self.rounds * self.steps * min(
            self.pictures, 8
        )


SEARCHED = 6  # most pictures that the search reads
EFFORTS = {
    "best": Effort(90_000, 250_000, 16, 120, 150, 3, 800),
    "balanced": Effort(80_000, 160_000, 12, 80, 80, 2, 400),
    "fast": Effort(40_000, 80_000, 8, 60, 40, 2, 200),
}
LEAST = Effort(12_000, 24_000, 4, 50, 25, 1, 60)


@dataclass(frozen=True)
class WatermarkSurvey:
    """Hold the mark of the whole clip at full size.

    matte: ``(1, H, W)``. colour: ``(3, H, W)``. lost: ``(H, W)``, True where the mark lets nothing through.
    opacity: of the mark's core, 0 without a mark. effort: the work that the later steps may do.
    box: ``(H, W)``, True where the mark may be.
    """

    matte: Tensor
    colour: Tensor
    lost: Tensor
    opacity: float
    effort: Effort
    box: Tensor


def survey(sample: Tensor, brief: SeparationContext) -> WatermarkSurvey:
    """Find the mark in evenly spread frames ``(S, 3, H, W)``."""
    size = sample.shape[-2:]
    box = (
        torch.ones(size, dtype=torch.bool) if brief.hint is None else brief.hint.amax((0, 1)) > 0.5
    )
    nothing = WatermarkSurvey(
        torch.zeros(1, *size),
        torch.zeros(3, *size),
        torch.zeros(size, dtype=torch.bool),
        0.0,
        EFFORTS["balanced"],
        box,
    )
    if brief.settings.preset == "paper":
        return nothing
    effort = _effort(sample, brief)
    facts = replace(nothing, effort=effort)
    # A mark differs from the scene by the user's box, or by staying where the pictures differ.
    if brief.unordered:
        # Copies of one picture share everything, so they say nothing about the mark.
        sample = distinct(sample)
    count = independent(sample)
    if brief.unordered and count > SAME:
        count = float(len(sample))  # separate pictures share nothing but the mark
    if (brief.hint is None and count < UNLIKE) or min(size) < 8 or not bool(box.any()):
        return facts
    weight = torch.ones(size) if brief.hint is not None else stirred(sample)
    # Nearly equal frames say no more than one of them.
    told = sample if count >= UNLIKE else sample[len(sample) // 2][None]
    found = _search(told, min(round(count), SEARCHED), box, weight, effort, brief)
    if found is None:
        return facts
    mark, area = found
    matte, colour = torch.zeros(1, *size), torch.zeros(3, *size)
    matte[(slice(None), *area)], colour[(slice(None), *area)] = mark.matte, mark.colour
    matte, colour = (to_the_rim(layer, box) for layer in (matte, colour))
    matte = torch.where(matte < FAINT, torch.zeros(()), matte)
    # On an opaque mark's soft outline, fill the picture rather than amplify it more than twice.
    lost = matte[0] > 0.5 if mark.opacity > OPAQUE else torch.zeros(size, dtype=torch.bool)
    return replace(facts, matte=matte, colour=colour * (matte > 0), lost=lost, opacity=mark.opacity)


def separate(frames: Tensor, facts: WatermarkSurvey, brief: SeparationContext) -> Separation:
    """Return the layers ``clean`` (T, 3, H, W), and the shared ``watermark`` (1, 3, H, W) and ``matte`` (1, 1, H, W)."""
    began = time.monotonic()
    if brief.settings.preset == "paper":
        made = separate_published(frames, facts.box, brief)
        return replace(made, notes=mark_notes(made.layers["matte"], len(frames), brief))
    seconds = {}
    matte, ink = facts.matte, facts.matte * facts.colour
    touched = matte > 0
    # Pixels without a mark stay the same to the bit.
    clean = torch.where(
        touched, ((frames - ink) / (1 - matte).clamp_min(1 - CLEAR)).clamp(0, 1), frames
    )
    if bool((touched & ~facts.lost).any()):
        # Unlike pictures, the frames of a clip are compressed in ways that leave no known steps.
        pictures = brief.unordered or len(frames) == 1
        qualities = [jpeg_quality(frame) if pictures else None for frame in frames]
        clean = without_rounding(clean, torch.where(facts.lost, torch.zeros(()), matte), qualities)
    seconds["invert"] = time.monotonic() - began
    if bool(facts.lost.any()):
        clean = fill(clean, facts.lost, brief, facts.effort.fill_steps)
        seconds["fill"] = time.monotonic() - began - seconds["invert"]
    error = float((((1 - matte) * clean + ink) - frames).square().mean())
    report = {
        "opacity": facts.opacity,
        "marked_part": float(touched.float().mean()),
        "lost_part": float(facts.lost.float().mean()),
        "explained": float((touched & ~facts.lost).float().mean()),
        "invented": float(facts.lost.float().mean()),
        "untouched": float((~touched & ~facts.lost).float().mean()),
        "reconstruction_psnr": -10 * math.log10(max(error, 1e-10)),
    }
    brief.progress(1.0, "clean")
    return Separation(
        {
            "clean": clean,
            "watermark": facts.colour[None].clamp(0, 1),
            "matte": matte[None].clamp(0, 1),
        },
        frozenset({"watermark", "matte"}),
        report,
        seconds,
        notes=mark_notes(matte, len(frames), brief),
    )


def mark_notes(matte: Tensor, count: int, brief: SeparationContext) -> tuple[Note, ...]:
    """Return a warning where ``matte`` shows no mark in the ``count`` frames, or nothing."""
    if bool((matte >= FAINT).any()):
        return ()
    if brief.hint is not None:
        text = (
            "no mark was found at the place that --hint marks in {frames}, so the clean layer is the input; "
            "draw a box around the whole mark, with a little of the picture around it"
        )
    elif count == 1:
        text = "no mark was found in {frames}: one picture does not tell what lies over it; draw a box around the mark and give it as --hint"
    else:
        text = (
            "no mark was found that stays in place in {frames} while the picture changes, so the clean layer is the input; "
            "draw a box around the mark and give it as --hint"
        )
    return (Note(text, tuple(range(count))),)


def to_the_rim(layer: Tensor, box: Tensor) -> Tensor:
    """Return ``layer`` (C, H, W) with the picture's outermost pixels, where ``box`` (H, W) has them, like their inner neighbours.

    The search needs a pixel outside all around, so it says nothing about them.
    """
    if min(box.shape) < 4:
        return layer
    filled = layer.clone()
    for axis in (-2, -1):
        for rim, inner in ((0, 1), (-1, -2)):
            filled.select(axis, rim).copy_(filled.select(axis, inner) * box.select(axis, rim))
    return filled


def stirred(pictures: Tensor) -> Tensor:
    """Return how much the pictures ``(K, 3, H, W)`` change around each pixel, ``(H, W)`` in [0, 1]."""
    spread = pictures.std(0).amax(0, keepdim=True)
    return (F.max_pool2d(spread[None], 2 * RINGS + 1, 1, RINGS)[0, 0] / STIRRED).clamp(0, 1)


def independent(pictures: Tensor) -> float:
    """Return the effective number of independent pictures: ``K / (1 + (K - 1) r)``, r the mean correlation of their edges."""
    count = len(pictures)
    if count < 2:
        return 1.0
    likeness = _likeness(pictures)
    alike = (likeness.sum() - likeness.diagonal().sum()) / (count * (count - 1))
    return float(count / (1 + (count - 1) * alike.clamp(0, 1)))


def distinct(pictures: Tensor) -> Tensor:
    """Return the pictures ``(K, 3, H, W)`` without copies of earlier ones."""
    copies = (_likeness(pictures) > COPY).tril(-1).any(1)
    return pictures[~copies]


def _likeness(pictures: Tensor) -> Tensor:
    """Return the correlation of edges ``(K, K)`` between the pictures ``(K, 3, H, W)``."""
    small = _shrunk(pictures, COMPARED)
    edges = torch.cat([difference.flatten(1) for difference in gradients(small)], 1)
    edges = edges / edges.norm(dim=1, keepdim=True).clamp_min(1e-6)
    likeness: Tensor = edges @ edges.T
    return likeness


def _search(
    sample: Tensor, few: int, box: Tensor, weight: Tensor, effort: Effort, brief: SeparationContext
) -> tuple[Mark, tuple[slice, slice]] | None:
    """Return the mark and the rows and columns it is given for, or None. The search reads ``few`` of the frames."""
    area = _around(box, MARGIN if brief.hint is not None else 0)
    near = sample[_spread(len(sample), few)][..., area[0], area[1]]
    small, allowed = _shrunk(near, effort.search_pixels), _allowed(box[area])
    scale = small.shape[-2:]
    first = find_mark(
        small,
        _fitted(allowed, scale),
        _fitted(weight[area], scale),
        turns=effort.turns,
        progress=lambda done: brief.progress(0.5 * done, "searching the mark"),
    )
    if first is None:
        return None
    if brief.hint is None:
        seen = F.interpolate(first.matte[None], size=near.shape[-2:], mode="nearest")[0, 0] > 0
        # Parts of other colours may lie beside what was found, so take as much again on every side.
        inner = _around(seen, MARGIN, 1.0)
        area = tuple(
            slice(whole.start + part.start, whole.start + part.stop)
            for whole, part in zip(area, inner, strict=True)
        )  # type: ignore[assignment]
        allowed = _allowed(box[area])
    full = sample[_spread(len(sample), effort.pictures)][..., area[0], area[1]]
    pictures = _shrunk(full, effort.fit_pixels)
    size = pictures.shape[-2:]
    allowed, weight = _fitted(allowed, size), _fitted(weight[area], size)
    same = brief.hint is not None and size == scale
    shifts = grid_of(pictures) if len(pictures) == 1 else ()
    evidence = Evidence(pictures, weight, shifts=shifts)
    mark = (
        first if same else outlined(evidence, first.opacity, first.hue, allowed, 2 * effort.turns)
    )
    marks = [mark]
    if len(sample) > 1:
        agreed = agreed_mark(pictures, first.opacity, allowed, weight, 2 * effort.turns)
        if agreed is not None and _bears_out(agreed, mark):
            marks.append(agreed)
    elif first.opacity <= OPAQUE and not shifts:
        marks = [all_colours(pictures, mark, allowed, weight, effort.turns, texture(pictures))]

    def note(done: float, losses: Mapping[str, float], begin: float) -> None:
        done = begin + done / len(marks)
        brief.progress(0.5 + 0.5 * done, "drawing the mark")
        brief.trace.add("drawing the mark", done, losses)

    several = []
    for number, one in enumerate(marks):
        told = partial(note, begin=number / len(marks))
        # Only the mark of all colours holds stray pixels that need cleaning.
        rounds = effort.rounds if number else 1
        steps, seed = effort.steps, brief.settings.seed
        several.append(
            drawn(
                pictures,
                one,
                allowed > 0.5,
                weight,
                steps=steps,
                rounds=rounds,
                seed=seed,
                on_step=told,
            )
        )
    # Of the mark of one colour and that of all colours, keep the one that leaves the pictures more continuous.
    mark = (
        min(several, key=lambda one: left_over(pictures, one)) if len(several) > 1 else several[0]
    )
    if size != full.shape[-2:]:
        matte, ink = (
            resize(layer[None], (full.shape[-2], full.shape[-1]))[0]
            for layer in (mark.matte, mark.ink)
        )
        mark = Mark(matte, ink, mark.opacity, mark.gain)
    return mark, area


def _bears_out(agreed: Mark, first: Mark) -> bool:
    """Return whether ``agreed`` contains most of ``first``, is about as opaque, and is at most eight times as large."""
    inside, chosen = agreed.matte > 0, first.matte > 0
    kept = float((inside & chosen).sum()) / max(1, int(chosen.sum()))
    return (
        kept > 0.6
        and abs(agreed.opacity - first.opacity) < 0.1
        and int(inside.sum()) < 8 * int(chosen.sum())
    )


def _effort(sample: Tensor, brief: SeparationContext) -> Effort:
    """Return the preset's effort, or the largest one that fits the time budget, by one timing of a fit step."""
    chosen = EFFORTS[brief.settings.preset]
    if brief.settings.max_seconds is None:
        return chosen
    side = 48
    probe = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    matte = torch.full((1, side, side), 0.5, requires_grad=True)
    seconds = math.inf
    for _ in range(3):
        began = time.perf_counter()
        torch.autograd.grad(continuity(probe, matte, matte * torch.ones(3, 1, 1)), matte)
        seconds = min(seconds, time.perf_counter() - began)
    unit = seconds / (len(probe) * side * side)
    room = BUDGET_PART * brief.settings.max_seconds / unit
    size = sample.shape[-1] * sample.shape[-2]
    for effort in (EFFORTS["best"], EFFORTS["balanced"], EFFORTS["fast"]):
        fitting = replace(
            effort,
            search_pixels=min(size, effort.search_pixels),
            fit_pixels=min(size, effort.fit_pixels),
            pictures=min(len(sample), effort.pictures),
        )
        if fitting.work <= room:
            return effort
    return LEAST


def _around(place: Tensor, margin: int, part: float = 0.0) -> tuple[slice, slice]:
    """Return the rows and columns of ``place`` (H, W), enlarged by ``margin`` pixels and by ``part`` of each side."""
    spans = []
    for line in (place.any(1), place.any(0)):
        marked = line.nonzero()
        first, last = int(marked.min()), int(marked.max()) + 1
        more = margin + round(part * (last - first))
        spans.append(slice(max(0, first - more), min(len(line), last + more)))
    return spans[0], spans[1]


def _allowed(box: Tensor) -> Tensor:
    """Return the box ``(H, W)`` without the picture's outermost pixels, so that every mark has an outside."""
    allowed = box.clone()
    if min(box.shape) > 2:
        allowed[0], allowed[-1], allowed[:, 0], allowed[:, -1] = False, False, False, False
    return allowed.float()


def _shrunk(pictures: Tensor, pixels: int) -> Tensor:
    """Return the pictures reduced by area averages to at most ``pixels`` each."""
    height, width = pictures.shape[-2:]
    scale = math.sqrt(min(1.0, pixels / (height * width)))
    if scale > 0.99:
        return pictures
    return F.interpolate(
        pictures, size=(max(8, round(height * scale)), max(8, round(width * scale))), mode="area"
    )


def _fitted(map_: Tensor, size: torch.Size) -> Tensor:
    """Return a map (H, W) at another size, by nearest neighbours."""
    return (
        map_
        if map_.shape == size
        else F.interpolate(map_[None, None], size=tuple(size), mode="nearest")[0, 0]
    )


def _spread(count: int, most: int) -> Tensor:
    """Return at most ``most`` evenly spread indices below ``count``."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()
