"""Write ``docs/api.md`` from the docstrings of what Python users and plug-ins import.

python -m samples.api_page
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, is_typeddict

from pipeline.settings import options

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
MODULES = {"unlayer": "pipeline", "unlayer.plugin": "pipeline.plugin"}
"""The names that users import, and where the checkout has what they offer."""
HEAD = """# The Python interface

`unlayer` is for programs that take clips apart, `unlayer.plugin` for packages that add a task (see
[adding-a-task.md](adding-a-task.md)). The names on this page stay as they are within a version of
the interface; all other modules may change at any time.

In a checkout, `pipeline` and `pipeline.plugin` offer the same as `unlayer` and `unlayer.plugin`.
Import from one pair only in a process, because the second pair may load everything once more.

Tensors are `(T, C, H, W)`: frames, channels, rows and columns, RGB in [0, 1].
`python -m samples.api_page` makes this page from docstrings.
"""


def plain(text: str) -> str:
    """Return a docstring as Markdown: roles and double backticks become single backticks."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")


def signature(thing: Any) -> str:
    """Return the call of a function or class, with short annotations."""
    try:
        text = str(inspect.signature(thing))
    except (TypeError, ValueError):
        return ""
    text = re.sub(r"'([^']*)'", r"\1", text)
    return re.sub(
        r"\b(?:pipeline|stages|collections|typing|numpy|torch|pathlib)\.[\w.]*?(\w+)\b", r"\1", text
    )


def fields_of(kind: type) -> list[str]:
    """Return one line for each field of a dataclass, or for each setting."""
    if is_typeddict(kind):
        helps = {item.name: item.metadata["help"] for item in options("run")}
        types = inspect.get_annotations(kind)
        return [f"- `{name}`: `{types[name].__forward_arg__}`; {helps[name]}" for name in types]
    if not dataclasses.is_dataclass(kind):
        return []
    items = [item for item in dataclasses.fields(kind) if not item.name.startswith("_")]
    return [f"- `{item.name}`: `{item.type}`" for item in items]


def members_of(kind: type) -> list[str]:
    """Return an entry for each public method and property that a class documents itself."""
    entries = []
    for name, member in vars(kind).items():
        inner = getattr(member, "fget", None) or getattr(member, "func", None) or member
        text = inspect.getdoc(inner)
        callable_here = inspect.isfunction(inner)
        if name.startswith("_") or not callable_here or not text:
            continue
        call = signature(inner) if inner is member else ""
        first = plain(text).replace("\n", " ")
        entries.append(f"- `{name}{call}`: {first}")
    return entries


def entry(name: str, thing: Any) -> str:
    """Return the section of one public name."""
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return f"### `{name}`\n\n`{thing!r}`\n"
    call = ""
    if inspect.isfunction(thing):
        call = signature(thing)
    parts = [f"### `{name}`", ""]
    if call:
        parts += ["```python", f"{name}{call}", "```", ""]
    parts += [plain(inspect.getdoc(thing) or ""), ""]
    if inspect.isclass(thing):
        lines = fields_of(thing) + members_of(thing)
        parts += [*lines, ""] if lines else []
    return "\n".join(parts)


def section(shown: str, module: ModuleType) -> str:
    """Return the part of the page on one module. shown: the name that users import."""
    names = [name for name in module.__all__ if not name.startswith("__")]
    about = plain(inspect.getdoc(module) or "").split("\n\n")[0]
    entries = [entry(name, getattr(module, name)) for name in names]
    return f"## `{shown}`\n\n{about}\n\n" + "\n".join(entries)


def page() -> str:
    """Return the whole page."""
    parts = [section(shown, import_module(name)) for shown, name in MODULES.items()]
    return HEAD + "\n" + "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
