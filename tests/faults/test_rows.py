"""Every fault in the table of ``../shared/MEDIA.md`` has a test here that names its row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROWS = range(1, 27)


def test_every_row_has_a_test() -> None:
    found: dict[int, list[str]] = {}
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for row in re.findall(r"^Row (\d+): ", ast.get_docstring(node) or ""):
                    found.setdefault(int(row), []).append(node.name)
    assert sorted(found) == [*ROWS]


def test_what_can_hang_runs_in_a_child_alone() -> None:
    sources = [
        path
        for folder in ("pipeline", "stages")
        for path in (Path(__file__).parents[2] / folder).rglob("*.py")
    ]
    using = [
        path.name
        for path in sources
        if re.search(r"^\s*(import|from) decord", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert using == ["thumbnails_child.py"]
    assert not [
        path
        for path in sources
        if "import stages.media.thumbnails_child" in path.read_text(encoding="utf-8")
    ]
