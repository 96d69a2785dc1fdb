"""Fades: dissolves from or to a plain colour, which then is one of the two sides."""

from __future__ import annotations

from stages.kinds.base import TransitionKind

KIND = TransitionKind("fade", undo="weight")
