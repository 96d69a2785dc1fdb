"""Test the notebook in the documentation: its cells are the script's, and all were run."""

from __future__ import annotations

import json
from typing import Any

from samples.notebook import CELLS, PAGE

LARGEST = 400_000
"""Bytes of the notebook, at most."""


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(PAGE.read_text(encoding="utf-8"))["cells"]
    return found


def test_the_notebook_is_that_of_the_script_and_was_run() -> None:
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in cells()] == list(CELLS)
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert {"text/html", "image/png"} <= kinds and PAGE.stat().st_size < LARGEST
