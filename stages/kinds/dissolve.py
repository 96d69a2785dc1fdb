"""Cross-dissolves: ``M = (1 - w) A + w B`` with one weight for the whole frame."""

from __future__ import annotations

from stages.kinds.base import TransitionKind

KIND = TransitionKind("dissolve", undo="weight", with_color="fade")
