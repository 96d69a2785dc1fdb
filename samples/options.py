"""Write the list of all options in ``docs/options.md``: ``python -m samples.options``."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.cli.verbs import VERBS, formatted_help
from pipeline.option_fields import flag
from pipeline.settings import ONE_CLIP, options

PAGE = Path(__file__).parents[1] / "docs" / "options.md"
_NAMES = [f"`--{name.replace('_', '-')}`" for name in ONE_CLIP]
WITHOUT = f"{', '.join(_NAMES[:-1])} and {_NAMES[-1]}"
SHARED = (
    f"\nAll options of `run` but {WITHOUT}\nhold here as well: `--out` gets a folder for each "
    "run, and `--max-seconds` is for each clip.\n"
)
BEGIN, END = "<!-- from python -m samples.options -->", "<!-- end -->"


def listed() -> str:
    """Return a table for each command; options that ``batch`` shares with ``run`` come once."""
    parts, shared = [], {item.name for item in options("run")}
    for verb, known in VERBS.items():
        items = [item for item in options(verb) if verb != "batch" or item.name not in shared]
        parts.append(f"### `{verb}`: {known.help}\n\n| option | meaning |\n|---|---|")
        for item in items:
            option = f"{flag(item)} {item.metadata['metavar']}".strip()
            parts.append(f"| `{option}` | {formatted_help(item, verb)} |")
        parts.append(SHARED if verb == "batch" else "")
    return "\n".join(parts).replace("\n\n\n", "\n\n").strip()


def renewed(page: str) -> str:
    """Return the page with the list as it is now."""
    return re.sub(
        f"{re.escape(BEGIN)}.*{re.escape(END)}",
        lambda _: f"{BEGIN}\n\n{listed()}\n\n{END}",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
