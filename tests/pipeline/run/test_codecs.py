"""``--codec``: every task's layers in every codec, as files and as folders of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import av
import cv2
import media
import numpy as np
import pytest
from clips import moving
from interruptions import SIZE, clip

from pipeline.api import LayerResult
from pipeline.cli.main import main
from pipeline.codecs import CODECS, PICTURE_CODECS
from pipeline.runtime.remote_store import store_at
from stages.media.mux import has_encoder
from stages.media.read import open_clip
from stages.media.write import LayerWriter
from stages.storage.checkpoint import Checkpoints

WIPE = ["--task", "transition", "--transition", "4:7", "--no-progress", "--preset", "fast"]
LARGE = (120, 256)
"""Height and width that every codec takes."""
SHOT = 12
"""Frames of a shot."""


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def film(path: str, size: tuple[int, int] = LARGE) -> Path:
    """Make a clip of two shots with a cut, with sound and a time code."""
    pictures = np.concatenate([moving(seed, SHOT, size) for seed in (3, 4)])
    with av.open(path, "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.height, video.width = size
        video.pix_fmt = "yuv420p"
        video.codec_context.options = {"crf": "1"}
        sound = out.add_stream("pcm_s16le", rate=48000)
        sound.layout = "mono"
        out.metadata["timecode"] = "10:00:00:00"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            out.mux(video.encode(frame.reformat(format=video.pix_fmt)))
        out.mux(video.encode(None))
        tone = (9000 * np.sin(np.arange(2 * SHOT * 1920) / 20)).astype(np.int16)
        part = av.AudioFrame.from_ndarray(tone[None], "s16", "mono")
        part.sample_rate, part.pts = 48000, 0
        out.mux(sound.encode(part))
        out.mux(sound.encode(None))
    return Path(path)


def layers_of(folder: str) -> list[dict[str, Any]]:
    """Return the manifest's entries of the layers."""
    entries: list[dict[str, Any]] = json.loads(Path(folder, "manifest.json").read_text())["layers"]
    return entries


def contents(folder: str) -> dict[str, bytes]:
    """Return what the layers' files hold, by name."""
    found = {}
    for layer in layers_of(folder):
        path = Path(folder, layer["path"])
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            found[file.relative_to(folder).as_posix()] = file.read_bytes()
        for name in layer.get("sounds", ()):
            found[name] = Path(folder, name).read_bytes()
    return found


@pytest.mark.usually(3)
@pytest.mark.parametrize("codec", CODECS)
def test_a_run_writes_every_codec(codec: str, capsys: pytest.CaptureFixture[str]) -> None:
    film("cut.mov")
    words = ["--task", "transition", "--no-progress", "--codec", codec]
    assert main(["run", "cut.mov", *words, "--out", "out"]) == 0
    first, second = layers_of("out")
    assert (first["first_frame"], second["last_frame"]) == (0, 2 * SHOT - 1)
    for layer in (first, second):
        count = layer["last_frame"] - layer["first_frame"] + 1
        path = Path("out", layer["path"])
        if codec in PICTURE_CODECS:
            suffix = {"png": ".png", "tiff": ".tif", "exr": ".exr", "jpeg": ".jpg"}[codec]
            assert layer["pattern"] == f"%06d{suffix}"
            names = [layer["pattern"] % (layer["first_frame"] + n) for n in range(count)]
            assert sorted(file.name for file in path.iterdir()) == names
            assert layer["sounds"] == [f"{layer['name']}.wav"]
            assert Path("out", layer["sounds"][0]).stat().st_size == pytest.approx(
                2 * 48000 * count / 25, rel=0.1
            )
        else:
            assert "pattern" not in layer and "sounds" not in layer
            info = open_clip([path]).info
            label = f"10:00:00:{layer['first_frame']:02d}"
            assert info.audio_streams == 1 and info.timecode == label
        frames = sum(len(block) for block in open_clip([path]).blocks())
        assert frames == count
        array = LayerResult(layer["name"], "scene", path, 0, count - 1).frames
        assert array.shape == (count, *LARGE, 3)
    # The report has players for all of them.
    tracks = json.loads(Path("out/report/data.json").read_text())["tracks"]
    assert all(track["video"] for track in tracks)
    assert main(["report", "out", "--no-progress"]) == 0
    assert main(["run", "cut.mov", *words, "--out", "out"]) == 0
    assert "finished already" in capsys.readouterr().out


def test_a_warning_about_all_layers_is_said_once() -> None:
    ticks = [3600 * place + (1800 if place > 12 else 0) * (place - 12) for place in range(24)]
    cut = np.concatenate([moving(seed, 12, SIZE) for seed in (1, 2)])
    media.save_vfr(Path("uneven.mp4"), cut, ticks)
    words = ["--task", "transition", "--no-progress", "--codec", "png", "--out", "out"]
    assert main(["run", "uneven.mp4", *words, "--transition", "11:12"]) == 0
    warnings = json.loads(Path("out/manifest.json").read_text())["warnings"]
    (text,) = [text for text in warnings if "evenly" in text]
    assert text.count("scene-001") == 1 and text.startswith("scene-001, ")
    assert "scene-002: its frames" in text or "scene-002, " in text


