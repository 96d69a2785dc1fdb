"""Registries are folders of modules; wrong entries end the import, not a run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.registry import entries_in


@dataclass(frozen=True)
class Shape:
    """An entry of the registry of this test."""

    name: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty package ``shapes`` that can be imported."""
    path = tmp_path / "shapes"
    path.mkdir()
    (path / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "shape_class", sys.modules[__name__])
    for name in [name for name in sys.modules if name.split(".")[0] == "shapes"]:
        monkeypatch.delitem(sys.modules, name)
    return path


def write(folder: Path, module: str, text: str) -> None:
    (folder / f"{module}.py").write_text(f"from shape_class import Shape\n{text}\n")


def found(folder: Path) -> dict[str, Shape]:
    return entries_in("shapes", [str(folder)], "SHAPE", Shape)


def test_entries_come_by_name_in_the_files_order(folder: Path) -> None:
    write(folder, "b_file", "SHAPE = Shape('round')")
    write(folder, "a_file", "SHAPE = Shape('square')")
    write(folder, "base", "")
    assert list(found(folder).items()) == [("square", Shape("square")), ("round", Shape("round"))]


@pytest.mark.parametrize(
    ("second", "says"), [("SHAPE = 3", "is no Shape"), ("SHAPE = Shape('one')", "two entries")]
)
def test_wrong_entries_are_refused(folder: Path, second: str, says: str) -> None:
    write(folder, "a_file", "SHAPE = Shape('one')")
    write(folder, "b_file", second)
    with pytest.raises(AssertionError, match=says):
        found(folder)
