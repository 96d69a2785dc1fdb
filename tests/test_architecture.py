"""Rules of the layout, checked by reading the source: imports, file lengths, docstrings, tests."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "stages", "models")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MEDIA = tuple(
    f"stages/media/{name}.py"
    for name in (
        "audio",
        "convert",
        "decode",
        "deinterlace",
        "describe",
        "encoder_frames",
        "filter_graph",
        "input_checks",
        "input_tracks",
        "layer_sink",
        "library_errors",
        "chroma_place",
        "mux",
        "orientation",
        "picture_file",
        "read",
        "stored_frame",
        "subtitles",
        "trial_child",
        "wav",
        "write",
    )
)
# The folders of `stages` that every stage may use. The other folders are one task's own.
SHARED = {"media", "motion", "optim", "mixing", "kinds", "published", "coupled", "storage"}
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
# Folders of tests that no folder of the sources has, and why.
OWN_FOLDERS = {
    "faults": "faults of the disk, the memory and files, provoked in the whole program",
    "gpu": "a GPU, real or pretended, and the script that measures one",
    "tours": "what four kinds of users do from beginning to end, with the software they use",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, anywhere in it, by its full name."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import; say where it comes from"
            yield node.module or ""


def test_imports_go_one_way() -> None:
    forbidden = {
        "pipeline": {"models", "tests", "samples"},
        "stages": {"pipeline", "tests", "samples"},
    }
    for path in SOURCES:
        package = path.relative_to(ROOT).parts[0]
        used = {module.split(".")[0] for module in imports(path)}
        if package == "models":
            assert used <= {"models", "torch", *sys.stdlib_module_names}, (
                f"models know torch alone, {name_of(path)} imports {used}"
            )
        else:
            assert not used & forbidden[package], f"{name_of(path)} imports {used}"


def test_a_run_knows_neither_the_command_line_nor_batches() -> None:
    for path in (ROOT / "pipeline" / "run").rglob("*.py"):
        callers = {".".join(module.split(".")[:2]) for module in imports(path)}
        assert not callers & {"pipeline.cli", "pipeline.batch"}, name_of(path)


def test_folders_of_stages_use_only_what_is_for_all() -> None:
    folders = {folder.name for folder in (ROOT / "stages").iterdir() if folder.is_dir()} - SHARED
    for path in (ROOT / "stages").rglob("*.py"):
        stages = {module.split(".")[1] for module in imports(path) if module.startswith("stages.")}
        used = stages & folders
        own = path.relative_to(ROOT / "stages").parts[0]
        allowed = {own} | ({"find"} if own == "transition" else set())
        if own not in folders:
            allowed = set()
        assert used <= allowed, f"{name_of(path)} uses {used}"


def test_only_reader_and_writer_know_the_media_library() -> None:
    users = {
        name_of(path)
        for path in SOURCES
        if "av" in {module.split(".")[0] for module in imports(path)}
    }
    assert users <= set(MEDIA)


def test_no_file_is_too_long() -> None:
    lengths = {
        name_of(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCES + TESTS
    }
    assert not {name: lines for name, lines in lengths.items() if lines > 400}


def undescribed(tree: ast.Module) -> list[str]:
    """Return the public names of a file that have no docstring."""
    protocols = {
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any("Protocol" in ast.unparse(base) for base in node.bases)
    }
    missing = []
    scopes: list[ast.Module | ast.ClassDef] = [tree]
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            scopes.append(node)
    for scope in scopes:
        overrides = isinstance(scope, ast.ClassDef) and bool(scope.bases)
        for node in scope.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            # The base class or protocol that declares a method describes it.
            if not ast.get_docstring(node) and scope not in protocols and not overrides:
                missing.append(node.name)
    return missing


def test_public_names_have_docstrings() -> None:
    silent = [name_of(path) for path in SOURCES if not ast.get_docstring(tree_of(path))]
    assert not silent, f"{silent} do not say what they are for"
    missing = {name_of(path): undescribed(tree_of(path)) for path in SOURCES}
    assert not {name: functions for name, functions in missing.items() if functions}


def asserts(function: ast.FunctionDef, helpers: set[str]) -> bool:
    """Return whether a test asserts something, itself or through a helper of its file."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in helpers | {
            "fail",
            "raises",
            "assert_close",
            "assert_allclose",
        }:
            return True
    return False


def test_class_names_are_unique() -> None:
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(name_of(path))
    assert not {name: paths for name, paths in places.items() if len(paths) > 1}


def test_tests_are_in_the_folders_of_the_sources() -> None:
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in TESTS}
    assert len(folders) > 20
    assert not [
        folder
        for folder in folders - set(OWN_FOLDERS)
        if not list((ROOT / folder).glob("*.py")) and folder != "."
    ]
    assert not [folder for folder in OWN_FOLDERS if (ROOT / folder).exists()]


def test_the_conftests_of_folders_only_pass_fixtures_on() -> None:
    """The type checker leaves them out, because several files have this name."""
    paths = sorted((ROOT / "tests").glob("*/**/conftest.py"))
    assert paths
    for path in paths:
        about, *imported, names = tree_of(path).body
        assert isinstance(about, ast.Expr) and ast.unparse(names).startswith("__all__ = [")
        assert all(isinstance(node, ast.ImportFrom) for node in imported), name_of(path)


def test_no_message_of_the_stages_names_an_option() -> None:
    """They name settings, and the shell adds the options (pipeline/option_names.py)."""
    named = []
    for path in [*(ROOT / "stages").rglob("*.py"), *(ROOT / "models").rglob("*.py")]:
        nodes = list(ast.walk(tree_of(path)))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        texts = [
            node.value
            for node in nodes
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        ]
        named += [
            (name_of(path), text) for text in texts if re.search(r"(?<![\w-])--[a-z]{2}", text)
        ]
    assert not named


def idle_tests(tree: ast.Module) -> list[str]:
    """Return the tests of a file that assert nothing."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    helpers = {
        node.name for node in functions if not node.name.startswith("test") and asserts(node, set())
    }
    return [
        node.name
        for node in functions
        if node.name.startswith("test") and not asserts(node, helpers)
    ]


def test_every_test_asserts_something() -> None:
    idle = {name_of(path): idle_tests(tree_of(path)) for path in TESTS}
    assert not {name: tests for name, tests in idle.items() if tests}
