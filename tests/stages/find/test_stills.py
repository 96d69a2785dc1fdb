"""Transitions between scenes that stand still are found with their exact frames and weights."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.find.stills import StillSearch, StillTransition, are_two_scenes

Picture = NDArray[np.float32]
SIZE = (54, 96)


def photo(seed: int) -> Picture:
    """Return a rough coloured picture ``(H, W, 3)`` in [0, 1]."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((9, 14, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1))


def show(mattes: NDArray[np.floating], seed: int = 0, noise: float = 0.004) -> list[Picture]:
    """Return 20 frames of a picture, mixtures with ``mattes``, and 20 frames of another picture."""
    rng = np.random.default_rng(seed)
    before, after = photo(2 * seed), photo(2 * seed + 1)
    around = np.zeros((20, *mattes.shape[1:])), np.ones((20, *mattes.shape[1:]))
    weights = np.concatenate([around[0], mattes, around[1]])
    frames = [(1 - weight) * before + weight * after for weight in weights]
    return [np.asarray(frame + rng.normal(0, noise, frame.shape), np.float32) for frame in frames]


def search(frames: list[Picture]) -> list[StillTransition]:
    """Return what the search finds in all frames."""
    found = StillSearch()
    for frame in frames:
        found.add(frame)
    found.end_run()
    return found.found


def even(count: int) -> NDArray[np.floating]:
    """Return the mattes of a linear dissolve, ``(count, 1, 1, 1)``."""
    return (np.arange(1, count + 1) / (count + 1)).reshape(-1, 1, 1, 1)


def checkerboard(count: int) -> NDArray[np.floating]:
    """Return mattes ``(count, H, W, 1)`` in which sixteen fields change one after the other."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    number = (y * 4 // SIZE[0]) * 4 + x * 4 // SIZE[1]
    turn = np.random.default_rng(1).permutation(16)[number]
    times = np.arange(1, count + 1)[:, None, None] / (count + 1) * 16
    return np.asarray((turn[None] < times)[..., None], float)


@pytest.mark.parametrize("count", [1, 4, 24, 90])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_dissolve_has_its_frames_and_weights(count: int, seed: int) -> None:
    (found,) = search(show(even(count), seed))
    assert (found.kind, found.first, found.last) == ("dissolve", 20, 19 + count)
    assert np.abs(np.array(found.mix) - even(count).ravel()).max() < 0.01


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_matte_that_only_opens_is_a_wipe(seed: int) -> None:
    mattes = checkerboard(24)
    (found,) = search(show(mattes, seed))
    assert (found.kind, found.space) == ("wipe", "gamma")
    assert abs(found.first - 20) <= 1 and abs(found.last - 43) <= 1


def test_a_dissolve_in_light_is_told_from_one_in_encoded_values() -> None:
    before, after = photo(6), photo(7)
    mixed = [((1 - w) * before**2.2 + w * after**2.2) ** (1 / 2.2) for w in even(12).ravel()]
    frames = [np.asarray(frame, np.float32) for frame in mixed]
    (found,) = search([before] * 15 + frames + [after] * 15)
    assert found.space == "linear"


@pytest.mark.parametrize("seed", range(4))
def test_what_lies_between_must_be_a_mixture(seed: int) -> None:
    frames = show(even(10), seed)
    frames[24] = photo(99)
    assert not search(frames)


def test_a_cut_a_title_and_a_change_of_light_are_no_transition() -> None:
    still = photo(1)
    assert not search([still] * 20 + [photo(2)] * 20)
    title = still.copy()
    title[20:30, 30:60] = 1
    darker = np.asarray(0.6 * still, np.float32)
    for after in (title, darker):
        assert not are_two_scenes(still, after)
        mixed = [np.asarray((1 - w) * still + w * after, np.float32) for w in even(8).ravel()]
        assert not search([still] * 20 + mixed + [after] * 20)


def test_three_scenes_in_a_row() -> None:
    one, other, third = photo(1), photo(2), photo(3)
    frames = [one] * 9
    for before, after in ((one, other), (other, third)):
        frames += [np.asarray((1 - w) * before + w * after, np.float32) for w in even(6).ravel()]
        frames += [after] * 9
    assert [(found.first, found.last) for found in search(frames)] == [(9, 14), (24, 29)]


@pytest.mark.parametrize("stop", [5, 18, 24, 33, 40])
def test_a_search_that_was_stopped_goes_on(stop: int) -> None:
    frames = show(even(12), 1)
    first = StillSearch()
    for frame in frames[:stop]:
        first.add(frame)
    second = StillSearch()
    second.restore(first.state())
    for frame in frames[stop:]:
        second.add(frame)
    second.end_run()
    assert second.found == search(frames)


def test_memory_is_bounded_by_the_window() -> None:
    found = StillSearch()
    rng = np.random.default_rng(0)
    still = photo(1)
    for number in range(1200):
        moving = 100 <= number < 600
        found.add(np.asarray(rng.random(still.shape), np.float32) if moving else still)
        assert len(found.pending) <= 251 + 12
