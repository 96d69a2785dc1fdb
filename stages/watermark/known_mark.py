"""Find a mark that the user gave as a picture, and say where it lies and how opaque it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from stages.context import SeparationContext
from stages.watermark.effort import SEARCHED_PICTURES
from stages.watermark.mark_file import MarkFile
from stages.watermark.matched_filter import Candidate, find_candidates
from stages.watermark.pictures import spread_indices
from stages.watermark.placement_fit import FittedPlacement, balanced_opacity, fit_placement

LEAST_PLACEMENT_GAIN = 20.0
"""Least gain of a mark that is there, see
:class:`stages.watermark.placement_fit.FittedPlacement`. Marks that are not there gained 11 at most
in drawn pictures."""


@dataclass(frozen=True)
class KnownMark:
    """A known mark as it lies over the frames.

    matte: ``(1, H, W)`` in [0, 1]. color: ``(3, H, W)`` in [0, 1], 0 where nothing is marked.
    found: where it lies, and its opacity.
    """

    matte: Tensor
    color: Tensor
    found: FittedPlacement

    @property
    def is_believed(self) -> bool:
        """Whether the mark gains enough to be there, rather than being forced."""
        return self.found.gain > LEAST_PLACEMENT_GAIN


def locate_known(sample: Tensor, box: Tensor, context: SeparationContext) -> KnownMark | None:
    """Return the mark ``context.mark`` as it lies over the frames, or None if it is not found.

    sample: frames ``(S, 3, H, W)``. box: ``(H, W)``, boolean; the mark's centre lies in it.
    With ``force``, the place that fits best counts as found.
    """
    assert context.mark is not None, "the user gave a mark"
    mark = MarkFile.of_picture(context.mark)
    pictures = sample[spread_indices(len(sample), SEARCHED_PICTURES)]
    candidates = find_candidates(
        pictures, mark, box, lambda done: context.progress(0.6 * done, "looking for the mark")
    )
    found = _best(pictures, mark, candidates, context)
    if found is None or not context.should_separate(found.gain, LEAST_PLACEMENT_GAIN):
        return None
    found = replace(balanced_opacity(pictures, mark, found), gain=found.gain)
    frame = (sample.shape[-2], sample.shape[-1])
    drawn = mark.mark(found.placement, found.opacity, frame, found.drawing)
    return KnownMark(drawn.matte, drawn.color * (drawn.matte > 0), found)


def _best(
    pictures: Tensor, mark: MarkFile, candidates: list[Candidate], context: SeparationContext
) -> FittedPlacement | None:
    """Return the first candidate that gains enough once it is refined, else the best one.

    candidates: the most likely one first.
    """
    best: FittedPlacement | None = None
    for number, candidate in enumerate(candidates):
        found = fit_placement(pictures, mark, candidate.placement)
        if best is None or found.gain > best.gain:
            best = found
        if best.gain >= LEAST_PLACEMENT_GAIN:
            break
        context.progress(0.6 + 0.4 * (number + 1) / len(candidates), "fitting the mark")
    return best
