"""Scripts in ``tests`` measure this checkout, not another copy that happens to be installed."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import benchmark
import pytest

ROOT = Path(__file__).parents[1]
OURS = {"pipeline", "stages", "models", "samples"}
HELPERS = {path.stem: path for path in (ROOT / "tests").glob("*.py")}
SCRIPTS = [
    path
    for path in sorted([*HELPERS.values(), *(ROOT / "tests/gpu").glob("*.py")])
    if '\nif __name__ == "__main__":\n' in path.read_text(encoding="utf-8")
    and not path.name.startswith("test_")
]


def imported_at_the_top(path: Path) -> list[tuple[int, str]]:
    """Return the line and first name of every import that a script does when it starts."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.lineno, (node.module or "").split(".")[0]))
    return found


def needs_the_project(name: str, seen: frozenset[str] = frozenset()) -> bool:
    """Return whether importing ``name`` imports one of our packages, or a helper that does."""
    if name in OURS:
        return True
    if name in seen or name not in HELPERS:
        return False
    inner = imported_at_the_top(HELPERS[name])
    return any(needs_the_project(other, seen | {name}) for _, other in inner)


def path_before(script: Path, line: int) -> list[str]:
    """Return what a script has put into ``sys.path`` before it comes to ``line``."""
    path: list[str] = []
    names = {"Path": Path, "__file__": str(script), "sys": SimpleNamespace(path=path)}
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        text = ast.unparse(node)
        if node.lineno < line and ("sys.path" in text or "__file__" in text):
            exec(text, names)
    return path


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_finds_the_checkout_that_it_lies_in(script: Path) -> None:
    lines = [line for line, name in imported_at_the_top(script) if needs_the_project(name)]
    assert not lines or str(ROOT) in path_before(script, min(lines)), (
        f"{script.name}: sys.path.insert(0, str(Path(__file__).parents[1])) before line {lines[0]}"
    )


def test_the_benchmark_runs_its_commands_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    good, bad = "-c print('FOLDER')", "-c raise(SystemExit(3))"
    tables = (
        benchmark.BenchmarkTable("one", (good, bad)),
        benchmark.BenchmarkTable("two", (good,)),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "TABLES", tables)
        assert benchmark.main(["--footage", "there"]) == 1
        out, err = capfd.readouterr()
        first, second = [line for line in out.splitlines() if line and not line.startswith("$")]
        assert first == second == str(Path("there").resolve())
        assert err == f"failed: python {bad}\n"
        assert benchmark.main(["--list"]) == 0
    assert capfd.readouterr().out.splitlines()[:2] == ["one:", f"  python {good}"]


def test_the_benchmark_asks_for_footage_where_a_table_needs_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    free = [table.name for table in benchmark.chosen([], None)]
    assert "peers" in free and "davis" not in free
    assert len(benchmark.chosen([], ROOT)) == len(benchmark.TABLES)
    with pytest.raises(SystemExit):
        benchmark.main(["--only", "davis"])
    assert "give --footage FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [command for table in benchmark.TABLES for command in table.commands]
)
def test_the_page_shows_every_command_of_the_benchmark(command: str) -> None:
    page = (ROOT / "docs/benchmark.md").read_text(encoding="utf-8")
    assert f"python {command}" in page
    script = command.split()[0]
    assert script == "-m" or (ROOT / script).is_file()
