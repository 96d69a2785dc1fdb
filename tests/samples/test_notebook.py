"""Test the notebook in the documentation: its cells are the script's, and all were run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from samples.notebook import CELLS, PAGE, ROOT, run_cell

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


def test_a_cell_keeps_what_it_prints_and_its_last_value() -> None:
    names: dict[str, Any] = {}
    printed, value = run_cell("x = 2\nprint('two')\nx + 1", names, 7)
    assert printed["text"] == ["two\n"] and value["data"] == {"text/plain": "3"}
    assert value["execution_count"] == 7 and run_cell("y = x", names, 8) == []


@pytest.mark.slow
def test_a_kernel_runs_the_notebook(tmp_path: Path) -> None:
    """Needs Jupyter's nbclient and ipykernel, which the project does not install."""
    missing = [name for name in ("nbclient", "ipykernel", "nbformat") if find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)} (pip install nbclient ipykernel)")
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    (tmp_path / "docs").mkdir()
    shutil.copy(PAGE, tmp_path / "docs")
    words = [sys.executable, "-m", "jupyter", "execute", "--inplace", PAGE.name]
    done = subprocess.run(words, cwd=tmp_path / "docs", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
