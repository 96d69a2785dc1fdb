"""A sample of damaged files for every reader.

``python tests/measure_fuzz.py`` draws 20,000 over all kinds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "measure_fuzz.py"


def fuzz(folder: Path, count: int, seed: int, *more: str) -> str:
    """Run the script, check that it finds nothing, and return its output."""
    words = [
        sys.executable,
        str(SCRIPT),
        "--count",
        str(count),
        "--seed",
        str(seed),
        "--findings",
        str(folder / "found"),
        *more,
    ]
    single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, **single}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_small_draw(tmp_path: Path) -> None:
    assert "crash: 0; hang: 0; memory: 0; unexpected: 0" in fuzz(tmp_path, 120, 1, "--kinds", "12")


@pytest.mark.slow
def test_a_large_draw(tmp_path: Path) -> None:
    assert "crash: 0; hang: 0; memory: 0; unexpected: 0" in fuzz(tmp_path, 3000, 2)
