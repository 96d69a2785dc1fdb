"""Test the measurement of whole sequences without running them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import measure_davis
import numpy as np
import pytest


def footage(folder: Path, clips: tuple[str, ...]) -> Path:
    """Write two frames and masks of 20x10 pixels for each clip and return the folder."""
    for name in clips:
        for part in ("frames", "masks"):
            (folder / name / part).mkdir(parents=True)
            for number in range(2):
                picture = np.full((10, 20, 3), 255 * number, np.uint8)
                cv2.imwrite(str(folder / name / part / f"{number:05d}.png"), picture)
    (folder / "no-masks" / "frames").mkdir(parents=True)
    return folder


def test_overlap_is_counted_in_each_frame() -> None:
    one = np.zeros((3, 2, 2), bool)
    other = one.copy()
    one[0, 0], other[0, :, 0] = True, True
    one[1] = True
    assert measure_davis.overlaps(one, other).tolist() == [1 / 3, 0.0, 1.0]


def test_a_picture_is_resized_to_an_even_width(tmp_path: Path) -> None:
    clip = footage(tmp_path, ("a",)) / "a"
    assert measure_davis.resized(clip / "frames" / "00001.png", 5).shape == (5, 10, 3)
    assert measure_davis.resized(clip / "frames" / "00001.png", 7).shape == (7, 14, 3)
    with pytest.raises(SystemExit, match="not a picture"):
        measure_davis.resized(clip / "frames" / "none.png", 5)


def test_some_frames_are_taken_from_a_part_of_the_clip_on() -> None:
    pictures = [Path(f"{number:05d}.png") for number in range(10)]
    assert measure_davis.some_of(pictures, 0.0, None) == pictures
    assert measure_davis.some_of(pictures, 0.7, None) == pictures[7:]
    assert measure_davis.some_of(pictures, 0.5, 3) == pictures[5:8]
    assert measure_davis.some_of(pictures, 0.9, 3) == pictures[7:]
    assert measure_davis.some_of(pictures, 0.5, 24) == pictures


def test_missing_footage_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure_davis.main([str(tmp_path / "none"), "--out", str(tmp_path / "rows.jsonl")])
    assert capsys.readouterr().out.startswith("skipped: ")
    assert not (tmp_path / "rows.jsonl").exists()


def test_a_stopped_measurement_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, rows = footage(tmp_path / "footage", ("a", "b")), tmp_path / "rows.jsonl"
    done: list[str] = []

    def measured(
        clip: Path, height: int, options: list[str], begin: float, count: int | None
    ) -> dict[str, object]:
        done.append(clip.name)
        figures = {"frames": 2, "mean": 0.5, "recall": 1.0, "worst": 0.4, "seconds": 3.0}
        return {
            "clip": clip.name,
            "height": height,
            "options": options,
            "begin": begin,
            "count": count,
            **figures,
        }

    monkeypatch.setattr(measure_davis, "measured", measured)
    words = [str(folder), "--height", "8", "--out", str(rows)]
    measure_davis.main([*words, "--clip", "a"])
    measure_davis.main([*words, "--", "--preset", "fast"])
    measure_davis.main(words)
    assert done == ["a", "a", "b", "b"]
    assert [json.loads(line)["clip"] for line in rows.read_text().splitlines()] == done
    assert "0.500" in capsys.readouterr().out
