"""Find out what holds for a whole clip: whether anything moves, and a fixed camera's background."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stages.context import SeparationContext
from stages.motion.flow import shrunk
from stages.segment.background import Plate, find_plate
from stages.segment.motion import camera_rests
from stages.segment.votes import VOTE_PIXELS

STILL = 2 / 255  # mean difference in [0, 1] below which frames count as one picture


@dataclass(frozen=True)
class SegmentSurvey:
    """Hold what is true of the whole clip.

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
    still = (
        len(sample) == 1
        or context.unordered
        or max(float((frame - sample[0]).abs().mean()) for frame in sample) < STILL
    )
    # Smooth pictures agree with their median even under a moving camera, so check its motion.
    fixed = not still and camera_rests(shrunk(sample, VOTE_PIXELS))
    return SegmentSurvey(find_plate(sample) if fixed else None, still)
