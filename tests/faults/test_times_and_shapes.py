"""Odd times, sizes, lengths and colours, through a whole run. What comes out is what went in."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import ffmpeg
import media
import numpy as np
import pytest
from clips import dissolve, grainy, moving
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from provoke import Run, Zygote, film, manifest, small_plans, still

from stages.media.read import open_clip

TASK = ("--task", "transition", "--no-progress")


def alone(folder: Path) -> Path:
    """Return the one layer of a run with nothing to separate; check that the run says so."""
    whole = manifest(folder)
    (layer,) = whole["layers"]
    assert layer["role"] == "scene" and whole["transitions"] == []
    assert [text for text in whole["warnings"] if text.startswith("no transition was found")]
    return Path(folder, layer["path"])


def levels(path: Path) -> np.ndarray:
    """Return ``(T, H, W, 3)`` with levels from 0 to 255."""
    return (
        np.concatenate(
            [block.pixels.permute(0, 2, 3, 1).numpy() for block in open_clip([path]).blocks()]
        )
        * 255
    )


@pytest.mark.parametrize("start", [0, 4500])
def test_variable_frame_rate(run: Run, tmp_path: Path, start: int) -> None:
    """Row 11: every frame of a clip with a variable rate keeps its time to the tick."""
    ticks = [start + tick for tick in (0, 3003, 3004, 9000, 9100, 30000, 90001, 90451)]
    media.save_vfr(tmp_path / "in.mp4", np.ascontiguousarray(moving(1, len(ticks))), ticks)
    assert run("run", "in.mp4", *TASK, "--out", "out").status == 0
    with av.open(str(alone(tmp_path / "out"))) as box:
        shown = [(frame.pts, frame.time_base) for frame in box.decode(video=0)]
    times = [pts * base for pts, base in shown if pts is not None and base is not None]
    assert times == [Fraction(tick - start, 90000) for tick in ticks]


@pytest.mark.slow
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(width=st.integers(1, 67), height=st.integers(1, 67), lossless=st.booleans())
@example(width=1, height=1, lossless=False)
@example(width=1, height=1, lossless=True)
@example(width=1, height=2, lossless=False)
@example(width=67, height=1, lossless=False)
def test_odd_sizes(run: Run, tmp_path: Path, width: int, height: int, lossless: bool) -> None:
    """Row 12: a clip of any size, 1 by 1 and odd ones included, comes out in exactly that size."""
    pictures = media.moving(3, height, width)
    media.save(tmp_path / "in.mkv", pictures, **{"c:v": "png"})
    assert (
        run(
            "run",
            "in.mkv",
            *TASK,
            "--out",
            "out",
            "--overwrite",
            *(["--lossless"] if lossless else []),
        ).status
        == 0
    )
    got = levels(alone(tmp_path / "out"))
    assert got.shape == pictures.shape
    if lossless:
        assert np.array_equal(np.rint(got), pictures)
    assert manifest(tmp_path / "out")["input"][0]["width"] == width


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (33, 47)])
def test_a_transition_of_an_odd_size(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    """Row 12: the same holds where there is something to separate."""
    small_plans(monkeypatch)
    frames, _ = dissolve(grainy(1, 12, size), grainy(2, 12, size), 4, 4)
    media.save(tmp_path / "in.mkv", frames, **{"c:v": "png"})
    assert (
        run("run", "in.mkv", *TASK, "--lossless", "--transition", "4:7", "--out", "out").status == 0
    )
    # In a picture of one pixel either side is a plain colour, which has no layer.
    made = [
        levels(tmp_path / "out" / layer["path"]) for layer in manifest(tmp_path / "out")["layers"]
    ]
    assert len(made) == 2 or (size == (1, 1) and made)
    assert all(
        layer.shape[1:] == (*size, 3) and (len(layer) >= 4 or size == (1, 1)) for layer in made
    )


@pytest.mark.parametrize("size", [(16, 88), (128, 20), (1, 90)])
def test_long_thin_pictures(zygote: Zygote, tmp_path: Path, size: tuple[int, int]) -> None:
    """Row 12: a very wide picture works, although optical flow once ended the process on it."""
    small = (max(2, size[0]), max(2, size[1]))
    media.save(tmp_path / "in.mkv", grainy(1, 8, small), **{"c:v": "png"})
    answer = zygote.run(
        tmp_path,
        "run",
        "in.mkv",
        *TASK,
        "--transition",
        "3:4",
        "--out",
        "out",
        faults=(("small_plans",),),
    )
    assert answer.status == 0, answer
    assert levels(tmp_path / "out/scene-001.mp4").shape == (5, *small, 3)
    assert zygote.run(tmp_path, "probe", "in.mkv").status == 0


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("suffix", [".png", ".mkv"])
def test_one_frame_and_two(run: Run, tmp_path: Path, suffix: str, count: int) -> None:
    """Row 13: a picture, two pictures and films of one or two frames run.

    They say that there is nothing to separate.
    """
    pictures = moving(1, count)
    if suffix == ".png":
        names = [f"{number}.png" for number in range(count)]
        for name, picture in zip(names, pictures, strict=True):
            cv2.imwrite(str(tmp_path / name), picture[..., ::-1])
    else:
        names = ["in.mkv"]
        media.save(tmp_path / "in.mkv", np.ascontiguousarray(pictures))
    answer = run("run", *names, *TASK, "--lossless", "--out", "out")
    assert answer.status == 0 and answer.err.count("no transition was found") == 1
    assert np.array_equal(np.rint(levels(alone(tmp_path / "out"))), pictures)
    assert run("probe", *names).status == 0


@pytest.mark.usually(13)
@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize(
    ("matrix", "full", "bits"),
    [
        ("bt709", False, 8),
        ("bt709", True, 10),
        ("bt709", False, 10),
        ("bt601", True, 8),
        ("bt601", False, 10),
    ],
)
def test_rotated_deep_full_range_and_709(
    run: Run, tmp_path: Path, matrix: str, full: bool, bits: int, degrees: int, lossless: bool
) -> None:
    """Row 25: rotated, 10-bit, full-range and BT.709 clips come out upright.

    Values differ by at most 2 of 255.
    """
    pixels = "yuv420p" if bits == 8 else "yuv420p10le"
    plain = media.save_yuv(
        tmp_path / "plain.mov", media.COLORS / 255, matrix, full, bits, pixels, tile=16
    )
    turned = tmp_path / "in.mov"
    media.run(
        ffmpeg.output(ffmpeg.input(str(plain), display_rotation=-degrees), str(turned), c="copy")
    )
    assert (
        run("run", "in.mov", *TASK, "--out", "out", *(["--lossless"] if lossless else [])).status
        == 0
    )
    layer = alone(tmp_path / "out")
    wanted = np.rot90(
        np.tile(np.repeat(media.COLORS, 16, axis=0), (16, 1, 1)),
        {0: 0, 90: -1, 180: 2, 270: 1}[degrees],
    )
    got = levels(layer)[0]
    assert got.shape == wanted.shape
    middle = tuple(slice(8, None, 16) for _ in range(2))
    assert np.abs(got - wanted)[middle].max() <= 2
    info = open_clip([layer]).info
    assert info.rotation == 0 and info.bit_depth == (bits if lossless else 8)
    if not lossless:
        assert info.color_space == "bt709" and not info.full_range
    # This is how another decoder shows it.
    again = media.load(layer, *wanted.shape[:2])[0]
    assert np.abs(again.astype(int) - wanted)[middle].max() <= 3


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_constant_clip(run: Run, tmp_path: Path, level: int) -> None:
    """Row 26: a black, grey or white clip is written as it is.

    The run says that nothing was found and invents no layer.
    """
    frames = np.full((12, 32, 48, 3), level, np.uint8)
    media.save(tmp_path / "in.mkv", frames)
    facts = json.loads(run("probe", "in.mkv", "--json").out)
    assert facts["transitions"] == [] and facts["shots"] == [{"first_frame": 0, "last_frame": 11}]
    assert "no transition and no cut was found" in run("probe", "in.mkv").out
    answer = run("run", "in.mkv", *TASK, "--lossless", "--out", "out")
    assert (
        answer.status == 0 and "no transition was found; the clip is written as it is" in answer.err
    )
    assert np.array_equal(np.rint(levels(alone(tmp_path / "out"))), frames)
    assert "NaN" not in (tmp_path / "out/manifest.json").read_text()


def test_a_clip_without_a_transition(run: Run, tmp_path: Path) -> None:
    """Row 26: a clip in which things move but nothing is mixed says so and comes out as it is."""
    still(tmp_path / "in.mkv", 24)
    assert json.loads(run("probe", "in.mkv", "--json").out)["transitions"] == []
    assert run("run", "in.mkv", *TASK, "--lossless", "--out", "out").status == 0
    assert np.array_equal(np.rint(levels(alone(tmp_path / "out"))), moving(1, 24, (32, 48)))


@pytest.mark.parametrize("level", [0, 128, 255, None])
def test_a_transition_that_is_not_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: int | None
) -> None:
    """Row 26: with a given transition in a constant clip, the layers are that clip without NaN.

    ``None`` stands for a transition between two equal films.
    """
    small_plans(monkeypatch)
    frames = np.full((12, 32, 48, 3), 0 if level is None else level, np.uint8)
    if level is None:
        frames = np.repeat(moving(1, 1, (32, 48)), 12, axis=0)
    # Next to a plain colour it may be a fade, which has one layer.
    media.save(tmp_path / "in.mkv", frames)
    assert (
        run("run", "in.mkv", *TASK, "--lossless", "--transition", "4:7", "--out", "out").status == 0
    )
    made = manifest(tmp_path / "out")["layers"]
    assert 1 <= len(made) <= 2
    for layer in made:
        got = levels(tmp_path / "out" / layer["path"])
        assert np.abs(got - frames[: len(got)]).mean() < 1
    text = (tmp_path / "out/manifest.json").read_text()
    assert "NaN" not in text and "Infinity" not in text


def test_the_film_of_these_tests_has_a_transition(run: Run, tmp_path: Path) -> None:
    film(tmp_path / "in.mkv", (48, 64))
    assert (
        len(json.loads(run("probe", "in.mkv", "--json", "--transition", "4:7").out)["transitions"])
        == 1
    )
