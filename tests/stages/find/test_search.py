"""The search of a run: an interruption costs half a minute of it, not the whole."""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import media
import numpy as np
import pytest
from clips import dissolve, moving
from stories import camera

from pipeline.cli.main import main
from pipeline.settings import Settings
from pipeline.tasks.transition import search as module
from pipeline.tasks.transition.search import SearchResult, search
from stages.media.clip import FrameIndex
from stages.media.read import open_clip
from stages.storage.checkpoint import Checkpoints


def film(path: Path) -> Path:
    """Write 210 frames with a cut, and with dissolves early and late."""
    rng = np.random.default_rng(1)
    a, b, c, d = ((255 * camera(rng, 120)).astype(np.uint8) for _ in range(4))
    early, late = dissolve(a, b, 40, 10)[0][:90], dissolve(c, d, 50, 14)[0]
    return media.save(path, np.concatenate([early, late])[:210])


def looked(
    path: Path, settings: Settings, checkpoints: Checkpoints | None, start: Fraction | None = None
) -> tuple[SearchResult, FrameIndex, int]:
    """Return what the search finds, the clip's index after it, and how many blocks it took."""
    clip, blocks = open_clip([path], start=start), []
    found = search(
        clip, settings, lambda fraction, note: blocks.append(note), checkpoints=checkpoints
    )
    return found, clip.frame_index, len(blocks)


@pytest.mark.parametrize(
    ("stop", "start"),
    [pytest.param(1, None, marks=pytest.mark.slow), (8, Fraction(1))],
)
def test_an_interrupted_search_continues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stop: int, start: Fraction | None
) -> None:
    path = film(tmp_path / "in.mkv")
    settings = replace(
        Settings(inputs=(path,), task="transition"), transition=((190, 195),), start=start
    )
    whole, seen, blocks = looked(path, settings, None, start)
    assert len(whole.analysis.transitions) >= 3
    monkeypatch.setattr(module, "SAVE_INTERVAL", 0.0)
    keep, kept = Checkpoints.save, []

    def stopping(self: Checkpoints, name: str, value: object) -> None:
        keep(self, name, value)
        kept.append(name)
        if len(kept) == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", stopping)
    with pytest.raises(KeyboardInterrupt):
        looked(path, settings, Checkpoints(tmp_path / "keep", "one", every=0.0), start)
    found, known, more = looked(
        path, settings, Checkpoints(tmp_path / "keep", "one", every=0.0), start
    )
    assert (found, known) == (whole, seen) and set(kept) == {"search"}
    assert more == blocks - stop, "what was searched is not searched again"


def test_its_state_is_saved_every_half_minute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = [0.0]
    checkpoints = Checkpoints(tmp_path / "keep", "one", clock=lambda: now[0])
    # What the picture shows does not matter here, and a still is searched quickly.
    still = np.repeat(moving(1, 1, (18, 24)), 128, axis=0)
    path, notes = media.save(tmp_path / "in.mkv", still), []
    monkeypatch.setattr(Checkpoints, "save_if_due", lambda self, name, value: notes.append(now[0]))

    def step(fraction: float, note: str) -> None:
        now[0] += 5

    search(
        open_clip([path]),
        Settings(inputs=(path,), task="transition"),
        step,
        checkpoints=checkpoints,
    )
    assert notes and notes[0] == 30.0


@pytest.mark.slow
def test_a_run_keeps_the_state_until_the_search_is_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "SAVE_INTERVAL", 0.0)
    monkeypatch.setattr(
        Checkpoints.__init__, "__kwdefaults__", {"every": 0.0, "clock": time.monotonic}
    )
    media.save(Path("in.mkv"), moving(1, 40, (18, 24)))
    keep, seen = Checkpoints.save, []

    def spy(self: Checkpoints, name: str, value: object) -> None:
        keep(self, name, value)
        seen.append((name, self.has("search")))
        if name == "find":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", spy)
        assert (
            main(["run", "in.mkv", "--task", "transition", "--no-progress", "--out", "out"]) == 130
        )
    assert seen == [("search", True), ("search", True), ("find", True)]
    drop = Checkpoints.delete
    dropped: list[str] = []

    def noted(self: Checkpoints, name: str) -> None:
        dropped.append(name)
        drop(self, name)

    monkeypatch.setattr(Checkpoints, "delete", noted)
    assert (
        main(["run", "in.mkv", "--task", "transition", "--no-progress", "--out", "out", "--resume"])
        == 0
    )
    assert dropped == ["search"]


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        (
            "in.mkv",
            ["--transition", "200:210"],
            "--transition 200:210 is not inside in.mkv, which lasts 0.8 s, about 20 frames",
        ),
        (
            "in.mp4",
            ["--transition", "200:210"],
            "--transition 200:210 is not inside in.mp4, which has 20 frames (0 to 19)",
        ),
        ("in.mkv", ["--start", "9"], "--start 9 is after the end of in.mkv, which lasts 0.8 s"),
    ],
)
def test_a_range_far_outside_is_an_error_before_the_search(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    media.save(Path(name), moving(1, 20, (18, 24)))
    searched: list[int] = []
    monkeypatch.setattr(
        "pipeline.tasks.transition.run.search", lambda *given, **more: searched.append(1)
    )
    assert main(["run", name, "--task", "transition", "--no-progress", *words]) == 2
    assert said in capsys.readouterr().err and not searched
