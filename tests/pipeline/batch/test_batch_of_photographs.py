"""Test which pictures of a folder a batch takes by themselves, and that each keeps its own data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.batch.clips import find_clips
from pipeline.batch.skipped import Skipped
from pipeline.cli.main import main
from pipeline.settings import Settings

MAKER = 0x010F


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def picture(name: str, size: tuple[int, int] = (24, 16)) -> None:
    path = Path("in", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[MAKER] = path.stem
    values = np.random.default_rng(len(name)).integers(0, 255, (*size[::-1], 3)).astype(np.uint8)
    Image.fromarray(values).save(path, exif=exif, dpi=(200, 200))


def taken(pattern: str = "*") -> list[str]:
    """Return the files that a batch of the folder takes."""
    settings = Settings(inputs=(Path("in"),), task="dehaze", pattern=pattern)
    found = find_clips(Path("in"), Path("out"), settings, skipped=Skipped())
    return [clip.path.relative_to("in").as_posix() for clip in found]


@pytest.mark.parametrize(
    ("names", "are_taken"),
    [
        (["IMG_0001.jpg", "IMG_0002.jpg"], True),
        (["beach.jpg", "house.png"], True),
        (["0001.png", "0002.png", "cover.png"], True),
        (["a1.png", "b2.png"], True),
        (["one.png"], True),
        (["7.png"], True),
        (["2021/IMG_1.jpg", "2022/IMG_1.jpg"], True),
        (["0001.png", "0002.png"], False),
        (["shot_1_0001.jpg", "shot_1_0002.jpg", "shot_1_0003.jpg"], False),
        (["frames/1.png", "frames/2.png"], False),
    ],
    ids=str,
)
def test_single_photographs_and_frames_of_a_clip(names: list[str], are_taken: bool) -> None:
    for name in names:
        picture(name)
    assert taken() == (sorted(names) if are_taken else [])
    # A pattern takes what it names in any case.
    suffix = Path(names[0]).suffix
    assert taken(f"*{suffix}") == sorted(name for name in names if name.endswith(suffix))


def test_numbered_pictures_of_different_sizes_are_single() -> None:
    picture("0001.png")
    picture("0002.png", (16, 24))
    assert taken() == ["0001.png", "0002.png"]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_one_late_picture_of_another_size_makes_all_single(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.batch.clips.DECODED", 2)
    names = [f"{number:04d}.{suffix}" for number in range(5)]
    for name in names:
        picture(name)
    assert taken() == []
    picture(names[4], (16, 24))
    assert taken() == names


@pytest.mark.parametrize(
    ("pictures", "why"),
    [
        ({"0001.png": (24, 16), "0002.png": (16, 24)}, "several sizes"),
        ({"IMG_1.jpg": (24, 16), "IMG_2.jpg": (24, 18)}, "several sizes"),
        ({"house.png": (24, 16), "sea.jpg": (24, 16)}, "no numbers"),
        ({"0001.png": (24, 16), "0002.png": (24, 16)}, ""),
        ({"a1.png": (24, 16), "b1.png": (24, 16)}, ""),
        ({"0001.png": (24, 16)}, ""),
        ({"0001.png": (24, 16), "0002.png": (16, 24), "film.mp4": (24, 16)}, ""),
    ],
    ids=str,
)
def test_run_takes_single_pictures_one_by_one(
    pictures: dict[str, tuple[int, int]],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran: list[Settings] = []

    def remember(settings: Settings) -> int:
        ran.append(settings)
        return 0

    for name, size in pictures.items():
        if name.endswith("mp4"):
            Path("in", name).write_bytes(b"x")
        else:
            picture(name, size)
    monkeypatch.setattr("pipeline.batch.batch.batch", remember)
    monkeypatch.setattr("pipeline.run.chain.run", lambda settings: 0)
    words = ["run", "in", "--task", "dehaze", "--codec", "jpeg"]
    assert main(words) == 0
    told = capsys.readouterr().err
    assert (why in told) if why else told == ""
    assert [one.inputs for one in ran] == [(Path("in"),)] * bool(why)
    if why:
        clips = find_clips(Path("in"), Path("out"), ran[0], skipped=Skipped())
        assert [clip.path.name for clip in clips] == sorted(pictures)
        assert main([*words, "--transition", "0:0"]) == 2
        assert "is for one clip" in capsys.readouterr().err


def test_pictures_beside_a_video_are_left_out() -> None:
    picture("cover.jpg")
    Path("in/film.mp4").write_bytes(b"x")
    assert taken() == ["film.mp4"]


@pytest.mark.slow
def test_a_batch_of_photographs_keeps_names_and_data(capsys: pytest.CaptureFixture[str]) -> None:
    picture("IMG_0001.jpg", (40, 30))
    picture("holiday.png", (30, 40))
    words = ["in", "--task", "dehaze", "--out", "out", "--preset", "fast", "--codec", "jpeg"]
    assert main(["batch", *words, "--no-progress"]) == 0
    for stem in ("IMG_0001", "holiday"):
        manifest = json.loads(Path(f"out/{stem}-dehaze/manifest.json").read_text())
        paths = {layer["role"]: layer["path"] for layer in manifest["layers"]}
        assert paths["clear"] == "clear.jpg" and paths["transmission"] == "transmission.png"
        with Image.open(f"out/{stem}-dehaze/clear.jpg") as found:
            assert found.getexif()[MAKER] == stem and found.info["dpi"] == (200, 200)


def test_each_of_several_pictures_keeps_its_own_data() -> None:
    names = ["in/one.jpg", "in/two.jpg"]
    for name in names:
        picture(Path(name).name)
    words = ["--task", "watermark", "--preset", "fast", "--hint", "box:2,2,8,8", "--no-progress"]
    assert main(["run", *names, *words, "--out", "out"]) == 0
    for number, stem in ((1, "one"), (2, "two")):
        with Image.open(f"out/clean-{number:03d}.png") as found:
            assert found.getexif()[MAKER] == stem
    with Image.open("out/watermark.png") as found:
        assert MAKER not in found.getexif()
