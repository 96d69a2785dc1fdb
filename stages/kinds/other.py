"""Boundaries of unknown kind: the picture changes for good, but no model explains how."""

from __future__ import annotations

from stages.kinds.base import TransitionKind

RANDOM_PIXELS = "dissolve"
"""FFmpeg's name of a transition in which whole pixels change one after another."""

KIND = TransitionKind("other", undo="nothing")
