"""Things are told apart by how they move, keep their identity, and know who hides whom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from clips import drifting
from torch import Tensor

from stages.context import Separation
from stages.occlusion import Occlusion, front_to_back, summed
from stages.segment.depth_order import occlusions
from stages.segment.motion import WindowMotion
from stages.segment.point_evidence import evidence, grouped
from stages.segment.point_tracks import follow_points
from stages.segment.thing_layers import LEVELS, layers_of_thing, thing_numbers
from stages.segment.things import find_things
from stages.storage.checkpoint import Checkpoints

COUNT, SIZE, SIDE = 16, (60, 100), 16


class Scene:
    """Squares with a texture each that move over a still texture, with their exact flows.

    ways: for each square, from back to front, its first left edge, its top and its pixels a frame
    to the right. side: of each square, in pixels.
    """

    def __init__(self, *ways: tuple[int, int, int], side: int = SIDE) -> None:
        self.frames = drifting(0, 1, (0, 0), SIZE).repeat(COUNT, 1, 1, 1)
        self.owners = torch.zeros(COUNT, *SIZE, dtype=torch.long)
        speeds = torch.tensor([0, *(way[2] for way in ways)])
        for number, (left, top, speed) in enumerate(ways, 1):
            texture = drifting(10 * number, 1, (0, 0), (side, side))[0]
            for t in range(COUNT):
                begin = left + speed * t
                first, last = max(0, begin), min(SIZE[1], begin + side)
                if first < last:
                    shown = texture[:, :, first - begin : last - begin]
                    self.frames[t, :, top : top + side, first:last] = shown
                    self.owners[t, top : top + side, first:last] = number
        moved = speeds[self.owners].float()
        forward = torch.stack([moved[:-1], torch.zeros_like(moved[:-1])], 1)
        backward = torch.stack([-moved[1:], torch.zeros_like(moved[1:])], 1)
        still = torch.zeros_like(forward)
        self.motion = WindowMotion(
            forward,
            backward,
            still,
            still,
            self._trust(forward, 1),
            self._trust(backward, -1),
            torch.zeros(COUNT, 2, *SIZE),
        )

    def _trust(self, flow: Tensor, step: int) -> Tensor:
        """Return 1 where the pixel is seen in the next frame as well, and else 0."""
        trust = torch.zeros(COUNT - 1, 1, *SIZE)
        x = torch.arange(SIZE[1]).expand(SIZE)
        for at in range(COUNT - 1):
            here, there = (at, at + 1) if step > 0 else (at + 1, at)
            moved = x + flow[at, 0].long()
            inside = (moved >= 0) & (moved < SIZE[1])
            owner = self.owners[there].gather(1, moved.clamp(0, SIZE[1] - 1))
            trust[at, 0] = (inside & (owner == self.owners[here])).float()
        return trust

    @property
    def matte(self) -> Tensor:
        return self.owners > 0

    def overlap(self, labels: np.ndarray, number: int, owner: int) -> float:
        """Return J over all frames of a thing that was found and a square."""
        found = self.matte & torch.from_numpy(labels == number)
        true = self.owners == owner
        return float((found & true).sum() / (found | true).sum())


CROSSING = ((2, 20, 5), (82, 26, -5))
"""Two squares that meet in the middle of the clip; the second one hides the first one."""


def test_points_that_move_together_are_one_group() -> None:
    scene = Scene(*CROSSING)
    points = follow_points(scene.matte, scene.motion, scene.frames)
    groups = grouped(evidence(points).odds)
    for group in groups:
        owners = []
        for i in group:
            for t in points.seen[i].nonzero()[0]:
                x, y = points.places[i, t].round().astype(int)
                owners.append(int(scene.owners[t, y, x]))
        # A point on a border may be carried over it.
        assert np.bincount(owners).max() > 0.9 * len(owners)
    assert sum(map(len, groups)) > 0.8 * len(points.places)


def test_things_that_cross_keep_their_identity() -> None:
    scene = Scene(*CROSSING)
    things = find_things(scene.frames, scene.matte, scene.motion)
    assert things.numbers == (1, 2)
    best = [max(scene.overlap(things.labels, n, owner) for n in (1, 2)) for owner in (1, 2)]
    assert min(best) > 0.9


def test_who_hides_whom_is_seen_where_they_meet() -> None:
    for ways in (CROSSING, CROSSING[::-1]):
        scene = Scene(*ways)
        things = find_things(scene.frames, scene.matte, scene.motion)
        (seen,) = occlusions(scene.frames, scene.matte, things.labels, things.numbers, scene.motion)
        # The second square of a scene is in front.
        owner = max((1, 2), key=lambda owner: scene.overlap(things.labels, seen.front, owner))
        assert seen.is_seen and seen.agreement > 0.8 and owner == 2


@pytest.mark.parametrize(
    ("ways", "count"),
    [
        ((), 0),
        (((10, 20, 3),), 1),
        # Two parts with a gap between them that go the same way are one thing.
        (((10, 10, 3), (12, 30, 3)), 1),
        (((10, 4, 4), (70, 40, -3)), 2),
        (((2, 2, 5), (82, 40, -5), (40, 22, 2)), 3),
    ],
)
def test_the_number_of_things_is_found(ways: tuple[tuple[int, int, int], ...], count: int) -> None:
    scene = Scene(*ways)
    assert len(find_things(scene.frames, scene.matte, scene.motion).numbers) == count


def test_one_that_rests_and_one_that_passes_are_two() -> None:
    scene = Scene((60, 8, 0), (4, 40, 5))
    things = find_things(scene.frames, scene.matte, scene.motion)
    assert len(things.numbers) == 2


def test_no_more_things_than_asked_for() -> None:
    scene = Scene((2, 2, 5), (82, 40, -5), (40, 22, 2))
    things = find_things(scene.frames, scene.matte, scene.motion, most=2)
    assert things.numbers == (1, 2)
    # Every pixel of the matte still belongs to one of them.
    assert set(np.unique(things.labels)) == {1, 2}


def test_a_thing_keeps_the_number_of_the_window_before_and_a_new_one_gets_the_next() -> None:
    scene = Scene((2, 6, 4), (82, 38, -4))
    before = torch.where(scene.owners[:4] == 2, 3, 0).int()
    things = find_things(scene.frames, scene.matte, scene.motion, before=before, highest=5)
    assert things.numbers == (3, 6)
    assert scene.overlap(things.labels, 3, 2) > 0.9 and scene.overlap(things.labels, 6, 1) > 0.9


def test_things_that_are_never_seen_together_say_nothing_about_their_order() -> None:
    scene = Scene(*CROSSING)
    half = torch.arange(COUNT)[:, None, None] < COUNT // 2
    labels = torch.where(half, 1, 2).expand(COUNT, *SIZE).numpy().astype(np.int32)
    assert occlusions(scene.frames, scene.matte, labels, (1, 2), scene.motion) == ()


def test_the_number_of_candidates_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene((2, 2, 5), (82, 40, -5), (40, 22, 2))
    every = find_things(scene.frames, scene.matte, scene.motion)
    assert every.numbers == (1, 2, 3)
    monkeypatch.setattr("stages.segment.things.MOST_CANDIDATES", 2)
    largest = find_things(scene.frames, scene.matte, scene.motion)
    assert largest.numbers == (1, 2)
    # What was dropped joins the nearest thing.
    assert set(np.unique(largest.labels)) == {1, 2}


def test_the_layers_of_things_laid_over_each_other_are_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    foreground, background = (torch.rand(2, 3, 8, 12, generator=generator) for _ in range(2))
    matte = torch.rand(2, 1, 8, 12, generator=generator)
    things = torch.randint(1, 4, (2, 1, 8, 12), generator=generator) / LEVELS
    layers = {"foreground": foreground, "matte": matte, "things": things}
    assert thing_numbers(things) == [1, 2, 3]
    parts = [layers_of_thing(layers, number) for number in (1, 2, 3)]
    torch.testing.assert_close(sum(part["matte"] for part in parts), matte)
    whole = matte * foreground + (1 - matte) * background
    for order in (parts, parts[::-1]):
        again = background
        for part in order:
            again = part["matte"] * part["foreground"] + (1 - part["matte"]) * again
        torch.testing.assert_close(again, whole)


def test_the_order_follows_what_was_seen_before_what_is_guessed() -> None:
    seen = [Occlusion(1, 2, 90, 10, 4, 8, 10), Occlusion(1, 3, 0, 0, 4, 9, 10)]
    # Thing 3 stands lower than 1, and 1 was seen to hide 2 although it stands higher.
    assert front_to_back([1, 2, 3], seen) == [3, 1, 2]
    assert seen[0].is_seen and seen[0].front == 1 and not seen[1].is_seen and seen[1].front == 3
    assert front_to_back([2, 1], []) == [1, 2]


def test_evidence_is_kept_in_checkpoints(tmp_path: Path) -> None:
    seen = (Occlusion(1, 2, 10.0, 2.0, 0.5, 0.75, 3.0),)
    separated = Separation({"matte": torch.zeros(2, 1, 3, 4)}, occlusions=seen)
    for made in (lambda: separated, lambda: pytest.fail("it was kept")):
        kept = Checkpoints(tmp_path, "this run", every=0.0)
        again = kept.get_or_compute("layers", made, Separation, Occlusion)
        assert again.occlusions == seen


def test_evidence_of_several_windows_adds_up() -> None:
    (pair,) = summed([Occlusion(1, 2, 10, 10, 1, 2, 3), Occlusion(1, 2, 90, 0, 1, 2, 3)])
    assert pair == Occlusion(1, 2, 100, 10, 2, 4, 6)
    assert pair.is_seen and round(pair.agreement, 2) == 0.91
    assert Occlusion(1, 2, 10, 0).agreement == 0
