"""Boundaries of unknown kind: the picture changes for good, but no model explains how.

Nothing is known of either scene there, so both hold their nearest clean frame.
"""

from __future__ import annotations

from stages.kinds.base import TransitionKind

KIND = TransitionKind("other", undo="hold")
