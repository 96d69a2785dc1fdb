"""Rules that hold for every test, and clips that are made on the spot."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import media
import pytest
import torch
from clips import dissolve, moving

from pipeline.diagnosis.diagnose import no_diagnoses
from stages.segment.networks import STEPS
from stages.transition.plan import PLANS
from stages.watermark.effort import EFFORTS

# A background job of a shell ignores these two signals, and so would every program that a test
# starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Every search is a new one, and no test writes into the user's cache.
os.environ["UNLAYER_CACHE"] = ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a GPU test without a GPU, so that it never looks passed."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        if os.environ.get("UNLAYER_REQUIRE_GPU") == "1":
            pytest.fail("UNLAYER_REQUIRE_GPU=1, but there is no CUDA GPU", pytrace=False)
        pytest.skip("needs a CUDA GPU")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make slow tests of all but `count` parameters where a test is marked `usually(count)`.

    Those that stay are spread evenly over the test's parameters. A parameter that is asked for by
    name stays, too.
    """
    variants: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("usually") and not item.get_closest_marker("slow"):
            variants.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for same in variants.values():
        mark = same[0].get_closest_marker("usually")
        count = min(mark.args[0], len(same)) if mark else len(same)
        kept = {place * len(same) // count for place in range(count)}
        for place, item in enumerate(same):
            if place not in kept:
                item.add_marker("slow")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: for tiny pictures, a second thread only has to be waited for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def inputs_are_ours(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the trial of inputs in a child, which would cost more than many tests."""
    if "untrusted" not in request.fixturenames:
        monkeypatch.setattr("pipeline.run.opening.try_files", lambda *words, **more: None)


@pytest.fixture
def untrusted() -> None:
    """Ask for the trial of inputs in a child after all."""


@pytest.fixture(autouse=True)
def probe_only_searches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the diagnoses of `probe`, which would cost more than many tests."""
    if "diagnosing" not in request.fixturenames:
        monkeypatch.setattr("pipeline.cli.probe.diagnoser_for", lambda *words: no_diagnoses)


@pytest.fixture
def diagnosing() -> None:
    """Ask for the diagnoses of `probe` after all."""


@pytest.fixture
def short_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take few steps in the fits of two presets, where only what comes around them matters."""
    for preset in ("fast", "balanced"):
        monkeypatch.setitem(STEPS, preset, 6)
        effort = replace(EFFORTS[preset], steps=10, fill_steps=20, turns=20)
        monkeypatch.setitem(EFFORTS, preset, effort)
        levels = tuple((level, max(steps // 8, 4)) for level, steps in PLANS[preset].levels)
        ties = tuple((level, 3) for level, _ in PLANS[preset].ties)
        fit_steps = PLANS[preset].fit_steps // 40
        plan = replace(PLANS[preset], levels=levels, ties=ties, turns=1, fit_steps=fit_steps)
        monkeypatch.setitem(PLANS, preset, plan)


@pytest.fixture
def mixed_clip(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a small clip with one dissolve and returns its path.

    The clip has 8 clean frames, ``steps`` mixed frames and 8 clean frames.
    """

    def make(name: str = "mixed.mp4", steps: int = 8, size: tuple[int, int] = (48, 64)) -> Path:
        count = 16 + steps
        return media.save(
            tmp_path / name, dissolve(moving(1, count, size), moving(2, count, size), 8, steps)[0]
        )

    return make
