"""How much work a transition gets: steps and turns, fixed before the work begins."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class FitSettings:
    """What the user decides of the separation. ``max_seconds``: the time this transition may take, ``None`` for the preset's own amount."""

    preset: str = "balanced"
    seed: int = 0
    device: torch.device = torch.device("cpu")
    max_seconds: float | None = None
