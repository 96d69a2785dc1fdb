"""Random stories through the whole search. Every frame is in exactly one part of what is found.

``UNLAYER_STORIES`` sets how many stories are drawn (24 by default) and ``UNLAYER_STORIES_SEED`` the
first seed. ``measure_stories.py`` measures many.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stories import blocks, camera, compare, draw, drawn, repeated

from stages.find import search
from stages.find.changes import burst_ratio, change_ends
from stages.find.repeats import repeated_frames, tie_repeated
from stages.find.search import KEEP, LOOK_EVERY, find
from stages.find.timeline import PlainFrame, TransitionEvent, build_timeline
from stages.find.windows import stretches
from stages.media.read import open_clip
from stages.shots import Analysis, ColorGap, Shot, Transition
from stages.storage.checkpoint import Checkpoints

COUNT, SEED = (
    int(os.environ.get("UNLAYER_STORIES", "24")),
    int(os.environ.get("UNLAYER_STORIES_SEED", "0")),
)
FAST = 10
"""Stories that are searched in every run of the tests; the rest are slow tests."""
STATE_NAMES = {
    *("first", "frames", "bars", "steps", "residuals"),
    *("judged", "cuts", "flashes", "looked", "plain", "events", "rejected"),
    *("waiting", "searched", "done", "stills"),
}
"""What a search's state consists of in earlier versions, whose checkpoints can be continued."""
LATER_NAMES = {"begins_judged", "ends_judged"}
"""What it has since then."""
CUTS = Path(__file__).parents[4] / "shared" / "data" / "public" / "cuts"
needs_cuts = pytest.mark.skipif(not CUTS.is_dir(), reason=f"no clips at {CUTS}")


@pytest.mark.usually(4)
@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(SEED + place, marks=[pytest.mark.slow] if place >= FAST else [])
        for place in range(COUNT)
    ],
)
def test_every_cut_of_a_random_story_is_right_and_every_frame_covered(seed: int) -> None:
    drawing = drawn(seed, longest=30)
    result = compare(drawing, find(blocks(drawing.frames)))
    assert result.right, (
        f"seed {seed}: {result}; cuts were at {drawing.cuts}, mixed frames at {drawing.spans}"
    )


def test_many_short_shots_are_found_once_each_in_blocks_of_any_length() -> None:
    """There are far more cuts than the ring of frames holds, and shots of one and two frames."""
    rng = np.random.default_rng(3)
    lengths = [int(length) for length in rng.integers(1, 12, 70)]
    clip = np.concatenate([camera(rng, length) for length in lengths])
    assert len(clip) > KEEP + 3 * LOOK_EVERY
    cuts = np.cumsum(lengths)[:-1].tolist()
    whole = find(blocks(clip, 32))
    assert [(move.kind, move.first_frame) for move in whole.transitions] == [
        ("cut", cut) for cut in cuts
    ]
    assert [shot.last_frame - shot.first_frame + 1 for shot in whole.shots] == lengths
    assert find(blocks(clip, 7)) == whole == find(blocks(clip, len(clip)))


