"""Find the mark in a clip's sample: search it at a small size, then fit it to the pixel.

Pictures ``(K, 3, H, W)`` in [0, 1] that share one mark; maps ``(H, W)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.context import SeparationContext
from stages.motion.flow import resize
from stages.watermark.effort import Effort
from stages.watermark.evidence import Evidence
from stages.watermark.find import CLEAR, Mark, opacity_and_color
from stages.watermark.fit import OPAQUE, RefinePlan, agreed_mark, refine_mark, residual_cost
from stages.watermark.pictures import (
    bounds_around,
    inner_part,
    resized_map,
    shrunk_to,
    spread_indices,
)
from stages.watermark.pieces import all_pieces
from stages.watermark.repeat import Shift, find_grid
from stages.watermark.search import (
    LEAST_EXPLAINED,
    LEAST_GAIN,
    explained_part,
    find_mark,
    mark_at,
    strict_length,
)
from stages.watermark.soft import inner_coverage

MARGIN = 16  # pixels around the mark or the box that the search also reads
MEASUREMENTS = 2  # of a mark's opacity and place at full size, each from the other
FITS = 2
"""Fits of a mark of one colour. The second starts from the outline of the first."""
ANOTHER = 0.15  # difference of a channel above which a colour is another one
MORE = 1.1
"""How many times as much of the pictures' discontinuity a mark of many colours has to take off."""
MANY = 0.1
"""Part of a mark's pixels above which those of other colours make it one of many colours."""

Area = tuple[slice, slice]


@dataclass(frozen=True)
class MarkedPart:
    """Hold what is read of the pictures to fit a mark that was found.

    pictures: ``(K, 3, h, w)`` in [0, 1]. allowed: ``(h, w)`` in [0, 1], 0 where no mark may be.
    weight: how much each pixel counts, ``(h, w)``. shifts: where the mark of one picture repeats.
    """

    pictures: Tensor
    allowed: Tensor
    weight: Tensor
    shifts: tuple[Shift, ...]

    @property
    def alone(self) -> bool:
        """Return whether neither other pictures nor repetitions tell the mark from the scene."""
        return len(self.pictures) == 1 and not self.shifts


def locate_mark(
    sample: Tensor,
    few: int,
    box: Tensor,
    weight: Tensor,
    effort: Effort,
    context: SeparationContext,
) -> tuple[Mark, Area] | None:
    """Return the mark and the rows and columns that it is given for, or None without a mark.

    sample: frames ``(S, 3, H, W)``. few: how many of them the search reads.
    box: ``(H, W)``, true where the mark may be. weight: how much each pixel counts, ``(H, W)``.
    """
    area = bounds_around(box, MARGIN if context.hint is not None else 0)
    near = sample[spread_indices(len(sample), few)][..., area[0], area[1]]
    small, allowed = shrunk_to(near, effort.search_pixels), inner_part(box[area])
    search = partial(
        find_mark,
        small,
        resized_map(allowed, small.shape[-2:]),
        resized_map(weight[area], small.shape[-2:]),
        turns=effort.turns,
        progress=lambda done: context.progress(0.5 * done, "searching the mark"),
        separate=context.unordered,
    )
    first = search()
    forced = first is None and context.should_separate(0.0, LEAST_GAIN)
    if forced:
        first = search(least_gain=0.0)
    if first is None:
        return None
    place = F.interpolate(first.matte[None], size=near.shape[-2:], mode="nearest")[0, 0] > 0
    if context.hint is None:
        # Parts of other colours may lie beside what was found, so take as much again on each side.
        inner = bounds_around(place, MARGIN, 1.0)
        place = place[inner]
        area = tuple(
            slice(whole.start + part.start, whole.start + part.stop)
            for whole, part in zip(area, inner, strict=True)
        )  # type: ignore[assignment]
    full = sample[spread_indices(len(sample), effort.pictures)][..., area[0], area[1]]
    mark = fitted_mark(full, first, place, (box[area], weight[area]), small.shape, effort, context)
    return replace(mark, forced=forced), area


