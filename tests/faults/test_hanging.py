"""A decoder that hangs.

decord, which samples pictures, runs in a child that is killed at its deadline.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import media
import numpy as np
import pytest
from clips import moving

from stages.media import thumbnails as sampling
from stages.media.thumbnails import CHILD, ThumbnailRequest, read_thumbnails

HANGS = (
    "import sys, time; sys.stdout.buffer.write(b'0 1\\n' + bytes(24 * 32 * 3)); "
    "sys.stdout.flush(); time.sleep(60)"
)


@pytest.fixture
def wanted(tmp_path: Path) -> ThumbnailRequest:
    path = media.save(tmp_path / "in.mkv", np.ascontiguousarray(moving(1, 6, (48, 64))))
    return ThumbnailRequest(path, (1, 4), (24, 32), total_pixels=10**9)


def good(pictures: dict[int, np.ndarray], index: int) -> bool:
    """Return whether a picture is the film's, shrunk."""
    small = moving(1, 6, (48, 64))[index].reshape(24, 2, 32, 2, 3).mean((1, 3))
    return bool(np.abs(pictures[index] - small).mean() < 4)


def test_a_decoder_that_hangs(wanted: ThumbnailRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 17: a decoder that hangs is killed at the deadline.

    Its pictures count, and the reader makes the rest.
    """
    monkeypatch.setattr(sampling, "CHILD", (sys.executable, "-c", HANGS))
    began = time.monotonic()
    (found,) = read_thumbnails([wanted], deadline=1.0)
    assert time.monotonic() - began < 10
    assert set(found) == {1, 4} and not found[1].any() and good(found, 4)


@pytest.mark.parametrize(
    "child",
    [
        "import os; os.abort()",
        "raise ImportError",
        "print('what is this')",
        "import sys; sys.exit(3)",
    ],
)
def test_a_decoder_that_is_missing_or_crashes(
    wanted: ThumbnailRequest, monkeypatch: pytest.MonkeyPatch, child: str
) -> None:
    """Row 17: where decord is missing or ends its process, the reader makes all pictures."""
    monkeypatch.setattr(sampling, "CHILD", (sys.executable, "-c", child))
    (found,) = read_thumbnails([wanted])
    assert good(found, 1) and good(found, 4)


def test_decord_and_the_reader_agree(
    wanted: ThumbnailRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("importlib.metadata").version("decord")
    asked: list[object] = []

    def noted(*words: object) -> dict[int, object]:
        asked.append(words)
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(sampling, "_by_reader", noted)
        (found,) = read_thumbnails([wanted])
    assert not asked and set(found) == {1, 4} and good(found, 1) and good(found, 4)
    assert CHILD[0] == sys.executable


def test_a_small_film_is_not_worth_a_child(
    wanted: ThumbnailRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "CHILD", ("no such program",))
    (found,) = read_thumbnails([ThumbnailRequest(wanted.path, wanted.indices, wanted.size)])
    assert good(found, 4)
    (found,) = read_thumbnails([ThumbnailRequest(wanted.path.with_name("gone.mkv"), (0,), (8, 8))])
    assert found == {}
