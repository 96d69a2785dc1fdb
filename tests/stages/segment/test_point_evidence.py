"""Points are grouped by all pairs, so a few that two things share do not join these."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stages.segment.motion import WindowMotion
from stages.segment.point_evidence import evidence, grouped
from stages.segment.point_groups import color_cells, group_of, moving_together
from stages.segment.point_tracks import (
    MOST_POINTS,
    PIECE_POINTS,
    Points,
    follow_points,
    kept_points,
)

COUNT = 24


def drawn_points(seed: int, things: int, shared: int = 0) -> tuple[Points, np.ndarray]:
    """Draw points of rigid things that move straight on, each seen for some frames.

    shared: how many points change over from the first thing to the second one in mid clip.
    Returns the points, and the thing of each, ``(n,)``.
    """
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi / max(things, 2) * np.arange(things)
    speeds = rng.uniform(2, 4, things)
    velocity = (speeds * [np.cos(angles), np.sin(angles)]).T
    owners = rng.integers(0, things, 60 * things + shared)
    owners[-shared or len(owners) :] = 0
    begin = rng.uniform(-12, 12, (len(owners), 2)) + [100, 60]
    t = np.arange(COUNT)[:, None] - COUNT / 2
    places = begin[:, None] + velocity[owners][:, None] * t
    later = np.arange(COUNT) >= COUNT // 2
    for i in range(len(owners) - shared, len(owners)):
        places[i, later] = begin[i] + velocity[1] * t[later]
    places += rng.normal(0, 0.2, places.shape)
    first = rng.integers(0, COUNT - 6, len(owners))
    length = rng.integers(6, COUNT, len(owners))
    first[len(owners) - shared :], length[len(owners) - shared :] = 4, 16
    frames = np.arange(COUNT)
    seen = (frames >= first[:, None]) & (frames < (first + length)[:, None])
    places = np.where(seen[..., None], places, np.nan).astype(np.float32)
    return Points(places, seen, np.full(len(owners), 2)), owners


@pytest.mark.parametrize("seed", range(12))
def test_points_that_two_things_share_do_not_join_them(seed: int) -> None:
    things = 1 + seed % 4
    points, owners = drawn_points(seed, things, shared=5 if things > 1 else 0)
    found = evidence(points)
    cells = color_cells(torch.zeros(COUNT, 3, 120, 200))
    groups = [group_of(members, points, cells, None) for members in grouped(found.odds)]
    wholes = moving_together(groups, found)
    assert len(wholes) == things
    for whole in wholes:
        members = np.concatenate([groups[i].members for i in whole])
        assert np.bincount(owners[members]).max() > 0.9 * len(members)


@pytest.mark.parametrize("seed", range(4))
def test_pairs_that_are_seen_together_for_a_few_frames_say_little(seed: int) -> None:
    points, _ = drawn_points(seed, 1)
    found = evidence(points)
    common = points.seen.astype(int) @ points.seen.T.astype(int)
    pairs = ~np.eye(len(common), dtype=bool)
    assert (found.odds[common < 2] == 0).all()
    few, many = pairs & (common >= 2) & (common < 5), pairs & (common >= 8)
    assert found.odds[few].mean() < 0.5 * found.odds[many].mean()
    assert (found.odds == found.odds.T).all()


def resting(size: tuple[int, int], count: int = COUNT) -> WindowMotion:
    """Return the motion of a clip of frames ``size`` in which nothing moves."""
    still, trust = torch.zeros(count - 1, 2, *size), torch.ones(count - 1, 1, *size)
    return WindowMotion(still, still, still, still, trust, trust, torch.zeros(count, 2, *size))


@pytest.mark.parametrize("side", [5, 8, 12, 30])
def test_small_pieces_of_a_matte_have_denser_points(side: int) -> None:
    matte = torch.zeros(COUNT, 60, 90, dtype=torch.bool)
    matte[:, 10 : 10 + side, 20 : 20 + side] = True
    points = follow_points(matte, resting((60, 90)))
    assert len(points.places) >= 0.5 * min(PIECE_POINTS, side**2)
    assert len(points.places) <= 4 * PIECE_POINTS


def test_a_point_is_cut_where_its_color_jumps_and_motion_changes() -> None:
    size = (40, 60)
    matte = torch.ones(COUNT, *size, dtype=torch.bool)
    frames = torch.full((COUNT, 3, *size), 0.3)
    frames[COUNT // 2 :] = 0.6
    # Where all moves alike, a flash of light changes all colours.
    whole = follow_points(matte, resting(size), frames)
    assert int(whole.seen.sum(1).max()) == COUNT
    sheared = resting(size)
    sheared.forward[COUNT // 2 - 1, 0] = (torch.arange(size[1]) - 30.0) * 0.5
    halves = follow_points(matte, sheared, frames)
    assert np.median(halves.seen.sum(1)) <= COUNT // 2 < np.median(whole.seen.sum(1))


@pytest.mark.parametrize("seed", range(40))
def test_no_more_points_than_there_may_be_are_kept(seed: int) -> None:
    """Those of small pieces are kept first, and each at most once."""
    rng = np.random.default_rng(seed)
    drawn = int(rng.integers(0, 20000))
    large = int(rng.choice([0, 1, MOST_POINTS, 2 * MOST_POINTS, drawn]))
    small = int(rng.choice([0, 1, MOST_POINTS // 2, MOST_POINTS, drawn // 3]))
    spacing = rng.permutation(np.repeat([4, 2], [large, small]))
    kept = kept_points(spacing)
    assert len(kept) == len(set(kept.tolist())) <= MOST_POINTS
    assert len(kept) >= min(len(spacing), MOST_POINTS // 2)
    if small <= MOST_POINTS // 2:
        assert (spacing[kept] == 2).sum() == (spacing == 2).sum()
