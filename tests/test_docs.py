"""The documents: commands, links, pictures and lists are right."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from pipeline.cli.parser import settings_from
from pipeline.cli.verbs import VERBS
from pipeline.framewise.recipe import Recipe
from pipeline.settings import options
from pipeline.tasks import AUTO, names, task_names
from stages.context import FitSettings, SeparationContext

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINES = 170
"""Most lines of a page in ``docs/``."""
COLUMNS = 100
"""Most columns of a line of prose. Tables, code and commands may be wider."""
WIDE = {"api.md": "generated from docstrings"}
"""Pages with wider lines, and why."""
CONTEXT = SeparationContext(FitSettings())
BYTES = 150_000
"""Most bytes of a picture in ``docs/``."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def commands(path: Path) -> list[str]:
    """Return every command on a page, in blocks and between backticks.

    A command that a backslash breaks into lines is joined again.
    """
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^(?:    )?((?:python|bash|unlayer) .+?)\s*(?:#.*)?$", text, re.MULTILINE)
    inline = re.findall(
        r"`((?:python|bash|unlayer) [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    )
    return [" ".join(command.split()) for command in [*blocks, *inline]]


# The docstrings on the page of the Python interface name commands without their arguments.
ALL = sorted(
    {
        (name_of(path), command)
        for path in PAGES
        if path.name != "api.md"
        for command in commands(path)
    }
)


def test_there_are_commands_to_hold() -> None:
    assert len(ALL) > 25


@pytest.mark.parametrize(("page", "command"), ALL)
def test_every_command_is_one(page: str, command: str) -> None:
    words = shlex.split(command)
    if words[:3] == ["python", "-m", "pipeline"]:
        check_verb(words[3:])
    elif words[0] == "unlayer":
        # A file without a verb is run.
        check_verb(words[1:] if words[1] in VERBS or words[1][0] == "-" else ["run", *words[1:]])
    elif words[:2] == ["python", "-m"]:
        module = words[2].replace(".", "/")
        assert words[2] == "pytest" or (ROOT / f"{module}.py").exists(), command
        if words[2] == "samples.figures":
            assert set(words[3:]) <= keys_of(ROOT / "samples" / "figures.py", "PICTURES")
        if words[2] == "pytest":
            assert all((ROOT / word).exists() for word in words if word.endswith(".py"))
    else:
        assert (ROOT / words[1]).exists(), command


def check_verb(words: list[str]) -> None:
    """Check that the program understands a command; the files that it names may be missing."""
    # Without any word, the program prints its help.
    if not words or words[0].startswith("-"):
        assert not words or words in (["--help"], ["--version"], ["--install-completion"])
        return
    assert words[0] in VERBS
    if "--help" in words or "--help-all" in words:
        return
    # These files would be read, but those in the documents are examples.
    read = {"--config", "--shots"}
    told = [word for at, word in enumerate(words[1:], 1) if not read & {word, words[at - 1]}]
    if words[-1] == "...":
        return
    made = settings_from(words[0], told)
    assert not made.task or {*task_names(made.task)} <= {*names(), "rain", AUTO}


def keys_of(path: Path, name: str) -> set[str]:
    """Return the keys of a dictionary at the top of a file."""
    return set(keys_in_order(path, name))


def keys_in_order(path: Path, name: str) -> list[str]:
    """Return the same keys in their order."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if (
            isinstance(target, ast.Name)
            and target.id == name
            and isinstance(node, ast.AnnAssign)
            and isinstance(node.value, ast.Dict)
        ):
            return [str(ast.literal_eval(key)) for key in node.value.keys if key is not None]
    raise AssertionError(f"{path} has no {name}")


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_prose_has_lines_of_at_most_100_columns(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    prose = [line for line in text.splitlines() if not line.startswith(("|", "    "))]
    assert prose and (path.name in WIDE or not [line for line in prose if len(line) > COLUMNS])


@pytest.mark.parametrize(
    "path", [path for path in PAGES if path.parent.name == "docs"], ids=name_of
)
def test_a_page_is_short_and_in_the_index(path: Path) -> None:
    # The page on the Python interface is as long as the docstrings make it.
    if path.name != "api.md":
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES
    assert path.name == "README.md" or f"]({path.name})" in (ROOT / "docs" / "README.md").read_text(
        encoding="utf-8"
    )


def test_every_file_that_is_named_is_there() -> None:
    named = {
        word
        for path in PAGES
        for word in re.findall(
            r"`((?:pipeline|stages|models|tests|samples|docs)/[\w./-]+)`", path.read_text()
        )
    }
    assert len(named) > 10 and not [name for name in named if not (ROOT / name).exists()]


def test_pictures_are_small_and_used_and_made_by_the_script() -> None:
    pictures = sorted((ROOT / "docs").glob("*.png"))
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    drawn = keys_of(ROOT / "samples" / "figures.py", "PICTURES")
    # tests/compare_tasks.py writes the others; the page that shows one has the command.
    sheets = set(re.findall(r"--sheet ([\w-]+)\.png", text))
    assert pictures and sheets and {path.stem for path in pictures} == drawn | sheets
    for picture in pictures:
        assert picture.stat().st_size < BYTES and f"({picture.name})" in text


def test_the_list_of_options_is_as_the_settings_have_it() -> None:
    from samples.options import PAGE, renewed

    page = PAGE.read_text(encoding="utf-8")
    assert page == renewed(page), "python -m samples.options renews it"
    assert all(f"### `{verb}`" in page for verb in VERBS)


def test_a_batch_lists_no_option_that_it_refuses() -> None:
    from samples.options import listed

    refused = {"transition", "shots", "hint_background", "refine", "anew"}
    assert not {item.name for item in options("batch")} & refused
    assert (
        "All options of `run` but `--transition`, `--shots`, `--hint-background`, `--refine` and "
        "`--anew`" in listed()
    )


def test_the_page_on_the_python_interface_is_as_the_docstrings_have_it() -> None:
    from samples.api_page import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "python -m samples.api_page renews it"


def test_the_glossary_has_each_word_once() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| **")]
    words = [word for row in rows for word in re.findall(r"\*\*(.+?)\*\*", row)]
    assert len(words) > 40 and len(words) == len(set(words))


def test_the_pages_say_where_a_recipe_is_explained() -> None:
    explained = "recipe (`" + Recipe.__module__.replace(".", "/") + ".py`)"
    page = (ROOT / "docs" / "adding-a-task.md").read_text(encoding="utf-8")
    assert explained in page and explained in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "| `Recipe.limits` |" in page


def test_the_pages_name_fields_of_the_context_that_there_are() -> None:
    page = (ROOT / "docs" / "adding-a-task.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`context\.(\w+)", page))
    assert len(named) > 5 and not [name for name in named if not hasattr(CONTEXT, name)]


def test_tables_have_the_rows_and_columns_of_their_commands() -> None:
    from pipeline.bench.rows import markdown

    assert (
        markdown([]).splitlines()[0]
        in (ROOT / "docs" / "speed.md").read_text(encoding="utf-8").splitlines()
    )
    page = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    table = page[page.index("| what runs |") :].split("\n\n")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert (
        rows
        == [
            name for name in keys_in_order(ROOT / "samples" / "ablation.py", "ROWS") if name in rows
        ]
        and len(rows) >= 9
    )


@pytest.mark.parametrize("name", ["../README.md", "tasks.md", "paper.md"])
def test_figures_that_are_measured_are_as_their_page_has_them(name: str) -> None:
    measured = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")
    lines = (ROOT / "docs" / name).read_text(encoding="utf-8").splitlines()
    told = [
        line for line in lines if "| measured |" in line or re.search(r"\d dB( \(|;| \|)", line)
    ]
    number = re.compile(r"(?<![\d.])\d+\.\d+(?![\d.])")
    figures = {figure for line in told for figure in number.findall(line)}
    assert len(figures) >= 3 and not figures - set(number.findall(measured))


def test_the_contract_of_the_run_folder_is_what_a_manifest_has() -> None:
    import json

    page = (ROOT / "docs" / "run-folder.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert list(json.loads(shown)) == [
        "schema",
        "task",
        "input",
        "settings",
        "layers",
        "transitions",
        "sheets",
        "warnings",
        "report",
    ]