def test_a_search_resumed_from_any_state_finds_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A ring of a third of the length makes as many looks at a third of the cost.
    monkeypatch.setattr(search, "KEEP", 72)
    clip, length = np.concatenate([draw(seed, longest=20).frames for seed in (2, 3)])[:260], 29
    checkpoints = Checkpoints(tmp_path, "one", every=0.0)
    counts: list[int] = []

    def on_block(state_of: Callable[[], dict[str, Any]]) -> None:
        state = state_of()
        assert set(state) == STATE_NAMES | LATER_NAMES
        counts.append(state["first"] + len(state["frames"]))
        checkpoints.save(f"at-{counts[-1]}", state)

    whole = find(blocks(clip, length), on_block=on_block)
    assert len(counts) == -(-len(clip) // length) - 1 and len(whole.transitions) > 3
    for count in counts:
        # The blocks that follow have another length: what is found depends on the frames alone.
        state = checkpoints.newest(f"at-{count}", TransitionEvent, PlainFrame)
        assert find(blocks(clip, 13, count), state=state) == whole
    earlier = {name: state[name] for name in STATE_NAMES}
    assert find(blocks(clip, 13, counts[-1]), state=earlier) == whole


# ---------------------------------------------------------------- every frame once


@pytest.mark.parametrize(
    ("shots", "moves", "colors", "said"),
    [
        ([(0, 4), (6, 9)], [], [], "frame 5 is in no part"),
        ([(0, 5), (5, 9)], [], [], "frame 5 is in two parts"),
        ([(0, 8)], [], [], "10 frames covers 9"),
        ([(0, 9), (10, 9)], [], [], "shot 1 at frame 10 has no frame"),
        ([(0, 4)], [], [(4, 9)], "frame 4 is in two parts"),
        ([(0, 4), (8, 9)], [(5, 6)], [], "frame 7 is in no part"),
    ],
)
def test_an_analysis_that_loses_a_frame_cannot_be_made(
    shots: list[tuple[int, int]],
    moves: list[tuple[int, int]],
    colors: list[tuple[int, int]],
    said: str,
) -> None:
    parts = tuple(Shot(*span) for span in shots)
    blends = tuple(Transition(*span, "dissolve", (0.3, 0.6), "gamma", 0, 1) for span in moves)
    with pytest.raises(ValueError, match=said):
        Analysis(10, parts, blends, tuple(ColorGap(*span, "#000000") for span in colors))


def test_random_events_never_lose_a_frame() -> None:
    """Events may overlap or come twice: the timeline still covers every frame once."""
    for seed in range(400):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(1, 60))
        events = []
        for _ in range(int(rng.integers(0, 9))):
            first = int(rng.integers(0, count))
            last = min(count - 1, first - 1 + int(rng.integers(0, 9)))
            kind = "cut" if last < first else str(rng.choice(["dissolve", "wipe"]))
            colors = [None if rng.random() < 0.6 else "#000000" for _ in range(2)]
            mix = tuple((place + 1) / (last - first + 2) for place in range(last - first + 1))
            events.append(TransitionEvent(first, last, kind, "gamma", mix, colors[0], colors[1]))
        plain = {
            frame: PlainFrame(str(rng.choice(["#000000", "#101010"])), 0.0)
            for frame in range(count)
            if rng.random() < 0.5
        }
        found = build_timeline(count, events, plain)
        assert found.frames == count and all(
            move.first_frame > 0 or len(move) for move in found.transitions
        )


def test_a_dark_shot_before_black_is_a_shot() -> None:
    """The fade from black takes the gap before it for black, but only its last frames are."""
    mix = tuple(place / 13 for place in range(1, 13))
    plain = {frame: PlainFrame("#13110e", 0.0095) for frame in range(40, 65)} | {
        frame: PlainFrame("#000000", 0.0) for frame in (65, 66)
    }
    events = [
        TransitionEvent(40, 39, "cut"),
        TransitionEvent(67, 78, "dissolve", "gamma", mix, "#000000"),
    ]
    found = build_timeline(107, events, plain)
    assert found.shots == (Shot(0, 39), Shot(40, 64), Shot(79, 106)) and found.colors == (
        ColorGap(65, 66, "#000000"),
    )
    assert [
        (move.kind, move.first_frame, move.outgoing, move.incoming, move.color)
        for move in found.transitions
    ] == [
        ("cut", 40, 0, 1, None),
        ("cut", 65, 1, None, "#000000"),
        ("fade", 67, None, 2, "#000000"),
    ]


# ---------------------------------------------------------------- boundaries of unknown kind