def fitted_mark(
    full: Tensor,
    first: Mark,
    place: Tensor,
    maps: tuple[Tensor, Tensor],
    searched: Sequence[int],
    effort: Effort,
    context: SeparationContext,
) -> Mark:
    """Return the mark ``first`` of a search, fitted to the pixel in the pictures ``full``.

    full: ``(K, 3, H, W)``. place: the pixels that the search marked, ``(H, W)``, boolean.
    maps: where the mark may be, and how much each pixel counts, ``(H, W)`` each.
    searched: shape of the search's pictures, which ends in their height and width.
    """
    part = _part_for_fit(full, *maps, effort)
    size = part.pictures.shape[-2:]
    mark = _at_size_of_fit(part, first, place, effort, context, searched=searched[-2:])
    marks = with_colors(part, mark, effort.turns)
    doubtful = part.alone and is_doubtful(part, marks[0])
    mark = _fit_near(part, marks, effort, context)
    if size != full.shape[-2:]:
        matte, ink = (
            resize(layer[None], (full.shape[-2], full.shape[-1]))[0]
            for layer in (mark.matte, mark.ink)
        )
        mark = Mark(matte, ink, mark.opacity, mark.gain)
    return replace(mark, doubtful=doubtful)


def _part_for_fit(full: Tensor, box: Tensor, weight: Tensor, effort: Effort) -> MarkedPart:
    """Return what is read of the pictures ``full`` (K, 3, H, W) to fit the mark.

    box, weight: ``(H, W)``, see :func:`locate_mark`.
    """
    pictures = shrunk_to(full, effort.fit_pixels)
    size = pictures.shape[-2:]
    return MarkedPart(
        pictures,
        resized_map(inner_part(box), size),
        resized_map(weight, size),
        find_grid(pictures) if len(pictures) == 1 else (),
    )


def _at_size_of_fit(
    part: MarkedPart,
    first: Mark,
    place: Tensor,
    effort: Effort,
    context: SeparationContext,
    *,
    searched: Sequence[int],
) -> Mark:
    """Return the mark that the search found, cut again in the pictures of the fit.

    place: the pixels that the search marked, ``(H, W)``, boolean, at full size.
    searched: height and width of the search's pictures.
    """
    size = part.pictures.shape[-2:]
    matte = first.opacity * resized_map(place.float(), size)[None]
    mark = replace(first, matte=matte, ink=matte * first.hue.view(3, 1, 1))
    if not part.alone:
        return remeasured(part, mark, 2 * effort.turns)
    if context.hint is None or size != tuple(searched):
        evidence, length = Evidence(part.pictures, part.weight), strict_length(first)
        return mark_at(evidence, first.opacity, first.hue, part.allowed, 2 * effort.turns, length)
    return mark


def remeasured(part: MarkedPart, mark: Mark, turns: int) -> Mark:
    """Return ``mark`` with its opacity and colour measured at full size, and its place by these.

    The search reads smaller pictures, in which thin strokes are fainter than they are. Only a mark
    that repeats, or that several pictures share, is certain enough for it.

    turns: iterations of a cut.
    """
    for _ in range(MEASUREMENTS):
        chosen = mark.matte[0] > 0
        law = opacity_and_color(part.pictures, chosen)
        if law is None:
            break
        opacity = min(CLEAR, law[0] / inner_coverage(chosen))
        evidence = Evidence(part.pictures, part.weight, chosen, part.shifts)
        found = mark_at(evidence, opacity, law[1], part.allowed, turns)
        if not bool((found.matte > 0).any()):
            break
        mark = found
    return mark


def with_colors(part: MarkedPart, mark: Mark, turns: int) -> list[Mark]:
    """Return the mark or marks that are fitted: ``mark``, and one of many colours if there is one.

    In a single picture, further pieces of other colours join ``mark``.

    turns: iterations of a cut.
    """
    pictures, allowed, weight = part.pictures, part.allowed, part.weight
    if part.alone:
        if mark.opacity > OPAQUE:
            return [mark]
        return [all_pieces(pictures, mark, allowed, weight, turns)]
    if part.shifts:
        return [mark]
    agreed = agreed_mark(pictures, mark.opacity, allowed, weight, 2 * turns)
    if agreed is None or not _confirms(agreed, mark):
        return [mark]
    if other_colors(agreed, mark) > MANY:
        return [mark, agreed]
    return [joined(agreed, mark)]


