"""Find the mark in a clip's sample: search it at a small size, then fit it to the pixel.

Pictures ``(K, 3, H, W)`` in [0, 1] that share one mark; maps ``(H, W)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.context import SeparationContext
from stages.motion.flow import resize
from stages.watermark.effort import Effort
from stages.watermark.evidence import LENGTH, Evidence
from stages.watermark.find import Mark
from stages.watermark.fit import OPAQUE, RefinePlan, agreed_mark, refine_mark, residual_cost
from stages.watermark.pictures import (
    bounds_around,
    inner_part,
    resized_map,
    shrunk_to,
    spread_indices,
)
from stages.watermark.pieces import all_pieces
from stages.watermark.repeat import find_grid
from stages.watermark.search import (
    LEAST_EXPLAINED,
    explained_part,
    find_mark,
    mark_at,
    strict_length,
)

MARGIN = 16  # pixels around the mark or the box that the search also reads


def locate_mark(
    sample: Tensor,
    few: int,
    box: Tensor,
    weight: Tensor,
    effort: Effort,
    context: SeparationContext,
) -> tuple[Mark, tuple[slice, slice]] | None:
    """Return the mark and the rows and columns that it is given for, or None without a mark.

    sample: frames ``(S, 3, H, W)``. few: how many of them the search reads.
    box: ``(H, W)``, true where the mark may be. weight: how much each pixel counts, ``(H, W)``.
    """
    area = bounds_around(box, MARGIN if context.hint is not None else 0)
    near = sample[spread_indices(len(sample), few)][..., area[0], area[1]]
    small, allowed = shrunk_to(near, effort.search_pixels), inner_part(box[area])
    scale = small.shape[-2:]
    first = find_mark(
        small,
        resized_map(allowed, scale),
        resized_map(weight[area], scale),
        turns=effort.turns,
        progress=lambda done: context.progress(0.5 * done, "searching the mark"),
        separate=context.unordered,
    )
    if first is None:
        return None
    if context.hint is None:
        seen = F.interpolate(first.matte[None], size=near.shape[-2:], mode="nearest")[0, 0] > 0
        # Parts of other colours may lie beside what was found, so take as much again on each side.
        inner = bounds_around(seen, MARGIN, 1.0)
        area = tuple(
            slice(whole.start + part.start, whole.start + part.stop)
            for whole, part in zip(area, inner, strict=True)
        )  # type: ignore[assignment]
        allowed = inner_part(box[area])
    full = sample[spread_indices(len(sample), effort.pictures)][..., area[0], area[1]]
    pictures = shrunk_to(full, effort.fit_pixels)
    size = pictures.shape[-2:]
    allowed, weight = resized_map(allowed, size), resized_map(weight[area], size)
    mark = first
    shifts = find_grid(pictures) if len(pictures) == 1 else ()
    evidence = Evidence(pictures, weight, shifts=shifts)
    if context.hint is None or size != scale:
        alone = len(pictures) == 1 and not shifts
        length = strict_length(first) if alone else LENGTH
        mark = mark_at(evidence, first.opacity, first.hue, allowed, 2 * effort.turns, length)
    marks = [mark]
    if len(sample) > 1:
        agreed = agreed_mark(pictures, first.opacity, allowed, weight, 2 * effort.turns)
        if agreed is not None and _confirms(agreed, mark):
            marks.append(agreed)
    elif first.opacity <= OPAQUE and not shifts:
        marks = [all_pieces(pictures, mark, allowed, weight, effort.turns)]
    doubtful = len(sample) == 1 and not shifts and is_doubtful(pictures, marks[0], weight)
    mark = _fit_near(pictures, marks, allowed, weight, effort, context)
    if size != full.shape[-2:]:
        matte, ink = (
            resize(layer[None], (full.shape[-2], full.shape[-1]))[0]
            for layer in (mark.matte, mark.ink)
        )
        mark = Mark(matte, ink, mark.opacity, mark.gain)
    return replace(mark, doubtful=doubtful), area


def is_doubtful(pictures: Tensor, mark: Mark, weight: Tensor) -> bool:
    """Return whether ``mark`` with all its pieces explains too little of its outline.

    pictures: a single one, ``(1, 3, H, W)``. weight: how much each pixel counts, ``(H, W)``.
    """
    evidence = Evidence(pictures, weight, mark.matte[0] > 0)
    return explained_part(evidence, mark) < LEAST_EXPLAINED


def _fit_near(
    pictures: Tensor,
    marks: list[Mark],
    allowed: Tensor,
    weight: Tensor,
    effort: Effort,
    context: SeparationContext,
) -> Mark:
    """Return :func:`_best_fit`, computed on the rows and columns around the marks alone.

    What lies further away cannot change an outline, and would take most of the time.
    """
    place = torch.stack([mark.matte[0] > 0 for mark in marks]).any(0)
    if not bool(place.any()):
        return marks[0]
    part = bounds_around(place, MARGIN)
    near = [
        replace(mark, matte=mark.matte[(..., *part)], ink=mark.ink[(..., *part)]) for mark in marks
    ]
    found = _best_fit(pictures[(..., *part)], near, allowed[part], weight[part], effort, context)
    matte, ink = torch.zeros_like(marks[0].matte), torch.zeros_like(marks[0].ink)
    matte[(..., *part)], ink[(..., *part)] = found.matte, found.ink
    return replace(found, matte=matte, ink=ink)


def _best_fit(
    pictures: Tensor,
    marks: list[Mark],
    allowed: Tensor,
    weight: Tensor,
    effort: Effort,
    context: SeparationContext,
) -> Mark:
    """Return the fitted mark that leaves the pictures most continuous.

    marks: the mark of one colour, and that of all colours if there is one.
    """

    def note(done: float, losses: Mapping[str, float], begin: float) -> None:
        done = begin + done / len(marks)
        context.progress(0.5 + 0.5 * done, "drawing the mark")
        context.trace.add("drawing the mark", done, losses)

    fitted = []
    for number, one in enumerate(marks):
        # Only the mark of all colours holds stray pixels that need cleaning.
        rounds = effort.rounds if number else 1
        plan = RefinePlan(effort.steps, rounds, context.settings.seed)
        fitted.append(
            refine_mark(
                pictures,
                one,
                allowed > 0.5,
                weight,
                plan,
                on_step=partial(note, begin=number / len(marks)),
            )
        )
    if len(fitted) == 1:
        return fitted[0]
    return min(fitted, key=lambda one: residual_cost(pictures, one))


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
