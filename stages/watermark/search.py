"""Search for a mark: the opacity, colour and place whose removal gains most continuity.

Pictures ``(K, 3, H, W)`` in [0, 1] that share one mark; maps of pixels ``(H, W)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from stages.watermark.evidence import OUTLINE_NATS, Evidence
from stages.watermark.gain import (
    LEAST_GAIN,
    UNRELATED_GAIN,
    gain_per_pixel,
    is_clear,
    least_shared_gain,
    outline_length,
    strict_outline_nats,
)
from stages.watermark.graph_cut import solve
from stages.watermark.hypotheses import (
    LEAST_AROUND,
    MarkHypothesis,
    likely_marks,
    likely_shared_marks,
)
from stages.watermark.mark import Mark, MarkedPictures, MarkLaw
from stages.watermark.outline_law import fit_outline_law, law_agreement
from stages.watermark.pixel_maps import inner_part

GRAYS = tuple(
    MarkHypothesis(opacity, (gray, gray, gray))
    for gray in (1.0, 0.0, 0.5)
    for opacity in (0.2, 0.35, 0.5, 0.7, 0.95)
)
PURE_COLORS = tuple((float(n & 1), float(n >> 1 & 1), float(n >> 2 & 1)) for n in range(1, 7))
HYPOTHESES = GRAYS + tuple(
    MarkHypothesis(opacity, color) for opacity in (0.35, 0.7) for color in PURE_COLORS
)
"""Opacities and colours to start from, for a mark that repeats in one picture. Most marks are near
enough to one of them to show their outline."""
COMMON = tuple(MarkHypothesis(each, 3 * (gray,)) for gray in (1.0, 0.0) for each in (0.3, 0.5, 0.7))
"""White and black marks, which are by far the most common. They are tried in a single
picture with a box, because the edges of a scene may vote for other colours."""
SHARED_PROPOSALS = 8
"""Hypotheses from the colours at shared edges, besides :data:`GRAYS`, for a mark that several
pictures share. Of 10 drawn sets, the true opacity and colour were nearest to one of the first five
in nine."""
MOST_SETTLED = 4  # best hypotheses that are refined
ALTERNATIONS = 3  # of outline and opacity; two are usually enough
CUTS_TO_COMPARE = 2
"""Strict cuts of a settled mark before it is compared with others. Things all over a scene gain
much along a long outline, a mark gains much at every pixel of its own. On 51 drawn marks in one
picture, the choice by gain alone left five below their input, that by both factors three, and the
best possible choice two."""
PURE_TOLERANCE = 0.01
"""Difference of a channel from white or black above which a colour is another one."""


def find_mark(
    marked: MarkedPictures,
    *,
    iterations: int = 80,
    progress: Callable[[float], None] = lambda done: None,
    least_gain: float | None = None,
    unrelated: bool = False,
) -> Mark | None:
    """Return the mark of one opacity and colour that all pictures share, or None without one.

    Every hypothesis gets its best outline. The best few are refined by fitting the outline and the
    opacity with the colour in turn. The best one of these is cut again, and kept if it gains
    enough.

    iterations: of a cut. progress: takes the fraction done, 0 to 1.
    least_gain: nats per outline pixel that the mark has to gain; by default
        :data:`stages.watermark.gain.LEAST_GAIN` in one picture, and
        :func:`stages.watermark.gain.least_shared_gain` in several.
    unrelated: whether the pictures show different scenes. Then each is evidence of its own, and
        less is enough if the mark is in every picture.
    """
    evidence = Evidence(marked)
    tried = []
    hypotheses = _hypotheses(marked)
    for number, hypothesis in enumerate(hypotheses):
        tried.append(_best_mark_for_search(evidence, hypothesis.law, iterations))
        progress(number / len(hypotheses))
    mark = _best_settled(evidence, tried, iterations)
    # What gains no more than the picture's own content around the box is not taken off.
    if mark.gain <= 0 or mark.is_empty:
        return None
    if marked.is_lone_picture:
        mark = strictly_cut(marked, mark, iterations)
    else:
        # The mark's outline must not count as texture of the picture.
        mark = best_mark(Evidence(marked, mark.chosen), mark.law, 2 * iterations)
    if not outline_length(mark):
        return None
    if least_gain is None:
        least_gain = LEAST_GAIN
        if len(marked.pictures) > 1:
            least_gain = least_shared_gain(marked, mark, unrelated=unrelated)
    return mark if is_clear(mark, least_gain) else None


def _hypotheses(marked: MarkedPictures) -> Sequence[MarkHypothesis]:
    """Return the opacities and colours to try."""
    pictures = marked.pictures
    if marked.is_lone_picture:
        return likely_marks(pictures, marked.allowed) + COMMON
    if len(pictures) > 1:
        return GRAYS + likely_shared_marks(pictures, SHARED_PROPOSALS)
    return HYPOTHESES


def _best_mark_for_search(evidence: Evidence, law: MarkLaw, iterations: int) -> Mark:
    """Return the best mark of this opacity and colour, with the gain that tells it from the scene.

    Repetitions and other pictures tell a mark from the scene; else what is around the box does.
    """
    if evidence.marked.is_lone_picture:
        return best_mark_beyond_chance(evidence, law, iterations)
    return best_mark(evidence, law, iterations)


def _best_settled(evidence: Evidence, tried: list[Mark], iterations: int) -> Mark:
    """Return the best one of the marks ``tried``, after the most likely of them are settled."""
    marked = evidence.marked
    clear_gain = 0.0 if marked.is_lone_picture else UNRELATED_GAIN
    ranked = sorted(tried, key=lambda mark: (is_clear(mark, clear_gain), mark.gain), reverse=True)
    best = ranked[:MOST_SETTLED]
    if marked.is_lone_picture:
        # Of the most common colours, one comes into question even if four others gain more.
        best += [mark for mark in ranked[MOST_SETTLED:] if is_white_or_black(mark)][:1]

    def score(mark: Mark) -> float:
        if not marked.is_lone_picture:
            return mark.gain
        strict = strictly_cut(marked, mark, iterations, cuts=CUTS_TO_COMPARE)
        return mark.gain * law_agreement(marked.pictures, mark) * gain_per_pixel(strict)

    return max(
        (_settled(evidence, mark, iterations) for mark in best),
        key=lambda mark: (is_clear(mark, clear_gain), score(mark), mark.gain),
    )


def _settled(evidence: Evidence, mark: Mark, iterations: int) -> Mark:
    """Return ``mark`` with its opacity and colour, and its outline, fitted in turn."""
    for _ in range(ALTERNATIONS):
        law = fit_outline_law(evidence.pictures, mark.chosen)
        if law is None:
            break
        mark = _best_mark_for_search(evidence, law, 2 * iterations)
    return mark


def strictly_cut(marked: MarkedPictures, mark: Mark, iterations: int, *, cuts: int = 1) -> Mark:
    """Return ``mark`` with its outline cut anew in one picture, where every outline has to gain.

    The mark's outline does not count as texture of the picture any more. So it gains more than in
    the search, and each further cut asks more of every outline
    (:func:`stages.watermark.gain.strict_outline_nats`).

    iterations: half of those of a cut.
    """
    for _ in range(cuts):
        if mark.is_empty:
            break
        evidence = Evidence(marked, mark.chosen)
        mark = best_mark(evidence, mark.law, 2 * iterations, strict_outline_nats(mark))
    return mark


def is_white_or_black(mark: Mark) -> bool:
    """Return whether ``mark`` is white or black."""
    color = mark.mean_color
    is_black, is_white = color < PURE_TOLERANCE, color > 1 - PURE_TOLERANCE
    return bool(is_black.all()) or bool(is_white.all())


def best_mark(
    evidence: Evidence, law: MarkLaw, iterations: int, outline_nats: float = OUTLINE_NATS
) -> Mark:
    """Return the mark of this opacity and colour with the outline that gains most.

    Its matte is empty if nothing is gained.

    iterations: of the cut. outline_nats: of an outline for a pair of neighbours. The mark's gain
    always counts :data:`stages.watermark.evidence.OUTLINE_NATS`.
    """
    cut = evidence.cut(law)
    strict = cut if outline_nats == OUTLINE_NATS else evidence.cut(law, outline_nats)
    chosen = solve(strict, evidence.marked.allowed, iterations)
    return Mark.of_one_color(chosen, law, -cut.cost(chosen))


def best_mark_beyond_chance(evidence: Evidence, law: MarkLaw, iterations: int) -> Mark:
    """Return the mark as :func:`best_mark`, with the gain that the picture's own content leaves.

    The cut also chooses pixels around the box, where no mark is. What is gained there, per pixel,
    is gained by chance: dark things look like a black mark. So much is taken off the gain inside.
    """
    cut = evidence.cut(law)
    inside = evidence.marked.allowed > 0.5
    chosen = solve(cut, inner_part(torch.ones_like(inside)), iterations)
    gain = cut.gain(chosen)
    area, area_around = float(inside.sum()), float((~inside).sum())
    chance = max(0.0, float(gain[~inside].sum())) / (area_around + LEAST_AROUND * area)
    return Mark.of_one_color(chosen & inside, law, float(gain[inside].sum()) - chance * area)
