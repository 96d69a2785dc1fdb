"""Fit the mark that a search found in smaller pictures to the pixel.

The mark is cut again at the size of the fit, gets its further colours, and then its soft outline.

Pictures ``(K, 3, H, W)`` in [0, 1] that share one mark; maps ``(H, W)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from stages.context import SeparationContext
from stages.mixing.watermark_composite import MOST_OPAQUE
from stages.motion.flow import resize
from stages.watermark.consensus import agreed_mark
from stages.watermark.continuity import residual_cost
from stages.watermark.effort import Effort
from stages.watermark.evidence import Evidence
from stages.watermark.gain import LEAST_EXPLAINED, explained_part, strict_outline_nats
from stages.watermark.mark import Mark, MarkedPictures, MarkLaw
from stages.watermark.mark_fit import RefinePlan, refine_mark
from stages.watermark.outline_law import fit_outline_law
from stages.watermark.pictures import shrunk_to
from stages.watermark.pieces import with_all_pieces
from stages.watermark.pixel_maps import bounds_around, placed_in_zeros, resized_map
from stages.watermark.search import best_mark
from stages.watermark.soft_outline import inner_coverage

MARGIN = 16  # pixels around the mark that the fit also reads
MEASUREMENTS = 2  # of a mark's opacity and place at full size, each from the other
ONE_COLOR_FITS = 2
"""Fits of a mark of one colour. The second starts from the outline of the first."""
LEAST_OTHER_COLOR = 0.15  # difference of a channel above which a colour is another one
LEAST_COLORED_GAIN = 1.1
"""How many times as much of the pictures' discontinuity a mark of many colours has to take off."""
LEAST_OTHER_PART = 0.1
"""Part of a mark's pixels above which those of other colours make it one of many colours."""
LEAST_CONFIRMED_PART = 0.6  # part of a mark that one of many colours has to cover to confirm it
MOST_OPACITY_DIFFERENCE = 0.1  # between a mark and one of many colours that confirms it
MOST_TIMES_LARGER = 8  # in pixels, of a mark of many colours that confirms another one


@dataclass(frozen=True)
class SearchedMark:
    """A mark as a search found it in smaller pictures.

    mark: at the size of these pictures. searched_size: their height and width.
    place: the marked pixels in the pictures at full size, ``(H, W)``, boolean.
    """

    mark: Mark
    searched_size: tuple[int, int]
    place: Tensor


def fitted_mark(
    full: MarkedPictures, searched: SearchedMark, effort: Effort, context: SeparationContext
) -> Mark:
    """Return the mark that a search found, fitted to the pixel.

    full: the pictures at full size.
    """
    marked = shrunk_pictures(full, effort.fit_pixels)
    mark = _mark_at_fit_size(marked, searched, effort, context)
    marks = _marks_to_fit(marked, mark, effort.turns)
    doubtful = marked.is_lone_picture and explained_part(marked, marks[0]) < LEAST_EXPLAINED
    mark = _fit_near(marked, marks, effort, context)
    size = (full.pictures.shape[-2], full.pictures.shape[-1])
    if marked.pictures.shape[-2:] != size:
        matte, ink = (resize(layer[None], size)[0] for layer in (mark.matte, mark.ink))
        mark = Mark(matte, ink, mark.opacity, mark.gain)
    return replace(mark, doubtful=doubtful)


def shrunk_pictures(full: MarkedPictures, pixels: int) -> MarkedPictures:
    """Return the pictures reduced to at most ``pixels`` each, and where a single one repeats."""
    pictures = shrunk_to(full.pictures, pixels)
    size = pictures.shape[-2:]
    return MarkedPictures.with_repetitions(
        pictures, resized_map(full.allowed, size), resized_map(full.weight, size)
    )


def _mark_at_fit_size(
    marked: MarkedPictures, searched: SearchedMark, effort: Effort, context: SeparationContext
) -> Mark:
    """Return the mark that the search found, cut again in the pictures of the fit."""
    size, first = marked.pictures.shape[-2:], searched.mark
    matte = first.opacity * resized_map(searched.place.float(), size)[None]
    mark = replace(first, matte=matte, ink=matte * first.mean_color.view(3, 1, 1))
    if not marked.is_lone_picture:
        return remeasured(marked, mark, 2 * effort.turns)
    if context.hint is None or size != searched.searched_size:
        outline_nats = strict_outline_nats(first)
        return best_mark(Evidence(marked), first.law, 2 * effort.turns, outline_nats)
    return mark


def remeasured(marked: MarkedPictures, mark: Mark, iterations: int) -> Mark:
    """Return ``mark`` with its opacity and colour measured at full size, and its place by these.

    The search reads smaller pictures, in which thin strokes are fainter than they are. Only a mark
    that repeats, or that several pictures share, is certain enough for it.

    iterations: of a cut.
    """
    for _ in range(MEASUREMENTS):
        law = fit_outline_law(marked.pictures, mark.chosen)
        if law is None:
            break
        opacity = min(MOST_OPAQUE, law.opacity / inner_coverage(mark.chosen))
        evidence = Evidence(marked, mark.chosen)
        found = best_mark(evidence, MarkLaw(opacity, law.color), iterations)
        if found.is_empty:
            break
        mark = found
    return mark


