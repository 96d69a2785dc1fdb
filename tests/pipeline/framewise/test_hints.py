"""Test how hints reach a frame-wise task: which frame they mark, and which are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import media
import numpy as np
import pytest

from pipeline.framewise.hint import Hints
from pipeline.hint_arguments import parse_hint
from pipeline.settings import Settings
from stages.errors import UsageError
from stages.media.read import open_clip

SIZE = (48, 64)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    media.save(Path("in.mp4"), media.moving(9))
    media.save(Path("clip.mp4"), np.stack([drawn(10 + 3 * index, 20) for index in range(9)]))
    for name, picture in {
        "left": drawn(0, 20),
        "right": drawn(40, 20),
        "black": drawn(0, 20, level=0),
        "blue": drawn(0, 20) * np.array((0, 0, 1), np.uint8),
        "small": drawn(0, 20)[:24],
    }.items():
        cv2.imwrite(f"{name}.png", picture[..., ::-1])


def drawn(left: int, top: int, level: int = 255) -> np.ndarray:
    """Return a picture with a bar of 3x16 pixels."""
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[top : top + 3, left : left + 16] = level
    return picture


def hints(
    ours: Sequence[str], theirs: Sequence[str] = (), inputs: Sequence[str] = ("in.mp4",)
) -> Hints:
    """Return the opened hints of a run on ``inputs``."""
    clip = open_clip([Path(name) for name in inputs])
    settings = Settings(
        inputs=tuple(map(Path, inputs)),
        hint=tuple(map(parse_hint, ours)),
        hint_background=tuple(map(parse_hint, theirs)),
    )
    job: Any = SimpleNamespace(clip=clip, settings=settings)
    return Hints.open(job)


def test_hints_add_up_and_belong_to_their_frames() -> None:
    found = hints(["left.png", "4:box:40,20,16,3"], ["4:point:5,5"])
    found = found.for_frames(0, 9)
    whole = found.foreground_mask(range(9))
    # A hint with a frame's number is no hint for the whole clip.
    assert whole is not None and whole.shape == (1, 1, *SIZE) and float(whole.sum()) == 48
    regions = found.regions(range(2, 8))
    assert [(region.window_index, region.foreground, region.boxed) for region in regions] == [
        (2, True, True),
        (2, False, False),
    ]
    assert [region.window_index for region in found.regions(range(9))] == [0, 4, 4]
    assert int(regions[1].pixels.sum()) == 1 and bool(regions[1].pixels[5, 5])


def test_the_first_frame_is_the_first_that_is_read() -> None:
    found = hints(["left.png"])
    found = found.for_frames(3, 6)
    assert [region.window_index for region in found.regions(range(3, 9))] == [0]
    assert found.regions(range(4, 9)) == ()


def test_a_clip_as_a_hint_is_no_region_of_single_frames() -> None:
    found = hints(["clip.mp4"])
    found = found.for_frames(0, 9)
    levels = found.foreground_mask([2, 3])
    assert levels is not None and levels.shape == (2, 1, *SIZE)
    assert found.regions(range(9)) == ()


def test_hints_without_a_number_mark_all_of_several_pictures() -> None:
    found = hints(["left.png", "1:right.png"], inputs=["black.png", "blue.png"])
    found = found.for_frames(0, 2)
    assert [region.window_index for region in found.regions([0, 1])] == [None, 1]


def test_hints_of_the_background_alone() -> None:
    found = hints([], ["left.png"])
    found = found.for_frames(0, 9)
    assert found.foreground_mask(range(9)) is None
    assert [region.foreground for region in found.regions(range(9))] == [False]


@pytest.mark.parametrize(
    ("ours", "theirs", "says"),
    [
        (["black.png"], [], "--hint black.png: has nothing white in it"),
        (["left.png"], ["black.png"], "--hint-background black.png: has nothing white in it"),
        (["blue.png"], [], "--hint blue.png: has nothing white in it"),
        (["small.png"], [], "--hint small.png: is 64x24, but in.mp4 is 64x48"),
        (["point:64,0"], [], "--hint point:64,0: lies outside in.mp4, which is 64x48"),
        (["box:60,0,5,5"], [], "--hint box:60,0,5,5: lies outside"),
        (["9:left.png"], [], "is for frame 9, but the input's frames are 0 to 8"),
        (["4:clip.mp4"], [], "is a clip, which marks every frame; leave out 4:"),
        (["left.png"], ["point:1,21"], "--hint-background point:1,21: mark the same pixel;"),
        (["left.png"], ["0:left.png"], "mark the same 48 pixels"),
        (["box:0,0,30,30"], ["box:0,0,30,30"], "mark the same 900 pixels"),
        (["left.png"], ["clip.mp4"], "--hint-background clip.mp4: is a clip; mark the background"),
    ],
)
def test_hints_that_cannot_be_used(ours: list[str], theirs: list[str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        hints(ours, theirs).for_frames(0, 9)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(12))
def test_no_pixel_of_a_clip_is_background_in_its_frame(seed: int) -> None:
    """Draw a point near the bar that moves through the clip. A point without number is at 0."""
    rng = np.random.default_rng(seed)
    frame = int(rng.integers(9)) if seed % 3 else 0
    left, top = 10 + 3 * frame, 20
    x, y = int(rng.integers(left - 3, left + 19)), int(rng.integers(top - 1, top + 4))
    point = f"{frame}:point:{x},{y}" if seed % 3 else f"point:{x},{y}"
    found = hints(["right.png", "clip.mp4"], [point])
    if left <= x < left + 16 and top <= y < top + 3:
        says = f"^--hint clip.mp4 and .*: mark the same pixel in frame {frame};"
        with pytest.raises(UsageError, match=says):
            found.for_frames(0, 9)
    elif not (frame == 0 and x >= 40 and top <= y < top + 3):
        found.for_frames(0, 9)


@pytest.mark.parametrize(("point", "frame"), [("point:27,21", 1), ("point:27,23", None)])
def test_background_of_all_pictures_is_compared_with_all_frames(
    point: str, frame: int | None
) -> None:
    found = hints(["clip.mp4"], [point], inputs=["black.png", "blue.png"])
    if frame is None:
        found.for_frames(0, 2)
        return
    with pytest.raises(UsageError, match=f"mark the same pixel in frame {frame};"):
        found.for_frames(0, 2)


def test_background_may_lie_in_a_box_and_in_another_frame() -> None:
    found = hints(["box:0,0,30,30", "5:left.png"], ["left.png"])
    found = found.for_frames(0, 9)
    assert [region.window_index for region in found.regions(range(9))] == [0, 5, 0]
