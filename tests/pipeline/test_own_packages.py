"""Projects that have a ``models``, ``stages`` or ``pipeline`` of their own beside ours."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.runtime.child_process import PROGRAM, import_folder
from unlayer._checkout import NAMES, with_prefixed_imports

ROOT = Path(__file__).parents[2]
UNLAYER = ROOT / "pipeline" / "distribution"
"""The folder of the package ``unlayer`` in a checkout."""
OWN = "import models, pipeline, stages\n"
OURS = "import unlayer, unlayer.stages.errors\nassert unlayer.__version__\n"
USED = """
import multiprocessing
assert (models.MINE, pipeline.MINE, stages.MINE) == ("models", "pipeline", "stages")
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (error,) = pool.map(unlayer.stages.errors.UnlayerError, ["from a worker"])
    assert type(error) is unlayer.stages.errors.UnlayerError
    print(error, type(error).__module__)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project whose packages have our packages' names."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"MINE = {name!r}\n")
    return tmp_path


def python(project: Path, *words: str, path: Path = UNLAYER) -> subprocess.CompletedProcess[str]:
    """Run Python in a project, where it finds ours in ``path``."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def imports_of_ours(source: str) -> Iterator[int]:
    """Yield the lines of a file, counted from 0, in which it imports one of our packages."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in NAMES:
            yield node.lineno - 1
        elif isinstance(node, ast.Import):
            ours = [alias for alias in node.names if alias.name.split(".")[0] in NAMES]
            # `import stages.errors` has no equal with another first name.
            assert not ours or ast.unparse(node) in [f"import {name}" for name in NAMES]
            yield from [node.lineno - 1] * bool(ours)


@pytest.mark.parametrize("folder", NAMES)
def test_all_imports_of_our_packages_are_changed_and_nothing_else(folder: str) -> None:
    changed = 0
    for path in (ROOT / folder).rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        lines, found = (text.splitlines() for text in (source, with_prefixed_imports(source)))
        differ = [number for number, line in enumerate(lines) if line != found[number]]
        assert differ == sorted(imports_of_ours(source)), path
        for number in differ:
            line = lines[number].replace("from ", "from unlayer.")
            assert found[number] == line.replace("import stages", "from unlayer import stages")
        changed += len(differ)
    assert changed


@pytest.mark.parametrize("code", [OWN + OURS, OURS + OWN], ids=["ours-last", "ours-first"])
def test_both_are_used_in_one_process_and_its_workers(project: Path, code: str) -> None:
    (project / "study.py").write_text(code + USED)
    done = python(project, "study.py")
    assert done.stdout == "from a worker unlayer.stages.errors\n", done.stderr


def test_a_child_of_the_program_finds_its_package(project: Path) -> None:
    code = "from unlayer.pipeline.runtime.child_process import PROGRAM, import_folder as folder\n"
    done = python(project, "-c", code + "print(*PROGRAM[1:], folder())")
    assert done.stdout == f"-m unlayer.pipeline {UNLAYER}\n", done.stderr
    assert PROGRAM[1:] == ("-m", "pipeline") and import_folder() == ROOT


def test_the_program_says_how_it_was_started(project: Path) -> None:
    done = python(project, "-m", "unlayer", "run", "--help")
    assert done.stdout.startswith("unlayer run INPUT... "), done.stderr
    assert "\nexample: unlayer run film.mp4 " in done.stdout


@pytest.mark.slow
def test_the_interface_is_imported_beside_them(project: Path) -> None:
    done = python(project, "-c", "from unlayer import separate; print(separate.__module__)")
    assert done.stdout == "unlayer.pipeline.api\n", done.stderr


@pytest.mark.usually(1)
@pytest.mark.parametrize("name", ["models", "stages"])
def test_the_checkout_runs_beside_them(project: Path, name: str) -> None:
    for other in {"models", "stages", "pipeline"} - {name}:
        (project / other).rename(project / f"other-{other}")
    done = python(project, "-m", "pipeline", "doctor", "--json", path=ROOT)
    assert '"versions"' in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["models", "stages"])
def test_another_one_that_the_checkout_meets_is_named(project: Path, name: str) -> None:
    (project / "pipeline").rename(project / "other")
    done = python(project, "-c", f"import {name}, pipeline", path=ROOT)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: pipeline needs its own package '{name}', but another one")
    assert "import unlayer instead" in last


@pytest.mark.slow
def test_it_offers_what_the_package_offers() -> None:
    code = """
import pipeline, unlayer, unlayer.plugin, pipeline.plugin
assert unlayer.__all__ == pipeline.__all__
assert all(getattr(unlayer, name) is getattr(pipeline, name) for name in pipeline.__all__)
assert unlayer.plugin.Task is pipeline.plugin.Task
try: unlayer.nothing
except AttributeError as error: print(error)
"""
    path = Path(os.pathsep.join([str(UNLAYER), str(ROOT)]))
    done = python(ROOT, "-c", code, path=path)
    assert done.stdout == "module 'unlayer' has no attribute 'nothing'\n", done.stderr
