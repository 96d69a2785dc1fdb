"""Tell whether two frames show one shot whose light has changed."""

from __future__ import annotations

import numpy as np

from stages.find.features import Array
from stages.find.optical_flow import optical_flow, warped

LEAST_DEVIATION = 1e-3  # standard deviation of a channel, in [0, 1], below which it has no contrast
# Most of the squared difference of two frames that is left once light and motion are taken off, and
# most of their variance. Of shots whose light was changed, those that do not move far left 0.08 and
# 0.32 at most. Dissolves that were cut off left 0.2 of the difference and more. Between a title
# card and a picture 0.02 of it was left, as they differ in brightness, but 1.2 of the variance.
MOST_OF_DIFFERENCE = 0.1
MOST_OF_VARIANCE = 0.6


def is_change_of_light(one: Array, other: Array) -> bool:
    """Return whether light and motion explain how two frames differ.

    one, other: ``(H, W, 3)`` in [0, 1]. A change of light gives each channel another mean and
    another contrast. Each frame has to explain the structure of the other one, because any picture
    without its contrast is like a plain one.
    """
    left = _left_by_light(one, other), _left_by_light(other, one)
    difference = float(np.square(one - other).mean())
    variances = (float(frame.var((0, 1)).mean()) for frame in (other, one))
    return min(left) < MOST_OF_DIFFERENCE * difference and all(
        error < MOST_OF_VARIANCE * variance for error, variance in zip(left, variances, strict=True)
    )


def _left_by_light(one: Array, other: Array) -> float:
    """Return the mean squared difference between ``other`` and ``one`` lit and moved as it is."""
    gain = other.std((0, 1)) / np.maximum(one.std((0, 1)), LEAST_DEVIATION)
    lit = (one - one.mean((0, 1))) * gain + other.mean((0, 1))
    lit = np.clip(lit, 0, 1).astype(np.float32)
    return float(np.square(warped(lit, optical_flow(other, lit)) - other).mean())
