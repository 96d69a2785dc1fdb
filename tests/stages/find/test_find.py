"""The search as a whole, on made clips whose layers are known."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from find_clips import Stack, blocks, curve_error, mattes, mixed, shot, texture, weights

from stages.errors import UsageError
from stages.find.search import KEEP, LOOK_EVERY, find
from stages.shots import Analysis, Shot

MOVES: list[dict[str, Any]] = [
    dict(),
    dict(pan=(0.6, 0.2)),
    dict(zoom=0.004),
    dict(pan=(-0.4, 0.3), zoom=-0.003),
]


@pytest.mark.usually(4)
@pytest.mark.parametrize("kind", ["linear", "ease", "late", "early"])
@pytest.mark.parametrize("steps", [8, 20, 36])
def test_dissolve_is_found_to_the_frame(kind: str, steps: int) -> None:
    pre, post = 10, 9
    a, b = (shot(seed, pre + steps + post, **MOVES[(seed + steps) % 4]) for seed in (1, 2))
    found = find(blocks(mixed(a, b, pre, weights(kind, steps))))
    (one,) = found.transitions
    assert len(found.shots) == 2 and (one.outgoing, one.incoming, one.color) == (0, 1, None)
    assert (one.kind, one.space) == ("dissolve", "gamma")
    # An ease begins with weights of hundredths: one frame more or less may be taken.
    slack = 0 if kind == "linear" else 1
    assert abs(one.first_frame - pre) <= slack and abs(one.last_frame - (pre + steps - 1)) <= slack
    if len(one) == steps:
        assert curve_error(one.mix, weights(kind, steps)) < 0.01


@pytest.mark.usually(1)
@pytest.mark.parametrize("seed", [1, 5])
def test_mixture_in_linear_light_is_told_from_one_of_encoded_values(seed: int) -> None:
    a, b = shot(seed, 40, pan=(0.3, 0.0)), shot(seed + 1, 40)
    for power, space in ((2.2, "linear"), (1.0, "gamma")):
        (one,) = find(blocks(mixed(a, b, 10, weights("linear", 20), power))).transitions
        assert one.space == space
        assert (one.first_frame, one.last_frame) == (10, 29)
        assert curve_error(one.mix, weights("linear", 20)) < 0.015


@pytest.mark.parametrize("forwards", [True, False])
def test_a_dark_shot_that_lights_up_in_linear_light_is_no_cut(forwards: bool) -> None:
    dark, bright = 0.13 * shot(5, 34), shot(6, 34, pan=(0.3, 0.0))
    clip = mixed(dark, bright, 12, weights("linear", 10), 2.2)
    (one,) = find(blocks(clip if forwards else clip[::-1])).transitions
    assert (one.space, one.first_frame, one.last_frame) == ("linear", 12, 21)


def test_fast_cameras_on_both_sides() -> None:
    clip = mixed(
        shot(2, 40, pan=(3.0, 0.5)), shot(3, 40, pan=(-3.0, 0.0)), 10, weights("linear", 20)
    )
    (one,) = find(blocks(clip)).transitions
    assert one.kind == "dissolve"
    assert abs(one.first_frame - 10) <= 1 and abs(one.last_frame - 29) <= 1


@pytest.mark.usually(3)
@pytest.mark.parametrize("kind", ["right", "right-back", "down", "slant", "open", "open-back"])
def test_wipes_and_irises(kind: str) -> None:
    matte = mattes(kind, 18, (54, 96))
    # No object crosses the middle, where an iris begins with a few pixels.
    a, b = (shot(seed, 40, pan=(0.3, 0.0), thing=not kind.startswith("open")) for seed in (3, 4))
    (one,) = find(blocks(mixed(a, b, 11, matte))).transitions
    assert one.kind == ("iris" if kind.startswith("open") else "wipe")
    # The last corner of an iris is a few pixels.
    assert abs(one.first_frame - 11) <= 1 and abs(one.last_frame - 28) <= 1
    if len(one) == 18:
        assert curve_error(one.mix, matte.mean((1, 2, 3), dtype=np.float64)) < 0.015


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (120, 50, 20)])
def test_fades_have_a_color_for_their_other_side(color: tuple[int, int, int]) -> None:
    plain = np.full((60, 54, 96, 3), np.asarray(color, np.float32) / 255, np.float32)
    out = mixed(shot(6, 60, pan=(0.5, 0.0)), plain, 12, weights("linear", 16))[:34]
    back = mixed(plain, shot(7, 60), 5, weights("linear", 12))[:30]
    found = find(blocks(np.concatenate([out, back])))
    first, second = found.transitions
    name = "#" + "".join(f"{part:02x}" for part in color)
    assert (first.kind, first.first_frame, first.last_frame, first.color) == ("fade", 12, 27, name)
    assert (second.kind, second.first_frame, second.last_frame, second.color) == (
        "fade",
        39,
        50,
        name,
    )
    assert (first.outgoing, first.incoming, second.outgoing, second.incoming) == (0, None, None, 1)
    assert found.shots == (Shot(0, 11), Shot(51, 63))
    assert curve_error(first.mix, weights("linear", 16)) < 0.01


def test_a_clip_played_backwards_has_the_same_transition() -> None:
    clip = mixed(shot(1, 44, pan=(0.4, 0.1)), shot(2, 44), 12, weights("late", 20))
    (one,), (other,) = find(blocks(clip)).transitions, find(blocks(clip[::-1])).transitions
    assert (
        abs(other.first_frame - (43 - one.last_frame)) <= 1
        and abs(other.last_frame - (43 - one.first_frame)) <= 1
    )
    assert curve_error(other.mix, 1 - np.array(one.mix)[::-1]) < 0.02


def test_cuts_are_barriers() -> None:
    parts = [
        shot(1, 20),
        shot(2, 15, pan=(1.0, 0.0)),
        mixed(shot(3, 40), shot(4, 40), 9, weights("linear", 12)),
    ]
    found = find(blocks(np.concatenate(parts)))
    kinds = [(one.kind, one.first_frame, one.last_frame) for one in found.transitions]
    assert kinds == [("cut", 20, 19), ("cut", 35, 34), ("dissolve", 44, 55)]
    assert found.shots == (Shot(0, 19), Shot(20, 34), Shot(35, 43), Shot(56, 74))
    assert [(one.outgoing, one.incoming) for one in found.transitions] == [(0, 1), (1, 2), (2, 3)]


def single_shots() -> dict[str, Stack]:
    """Return clips of one shot in which much happens."""
    still = shot(8, 60, thing=False)
    flash, light, crossing = still.copy(), still.copy(), still.copy()
    flash[20:23] = np.clip(flash[20:23] * 0.3 + 0.7, 0, 1)
    light *= np.clip(np.linspace(1.4, 0.4, 60), 0.5, 1)[:, None, None, None].astype(np.float32)
    wall = np.pad(texture(99, 54, 60), ((0, 0), (160, 160), (0, 0)))
    inside = np.pad(np.ones((54, 60, 1), bool), ((0, 0), (160, 160), (0, 0)))
    for time in range(15, 50):
        place = slice(190 - 5 * (time - 15) % 190, 286 - 5 * (time - 15) % 190)
        crossing[time] = np.where(inside[:, place], wall[:, place], crossing[time])
    whip = np.concatenate(
        [[0.0] * 20, np.linspace(0, 9, 8), np.linspace(9, 0, 8), [0.0] * 24]
    ).cumsum()
    world = texture(9, 54, 400)
    panned = np.stack([world[:, int(x) : int(x) + 96] for x in whip])
    blurred = cv2.blur(panned.reshape(-1, 96, 3), (3, 1))
    return {
        "still": still,
        "pan": shot(10, 60, pan=(1.5, 0.4)),
        "zoom": shot(11, 60, zoom=0.012),
        "flash": flash,
        "light": light,
        "crossing": crossing,
        "whip": np.asarray(blurred, np.float32).reshape(panned.shape),
        "noise": np.clip(
            still + np.random.default_rng(0).normal(0, 0.03, still.shape), 0, 1
        ).astype(np.float32),
    }


@pytest.mark.parametrize(
    "name", ["still", "pan", "zoom", "flash", "light", "crossing", "whip", "noise"]
)
def test_nothing_is_invented(name: str) -> None:
    frames = single_shots()[name]
    assert find(blocks(frames)) == Analysis(60, (Shot(0, 59),), ())


@pytest.mark.parametrize(
    "shape", [(1, 54, 96), (2, 54, 96), (30, 1, 1), (30, 2, 3), (40, 17, 31), (30, 97, 5)]
)
@pytest.mark.parametrize("content", ["black", "gray", "noise", "halves"])
def test_degenerate_clips(shape: tuple[int, int, int], content: str) -> None:
    frames = np.full((*shape, 3), {"black": 0.0, "gray": 0.5}.get(content, 0.5), np.float32)
    if content == "noise":
        frames[:] = np.random.default_rng(1).random((1, *shape[1:], 3))
    if content == "halves":
        frames[:, : shape[1] // 2] = 1
    found = find(blocks(frames))
    assert found == Analysis(shape[0], (Shot(0, shape[0] - 1),), ())


def test_no_frames_at_all() -> None:
    assert find(iter(())) == Analysis(0, (), ())


def test_dissolve_between_tiny_frames() -> None:
    a, b = shot(1, 40, (12, 20)), shot(2, 40, (12, 20))
    (one,) = find(blocks(mixed(a, b, 12, weights("linear", 15)))).transitions
    assert abs(one.first_frame - 12) <= 1 and abs(one.last_frame - 26) <= 1


def film(count: int) -> tuple[Stack, list[tuple[int, int]]]:
    """Return a film of ``count`` dissolves, and the first and last frame of each."""
    rng = np.random.default_rng(5)
    clip = shot(50, 30)
    spans = []
    for number in range(count):
        steps = int(rng.integers(8, 25))
        first = len(clip) - steps
        clip = np.concatenate([clip, shot(50 + number, len(clip) + 14)[len(clip) :]])
        coming = shot(51 + number, len(clip) + 26)
        clip = np.concatenate(
            [mixed(clip, coming[: len(clip)], first, weights("linear", steps)), coming[len(clip) :]]
        )
        spans.append((first, first + steps - 1))
    return clip, spans


@pytest.mark.slow
def test_long_film_in_blocks_of_any_length() -> None:
    clip, spans = film(9)
    assert len(clip) > KEEP + 3 * LOOK_EVERY
    seen: list[int] = []
    found = find(blocks(clip, 23), progress=seen.append)
    assert seen == [*range(23, len(clip), 23), len(clip)]
    assert len(found.transitions) == len(spans) and len(found.shots) == len(spans) + 1
    for one, (first, last) in zip(found.transitions, spans, strict=True):
        assert abs(one.first_frame - first) <= 1 and abs(one.last_frame - last) <= 1
    other = find(blocks(clip, 7))
    assert other.shots == found.shots


def test_a_user_s_range_replaces_what_is_found() -> None:
    clip = mixed(shot(1, 60, pan=(0.3, 0.0)), shot(2, 60), 20, weights("linear", 19))
    found = find(blocks(clip), overrides=[(18, 40)])
    (one,) = found.transitions
    assert (one.kind, one.first_frame, one.last_frame, len(one.mix)) == ("dissolve", 18, 40, 23)
    assert found.shots == (Shot(0, 17), Shot(41, 59))
    assert np.abs(np.array(one.mix[2:-2]) - weights("linear", 19)).mean() < 0.03


def test_a_user_s_range_in_one_shot_is_believed() -> None:
    (one,) = find(blocks(shot(1, 50)), overrides=[(20, 29)]).transitions
    assert (one.first_frame, one.last_frame) == (20, 29)
    assert all(0 < low <= high < 1 for low, high in zip(one.mix, one.mix[1:], strict=False))
    assert len(set(one.mix)) >= len(one.mix) - 1


def test_a_user_s_wipe_is_seen_to_be_one() -> None:
    clip = mixed(shot(1, 50), shot(2, 50), 15, mattes("right", 20, (54, 96)))
    (one,) = find(blocks(clip), overrides=[(15, 34)]).transitions
    assert one.kind == "wipe"
    assert (
        curve_error(one.mix, mattes("right", 20, (54, 96)).mean((1, 2, 3), dtype=np.float64))
        < 0.015
    )


@pytest.mark.parametrize("span", [(0, 9), (50, 59), (0, 59), (5, 5), (0, 0), (59, 59)])
def test_a_user_s_range_at_the_clip_s_ends(span: tuple[int, int]) -> None:
    found = find(blocks(shot(1, 60)), overrides=[span])
    (one,) = found.transitions
    assert (one.first_frame, one.last_frame) == span
    assert all(0 < weight < 1 for weight in one.mix)
    assert found.shots == (Shot(0, span[0] - 1), Shot(span[1] + 1, 59))


def test_a_user_s_range_is_longer_than_the_search_s_memory() -> None:
    clip = mixed(shot(1, 420), shot(2, 420), 30, weights("linear", 359))
    (one,) = find(blocks(clip), overrides=[(30, 388)]).transitions
    assert curve_error(one.mix, weights("linear", 359)) < 0.02


@pytest.mark.parametrize("spans", [[(-1, 5)], [(9, 5)], [(30, 40)], [(5, 40)], [(2, 9), (9, 12)]])
def test_a_range_outside_the_clip_is_an_error(spans: list[tuple[int, int]]) -> None:
    with pytest.raises(UsageError, match=r"^-?\d+:\d+"):
        find(blocks(shot(1, 30, (18, 32))), overrides=spans)
