"""Fixtures for all tests of faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from provoke import Answer, Run, Zygote

from pipeline.cli.main import main


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Return what starts runs in processes of their own, quickly."""
    made = Zygote()
    yield made
    made.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Answer:
        capsys.readouterr()
        status = main([str(word) for word in words])
        return Answer(status, *capsys.readouterr())

    return call
