"""Boundaries of unknown kind: the picture changes for good, but no model explains how."""

from __future__ import annotations

from stages.kinds.base import TransitionKind

KIND = TransitionKind("other", undo="nothing")