@pytest.mark.slow
def test_sequences_are_replaced_and_other_files_stay(capsys: pytest.CaptureFixture[str]) -> None:
    clip()
    run = ["run", "in.mkv", *WIPE, "--out", "out", "--overwrite"]
    assert main([*run, "--codec", "png"]) == 0
    first = contents("out")
    assert len(first) > 12
    Path("out/scene-001/notes.txt").write_text("mine")
    assert main([*run, "--codec", "tiff"]) == 2
    assert "notes.txt: is in the way" in capsys.readouterr().err
    assert contents("out").keys() == {*first, "scene-001/notes.txt"}
    # Videos have other names, so nothing is in their way.
    assert main([*run, "--codec", "ffv1"]) == 0
    assert [path.name for path in Path("out/scene-001").iterdir()] == ["notes.txt"]
    assert not Path("out/scene-002").exists()
    Path("out/scene-001/notes.txt").unlink()
    assert main([*run, "--codec", "tiff"]) == 2
    Path("out/scene-001").rmdir()
    assert main([*run, "--codec", "tiff"]) == 0
    assert all(path.suffix == ".tif" for path in Path("out/scene-001").iterdir())


@pytest.mark.parametrize("links", [True, False])
def test_a_stopped_run_goes_on_with_its_sequences(
    monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    film("in.mov", SIZE)
    words = ["in.mov", "--task", "transition", "--no-progress", "--codec", "png"]
    assert main(["run", *words, "--out", "whole"]) == 0
    with monkeypatch.context() as patch:
        keep = Checkpoints.save

        def stopping(self: Checkpoints, name: str, value: object) -> None:
            keep(self, name, value)
            if name == "scene-001":
                raise KeyboardInterrupt

        patch.setattr(Checkpoints, "save", stopping)
        assert main(["run", *words, "--out", "cut"]) == 130
    assert not Path("cut/scene-001").exists()
    if not links:
        monkeypatch.setattr("os.link", Mock(side_effect=OSError))
    made = Mock(side_effect=LayerWriter)
    monkeypatch.setattr("pipeline.tasks.transition.write.LayerWriter", made)
    assert main(["run", *words, "--out", "cut", "--resume"]) == 0
    assert made.call_count == 1
    assert contents("cut") == contents("whole") and len(contents("cut")) == 2 * SHOT + 2
    assert not Path("cut/.work").exists()


@pytest.mark.slow
def test_a_store_gets_sequences_and_replaces_them() -> None:
    Path("clips").mkdir()
    film("clips/in.mov", SIZE)
    store_at.cache_clear()
    batch = [
        "batch",
        "clips",
        "--task",
        "transition",
        "--out",
        "out",
        "--store",
        "file://" + str(Path("far").absolute()),
    ]
    assert main([*batch, "--codec", "png"]) == 0
    (far,) = Path("far").rglob("manifest.json")
    assert contents(str(far.parent)) == contents("out/" + far.parent.name)
    assert main([*batch, "--codec", "ffv1", "--overwrite"]) == 0
    assert not list(far.parent.rglob("0*.png"))
    assert {layer["path"] for layer in layers_of(str(far.parent))} == {
        "scene-001.mkv",
        "scene-002.mkv",
    }
    store_at.cache_clear()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--codec", "divx"], "choose h264, h265, prores422"),
        (["--codec", "h265", "--lossless"], "--lossless and --codec h265 contradict each other"),
        (["--codec", "png", "--alpha", "vp9"], "--alpha vp9 and --codec png contradict"),
        (["--codec", "dnxhr"], "at least 256x120 pixels"),
        (["--codec", "png", "--alpha", "premultiplied"], "--alpha has no meaning"),
    ],
)
def test_contradictions_are_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clip()
    assert main(["run", "in.mkv", *WIPE, *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_codec_that_is_missing_here_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert has_encoder("libx264") and not has_encoder("no such encoder")
    monkeypatch.setattr("pipeline.run.inputs.has_encoder", lambda name: name == "ffv1")
    clip()
    assert main(["run", "in.mkv", *WIPE, "--codec", "h265"]) == 2
    assert "cannot write H.265 in MP4; choose ffv1\n" in capsys.readouterr().err


@pytest.mark.parametrize("codec", ["png", "jpeg", "tiff", "exr", "h265"])
def test_pictures_stay_pictures(codec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cv2.imwrite("a.png", media.moving(1, 48, 64)[0])
    status = main(["run", "a.png", "--task", "dehaze", "--no-progress", "--codec", codec])
    if codec == "h265":
        assert status == 2 and "written as PNG, JPEG, TIFF or EXR" in capsys.readouterr().err
        return
    suffix = {"tiff": "tif", "jpeg": "jpg"}.get(codec, codec)
    # The transmission is data, which a JPEG would change.
    data = "png" if codec == "jpeg" else suffix
    assert status == 0
    assert {layer["path"] for layer in layers_of("a-dehaze")} == {
        f"clear.{suffix}",
        f"transmission.{data}",
        f"airlight.{suffix}",
    }
