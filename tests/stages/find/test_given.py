"""A transition whose frames are given becomes what explains these frames."""

from __future__ import annotations

import numpy as np
import pytest
from find_clips import Stack, blocks, mattes, mixed, shot, texture, weights
from prefer_clips import moved

from stages.find.search import find

SIZE = (54, 96)
PRE, STEPS = 8, 9
SPAN = (PRE, PRE + STEPS - 1)


def still(seed: int) -> Stack:
    """Return a still scene ``(T, H, W, 3)``."""
    return np.repeat(texture(seed, *SIZE)[None], 2 * PRE + STEPS, 0)


@pytest.mark.parametrize(
    ("seed", "kind", "effect"),
    [(1, "push", "slideleft"), (2, "cover", "coverup"), (3, "reveal", "revealright")],
)
def test_scenes_that_move_are_told_in_a_given_span(seed: int, kind: str, effect: str) -> None:
    clip = moved(seed, kind, effect, PRE, STEPS, SIZE)
    (found,) = find(blocks(clip), overrides=[SPAN]).transitions
    assert (found.first_frame, found.last_frame) == SPAN
    assert (found.kind, found.effect) == (kind, effect)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_given_wipe_of_few_frames_is_no_dissolve(steps: int) -> None:
    clip = mixed(still(1), still(2), PRE, mattes("right", steps, SIZE, soft=0.01))
    (found,) = find(blocks(clip), overrides=[(PRE, PRE + steps - 1)]).transitions
    assert found.kind in ("pixels", "wipe")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("steps", [1, 3, STEPS])
def test_a_given_dissolve_stays_one(seed: int, steps: int) -> None:
    clip = mixed(still(2 * seed), still(2 * seed + 1), PRE, weights("ease", steps))
    (found,) = find(blocks(clip), overrides=[(PRE, PRE + steps - 1)]).transitions
    assert found.kind == "dissolve"


@pytest.mark.parametrize("amplitude", [0.02, 0.03, 0.05])
def test_a_given_dissolve_of_soft_pictures_is_not_divided(amplitude: float) -> None:
    soft = [
        0.5 + amplitude * (still(seed) - still(seed).mean()) / still(seed).std() for seed in (1, 2)
    ]
    clip = mixed(soft[0], soft[1], PRE, weights("linear", STEPS))
    (found,) = find(blocks(clip), overrides=[SPAN]).transitions
    assert (found.first_frame, found.last_frame) == SPAN and found.event is None


@pytest.mark.parametrize("seed", range(3))
def test_what_moves_in_one_shot_is_no_push(seed: int) -> None:
    clip = shot(seed, 2 * PRE + STEPS, SIZE, pan=(0.4, 0.2))
    (found,) = find(blocks(clip), overrides=[SPAN]).transitions
    assert found.kind == "dissolve"


def test_the_halves_of_a_given_dip_end_where_it_is_plain() -> None:
    # Its faintest mixed frames are nearly black, and count as plain.
    half, black = weights("linear", 10), np.zeros_like(still(1))
    out, into = mixed(still(1), black, PRE, half), mixed(black, still(2), 0, half)
    clip = np.concatenate([out[: PRE + 10], black[:6], into[:10], still(2)[:PRE]])
    found = find(blocks(clip), overrides=[(PRE, PRE + 25)])
    spans = [(part.first_frame, part.last_frame) for part in found.transitions]
    assert spans == [(PRE, PRE + 9), (PRE + 16, PRE + 25)]
    assert [gap.color for gap in found.colors] == ["#000000"]


def test_a_given_span_beside_a_plain_color_is_a_fade() -> None:
    black = np.zeros_like(still(1))
    clip = mixed(black, still(1), PRE, mattes("right", STEPS, SIZE, soft=0.01))
    clip[PRE : PRE + STEPS] = 0
    (found,) = find(blocks(clip), overrides=[SPAN]).transitions
    assert found.kind == "fade"


@pytest.mark.parametrize("color", [0.0, 1.0])
def test_a_given_fade_through_a_color_has_two_halves(color: float) -> None:
    half = weights("linear", 4)
    plain = np.full_like(still(1), color)
    out, into = mixed(still(1), plain, PRE, half), mixed(plain, still(2), 0, half)
    clip = np.concatenate([out[: PRE + 5], into[: 4 + PRE]])
    found = find(blocks(clip), overrides=[(PRE, PRE + 8)]).transitions
    assert [(half.first_frame, half.last_frame) for half in found] == [
        (PRE, PRE + 3),
        (PRE + 5, PRE + 8),
    ]
    assert {half.kind for half in found} == {"fade"}
    assert {half.event for half in found} == {(PRE, PRE + 8)}
