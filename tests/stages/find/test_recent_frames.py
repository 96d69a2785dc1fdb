"""The search measures the picture between the bars that all recent frames have."""

from __future__ import annotations

import numpy as np
import pytest
from find_clips import Stack, shot

from stages.dark_bars import Border
from stages.find.recent_frames import RecentFrames, between_bars, shared_bars

SIZE = (54, 96)
COUNT = 6


def with_bars(frames: Stack, top: int, left: int, level: float = 0.0, soft: float = 1.0) -> Stack:
    """Return frames ``(T, H, W, 3)`` with bars of so many lines drawn over them.

    soft: how much of the picture is in the line beside each bar, 0 to 1.
    """
    rows, columns = np.zeros(SIZE[0]), np.zeros(SIZE[1])
    for lines, width in ((rows, top), (columns, left)):
        lines[width : len(lines) - width] = 1
        if width:
            lines[[width, -width - 1]] = soft
    shown = (rows[:, None] * columns)[..., None]
    return np.asarray(level + shown * (frames - level), np.float32)


def measured(frames: Stack) -> RecentFrames:
    recent = RecentFrames()
    for frame in frames:
        recent.add(frame)
    recent.measure()
    return recent


@pytest.mark.parametrize("seed", range(4))
def test_what_is_measured_does_not_depend_on_the_bars(seed: int) -> None:
    rng = np.random.default_rng(seed)
    top, left = [(int(rng.integers(4, 10)), 0), (0, int(rng.integers(8, 20)))][seed % 2]
    # A line that shrinking mixed with a bar is left out, too.
    mixed = seed // 2
    border = Border(
        *((top + mixed,) * 2 if top else (0, 0)), *((left + mixed,) * 2 if left else (0, 0))
    )
    scene = 0.2 + 0.8 * shot(seed, COUNT, SIZE, pan=(0.5, 0.2))
    soft = [1.0, float(rng.uniform(0.3, 0.6))][mixed]
    barred = measured(with_bars(scene, top, left, level=0.05, soft=soft))
    plain = measured(between_bars(scene, border))
    assert (barred.bars, plain.bars) == (border, Border())
    assert np.array_equal(np.stack(barred.frames), np.stack(plain.frames))
    assert np.array_equal(barred.pairs, plain.pairs)
    assert (barred.steps, barred.residuals) == (plain.steps, plain.residuals)


def test_bars_that_end_are_part_of_the_picture() -> None:
    scene = 0.2 + 0.8 * shot(5, 2 * COUNT, SIZE)
    recent = measured(with_bars(scene[:COUNT], 8, 0))
    assert recent.bars == Border(8, 8)
    for frame in scene[COUNT:]:
        recent.add(frame)
    recent.measure()
    assert not recent.bars and recent.frames[0].shape == (*SIZE, 3)
    assert len(recent.frames) == 2 * COUNT
    recent.forget(COUNT)
    assert recent.first == COUNT and np.array_equal(np.stack(recent.frames), scene[COUNT:])
    recent.measure()
    assert not recent.bars and recent.pairs.shape[:2] == (COUNT, COUNT)


def test_black_frames_have_any_bars_and_a_small_picture_has_none() -> None:
    frames = with_bars(0.2 + 0.8 * shot(6, COUNT, SIZE), 6, 0)
    frames[: COUNT // 2] = 0
    assert shared_bars(list(frames)) == Border(6, 6)
    assert not shared_bars(list(np.zeros_like(frames)))
    assert not shared_bars(list(with_bars(0.2 + 0.8 * shot(6, COUNT, SIZE), 16, 0)))


def test_the_state_goes_on_as_if_it_had_not_been_interrupted() -> None:
    frames = with_bars(0.2 + 0.8 * shot(7, 2 * COUNT, SIZE, pan=(0.5, 0.0)), 6, 0)
    recent, again = measured(frames[:COUNT]), RecentFrames()
    recent.add(frames[COUNT])
    again.restore(recent.state())
    for each in (recent, again):
        for frame in frames[COUNT + 1 :]:
            each.add(frame)
        each.measure()
    assert np.array_equal(recent.pairs, again.pairs) and recent.bars == again.bars
    assert (recent.steps, recent.residuals) == (again.steps, again.residuals)
