"""Rules that hold for every test, and clips made on the spot."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import media
import pytest
import torch
from clips import dissolve, moving

# A shell's background job ignores these two signals, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A missing GPU must not look like a passed GPU test."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        if os.environ.get("UNLAYER_REQUIRE_GPU") == "1":
            pytest.fail("UNLAYER_REQUIRE_GPU=1, but there is no CUDA GPU", pytrace=False)
        pytest.skip("needs a CUDA GPU")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Pictures of some thousand pixels: on a busy machine a second thread is only waited for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def inputs_are_ours(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clips that tests make are sound: a child that tries each first would cost more than many of the tests."""
    if "untrusted" not in request.fixturenames:
        monkeypatch.setattr("pipeline.run.opening.try_files", lambda *words, **more: None)


@pytest.fixture
def untrusted() -> None:
    """Asks for the trial that files from outside have."""


@pytest.fixture
def mixed_clip(tmp_path: Path) -> Callable[..., Path]:
    """Makes a small clip with one dissolve and returns its path: 8 clean frames, ``steps`` mixed ones, 8 clean frames."""

    def make(name: str = "mixed.mp4", steps: int = 8, size: tuple[int, int] = (48, 64)) -> Path:
        count = 16 + steps
        return media.save(
            tmp_path / name, dissolve(moving(1, count, size), moving(2, count, size), 8, steps)[0]
        )

    return make
