"""Move a step's manifest entries into the manifest of its chain.

A step counts frames from its own first one, and names files inside its own folder. The chain counts
frames of its input, and names files inside the chain's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def placed_layer(layer: Mapping[str, Any], folder: str, offset: int) -> dict[str, Any]:
    """Return a layer's entry in the chain's manifest.

    layer: its entry in the manifest of its step. folder: the step's, relative to the chain's.
    offset: the number that the step's first frame has in the chain's input.
    """
    placed = {
        **layer,
        "name": f"{folder}/{layer['name']}",
        "path": f"{folder}/{layer['path']}",
        "first_frame": layer["first_frame"] + offset,
        "last_frame": layer["last_frame"] + offset,
    }
    if "sounds" in layer:
        placed["sounds"] = [f"{folder}/{name}" for name in layer["sounds"]]
    return placed


def placed_transition(transition: Mapping[str, Any], folder: str, offset: int) -> dict[str, Any]:
    """Return a transition's entry in the chain's manifest.

    transition: its entry in the manifest of its step. folder, offset: as of :func:`placed_layer`.
    """
    placed = {
        **transition,
        "first_frame": transition["first_frame"] + offset,
        "last_frame": transition["last_frame"] + offset,
    }
    for side in ("from", "to", "matte", "mixed"):
        if placed.get(side) is not None:
            placed[side] = f"{folder}/{placed[side]}"
    if placed.get("event"):
        placed["event"] = [number + offset for number in placed["event"]]
    return placed
