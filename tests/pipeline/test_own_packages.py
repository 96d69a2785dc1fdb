"""Projects that have a ``models``, ``stages`` or ``pipeline`` of their own beside ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALLED = os.pathsep.join([str(ROOT / "pipeline" / "distribution"), str(ROOT)])
LOADS = "from unlayer import separate; import models.generator, stages.errors; print(separate)"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project whose packages have our packages' names."""
    for name in ("models", "stages", "pipeline"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    return tmp_path


def python(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a project, with Unlayer installed."""
    environment = os.environ | {"PYTHONPATH": INSTALLED}
    return subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_it_is_imported_beside_them(project: Path) -> None:
    done = python(project, "-c", LOADS)
    assert done.returncode == 0 and "function separate" in done.stdout, done.stderr


@pytest.mark.usually(1)
@pytest.mark.parametrize("name", ["models", "stages"])
def test_the_program_runs_beside_them(project: Path, name: str) -> None:
    for other in {"models", "stages", "pipeline"} - {name}:
        (project / other).rename(project / f"other-{other}")
    done = python(project, "-m", "pipeline", "doctor", "--json")
    assert '"versions"' in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["models", "stages", "pipeline"])
def test_another_one_that_is_loaded_already_is_named(project: Path, name: str) -> None:
    done = python(project, "-c", f"import {name}; {LOADS}")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: unlayer has a package '{name}', but another one")


@pytest.mark.slow
def test_it_offers_what_the_package_offers() -> None:
    done = python(
        ROOT,
        "-c",
        "import pipeline, unlayer; assert unlayer.__all__ == pipeline.__all__\n"
        "assert all(getattr(unlayer, n) is getattr(pipeline, n) for n in pipeline.__all__)\n"
        "try: unlayer.nothing\nexcept AttributeError as error: print(error)",
    )
    assert done.stdout == "module 'unlayer' has no attribute 'nothing'\n", done.stderr
