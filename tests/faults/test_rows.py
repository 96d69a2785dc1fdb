"""Every fault of the table in ``../shared/MEDIA.md`` has a test here that says which it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROWS = range(1, 27)
WITHOUT = {17: "no decoder of the product runs in a child yet: decord, which can hang, is not used so far"}
"""Rows that cannot be provoked yet, and why."""


def test_every_row_has_a_test() -> None:
    found: dict[int, list[str]] = {}
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for row in re.findall(r"^Row (\d+): ", ast.get_docstring(node) or ""):
                    found.setdefault(int(row), []).append(node.name)
    assert sorted(found) == [row for row in ROWS if row not in WITHOUT]
    assert all(reason for reason in WITHOUT.values())


def test_what_has_no_test_is_not_there() -> None:
    sources = (path for folder in ("pipeline", "stages") for path in (Path(__file__).parents[2] / folder).rglob("*.py"))
    assert not [path for path in sources if re.search(r"^\s*(import|from) decord", path.read_text(encoding="utf-8"), re.MULTILINE)]
