"""Find a mark that the user gave as a picture, and say where it lies and how opaque it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from stages.context import SeparationContext
from stages.watermark.effort import SEARCHED
from stages.watermark.mark_file import MarkFile
from stages.watermark.pictures import spread_indices
from stages.watermark.register import Candidate, candidates
from stages.watermark.register_fit import Registered, balanced_opacity, registered

LEAST_GAIN = 20.0
"""Least gain of a mark that is there, in nats, see
:class:`stages.watermark.register_fit.Registered`. Marks that are not there gained 11 at most in
drawn pictures."""


@dataclass(frozen=True)
class KnownMark:
    """Hold a known mark as it lies over the frames.

    matte: ``(1, H, W)`` in [0, 1]. color: ``(3, H, W)`` in [0, 1], 0 where nothing is marked.
    found: where it lies, and its opacity.
    """

    matte: Tensor
    color: Tensor
    found: Registered

    @property
    def is_believed(self) -> bool:
        """Return whether the mark gains enough to be there, rather than being forced."""
        return self.found.gain > LEAST_GAIN


def locate_known(sample: Tensor, box: Tensor, context: SeparationContext) -> KnownMark | None:
    """Return the mark ``context.mark`` as it lies over the frames, or None if it is not found.

    sample: frames ``(S, 3, H, W)``. box: ``(H, W)``, boolean; the mark's centre lies in it.
    With ``force``, the place that fits best counts as found.
    """
    assert context.mark is not None, "the user gave a mark"
    mark = MarkFile.of_picture(context.mark)
    pictures = sample[spread_indices(len(sample), SEARCHED)]
    tried = candidates(
        pictures, mark, box, lambda done: context.progress(0.6 * done, "looking for the mark")
    )
    found = _best(pictures, mark, tried, context)
    if found is None or not context.should_separate(found.gain, LEAST_GAIN):
        return None
    gain = found.gain
    found = replace(balanced_opacity(pictures, mark, found), gain=gain)
    frame = (sample.shape[-2], sample.shape[-1])
    drawn = mark.mark(found.placement, found.opacity, frame, found.drawing)
    return KnownMark(drawn.matte, drawn.color * (drawn.matte > 0), found)


def _best(
    pictures: Tensor, mark: MarkFile, tried: list[Candidate], context: SeparationContext
) -> Registered | None:
    """Return the first candidate that gains enough once it is refined, else the best one.

    tried: the candidates, the most likely one first.
    """
    best: Registered | None = None
    for number, one in enumerate(tried):
        found = registered(pictures, mark, one.placement)
        if best is None or found.gain > best.gain:
            best = found
        if best.gain >= LEAST_GAIN:
            break
        context.progress(0.6 + 0.4 * (number + 1) / len(tried), "fitting the mark")
    return best
