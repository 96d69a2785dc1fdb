"""Test how the entries of a step's manifest become those of its chain."""

from __future__ import annotations

import pytest

from pipeline.run.chain_entries import placed_transition


@pytest.mark.parametrize("layer", ["matte", "mixed"])
def test_a_transition_names_the_layers_of_its_step(layer: str) -> None:
    entry = {"from": "scene-001", "to": None, "first_frame": 3, "last_frame": 5, layer: layer}
    placed = placed_transition(entry, "02-transition", 10)
    assert placed["from"] == "02-transition/scene-001" and placed["to"] is None
    assert placed[layer] == f"02-transition/{layer}"
    assert (placed["first_frame"], placed["last_frame"]) == (13, 15)
