"""A fade out of a colour may be the second half of a zoom into the outgoing scene."""

from __future__ import annotations

import numpy as np
import pytest
from find_clips import texture
from prefer_clips import moved

from stages.find.stretch import TransitionFit
from stages.find.zooms import around_fade

SIZE = (36, 64)
PRE, STEPS = 8, 11
FADE = TransitionFit(PRE + STEPS // 2, PRE + STEPS, np.linspace(0, 1, STEPS // 2 + 1)[1:-1], "fade")
"""The second half of a transition of the frames ``PRE..PRE + STEPS - 1``."""


@pytest.mark.parametrize("seed", [1, 2])
def test_a_zoom_is_found_around_its_fade(seed: int) -> None:
    found = around_fade(moved(seed, "zoom", "zoomin", PRE, STEPS, SIZE), FADE)
    assert found is not None and found.effect == "zoomin"
    assert abs(found.before - (PRE - 1)) <= 1 and found.after == PRE + STEPS


@pytest.mark.parametrize("is_own_color", [True, False])
def test_a_cut_to_a_color_before_a_fade_is_no_zoom(is_own_color: bool) -> None:
    """The outgoing scene does not move, even where its middle has the colour."""
    frames = moved(3, "zoom", "zoomin", PRE, STEPS, SIZE)
    if not is_own_color:
        frames[: FADE.before] = texture(11, *SIZE)
    frames[: FADE.before] = frames[0]
    assert around_fade(frames, FADE) is None
