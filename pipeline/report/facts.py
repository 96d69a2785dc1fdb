"""What a manifest says, checked: a folder that came by mail may say anything."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.runtime.run_record import flat_name
from stages.errors import UnlayerError

MOST = 4000
"""Layers, or transitions, that a page is made for at most."""
FRAMES = 10**7


@dataclass(frozen=True)
class LayerFact:
    """One layer: ``slug`` is a name that is safe in any file system and page, the same for no two."""

    name: str
    role: str
    path: str
    first: int
    last: int
    slug: str

    def __len__(self) -> int:
        return self.last - self.first + 1

    @property
    def is_picture(self) -> bool:
        """Whether it is a picture rather than a video."""
        return self.path.lower().endswith(".png")


@dataclass(frozen=True)
class Move:
    """One transition. ``sides``: the names of the layers it leads from and to; ``None`` where that is a colour."""

    first: int
    last: int
    kind: str
    sides: tuple[str | None, str | None]
    mix: tuple[float, ...] = ()
    space: str = ""
    color: str | None = None

    @property
    def is_mixed(self) -> bool:
        """Whether any frame is a mixture."""
        return self.last >= self.first

    @property
    def is_taken_apart(self) -> bool:
        """Whether its frames were taken apart: those of an unknown kind go to one scene each as they are."""
        return self.is_mixed and self.kind != "other"


@dataclass(frozen=True)
class Facts:
    """A run, as its manifest tells it."""

    task: str
    inputs: tuple[Mapping[str, Any], ...]
    layers: tuple[LayerFact, ...]
    moves: tuple[Move, ...]
    settings: Mapping[str, Any]
    report: Mapping[str, Any]
    warnings: tuple[str, ...]
    sheets: tuple[str, ...]
    frames: int
    """Frames of the clip, or pictures, that layers are there for: the last one's number and one more."""
    first: int
    size: tuple[int, int]
    rate: float
    files: tuple[str, ...] = field(default=())
    """The report's own files as the manifest lists them."""


def facts_of(manifest: Mapping[str, Any]) -> Facts:
    """The facts. Raises UnlayerError where the manifest is not one of ours or is damaged."""
    try:
        if manifest["schema"] != 1 or not isinstance(manifest["task"], str):
            raise ValueError("it is of another kind or version")
        inputs = tuple(dict(item) for item in _list(manifest["input"]))
        if not inputs:
            raise ValueError("it names no input")
        layers = _layers(_list(manifest["layers"]))
        if not layers:
            raise ValueError("it names no layer")
        report = dict(manifest.get("report") or {})
        return Facts(
            manifest["task"],
            inputs,
            layers,
            tuple(_move(dict(item)) for item in _list(manifest.get("transitions") or [])),
            dict(manifest.get("settings") or {}),
            report,
            tuple(str(item) for item in _list(manifest.get("warnings") or [])),
            tuple(
                name
                for name in _list(manifest.get("sheets") or [])
                if isinstance(name, str) and flat_name(name)
            ),
            max(layer.last for layer in layers) + 1,
            min(layer.first for layer in layers),
            (_whole(inputs[0]["height"], 1), _whole(inputs[0]["width"], 1)),
            _rate(str(inputs[0]["rate"])),
            tuple(
                name for name in _list(manifest.get("report_files") or []) if isinstance(name, str)
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UnlayerError(
            f"its manifest.json cannot be read as a run's ({what}); do the run again"
        ) from error


def _layers(entries: Sequence[Any]) -> tuple[LayerFact, ...]:
    made: list[LayerFact] = []
    for number, entry in enumerate(entries, 1):
        name, role, path = str(entry["name"]), str(entry["role"]), entry["path"]
        if not isinstance(path, str) or not flat_name(path):
            raise ValueError(f"the file of layer {number} does not lie in the folder")
        first, last = _whole(entry["first_frame"]), _whole(entry["last_frame"])
        if last < first:
            raise ValueError(f"layer {number} has no frame")
        slug = name if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", name) else f"layer-{number:03d}"
        slug = slug if slug not in {layer.slug for layer in made} else f"{slug[:50]}-n{number}"
        made.append(LayerFact(name, role, path, first, last, slug))
    return tuple(made)


def _move(entry: Mapping[str, Any]) -> Move:
    first, last = _whole(entry["first_frame"]), _whole(entry["last_frame"], -1)
    mix = tuple(float(weight) for weight in _list(entry.get("mix") or []))
    if (
        not all(math.isfinite(weight) for weight in mix)
        or last < first - 1
        or len(mix) != last - first + 1
    ):
        raise ValueError(f"the transition at frame {first} has {len(mix)} weights")
    sides = tuple(None if entry.get(side) is None else str(entry[side]) for side in ("from", "to"))
    color = entry.get("color")
    return Move(
        first,
        last,
        str(entry["kind"]),
        (sides[0], sides[1]),
        mix,
        str(entry.get("space") or ""),
        None if color is None else str(color),
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > 100 * MOST:
        raise ValueError("a list is missing or too long")
    return value


def _whole(value: Any, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= FRAMES:
        raise ValueError(f"{value!r} is no frame or size")
    return value


def _rate(word: str) -> float:
    over, _, under = word.partition("/")
    rate = float(over) / float(under or 1)
    if not 0 < rate < 1e6:
        raise ValueError(f"{word!r} is no frame rate")
    return rate


def input_paths(facts: Facts) -> list[Path]:
    """Where the inputs were."""
    return [Path(str(item.get("path", ""))) for item in facts.inputs]
