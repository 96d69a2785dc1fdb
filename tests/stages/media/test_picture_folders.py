"""Folders of pictures: one numbered sequence is a clip, others are refused, extras are reported."""

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
from stages.media.picture_folders import read_picture_folder


def fill(folder: Path, names: Sequence[str]) -> Path:
    """Create files of these names in a folder and return the folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def refusal(folder: Path) -> str:
    """Return the message with which a folder is refused; it must be one line."""
    with pytest.raises(UsageError) as caught:
        read_picture_folder(folder)
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
def test_one_sequence_is_a_clip_without_warnings(tmp_path: Path, names: list[str]) -> None:
    found = read_picture_folder(fill(tmp_path, names))
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
        (["01.png", "1.png", "2.png"], "01.png and 1.png have the same number; keep one of them"),
        (["1.JPG", "1.jpg"], "have the same number"),
        (
            ["a.png", "b.png", "film.mp4"],
            "has no numbered pictures (such as 0001.png) but 2 pictures without a number "
            "(a.png, ...) and 1 other file",
        ),
        ([], "has no numbered pictures (such as 0001.png); give"),
    ],
    ids=str,
)
def test_folders_without_one_sequence_are_refused(
    tmp_path: Path, names: list[str], says: str
) -> None:
    line = refusal(fill(tmp_path, names))
    assert says in line
    if "not one numbered" in says:
        assert "process them one by one with batch and the pattern '*." in line


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
        (["IMG_2041.JPG", "IMG_2042.JPG"], "has a name that cameras give to single photographs"),
    ],
    ids=str,
)
def test_doubtful_folders_give_a_warning(tmp_path: Path, names: list[str], says: str) -> None:
    (text,) = read_picture_folder(fill(tmp_path, names)).warnings
    assert says in text and text.startswith(f"{tmp_path}: ") and "\n" not in text


def test_random_folders_lose_no_picture_silently(tmp_path: Path) -> None:
    """Each file is a frame or counted in a warning, or else the folder is refused."""
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
            found = read_picture_folder(folder)
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
        warned = [text for text in found.warnings if "left out" in text]
        assert bool(warned) is bool(left), (names, others, found)
        counted = sum(
            int(word)
            for text in warned
            for word in text.removeprefix(str(folder)).split()
            if word.isdecimal()
        )
        assert counted == len(left)
        numbers = [int("".join(filter(str.isdigit, path.stem))) for path in found.pictures]
        assert numbers == sorted(numbers)
        steps = np.diff(numbers)
        uneven = max(steps, default=1) != min(steps, default=1)
        reported = any("missing" in text for text in found.warnings)
        assert not uneven or reported or min(steps) > 1


def test_run_and_probe_show_the_warnings(
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
    warnings = [line["text"] for line in lines if line["event"] == "warning"]
    manifest = json.loads(Path("in-watermark/manifest.json").read_text())
    assert warnings == manifest["warnings"] == lines[-1]["warnings"] and len(warnings) == 3
    assert "1 file of another kind (notes.txt) is left out" in warnings[0]
    assert "1 number is missing" in warnings[1]
    page = Path("in-watermark/report.html").read_text()
    assert all(text.replace("'", "&#39;") in page for text in warnings)
    assert main(["probe", "in", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == warnings[:2]
