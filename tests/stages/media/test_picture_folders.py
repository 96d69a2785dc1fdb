"""Folders of pictures: one numbered sequence is a clip, what else lies there is said, and what is no sequence is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import moving

from pipeline.cli.main import main
from stages.errors import UsageError
from stages.media.picture_folders import look_into


def fill(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        look_into(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        ["0001.png", "0002.png", "0003.png"],
        ["2.png", "10.png", "1.png", "3.png", "4.png", "5.png", "6.png", "7.png", "8.png", "9.png"],
        ["shot2_take3_0009.jpg", "shot2_take3_0010.jpeg", "shot2_take3_0011.JPG"],
        ["f0010.exr", "f0020.exr", "f0030.exr"],
        ["frame7.png"],
        ["1.png", ".DS_Store", "._1.png", "Thumbs.db", "2.png"],
    ],
    ids=str,
)
def test_one_sequence_is_a_clip_and_nothing_is_said(tmp_path: Path, names: list[str]) -> None:
    found = look_into(fill(tmp_path, names))
    frames = [name for name in names if name[0] not in ".T"]
    wanted = sorted(
        frames,
        key=lambda name: int("".join(filter(str.isdigit, name.split("_")[-1].split(".")[0]))),
    )
    assert [path.name for path in found.pictures] == wanted and found.warnings == ()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["photo1.jpg", "drawing.png"], "are not one numbered sequence (photo1.jpg, drawing.png)"),
        (["1.jpg", "2.png"], "are not one numbered sequence (1.jpg, 2.png)"),
        (
            ["IMG_2041.JPG", "IMG_2043.JPG", "DSC_0001.JPG"],
            "are not one numbered sequence (DSC_0001.JPG, IMG_2041.JPG)",
        ),
        (["a1.png", "a1b2.png"], "are not one numbered sequence (a1.png, a1b2.png)"),
        (["01.png", "1.png", "2.png"], "01.png and 1.png have the same number; keep one"),
        (["1.JPG", "1.jpg"], "have the same number"),
        (
            ["a.png", "b.png", "film.mp4"],
            "holds no numbered pictures (as 0001.png) but 2 pictures without a number (a.png, ...) and 1 other file",
        ),
        ([], "holds no numbered pictures (as 0001.png); give"),
    ],
    ids=str,
)
def test_what_is_no_sequence_is_refused(tmp_path: Path, names: list[str], says: str) -> None:
    line = refusal(fill(tmp_path, names))
    assert says in line
    if "not one numbered" in says:
        assert "take them one by one with batch --pattern" in line


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            ["1.png", "2.png", "cover.png"],
            "1 picture without a number (cover.png) is left out",
        ),
        (
            ["1.png", "2.png", "a.mp4", "b.txt", "old/3.png", ".3.png"],
            "2 files of another kind (a.mp4, ...) and 1 folder (old) and 1 hidden file",
        ),
        (
            ["1.png", "2.png", "5.png", "6.png"],
            "2 numbers are missing in the sequence (the first: 3)",
        ),
        (["10.png", "20.png", "40.png"], "1 number is missing in the sequence (the first: 30)"),
        (["s1_1.png", "s1_2.png", "s2_1.png"], "the names differ in 2 numbers"),
        (["IMG_2041.JPG", "IMG_2042.JPG"], "is named as cameras name single photographs"),
    ],
    ids=str,
)
def test_what_is_doubtful_is_said(tmp_path: Path, names: list[str], says: str) -> None:
    (text,) = look_into(fill(tmp_path, names)).warnings
    assert says in text and text.startswith(f"{tmp_path}: ") and "\n" not in text


def test_drawn_folders_lose_no_picture_without_a_word(tmp_path: Path) -> None:
    """Every file of a folder is a frame, is counted in a warning, or the folder is refused."""
    draw = random.Random(7)
    for number in range(150):
        folder = tmp_path / f"folder-{number}"
        pads, prefixes = draw.choice([0, 4]), draw.choice([["f"], ["f"], ["f"], ["f", "g"], [""]])
        names = {
            f"{draw.choice(prefixes)}{index:0{pads}d}.png"
            for index in draw.sample(range(40), draw.randint(1, 12))
        }
        others = set(
            draw.sample(
                ["a.png", "b.JPG", "c.mp4", "d.txt", ".e.png", "sub/1.png", "7.jpg", "f7.jpeg"],
                draw.randint(0, 4),
            )
        )
        fill(folder, sorted(names | others))
        try:
            found = look_into(folder)
        except UsageError:
            # Another prefix, another kind of file, or a lone number beside other pictures.
            kinds = {
                (name.rstrip("0123456789jpegn."), name.split(".")[-1][0])
                for name in names | (others & {"7.jpg", "f7.jpeg"})
            }
            assert len(kinds) > 1 or (len(names) == 1 and others & {"a.png", "b.JPG"})
            continue
        frames = {path.name for path in found.pictures}
        left = {name.split("/")[0] for name in names | others} - frames
        told = [text for text in found.warnings if "left out" in text]
        assert bool(told) is bool(left), (names, others, found)
        counted = sum(
            int(word)
            for text in told
            for word in text.removeprefix(str(folder)).split()
            if word.isdecimal()
        )
        assert counted == len(left)
        numbers = [int("".join(filter(str.isdigit, path.stem))) for path in found.pictures]
        assert numbers == sorted(numbers)
        gaps = max(np.diff(numbers), default=1) != min(np.diff(numbers), default=1)
        assert (
            not gaps
            or any("missing" in text for text in found.warnings)
            or min(np.diff(numbers)) > 1
        )


def test_a_run_and_probe_tell_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number, frame in zip((1, 2, 4), moving(1, 3, (24, 32)), strict=True):
        cv2.imwrite(f"in/{number}.png", frame[..., ::-1])
    Path("in/notes.txt").write_text("x")
    assert (
        main(["run", "in", "--task", "watermark", "--json", "--lossless", "--preset", "fast"]) == 0
    )
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [line["text"] for line in lines if line["event"] == "warning"]
    manifest = json.loads(Path("in-watermark/manifest.json").read_text())
    assert told == manifest["warnings"] == lines[-1]["warnings"] and len(told) == 3
    assert (
        "1 file of another kind (notes.txt) is left out" in told[0]
        and "1 number is missing" in told[1]
    )
    page = Path("in-watermark/report.html").read_text()
    assert all(text.replace("'", "&#39;") in page for text in told)
    assert main(["probe", "in", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == told[:2]
