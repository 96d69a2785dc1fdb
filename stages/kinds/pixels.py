"""Pixels: each pixel changes from one scene to the other at a time of its own, in no known order.

FFmpeg has two: ``dissolve`` changes pixels in random order, and ``distance`` changes first those
that differ most between the scenes.
"""

from __future__ import annotations

from stages.kinds.base import TransitionKind

RANDOM = "dissolve"
"""FFmpeg's name of a transition in which whole pixels change one after another at random."""

KIND = TransitionKind("pixels", undo="pixels")
