"""The wheel holds everything, and it runs in an empty environment."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from pipeline import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DATA = {".html", ".css", ".js", ".toml", ".typed"}


def bare(requirement: str) -> str:
    """Return the name in a requirement."""
    return re.split(r"[\[<>=!;~ ]", requirement)[0].lower().replace("_", "-")


def imported(path: Path) -> set[str]:
    """Return the packages that a file imports, anywhere in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {
        alias.name.split(".")[0]
        for node in nodes
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    return plain | {
        (node.module or "").split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)
    }


def test_what_the_sources_import_is_required() -> None:
    required = {bare(line) for line in PROJECT["dependencies"]}
    optional = {bare(line) for lines in PROJECT["optional-dependencies"].values() for line in lines}
    owners = packages_distributions()
    ours = {"pipeline", "stages", "models", "unlayer"}
    for path in (
        path
        for package in ("pipeline", "stages", "models")
        for path in (ROOT / package).rglob("*.py")
    ):
        for module in imported(path) - ours - set(sys.stdlib_module_names):
            names = {name.lower().replace("_", "-") for name in owners.get(module, [module])}
            assert names & (required | optional), (
                f"{path.relative_to(ROOT)} imports {module}, which pyproject.toml does not require"
            )


def test_the_changelog_has_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased" and __version__ in headings


def test_the_citation_has_this_version() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_runs_the_sample(tmp_path: Path) -> None:
    source = tmp_path / "source"
    # A build leaves folders behind, so it must not run in the working tree.
    left_out = shutil.ignore_patterns(
        ".git", ".venv", "build", "*.egg-info", ".*_cache", ".hypothesis", "__pycache__", "tests"
    )
    shutil.copytree(ROOT, source, ignore=left_out)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }

    def run(*words: object) -> str:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, source)
    (wheel,) = tmp_path.glob("unlayer-*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for package in ("pipeline", "stages", "models"):
        for path in (source / package).rglob("*"):
            place = path.relative_to(source)
            if path.suffix in {".py", *DATA} and place.parts[1] != "distribution":
                assert f"unlayer/{place}" in inside
    assert {name.split("/")[0] for name in inside} == {
        "unlayer",
        f"unlayer-{__version__}.dist-info",
    }
    run(sys.executable, "-m", "venv", tmp_path / "empty")
    run(tmp_path / "empty/bin/pip", "install", "-q", wheel)
    unlayer = tmp_path / "empty/bin/unlayer"
    assert run(unlayer, "--version").startswith(f"unlayer {__version__}\n")
    run(
        unlayer,
        "run",
        ROOT / "samples/fade.mp4",
        "--task",
        "transition",
        "--preset",
        "fast",
        "--out",
        "layers",
        "--no-progress",
    )
    whole = json.loads((tmp_path / "layers/manifest.json").read_text())
    assert [layer["path"] for layer in whole["layers"]] == ["scene-001.mp4", "scene-002.mp4"]
    assert json.loads(run(unlayer, "doctor", "--json"))["ok"]