def pushed_aside(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Return a clip in which a picture pushes another one out at a corner.

    14 frames of each come before and after it. No kind of transition moves along a diagonal.
    """
    one, other = camera(rng, 1)[0], camera(rng, 1)[0]
    height, width = one.shape[:2]
    empty = np.zeros_like(one)
    sheet = np.concatenate(
        [np.concatenate([one, empty], axis=1), np.concatenate([empty, other], axis=1)]
    )
    progress = [0.0] * 14 + [(place + 1) / (steps + 1) for place in range(steps)] + [1.0] * 14
    frames = []
    for part in progress:
        down, right = round(height * part), round(width * part)
        frames.append(sheet[down : down + height, right : right + width])
    clip = np.stack(frames)
    return np.clip(clip + rng.normal(0, 0.002, clip.shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    "steps", [13, *(pytest.param(steps, marks=pytest.mark.slow) for steps in (10, 16))]
)
def test_where_the_picture_changes_for_good_there_is_a_boundary(steps: int) -> None:
    found = find(blocks(pushed_aside(np.random.default_rng(steps), steps)))
    (move,) = found.transitions
    assert move.kind == "other" and not move.separable and len(found.shots) == 2
    assert abs(move.first_frame - 14) <= 2 and abs(move.last_frame - (13 + steps)) <= 2
    # Both shots go on through it.
    assert found.covered(0) == (0, move.last_frame) and found.covered(1)[0] == move.first_frame


def test_the_ends_of_a_boundary_are_where_the_changes_begin_and_end() -> None:
    changes = {time: 0.2 if 10 <= time <= 15 else 0.01 for time in range(1, 25)}
    assert change_ends(changes, 8, 17) == (10, 14)
    assert burst_ratio(changes, 9, 15) == pytest.approx(20)
    assert burst_ratio({3: 0.1, 4: 0.1}, 2, 4) == 1


def test_stretches_lie_between_cuts_and_known_transitions() -> None:
    assert stretches(30, [5], [(10, 14)]) == [(0, 4), (5, 9), (15, 29)]


# ---------------------------------------------------------------- repeated frames


@pytest.mark.usually(2)
@pytest.mark.parametrize("how", ["pulled", "twos"])
@pytest.mark.parametrize("seed", [0, 10, 18])
def test_repeated_frames_have_the_weight_of_their_picture(seed: int, how: str) -> None:
    drawing = repeated(draw(seed), how)
    found = find(blocks(drawing.frames))
    assert compare(drawing, found).right
    exact = 0
    for (first, last), mix in zip(drawing.spans, drawing.mixes, strict=True):
        for move in found.transitions:
            if (move.first_frame, move.last_frame) == (first, last):
                exact += 1
                assert np.abs(np.array(move.mix) - mix).mean() < 0.02
                assert [
                    one == other for one, other in zip(move.mix, move.mix[1:], strict=False)
                ] == [bool(one == other) for one, other in zip(mix, mix[1:], strict=False)]
    assert exact or not drawing.spans


def test_stills_are_not_repeats() -> None:
    moving, still = (
        camera(np.random.default_rng(1), 12),
        np.repeat(camera(np.random.default_rng(2), 1), 12, axis=0),
    )
    clip = np.concatenate([moving[np.arange(24) // 2], still])
    again = repeated_frames(clip, 0, len(clip) - 1)
    assert set(range(3, 21, 2)) <= set(again) and not [place for place in again if place >= 24]


def test_repeated_frames_get_the_mean_weight_of_their_picture() -> None:
    np.testing.assert_allclose(
        tie_repeated(np.array([0.1, 0.3, 0.5, 0.9]), 10, [11, 40]), [0.2, 0.2, 0.5, 0.9]
    )


# ---------------------------------------------------------------- clips from reports


@needs_cuts
def test_a_trailer_of_thirty_short_shots() -> None:
    clip = open_clip([CUTS / "many.mkv"])
    found = find(clip.blocks(size=(54, 96)))
    cuts = [
        15,
        22,
        30,
        39,
        47,
        62,
        77,
        89,
        96,
        103,
        113,
        124,
        137,
        148,
        157,
        165,
        178,
        192,
        199,
        207,
        218,
        228,
        243,
        255,
        266,
        277,
        290,
    ]
    assert [(move.kind, move.first_frame) for move in found.transitions] == [
        ("cut", cut) for cut in [*cuts, 302, 310]
    ]


@needs_cuts
def test_a_dark_shot_that_is_cut_to_black() -> None:
    clip = open_clip([CUTS / "dark_shot_before_black.mkv"])
    found = find(clip.blocks(size=(54, 96)))
    assert found.shots == (Shot(0, 39), Shot(40, 64), Shot(79, 106)) and found.colors == (
        ColorGap(65, 66, "#000000"),
    )


@pytest.mark.parametrize("seed", range(8))
def test_flashes_end_no_shot_and_make_no_fade(seed: int) -> None:
    """A strobe: one to three frames of one colour in a row; the shot goes on after each."""
    rng = np.random.default_rng(seed)
    clip = camera(rng, 80)
    places = np.cumsum(rng.integers(4, 16, 5))
    for place in places:
        clip[place : place + int(rng.integers(1, 4))] = rng.choice([0.0, 1.0, 0.5])
    found = find(blocks(clip))
    assert found.shots == (Shot(0, 79),) and not found.transitions and not found.colors, found


@pytest.mark.slow
def test_a_search_resumed_behind_a_flash_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "KEEP", 72)
    rng = np.random.default_rng(5)
    clip = camera(rng, 160)
    clip[[80, 81, 140]] = 0
    states: list[dict[str, Any]] = []
    whole = find(blocks(clip), on_block=lambda state_of: states.append(deepcopy(state_of())))
    assert whole.shots == (Shot(0, 159),) and any(state["flashes"] for state in states)
    state = next(state for state in reversed(states) if state["flashes"])
    taken = state["first"] + len(state["frames"])
    assert find(blocks(clip, first=taken), state=state) == whole
