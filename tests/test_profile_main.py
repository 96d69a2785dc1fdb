"""The profile of whole runs: what its clock counts, and its words where the footage is missing."""

from __future__ import annotations

from pathlib import Path

import profile_main
import pytest
import torch
from profile_main import Clocked, main


def test_every_operator_is_counted_by_its_name() -> None:
    given = torch.ones(4, requires_grad=True)
    with Clocked() as clocks:
        torch.autograd.backward((given * 3 * 2).sum())
    assert clocks.calls["mul"] == 4 and clocks.calls["sum"] == 1, "twice forward, twice backward"
    assert set(clocks.seconds) == set(clocks.calls)


def test_without_the_footage_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(profile_main, "SHARED", tmp_path / "missing")
    assert main([]) == 0
    said = capsys.readouterr().out
    assert said.startswith("skipped") and "--clip FILE" in said
