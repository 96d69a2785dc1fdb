"""Hard cuts: one shot ends and the next begins; no frame is mixed."""

from __future__ import annotations

from stages.kinds.base import TransitionKind

KIND = TransitionKind("cut", undo="nothing")
