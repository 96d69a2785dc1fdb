"""A border that two frames share says nothing about what they show."""

from __future__ import annotations

import numpy as np
import pytest
from find_clips import Stack, blocks, mixed, shot, texture, weights

from stages.find.borders import border, shared_border
from stages.find.correlation import motion_compensated_ncc
from stages.find.search import find

SIZE = (54, 96)
STEPS, PRE = 12, 14


def boxed(frames: Stack, top: int, left: int, color: float = 0.0) -> Stack:
    """Return frames ``(..., H, W, 3)`` with a border of some rows and columns on all sides."""
    out = np.full_like(frames, color)
    rows, columns = slice(top, SIZE[0] - top), slice(left, SIZE[1] - left)
    out[..., rows, columns, :] = frames[..., rows, columns, :]
    return out


@pytest.mark.parametrize("seed", range(8))
def test_a_border_is_found_where_it_was_drawn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    top, left = (int(rng.integers(0, side // 3)) for side in SIZE)
    frame = boxed(texture(seed, *SIZE), top, left, float(rng.choice([0, 0.5, 1])))
    found = border(frame)
    if top == left == 0:
        assert found is None
        return
    assert found is not None
    inside = found[top : SIZE[0] - top, left : SIZE[1] - left]
    assert not inside.any() and found.sum() == found.size - inside.size


def test_only_what_both_borders_cover_is_shared() -> None:
    wide, tall = boxed(texture(1, *SIZE), 10, 0), boxed(texture(2, *SIZE), 0, 20)
    shared = shared_border(wide, tall)
    assert shared is not None
    corners = np.ix_((*range(9), *range(46, 54)), (*range(19), *range(77, 96)))
    assert shared[corners].all() and not shared[12:-12].any() and not shared[:, 22:-22].any()
    assert shared_border(wide, boxed(texture(2, *SIZE), 10, 0, 1.0)) is None
    assert shared_border(wide, texture(3, *SIZE)) is None


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("border_sides", [(8, 0), (0, 16), (10, 20)])
def test_pictures_with_one_border_have_no_more_in_common_than_without(
    seed: int, border_sides: tuple[int, int]
) -> None:
    one, other = texture(2 * seed, *SIZE), texture(2 * seed + 1, *SIZE)
    with_border = motion_compensated_ncc(boxed(one, *border_sides), boxed(other, *border_sides))
    assert with_border < motion_compensated_ncc(one, other) + 0.1
    same = boxed(one, *border_sides)
    assert motion_compensated_ncc(same, same) > 0.9


@pytest.mark.parametrize("border_sides", [(7, 0), (0, 12)])
def test_a_dissolve_between_films_with_black_bars_is_found(border_sides: tuple[int, int]) -> None:
    count = 2 * PRE + STEPS
    scenes = [boxed(shot(seed, count, SIZE, pan=(0.3, 0)), *border_sides) for seed in (3, 4)]
    clip = mixed(scenes[0], scenes[1], PRE, weights("linear", STEPS))
    (found,) = find(blocks(clip)).transitions
    assert found.kind == "dissolve"
    assert abs(found.first_frame - PRE) <= 1 and abs(found.last_frame - PRE - STEPS + 1) <= 1
