"""Dark stretches of a clip are searched as if they were as bright as others."""

from __future__ import annotations

import numpy as np
import pytest
from find_clips import Stack, blocks, mixed, shot, weights

from stages.find.brighten import MOST_GAIN, MOST_NOISE, USUAL, BrightFrames, brightness, noise
from stages.find.features import contents, distances, plain_color
from stages.find.search import find

SIZE = (54, 96)
COUNT = 8


def bright_frames(frames: Stack, cuts: tuple[int, ...] = ()) -> BrightFrames:
    """Return the frames with their dark stretches brightened."""
    blocks = contents(frames)
    pairs = np.stack([distances(one, blocks) for one in blocks])
    return BrightFrames.of(frames, pairs, cuts)


@pytest.mark.parametrize("seed", range(4))
def test_dark_stretches_get_the_usual_brightness_and_others_stay(seed: int) -> None:
    level = float(np.random.default_rng(seed).uniform(0.15, 0.4))
    scenes = [shot(seed + side, COUNT, SIZE) for side in range(2)]
    frames = np.concatenate([scenes[0], level * scenes[1]]).astype(np.float32)
    bright = bright_frames(frames, (COUNT,))
    assert np.array_equal(bright.frames[:COUNT], frames[:COUNT])
    gains = bright.gains[COUNT:]
    assert np.ptp(gains) == 0 and 1 < gains[0] <= MOST_GAIN
    assert brightness(bright.frames[COUNT:]).max() == pytest.approx(USUAL, abs=0.01)
    alone = bright_frames(bright.frames[COUNT:])
    # A few values above the usual brightness are cut off.
    assert np.allclose(bright.pairs[COUNT:, COUNT:], alone.pairs, rtol=0.05, atol=1e-4)
    # A stretch is as dark as its brightest frame.
    assert not bright_frames(frames).are_changed


@pytest.mark.parametrize("seed", range(2))
def test_noise_is_measured_and_limits_the_gain(seed: int) -> None:
    rng = np.random.default_rng(seed)
    deviation = float(rng.uniform(0.004, 0.008))
    clean = 0.1 + 0.1 * shot(seed, COUNT, SIZE, pan=(0.5, 0))
    noisy = (clean + rng.normal(0, deviation, clean.shape)).astype(np.float32)
    assert noise(noisy) == pytest.approx(deviation, rel=0.3)
    gain = bright_frames(noisy).gains[0]
    assert 1 < gain < bright_frames(clean).gains[0]
    assert gain == pytest.approx(MOST_NOISE / noise(noisy))


def test_a_plain_frame_keeps_its_color() -> None:
    frames = np.full((COUNT, *SIZE, 3), (8 / 255, 16 / 255, 32 / 255), np.float32)
    frames[COUNT // 2 :] = 0.25 * shot(0, COUNT - COUNT // 2, SIZE)
    bright = bright_frames(frames)
    assert bright.gains[0] > 1 and bright.plain_color(0) == "#081020"
    # A faint picture is no plain colour.
    faint = np.asarray(0.08 * shot(1, COUNT, SIZE), np.float32)
    assert plain_color(faint[0]) is not None and bright_frames(faint).plain_color(0) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_small_thing_on_black_or_on_a_dark_color_is_no_dark_scene(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = np.full((COUNT, *SIZE, 3), [0.0, 0.07, 0.15][seed], np.float32)
    top, left = int(rng.integers(SIZE[0] - 9)), int(rng.integers(SIZE[1] - 9 - COUNT))
    for time in range(COUNT):
        frames[time, top : top + 8, left + time : left + time + 8] = rng.uniform(0.2, 1, 3)
    assert not bright_frames(frames).are_changed


@pytest.mark.parametrize("level", [1.0, 0.25])
def test_a_dissolve_between_dark_shots_is_found_and_a_dark_shot_stays_whole(level: float) -> None:
    curve, pre = weights("linear", 8), 12
    scenes = [level * shot(seed, 2 * pre + len(curve), SIZE, pan=(0.3, 0)) for seed in (3, 4)]
    frames = mixed(scenes[0], scenes[1], pre, curve)
    (found,) = find(blocks(frames)).transitions
    assert (found.kind, found.first_frame, found.last_frame) == ("dissolve", 12, 19)
    whole = find(blocks(mixed(scenes[0], scenes[0], pre, curve)))
    assert not whole.transitions and not whole.colors and len(whole.shots) == 1


@pytest.mark.parametrize("seed", range(2))
def test_a_cut_between_dark_shots_is_a_cut(seed: int) -> None:
    level = float(np.random.default_rng(seed).uniform(0.1, 0.3))
    scenes = [level * shot(side, COUNT, SIZE, pan=(0.3, 0)) for side in (2 * seed, 2 * seed + 1)]
    frames = np.asarray(np.round(np.concatenate(scenes) * 255) / 255, np.float32)
    (found,) = find(blocks(frames)).transitions
    assert (found.kind, found.first_frame) == ("cut", COUNT)
