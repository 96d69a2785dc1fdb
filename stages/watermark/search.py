"""Search for a mark: the opacity, colour and place whose removal gains most continuity.

Pictures ``(K, 3, H, W)`` in [0, 1] that share one mark; maps of pixels ``(H, W)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stages.watermark.evidence import LENGTH, Evidence, outline_explained
from stages.watermark.find import (
    LEAST_SAMPLES,
    Mark,
    dilated,
    opacity_and_color,
    outline_sides,
    solve,
)
from stages.watermark.fit import OPAQUE
from stages.watermark.hypotheses import (
    LEAST_AROUND,
    MarkHypothesis,
    likely_marks,
    likely_shared_marks,
)
from stages.watermark.pictures import inner_part, resized_map, spread_indices
from stages.watermark.repeat import find_grid

GRAYS = tuple(
    MarkHypothesis(opacity, (gray, gray, gray))
    for gray in (1.0, 0.0, 0.5)
    for opacity in (0.2, 0.35, 0.5, 0.7, 0.95)
)
HUES = tuple((float(n & 1), float(n >> 1 & 1), float(n >> 2 & 1)) for n in range(1, 7))
HYPOTHESES = GRAYS + tuple(MarkHypothesis(opacity, hue) for opacity in (0.35, 0.7) for hue in HUES)
"""Opacities and colours to start from, for a mark that repeats in one picture. Most marks are near
enough to one of them to show their outline."""
COMMON = tuple(MarkHypothesis(each, 3 * (gray,)) for gray in (1.0, 0.0) for each in (0.3, 0.5, 0.7))
"""White and black marks, which are by far the most common. They are tried in a single
picture with a box, because the edges of a scene may vote for other colours."""
PROPOSED = 8
"""Hypotheses from the colours at shared edges, besides :data:`GRAYS`, for a mark that several
pictures share. Of 10 drawn sets, the true opacity and colour were nearest to one of the first five
in nine."""
SCREENED = tuple(each for each in GRAYS if each.opacity in (0.2, 0.5, 0.95))
"""Opacities and colours of a quick look, besides those that are proposed."""
SCREEN_PROPOSED = 5
"""Hypotheses from the colours at shared edges in a quick look."""
REFINEMENTS = 2
"""Alternations of opacity and outline of a mark that is nearly right."""
SETTLED = 4  # best hypotheses that are refined
LINE_ERROR = 0.03
"""Error of a colour, as an RGB distance, above which a pair counts little for the law."""
UNDECIDED = 0.5
"""Agreement of a mark whose colours do not follow those around it. It halves the gain at most."""
ROUNDS = 3  # alternations of outline and opacity; two are usually enough
LEAST_GAIN = 2.5
"""Least nats per outline pixel of a mark in a box of one picture. True marks have 3 to 13."""
SHARED_GAIN = 15.0
"""Least nats per outline pixel of a mark that several pictures share. Scenes without a mark have at
most 9, marks about 40."""
SEPARATE_GAIN = 9.0
"""Least nats per outline pixel of a mark on pictures of different scenes, if each gains by it. Of
six sets with drawn marks, 0.18 to 0.36 opaque, all pictures gained, and together 9.8 to 33. Of five
without marks one picture or more lost, and they gained 4 at most."""

LEAST_EXPLAINED = 0.42
"""Part of its outline's nats that a mark in a box of one picture explains if it is beyond doubt. Of
63 drawn marks, 8 explained less. Taking these off changed them by -1.6 to +14.2 dB, 4.3 in the
mean, so that is done all the same, with a warning."""
OWN_PART = 0.5
"""Part of a mark's mean gain per outline pixel that every outline of it has to reach. Scenes have
things that look like the mark on a part of their outline. With 0.7, faint marks lose parts."""
CUTS_TO_COMPARE = 2
"""Strict cuts of a settled mark before it is compared with others. Things all over a scene gain
much along a long outline, a mark gains much at every pixel of its own. On 51 drawn marks in one
picture, the choice by gain alone left five below their input, that by both factors three, and the
best possible choice two."""
FAR = 0.01  # difference of a channel from white or black above which a colour is another one
LENGTHS_PER_PIXEL = 3.6
"""Sum of the outline's lengths over the pairs that cross a straight outline, for a pixel at either
side of it."""


def find_mark(
    pictures: Tensor,
    allowed: Tensor,
    weight: Tensor,
    *,
    turns: int = 80,
    progress: Callable[[float], None] = lambda done: None,
    least_gain: float | None = None,
    separate: bool = False,
) -> Mark | None:
    """Return the mark of one opacity and colour that all pictures share, or None without one.

    Every hypothesis gets its best outline. The best few are refined by fitting the outline and the
    opacity with the colour in turn. The one with the largest gain is kept.

    allowed: ``(H, W)`` in [0, 1], 0 where no mark may be.
    weight: how much each pixel counts, ``(H, W)``. turns: iterations of a cut.
    progress: takes the fraction done, 0 to 1.
    least_gain: nats per outline pixel that the mark has to gain; by default :data:`LEAST_GAIN` in
    one picture, and :data:`SHARED_GAIN` in several.
    separate: whether the pictures show different scenes. Then each is evidence of its own, and less
    is enough (:data:`SEPARATE_GAIN`) if it is in every picture.
    """
    shifts = find_grid(pictures) if len(pictures) == 1 else ()
    evidence = Evidence(pictures, weight, shifts=shifts)
    # Repetitions and other pictures tell a mark from the scene; else what is around the box does.
    alone = len(pictures) == 1 and not shifts
    attempt = mark_beyond_chance if alone else mark_at
    tried = []
    hypotheses = _hypotheses(pictures, allowed, alone=alone)
    for number, (opacity, color) in enumerate(hypotheses):
        tried.append(attempt(evidence, opacity, pictures.new_tensor(color), allowed, turns))
        progress(number / len(hypotheses))
    clear_gain = 0.0 if alone else SEPARATE_GAIN
    tried.sort(key=lambda mark: (is_clear(mark, clear_gain), mark.gain), reverse=True)

    def settled(mark: Mark) -> Mark:
        """Fit the opacity with the colour, and the outline, in turn."""
        for _ in range(ROUNDS):
            line = opacity_and_color(pictures, mark.matte[0] > 0)
            if line is None:
                break
            mark = attempt(evidence, *line, allowed, 2 * turns)
        return mark

    def worth(mark: Mark) -> float:
        if not alone:
            return mark.gain
        known = strictly_cut(pictures, allowed, weight, mark, turns, cuts=CUTS_TO_COMPARE)
        return mark.gain * law_agreement(pictures, mark) * gain_per_pixel(known)

    best = tried[:SETTLED]
    if alone:
        # Of the most common colours, one comes into question even if four others gain more.
        best += [mark for mark in tried[SETTLED:] if is_common(mark)][:1]
    mark = max(
        map(settled, best),
        key=lambda mark: (is_clear(mark, clear_gain), worth(mark), mark.gain),
    )
    # What gains no more than the picture's own content around the box is not taken off.
    if mark.gain <= 0 or not bool((mark.matte > 0).any()):
        return None
    if alone:
        mark = strictly_cut(pictures, allowed, weight, mark, turns)
    else:
        # The mark's outline must not count as texture of the picture.
        evidence = Evidence(pictures, weight, mark.matte[0] > 0, shifts)
        mark = mark_at(evidence, mark.opacity, mark.hue, allowed, 2 * turns)
    if not outline_length(mark):
        return None
    if least_gain is None:
        least_gain = LEAST_GAIN
        if len(pictures) > 1:
            least_gain = shared_gain(pictures, weight, mark, separate=separate)
    return mark if is_clear(mark, least_gain) else None


def strictly_cut(
    pictures: Tensor, allowed: Tensor, weight: Tensor, mark: Mark, turns: int, *, cuts: int = 1
) -> Mark:
    """Return ``mark`` with its outline cut anew in one picture, where every outline has to gain.

    The mark's outline does not count as texture of the picture any more. So it gains more than in
    the search, and each further cut asks more of every outline (:func:`strict_length`).

    pictures, allowed, weight, turns: see :func:`find_mark`. cuts: how many.
    """
    for _ in range(cuts):
        if not bool((mark.matte > 0).any()):
            break
        evidence, length = Evidence(pictures, weight, mark.matte[0] > 0), strict_length(mark)
        mark = mark_at(evidence, mark.opacity, mark.hue, allowed, 2 * turns, length)
    return mark


def gain_per_pixel(mark: Mark) -> float:
    """Return the nats that ``mark`` gains for each pixel of its outline."""
    return mark.gain / max(1, outline_length(mark))


def is_common(mark: Mark) -> bool:
    """Return whether ``mark`` is white or black."""
    return bool((mark.hue < FAR).all()) or bool((mark.hue > 1 - FAR).all())


def screened_mark(
    pictures: Tensor, allowed: Tensor, weight: Tensor, *, few: int, turns: int
) -> Mark:
    """Return the best mark of those that a quick look at some of the pictures finds.

    Fewer hypotheses are tried than in :func:`find_mark`, and none is refined.

    pictures, allowed, weight, turns: see :func:`find_mark`; two pictures or more. few: how many of
    them are looked at. The gain is that in these.
    """
    seen = pictures[spread_indices(len(pictures), few)]
    clear_gain = SEPARATE_GAIN * len(seen) / len(pictures)
    evidence = Evidence(seen, weight)
    found = [
        mark_at(evidence, opacity, pictures.new_tensor(color), allowed, turns)
        for opacity, color in SCREENED + likely_shared_marks(seen, SCREEN_PROPOSED)
    ]
    return max(found, key=lambda mark: (is_clear(mark, clear_gain), mark.gain))


def refined_mark(
    pictures: Tensor, allowed: Tensor, weight: Tensor, mark: Mark, *, turns: int
) -> Mark:
    """Fit the opacity, colour and outline of ``mark`` anew to the pictures, and return the result.

    Its outline does not count as texture of the picture.

    pictures, allowed, weight, turns: see :func:`find_mark`. mark: found at any size.
    """
    size = (pictures.shape[-2], pictures.shape[-1])
    where = resized_map(mark.matte[0], torch.Size(size)) > 0
    line = mark.opacity, mark.hue
    evidence = Evidence(pictures, weight, where)
    for _ in range(REFINEMENTS):
        line = opacity_and_color(pictures, where) or line
        mark = mark_at(evidence, *line, allowed, turns)
        where = mark.matte[0] > 0
    return mark


def _hypotheses(pictures: Tensor, allowed: Tensor, *, alone: bool) -> Sequence[MarkHypothesis]:
    """Return the opacities and colours to try; arguments as in :func:`find_mark`."""
    if alone:
        return likely_marks(pictures, allowed) + COMMON
    if len(pictures) > 1:
        return GRAYS + likely_shared_marks(pictures, PROPOSED)
    return HYPOTHESES


def is_clear(mark: Mark, least: float) -> bool:
    """Return whether a mark gains more than ``least`` nats for each pixel of its outline.

    What is a little lighter or darker all over the pictures may gain more than a mark does, along a
    far longer outline. So clear marks come before others, whatever these gain.
    """
    return mark.gain > least * outline_length(mark)


def shared_gain(pictures: Tensor, weight: Tensor, mark: Mark, *, separate: bool) -> float:
    """Return the least nats per outline pixel with which a mark that several pictures share counts.

    pictures, weight, separate: see :func:`find_mark`. mark: with an outline.
    """
    if not separate:
        return SHARED_GAIN
    where = mark.matte[0] > 0
    gains = []
    for picture in pictures:
        evidence = Evidence(picture[None], weight, where)
        gains.append(-evidence.cut(mark.opacity, mark.hue).cost(where))
    return SEPARATE_GAIN if min(gains) > 0 else SHARED_GAIN


def law_agreement(pictures: Tensor, mark: Mark) -> float:
    """Return which part of the colours inside the outline the mark's law explains.

    The law is ``inside = (1 - a) outside + a colour``. With the correlation r of both sides, a line
    between equally noisy sides leaves the part ``2 (1 - r)`` unexplained. An even surface of the
    scene passes for a nearly opaque mark, but its colours do not follow those around it. Those of
    an opaque mark do not follow them either, and noise hides how those of a faint scene do. So the
    result is from :data:`UNDECIDED` to 1.

    pictures: ``(K, 3, H, W)``.
    """
    if mark.opacity > OPAQUE:
        return UNDECIDED
    outer, inner = (
        side.permute(1, 0, 2).flatten(1)
        for side in outline_sides(pictures, mark.matte[0] > 0, pictures)
    )
    if outer.shape[1] < LEAST_SAMPLES:
        return UNDECIDED
    slope = 1 - mark.opacity
    error = (inner - slope * outer - mark.opacity * mark.hue.view(3, 1)).square().sum(0) / slope
    weight = 1 / (error + LINE_ERROR**2)
    outer, inner = (
        side - (weight * side).sum(1, keepdim=True) / weight.sum() for side in (outer, inner)
    )
    spreads = (weight * outer.square()).sum() * (weight * inner.square()).sum()
    correlation = float((weight * outer * inner).sum() / spreads.sqrt().clamp_min(1e-9))
    return max(UNDECIDED, 2 * correlation - 1)


def explained_part(evidence: Evidence, mark: Mark) -> float:
    """Return the part of the nats across the outline of ``mark`` that undoing it removes.

    The colours that a mark's law predicts agree along its whole outline. Those of a thing in the
    scene agree along a part of it, however much that part gains.
    """
    return outline_explained(evidence, Mark.nothing(evidence.pictures), mark, mark.matte[0] > 0)


def outline_length(mark: Mark) -> int:
    """Return the number of pixels at the outline of ``mark``, on both of its sides."""
    chosen = mark.matte[0] > 0
    return int((dilated(chosen, 1) & ~dilated(chosen, -1)).sum())


def strict_length(mark: Mark) -> float:
    """Return the nats of an outline for a pair of neighbours once ``mark`` is known.

    They are so many that an outline has to gain :data:`OWN_PART` of what the whole mark gains per
    outline pixel.
    """
    gain = max(0.0, mark.gain) / max(1, outline_length(mark))
    return LENGTH + OWN_PART * gain / LENGTHS_PER_PIXEL


def mark_at(
    evidence: Evidence,
    opacity: float,
    color: Tensor,
    allowed: Tensor,
    turns: int,
    length: float = LENGTH,
) -> Mark:
    """Return the best mark of this ``opacity`` and ``color`` (3,).

    Its matte is empty if nothing is gained.

    length: nats of an outline for a pair of neighbours. The mark's gain always counts
    :data:`stages.watermark.evidence.LENGTH`.
    """
    cut = evidence.cut(opacity, color)
    strict = cut if length == LENGTH else evidence.cut(opacity, color, length)
    chosen = solve(strict, allowed, turns)
    matte = opacity * chosen.float()[None]
    return Mark(matte, matte * color.view(3, 1, 1), opacity, -cut.cost(chosen))


def mark_beyond_chance(
    evidence: Evidence, opacity: float, color: Tensor, allowed: Tensor, turns: int
) -> Mark:
    """Return the mark as :func:`mark_at`, with the gain that the picture's own content leaves.

    The cut also chooses pixels around the box, where no mark is. What is gained there, per pixel,
    is gained by chance: dark things look like a black mark. So much is taken off the gain inside.
    """
    cut = evidence.cut(opacity, color)
    inside = allowed > 0.5
    chosen = solve(cut, inner_part(torch.ones_like(inside)), turns)
    gain = cut.gain(chosen)
    area, around = float(inside.sum()), float((~inside).sum())
    chance = max(0.0, float(gain[~inside].sum())) / (around + LEAST_AROUND * area)
    matte = opacity * (chosen & inside).float()[None]
    return Mark(
        matte, matte * color.view(3, 1, 1), opacity, float(gain[inside].sum()) - chance * area
    )
