"""Rules of spelling and naming: American names as in every library used, British prose."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

from stages.kinds import CUT, TRANSITION_KINDS

ROOT = Path(__file__).parents[1]
FOLDERS = ("pipeline", "stages", "models", "samples", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "api.md"),
]
"""The pages written by hand; the names of arguments stand in ``api.md`` as they are."""
BRITISH_NAME = re.compile("colour|grey|centre|neighbour|optimiser|normalise", re.IGNORECASE)
AMERICAN_WORD = re.compile(
    r"\b(?:color(?:s|ed)?|grays?|center(?:s|ed)?|neighbors?|neighboring|optimizer)\b", re.IGNORECASE
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose_of(text: str) -> str:
    """Return a page's text without its code: blocks, indented commands, and what is quoted."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)


def test_names_are_spelt_in_the_american_way() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        names = {path.stem, *(token.string for token in tokens if token.type == tokenize.NAME)}
        assert not {name for name in names if BRITISH_NAME.search(name)}, name_of(path)


def test_prose_is_spelt_in_the_british_way() -> None:
    for path in PAGES:
        prose = prose_of(path.read_text(encoding="utf-8"))
        assert not AMERICAN_WORD.findall(prose), name_of(path)


def test_the_search_takes_the_names_of_kinds_from_their_registry() -> None:
    # A step between two frames may be judged to be a "cut", which is also the name of a kind.
    kinds = set(TRANSITION_KINDS) - {CUT}
    for path in sorted((ROOT / "stages" / "find").glob("*.py")):
        strings = {
            node.value
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not strings & kinds, f"{name_of(path)}: take these from stages.kinds"
