"""Look quickly, in small pictures, for a mark that several of them share.

Pictures ``(K, 3, H, W)`` in [0, 1], two or more; maps of pixels ``(H, W)``.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from stages.watermark.evidence import Evidence
from stages.watermark.gain import UNRELATED_GAIN, is_clear
from stages.watermark.hypotheses import likely_shared_marks
from stages.watermark.mark import Mark, MarkedPictures
from stages.watermark.outline_law import fit_outline_law
from stages.watermark.pictures import shrunk_to, spread_indices
from stages.watermark.pixel_maps import resized_map
from stages.watermark.search import GRAYS, best_mark

QUICK_PIXELS = 20_000  # most pixels of a picture
QUICK_ITERATIONS = 50  # half of those of a cut
QUICK_GAIN = 6.0  # least nats per outline pixel
SCREENED_PICTURES = 3  # most pictures that the first look reads
SCREENING_ITERATIONS = 30  # of a cut in the first look
SCREENED_HYPOTHESES = tuple(each for each in GRAYS if each.opacity in (0.2, 0.5, 0.95))
"""Opacities and colours of the first look, besides those that are proposed."""
SCREENED_PROPOSALS = 5
"""Hypotheses from the colours at shared edges in the first look."""
REFINEMENTS = 2
"""Alternations of opacity and outline of a mark that is nearly right."""


def quick_pictures(pictures: Tensor, weight: Tensor) -> MarkedPictures:
    """Return ``pictures`` at the size of the quick search, with a mark anywhere.

    weight: how much each pixel counts, of any size.
    """
    return MarkedPictures.with_mark_anywhere(shrunk_to(pictures, QUICK_PIXELS), weight)


def quick_search(marked: MarkedPictures) -> Mark | None:
    """Return the mark that small pictures share, if any.

    A quick look at a few of the pictures proposes it, and all of them decide.

    marked: from :func:`quick_pictures`.
    """
    mark = screened_mark(marked, most_pictures=SCREENED_PICTURES, iterations=SCREENING_ITERATIONS)
    if mark.gain <= 0:
        return None
    mark = refined_mark(marked, mark, 2 * QUICK_ITERATIONS)
    return mark if is_clear(mark, QUICK_GAIN) else None


def screened_mark(marked: MarkedPictures, *, most_pictures: int, iterations: int) -> Mark:
    """Return the best mark of those that a quick look at some of the pictures finds.

    Fewer hypotheses are tried than in :func:`stages.watermark.search.find_mark`, and none is
    refined. The gain is that in the pictures that are looked at.

    most_pictures: how many these are at most. iterations: of a cut.
    """
    pictures = marked.pictures
    seen = pictures[spread_indices(len(pictures), most_pictures)]
    clear_gain = UNRELATED_GAIN * len(seen) / len(pictures)
    evidence = Evidence(replace(marked, pictures=seen))
    found = [
        best_mark(evidence, hypothesis.law, iterations)
        for hypothesis in SCREENED_HYPOTHESES + likely_shared_marks(seen, SCREENED_PROPOSALS)
    ]
    return max(found, key=lambda mark: (is_clear(mark, clear_gain), mark.gain))


def refined_mark(marked: MarkedPictures, mark: Mark, iterations: int) -> Mark:
    """Return ``mark`` with its opacity, colour and outline fitted anew to the pictures.

    Its outline does not count as texture of the picture.

    mark: found at any size. iterations: of a cut.
    """
    pictures = marked.pictures
    chosen = resized_map(mark.matte[0], pictures.shape[-2:]) > 0
    law = mark.law
    evidence = Evidence(marked, chosen)
    for _ in range(REFINEMENTS):
        law = fit_outline_law(pictures, chosen) or law
        mark = best_mark(evidence, law, iterations)
        chosen = mark.chosen
    return mark