def is_doubtful(part: MarkedPart, mark: Mark) -> bool:
    """Return whether ``mark`` with all its pieces explains too little of its outline."""
    evidence = Evidence(part.pictures, part.weight, mark.matte[0] > 0)
    return explained_part(evidence, mark) < LEAST_EXPLAINED


def other_colors(agreed: Mark, mark: Mark) -> float:
    """Return the part of ``agreed`` that ``mark`` leaves out and that has another colour."""
    chosen = agreed.matte[0] > 0
    missed = chosen & (mark.matte[0] == 0)
    return float((missed & ~_alike(agreed, mark)).sum()) / max(1, int(chosen.sum()))


def joined(agreed: Mark, mark: Mark) -> Mark:
    """Return ``mark`` with what ``agreed`` covers in the same colour."""
    more = (agreed.matte[0] > 0) & (mark.matte[0] == 0) & _alike(agreed, mark)
    matte = torch.where(more, mark.opacity, mark.matte)
    return replace(mark, matte=matte, ink=matte * mark.hue.view(3, 1, 1))


def _alike(agreed: Mark, mark: Mark) -> Tensor:
    """Return where ``agreed`` has about the colour of ``mark``, ``(h, w)``, boolean."""
    return (agreed.color - mark.hue.view(3, 1, 1)).abs().amax(0) <= ANOTHER


def _fit_near(
    part: MarkedPart, marks: list[Mark], effort: Effort, context: SeparationContext
) -> Mark:
    """Return :func:`_best_fit`, computed on the rows and columns around the marks alone.

    What lies further away cannot change an outline, and would take most of the time.
    """
    place = torch.stack([mark.matte[0] > 0 for mark in marks]).any(0)
    if not bool(place.any()):
        return marks[0]
    area = bounds_around(place, MARGIN)
    near = [
        replace(mark, matte=mark.matte[(..., *area)], ink=mark.ink[(..., *area)]) for mark in marks
    ]
    nearby = replace(
        part,
        pictures=part.pictures[(..., *area)],
        allowed=part.allowed[area],
        weight=part.weight[area],
    )
    found = _best_fit(nearby, near, effort, context)
    matte, ink = torch.zeros_like(marks[0].matte), torch.zeros_like(marks[0].ink)
    matte[(..., *area)], ink[(..., *area)] = found.matte, found.ink
    return replace(found, matte=matte, ink=ink)


def _best_fit(
    part: MarkedPart, marks: list[Mark], effort: Effort, context: SeparationContext
) -> Mark:
    """Return the fitted mark of one colour, or that of many colours if it explains clearly more.

    A colour for each pixel also explains noise, so that :data:`MORE` is asked of it.

    marks: the mark of one colour, and that of many colours if there is one.
    """

    def note(done: float, losses: Mapping[str, float], begin: float) -> None:
        done = begin + done / len(marks)
        context.progress(0.5 + 0.5 * done, "drawing the mark")
        context.trace.add("drawing the mark", done, losses)

    seed = context.settings.seed
    plans = [
        RefinePlan(effort.steps, 1 if part.shifts else min(FITS, effort.rounds), seed),
        RefinePlan(effort.steps, effort.rounds, seed, colored=True),
    ]
    fitted = [
        refine_mark(
            part.pictures,
            one,
            part.allowed > 0.5,
            part.weight,
            plan,
            on_step=partial(note, begin=number / len(marks)),
        )
        for number, (one, plan) in enumerate(zip(marks, plans, strict=False))
    ]
    if len(fitted) == 1:
        return fitted[0]
    left = residual_cost(part.pictures, Mark.nothing(part.pictures))
    plain, colored = (left - residual_cost(part.pictures, one) for one in fitted)
    return fitted[1] if colored > MORE * plain else fitted[0]


def _confirms(agreed: Mark, first: Mark) -> bool:
    """Return whether ``agreed`` confirms ``first``.

    It has to contain most of it, to be about as opaque, and to be less than eight times as large.
    """
    inside, chosen = agreed.matte > 0, first.matte > 0
    kept = float((inside & chosen).sum()) / max(1, int(chosen.sum()))
    return (
        kept > 0.6
        and abs(agreed.opacity - first.opacity) < 0.1
        and int(inside.sum()) < 8 * int(chosen.sum())
    )
