"""What is seen while the layers are written is not decoded again, and changes nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cv2
import media
import numpy as np
import pytest
import torch
from clips import dissolve, moving
from report_pages import page_of

from pipeline.cli.main import main
from pipeline.report.previews import PreviewFile
from stages.media.read import Clip
from stages.media.stored_frame import StoredFrame

H264 = {"c:v": "libx264", "pix_fmt": "yuv420p", "crf": 12}
WORDS = ("--task", "transition", "--transition", "6:9", "--transition", "18:21", "--no-progress")
STILL_LEVELS = 12.0
"""Mean difference in levels of 255 between stills before and after the layers are encoded."""


@pytest.fixture(autouse=True)
def _quick(quick: None) -> None:
    """Use plain colours instead of a separation."""


def film(path: Path = Path("in.mp4"), size: tuple[int, int] = (96, 128)) -> Path:
    """Return two dissolves between three scenes."""
    a, b, c = (moving(seed, 16, size) for seed in (1, 2, 3))
    first, _ = dissolve(a, b, 6, 4)
    second, _ = dissolve(b, c, 6, 4)
    return media.save(path, np.concatenate([first, second[6:]]), **H264)


def run(out: str, *more: str) -> Path:
    assert main(["run", str(film()), *WORDS, "--out", out, *more]) == 0
    return Path(out)


def sums(folder: Path, pattern: str) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob(pattern)
    }


def picture(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path)), np.float64)


def facts(folder: Path) -> dict[str, Any]:
    """Return the manifest without what differs from run to run."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    for name in ("seconds", "stages", "peak_memory", "threads"):
        del manifest["report"][name]
    for item in manifest["report"]["transitions"]:
        del item["seconds"]
    return manifest


@pytest.mark.parametrize("more", [(), ("--lossless",)], ids=["h264", "lossless"])
def test_a_run_that_was_seen_has_the_same_files(
    monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    seen = run("seen", *more)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.run.execute._watch", lambda *words: None)
        unseen = run("unseen", *more)
    assert facts(seen) == facts(unseen)
    assert sums(seen, "scene-*") == sums(unseen, "scene-*") and sums(seen, "scene-*")
    # A preview of a lossless layer is made of the input's own codes, no longer of the layer's RGB.
    pattern = "preview-input*" if more else "preview-*"
    assert sums(seen / "report", pattern) == sums(unseen / "report", pattern)
    assert sums(seen / "report", "*.json") == sums(unseen / "report", "*.json")
    assert set(sums(seen / "report", "*")) == set(sums(unseen / "report", "*"))
    for still in (seen / "report").glob("*.jpg"):
        one, other = (picture(path / "report" / still.name) for path in (seen, unseen))
        assert one.shape == other.shape
        assert float(np.abs(one - other).mean()) < STILL_LEVELS
    assert page_of(seen).text.count("steady") == page_of(unseen).text.count("steady")


@pytest.mark.parametrize(("threads", "more"), [(1, ()), (2, ()), (2, ("--lossless",))])
def test_the_report_decodes_nothing_again(
    monkeypatch: pytest.MonkeyPatch, threads: int, more: tuple[str, ...]
) -> None:
    read: list[tuple[str, int, int | None]] = []
    stored_frames = Clip.stored_frames

    def spy(self: Clip, first: int = 0, last: int | None = None) -> Generator[StoredFrame]:
        read.append((self.info.path.name, first, last))
        yield from stored_frames(self, first, last)

    monkeypatch.setattr(Clip, "stored_frames", spy)
    decoding = Mock(side_effect=AssertionError("nothing is to be decoded"))
    monkeypatch.setattr("pipeline.report.pictures.read_thumbnails", decoding)
    monkeypatch.setattr("pipeline.report.media.encode_preview", decoding)
    torch.set_num_threads(threads)
    folder = run("out", *more)
    assert not json.loads((folder / "manifest.json").read_text())["warnings"]
    assert ("in.mp4", 0, None) in read and not any("scene" in name for name, *_ in read)
    assert page_of(folder).all("video")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("shape")])
def test_a_fault_of_the_preview_leaves_it_to_the_report(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    add, calls = PreviewFile.add, []

    def failing(self: PreviewFile, number: int, frame: StoredFrame) -> None:
        calls.append(number)
        if len(calls) == 9:
            raise error
        add(self, number, frame)

    whole = run("whole")
    monkeypatch.setattr(PreviewFile, "add", failing)
    cut = run("cut")
    assert len(calls) > 20, "the report began again"
    assert facts(cut) == facts(whole)
    assert sums(cut / "report", "preview-*") == sums(whole / "report", "preview-*")


def test_a_stop_while_a_layer_is_written_leaves_no_half_preview(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = run("whole")
    with monkeypatch.context() as patch:
        add = PreviewFile.add

        def stopping(self: PreviewFile, number: int, frame: StoredFrame) -> None:
            if number == 15:
                raise KeyboardInterrupt
            add(self, number, frame)

        patch.setattr(PreviewFile, "add", stopping)
        assert main(["run", "in.mp4", *WORDS, "--out", "cut"]) == 130
    assert not list(Path("cut").rglob("preview-*")) and not list(Path("cut").rglob(".preview-*"))
    assert main(["run", "in.mp4", *WORDS, "--out", "cut", "--resume"]) == 0
    assert sums(Path("cut"), "scene-*") == sums(whole, "scene-*")
    assert sums(Path("cut/report"), "preview-*") == sums(whole / "report", "preview-*")
