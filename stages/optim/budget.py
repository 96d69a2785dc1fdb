"""How much of a time budget (``max_seconds``) a plan may use. Chosen by us.

The rest allows for a slower machine, for rounding, and for what follows the planned work. The less
directly the work was measured, the more is left.
"""

from __future__ import annotations

COUNTED_STEPS = 0.95
"""For one loop of steps that was timed on the input itself, with a few seconds after it."""

MEASURED_STAGES = 0.8
"""For several stages that were timed on the input itself, and that are checked and drawn after."""

EXTRAPOLATED = 0.7
"""For work whose time was extrapolated from a smaller sample."""

BEFORE_FULL_SIZE = 0.5
"""For work at a small size, when work at full size follows that was not timed."""
