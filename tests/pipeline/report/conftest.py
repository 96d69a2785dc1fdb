"""Fixtures for the tests of the report; those of the browser are made once for all files."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_pages import chromium, runs, show
from clips import plain_answer

__all__ = ["chromium", "quick", "runs", "show"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use plain colours instead of a separation, in an empty folder."""
    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", plain_answer)
    monkeypatch.chdir(tmp_path)