def _marks_to_fit(marked: MarkedPictures, mark: Mark, iterations: int) -> list[Mark]:
    """Return ``mark`` with what joins it, and a mark of many colours if there is one.

    In a single picture, further pieces of other colours join ``mark``. In several, what they agree
    on joins it or makes it one of many colours.

    iterations: of a cut.
    """
    if marked.is_lone_picture:
        return [mark if mark.is_opaque else with_all_pieces(marked, mark, iterations)]
    if marked.shifts:
        return [mark]
    agreed = agreed_mark(marked, mark.opacity, 2 * iterations)
    if agreed is None or not confirms(agreed, mark):
        return [mark]
    if other_colors_part(agreed, mark) > LEAST_OTHER_PART:
        return [mark, agreed]
    return [joined(agreed, mark)]


def confirms(agreed: Mark, mark: Mark) -> bool:
    """Return whether ``agreed`` confirms ``mark``.

    It has to contain most of it, to be about as opaque, and not to be far larger.
    """
    count = int(mark.chosen.sum())
    covered = float((agreed.chosen & mark.chosen).sum()) / max(1, count)
    return (
        covered > LEAST_CONFIRMED_PART
        and abs(agreed.opacity - mark.opacity) < MOST_OPACITY_DIFFERENCE
        and int(agreed.chosen.sum()) < MOST_TIMES_LARGER * count
    )


def other_colors_part(agreed: Mark, mark: Mark) -> float:
    """Return the part of ``agreed`` that ``mark`` leaves out and that has another colour."""
    missed = agreed.chosen & ~mark.chosen
    return float((missed & ~_has_its_color(agreed, mark)).sum()) / max(1, int(agreed.chosen.sum()))


def joined(agreed: Mark, mark: Mark) -> Mark:
    """Return ``mark`` with what ``agreed`` covers in the same colour."""
    more = agreed.chosen & ~mark.chosen & _has_its_color(agreed, mark)
    matte = torch.where(more, mark.opacity, mark.matte)
    return replace(mark, matte=matte, ink=matte * mark.mean_color.view(3, 1, 1))


def _has_its_color(agreed: Mark, mark: Mark) -> Tensor:
    """Return where ``agreed`` has about the colour of ``mark``, ``(h, w)``, boolean."""
    difference = (agreed.color - mark.mean_color.view(3, 1, 1)).abs().amax(0)
    return difference <= LEAST_OTHER_COLOR


def _fit_near(
    marked: MarkedPictures, marks: list[Mark], effort: Effort, context: SeparationContext
) -> Mark:
    """Return :func:`_best_fit`, computed on the rows and columns around the marks alone.

    What lies further away cannot change an outline, and would take most of the time.
    """
    place = torch.stack([mark.chosen for mark in marks]).any(0)
    if not bool(place.any()):
        return marks[0]
    area = bounds_around(place, MARGIN)
    near = [mark.cropped(area) for mark in marks]
    found = _best_fit(marked.cropped(area), near, effort, context)
    size = (place.shape[0], place.shape[1])
    matte, ink = (placed_in_zeros(layer, area, size) for layer in (found.matte, found.ink))
    return replace(found, matte=matte, ink=ink)


def _best_fit(
    marked: MarkedPictures, marks: list[Mark], effort: Effort, context: SeparationContext
) -> Mark:
    """Return the fitted mark of one colour, or that of many colours if it explains clearly more.

    A colour for each pixel also explains noise, so that :data:`LEAST_COLORED_GAIN` is asked of it.

    marks: the mark of one colour, and that of many colours if there is one.
    """

    def report(done: float, losses: Mapping[str, float], begin: float) -> None:
        done = begin + done / len(marks)
        context.progress(0.5 + 0.5 * done, "drawing the mark")
        context.trace.add("drawing the mark", done, losses)

    seed = context.settings.seed
    plans = [
        RefinePlan(effort.steps, 1 if marked.shifts else min(ONE_COLOR_FITS, effort.rounds), seed),
        RefinePlan(effort.steps, effort.rounds, seed, colored=True),
    ]
    fitted = [
        refine_mark(marked, mark, plan, on_step=partial(report, begin=number / len(marks)))
        for number, (mark, plan) in enumerate(zip(marks, plans, strict=False))
    ]
    if len(fitted) == 1:
        return fitted[0]
    before = residual_cost(marked.pictures, Mark.nothing(marked.pictures))
    plain, colored = (before - residual_cost(marked.pictures, mark) for mark in fitted)
    return fitted[1] if colored > LEAST_COLORED_GAIN * plain else fitted[0]
