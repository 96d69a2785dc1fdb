"""Tell how much of the difference between two frames is more than a change of light."""

from __future__ import annotations

import numpy as np

from stages.find.features import Array, OpticalFlow, warped

LEAST_DEVIATION = 1e-3  # standard deviation of a channel, in [0, 1], below which it has no contrast


def difference_beyond_light(motion: OpticalFlow, one: Array, other: Array) -> float:
    """Return the part of the squared difference that light and motion do not explain, 0 to 1.

    motion: measures optical flow. one, other: ``(H, W, 3)`` in [0, 1]. A change of light gives each
    channel another mean and another contrast. It is tried in both directions.
    """
    difference = float(np.square(one - other).mean())
    if difference == 0:
        return 0.0
    beyond = min(_beyond_light(motion, one, other), _beyond_light(motion, other, one))
    return min(1.0, beyond / difference)


def _beyond_light(motion: OpticalFlow, one: Array, other: Array) -> float:
    """Return the mean squared difference to ``one`` lit and moved as ``other``."""
    gain = other.std((0, 1)) / np.maximum(one.std((0, 1)), LEAST_DEVIATION)
    lit = ((one - one.mean((0, 1))) * gain + other.mean((0, 1))).astype(np.float32)
    flow = motion.flow(other, np.clip(lit, 0, 1))
    return float(np.square(warped(lit, flow) - other).mean())
