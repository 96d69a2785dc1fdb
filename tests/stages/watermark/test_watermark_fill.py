"""Test the fill of an opaque mark, and the published method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from marked_pictures import SIZE, WHITE, letters, make_context, marked, remove_mark, scenes

from stages.storage.checkpoint import NoCheckpoints
from stages.watermark.fill import fill
from stages.watermark.networks_alone import separate_published

T = TypeVar("T")


def test_the_fill_changes_the_hole_alone() -> None:
    frames, hole = scenes(2), torch.zeros(SIZE, dtype=torch.bool)
    hole[30:40, 40:52] = True
    filled = fill(frames, hole, make_context(), 30)
    assert torch.equal(filled[..., ~hole], frames[..., ~hole])
    assert not torch.equal(filled[..., hole], frames[..., hole])


class FixedCount(NoCheckpoints):
    """Give a fixed number for every saved value.

    measuring: whether the value is computed as well, and then ignored.
    """

    def __init__(self, count: int, *, measuring: bool) -> None:
        self.count, self.measuring, self.asked = count, measuring, list[str]()

    def compute_and_save(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        self.asked.append(name)
        if self.measuring:
            make()
        return self.count  # type: ignore[return-value]


def test_a_fill_by_the_clock_does_the_steps_that_were_kept() -> None:
    frames, hole = scenes(2, (40, 48)), torch.zeros(40, 48, dtype=torch.bool)
    hole[18:24, 20:28] = True
    kept, measured = FixedCount(6, measuring=False), FixedCount(6, measuring=True)
    context = make_context(seconds=2.0)
    resumed, first = (
        fill(frames, hole, replace(context, checkpoints=checkpoints), 100)
        for checkpoints in (kept, measured)
    )
    assert kept.asked == measured.asked == ["fill"]
    assert torch.equal(resumed, first)
    assert torch.equal(first, fill(frames, hole, make_context(), 6))


@pytest.mark.slow
def test_the_published_method_runs() -> None:
    frames, shape = (
        marked(scenes(2, (40, 48)), letters()[..., 16:56, 10:58], 0.4, WHITE),
        letters()[..., 16:56, 10:58],
    )
    separated = remove_mark(
        frames, make_context(torch.ones_like(shape), preset="paper", seconds=0.5)
    )
    assert {name: tuple(pixels.shape) for name, pixels in separated.layers.items()} == {
        "clean": (2, 3, 40, 48),
        "watermark": (1, 3, 40, 48),
        "matte": (1, 1, 40, 48),
    }


@pytest.mark.slow
def test_the_published_method_by_the_clock_does_the_steps_that_were_kept() -> None:
    frames, box = scenes(1, (24, 32)), torch.ones(24, 32, dtype=torch.bool)
    kept, measured = FixedCount(2, measuring=False), FixedCount(2, measuring=True)
    context = make_context(preset="paper", seconds=2.0)
    resumed, first = (
        separate_published(frames, box, replace(context, checkpoints=checkpoints))
        for checkpoints in (kept, measured)
    )
    assert kept.asked == measured.asked == ["steps"]
    assert all(torch.equal(resumed.layers[name], first.layers[name]) for name in first.layers)
    assert first.report["fit_steps"] == 2
