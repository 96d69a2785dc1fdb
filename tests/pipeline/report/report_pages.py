"""Runs and their report pages, for the tests of the report."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import media
import pytest
from clips import dissolve, moving, plain_answer

from pipeline.cli.main import main


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use plain colours instead of a separation, in an empty folder."""
    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", plain_answer)
    monkeypatch.chdir(tmp_path)


class Page(HTMLParser):
    """The elements of a page, its text and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._in: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while tag in self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._in and self._in[-1] == "script":
            self.scripts[-1] += data
        elif self._in and self._in[-1] != "style":
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [about for name, about in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(run: Path) -> Page:
    return Page((run / "report.html").read_text(encoding="utf-8"))


def manifest_of(run: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return manifest


def film(
    name: str = "in.mkv", count: int = 16, steps: int = 6, size: tuple[int, int] = (48, 64)
) -> Path:
    """Write a clip with a dissolve of ``steps`` frames from frame 5 on."""
    scenes = moving(1, count, size), moving(2, count, size)
    return media.save(Path(name), dissolve(*scenes, 5, steps)[0])


def run(*words: object, out: str = "out", status: int = 0) -> Path:
    """Undo the transition of a :func:`film`; return the run's folder."""
    options = ["--task", "transition", "--transition", "5:10", "--out", out, "--no-progress"]
    assert main(["run", *options, *map(str, words)]) == status
    return Path(out)
