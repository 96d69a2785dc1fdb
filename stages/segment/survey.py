"""Find out what holds for a whole clip: whether anything moves, and a fixed camera's background."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from stages.context import SeparationContext
from stages.motion.flow import shrunk
from stages.segment.camera import camera_rests
from stages.segment.plate import Plate, find_plate
from stages.segment.votes import VOTE_PIXELS

STILL = 2 / 255  # mean difference in [0, 1] below which frames count as one picture
STILL_BLOCK = 12 / 255
"""Mean difference of a block, in [0, 1], from which something small moves there.

Blocks of still photographs that were compressed hard (H.264 at crf 34) reach 8 / 255.
"""
BLOCK = 8  # side of such a block, in pixels


@dataclass(frozen=True)
class SegmentSurvey:
    """What is true of the whole clip.

    plate: the background seen by a fixed camera; ``None`` if the camera moves or nothing does.
    still: nothing moves, so that every frame is treated as a separate picture.
    """

    plate: Plate | None
    still: bool


def survey(sample: Tensor, context: SeparationContext) -> SegmentSurvey:
    """Find out whether anything moves, and the background if the camera stands still.

    sample: evenly spread frames of the clip, ``(S, 3, H, W)`` in [0, 1].
    """
    if context.settings.preset == "coupled":
        return SegmentSurvey(None, still=True)
    context.progress(0.0, "looking for a still background")
    is_still = (
        len(sample) == 1
        or context.unordered
        or all(_shows_the_same(frame, sample[0]) for frame in sample)
    )
    # Smooth pictures agree with their median even under a moving camera, so check its motion.
    is_fixed = not is_still and camera_rests(shrunk(sample, VOTE_PIXELS))
    return SegmentSurvey(find_plate(sample) if is_fixed else None, is_still)


def _shows_the_same(frame: Tensor, other: Tensor) -> bool:
    """Return whether two frames ``(3, H, W)`` differ by no more than noise and compression do."""
    difference = (frame - other).abs().mean(0, keepdim=True)
    if float(difference.mean()) >= STILL:
        return False
    # Something that is small and moves changes the mean of the picture by less than noise does.
    side = min(BLOCK, *difference.shape[-2:])
    return float(functional.avg_pool2d(difference[None], side).max()) < STILL_BLOCK
