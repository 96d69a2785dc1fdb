"""Wipes and irises of every pattern through the whole search, and what only looks like one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from find_clips import blocks, mixed, shot

from stages.find.search import find
from stages.kinds import PATTERNS, kind_of_pattern


def passing(pattern: str, soft: float, steps: int = 18) -> np.ndarray:
    """Return mattes ``(steps, 54, 96, 1)`` of an edge in one of the patterns.

    soft: its width as part of the whole way.
    """
    height, width = 54, 96
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    across, down = (x + 0.5) / width - 0.5, ((y + 0.5) / height - 0.5) * height / width
    places = torch.from_numpy(across), torch.from_numpy(down)
    (order,) = PATTERNS[pattern].order(*places, height / width)
    order = (order - order.min()) / (order.max() - order.min())
    progress = torch.arange(1, steps + 1).view(-1, 1, 1) / (steps + 1) * (1 + soft)
    return np.asarray(((progress - order) / soft).clamp(0, 1)[..., None].numpy(), np.float32)


@pytest.mark.usually(3)
@pytest.mark.parametrize(
    "pattern", ["box", "columns", "rows", "corner-nw", "corner-se", "bent-ne", "clock-n", "clock-s"]
)
@pytest.mark.parametrize("soft", [0.3, pytest.param(0.05, marks=pytest.mark.slow)])
def test_wipes_of_every_pattern(pattern: str, soft: float) -> None:
    matte = passing(pattern, soft)
    a, b = (shot(seed, 40, pan=(0.3, 0.0), thing=False) for seed in (3, 4))
    (one,) = find(blocks(mixed(a, b, 11, matte))).transitions
    assert one.kind == kind_of_pattern(pattern)
    # The first and the last corner may be a few pixels: they are left out.
    seen = np.flatnonzero((matte.mean((1, 2, 3)) > 0.02) & (matte.mean((1, 2, 3)) < 0.98)) + 11
    assert 10 <= one.first_frame <= seen[0] + 2 and seen[-1] - 2 <= one.last_frame <= 29


@pytest.mark.usually(1)
@pytest.mark.parametrize(
    ("pattern", "effects"),
    [("strips-across", ("hlslice", "hrslice")), ("strips-down", ("vuslice", "vdslice"))],
)
def test_slices_are_found_by_name_in_both_directions(
    pattern: str, effects: tuple[str, str]
) -> None:
    forth = passing(pattern, 0.02)
    a, b = (shot(seed, 40, pan=(0.3, 0.0), thing=False) for seed in (3, 4))
    for effect, matte in zip(effects, (forth, 1 - forth[::-1]), strict=True):
        (one,) = find(blocks(mixed(a, b, 11, matte))).transitions
        assert (one.kind, one.effect) == ("wipe", effect)
        assert abs(one.first_frame - 11) <= 2 and abs(one.last_frame - 28) <= 2


def test_a_push_is_no_wipe() -> None:
    """Both scenes move as a whole: a matte leaves most of that unexplained."""
    a, b = (shot(seed, 50, thing=False) for seed in (3, 4))
    clip = [*a[:16]]
    for step in range(1, 18):
        clip.append(
            np.roll(np.concatenate([a[15 + step], b[15 + step]], 1), -round(96 * step / 18), 1)[
                :, :96
            ]
        )
    told = find(blocks(np.stack([*clip, *b[33:]]))).transitions
    assert all(move.kind not in ("wipe", "iris", "dissolve") for move in told), told
