"""Say what the user has to know about a mark that was found, or was not.

Maps ``(H, W)``, boolean; mattes ``(..., H, W)`` in [0, 1].
"""

from __future__ import annotations

from torch import Tensor

from stages.context import Note, SeparationContext
from stages.watermark.mark import Mark

FAINT_MATTE = 2 / 255  # a matte below this changes no picture of 8 bits
NOTHING_AT_HINT = (
    "no mark was found at the place that {hint} marks in {frames}, so the clean layer is the "
    "input; draw a box around the whole mark, with a little of the picture around it"
)
NOT_FOUND = (
    "the mark of {mark} was not found in {frames}, so the clean layer is the input; give a picture "
    "of the whole mark, with transparency or on an even background, or draw a box around the mark "
    "and give it as {hint}"
)
NOTHING_IN_PICTURE = (
    "no mark was found that repeats in {frames}, and one picture does not tell what else lies over "
    "it; draw a box around the mark and give it as {hint}"
)
NOTHING_IN_CLIP = (
    "no mark was found that stays in place in {frames} while the picture changes, so the clean "
    "layer is the input; draw a box around the mark and give it as {hint}"
)
PARTLY_FOUND = (
    "the mark that was found covers only a part of the place that {hint} marks in {frames}, so "
    "part of the mark may remain; draw the box closer around the mark, or give each part alone"
)
DOUBTFUL = (
    "what was found at the place that {hint} marks in {frames} explains little of its own outline, "
    "so it may be a part of the picture; compare the clean layer with the input"
)
LEAST_SPAN = 0.6
"""Part of the box's width and height that a found mark spans at least. A box is drawn around the
mark, so what spans less is likely a part of it."""


def mark_notes(
    matte: Tensor, box: Tensor, count: int, context: SeparationContext
) -> tuple[Note, ...]:
    """Return a warning where ``matte`` shows no mark in the ``count`` frames, or a part of one.

    box: ``(H, W)``, true where the mark may be.
    """
    places = tuple(range(count))
    found = (matte >= FAINT_MATTE).flatten(0, -3).any(0)
    if not bool(found.any()):
        return (Note(_nothing_found(count, context), places),)
    is_held_to_box = context.hint is not None and context.mark is None
    if is_held_to_box and spanned_part(found, box) < LEAST_SPAN:
        return (Note(PARTLY_FOUND, places),)
    return ()


def _nothing_found(count: int, context: SeparationContext) -> str:
    """Return the warning that no mark was found in ``count`` frames."""
    if context.mark is not None:
        return NOT_FOUND
    if context.hint is not None:
        return NOTHING_AT_HINT
    return NOTHING_IN_PICTURE if count == 1 else NOTHING_IN_CLIP


def is_likely_scene(mark: Mark, place: Tensor, box: Tensor) -> bool:
    """Return whether ``mark`` looks like a thing of the scene in a box that holds no mark.

    Such a thing explains little of its own outline. It also spans only a part of the box, which a
    user draws around the whole mark.

    place: the pixels of the mark, ``(H, W)``, boolean. box: where the mark may be, ``(H, W)``.
    """
    return not bool(place.any()) or (mark.doubtful and spanned_part(place, box) < LEAST_SPAN)


def spanned_part(place: Tensor, box: Tensor) -> float:
    """Return the part of the box's width or height, whichever is less, that ``place`` spans.

    place, box: ``(H, W)``, boolean, each true somewhere.
    """
    parts = []
    for axis in (0, 1):
        found, whole = (chosen.any(axis).nonzero() for chosen in (place, box))
        parts.append(float(found.max() - found.min() + 1) / float(whole.max() - whole.min() + 1))
    return min(parts)
