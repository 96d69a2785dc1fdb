"""Read a run's manifest and check it: a folder that came by mail may contain anything."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.runtime.run_record import SCHEMA, flat_name
from pipeline.task import Task
from pipeline.tasks import find_task, names
from stages.errors import UnlayerError
from stages.kinds import TRANSITION_KINDS

MAX_ENTRIES = 400_000
"""Entries of a list in a manifest, at most."""

SHOWN_PICTURES = (".png", ".jpg", ".jpeg")
"""Suffixes of pictures that browsers show."""

MAX_NUMBER = 10**7
"""Largest frame number or size in pixels that is accepted."""

MAX_RATE_DENOMINATOR = 1001
"""Largest denominator of a rate: 30000/1001 frames a second and the like."""

MAX_RATE = 1e6
"""Frames a second below which a rate is accepted."""


@dataclass(frozen=True)
class LayerFact:
    """One layer.

    path: its file, or the folder of its pictures, relative to the run's folder.
    first, last: the frames it covers, inclusive.
    slug: a unique name that is safe in any file system and page.
    data: whether its values are not colours, as in a matte.
    """

    name: str
    role: str
    path: str
    first: int
    last: int
    slug: str
    data: bool = False

    def __len__(self) -> int:
        return self.last - self.first + 1

    @property
    def is_picture(self) -> bool:
        """Whether it is a picture rather than a video."""
        return self.path.lower().endswith(SHOWN_PICTURES)


@dataclass(frozen=True)
class TransitionFact:
    """One transition.

    first, last: its mixed frames, inclusive; ``last`` is ``first - 1`` for a cut.
    sides: names of the layers that it leads from and to; ``None`` where that is a colour.
    mix: weight of the incoming scene for each frame.
    expected_psnr: of each side in each mixed frame, in dB, where it is known.
    """

    first: int
    last: int
    kind: str
    sides: tuple[str | None, str | None]
    mix: tuple[float, ...] = ()
    space: str = ""
    color: str | None = None
    expected_psnr: tuple[tuple[float, ...], ...] = ()

    @property
    def is_mixed(self) -> bool:
        """Whether any frame is a mixture."""
        return self.last >= self.first

    @property
    def is_separated(self) -> bool:
        """Whether its frames were separated. Those of an unknown kind are written unchanged."""
        kind = TRANSITION_KINDS.get(self.kind)
        return self.is_mixed and (kind is None or kind.separable)

    @property
    def label(self) -> str:
        """What people call it, as in ``dissolve 5 to 10``."""
        if self.is_mixed:
            return f"{self.kind} {self.first} to {self.last}"
        return f"cut at {self.first}"


@dataclass(frozen=True)
class RunFacts:
    """A run as its manifest describes it.

    first, last: the first and the last frame (or picture, from 0) that a layer covers.
    size: height and width in pixels.
    rate: frames a second.
    timecode: that of frame 0, or nothing where the input has none.
    files: the report's own files, relative to the run's folder.
    """

    task: str
    inputs: tuple[Mapping[str, Any], ...]
    layers: tuple[LayerFact, ...]
    transitions: tuple[TransitionFact, ...]
    settings: Mapping[str, Any]
    report: Mapping[str, Any]
    warnings: tuple[str, ...]
    sheets: tuple[str, ...]
    first: int
    last: int
    size: tuple[int, int]
    rate: float
    files: tuple[str, ...] = field(default=())
    timecode: str = ""

    @property
    def count(self) -> int:
        """How many frames layers cover."""
        return self.last - self.first + 1

    @property
    def is_of_pictures(self) -> bool:
        """Whether all layers are pictures."""
        return all(layer.is_picture for layer in self.layers)

    @property
    def installed_task(self) -> Task | None:
        """The run's task; ``None`` where a plug-in's task was uninstalled since."""
        return find_task(self.task) if self.task in names() else None

    @property
    def exact_rate(self) -> Fraction:
        """Frames a second as a fraction of small numbers."""
        return Fraction(self.rate).limit_denominator(MAX_RATE_DENOMINATOR)

    @property
    def is_playable(self) -> bool:
        """Whether browsers play the codec of the run's layers. They play H.264 with even sides."""
        plays = self.settings.get("codec") in (None, "h264")
        return plays and self.size[0] % 2 == 0 and self.size[1] % 2 == 0

    @property
    def input_paths(self) -> list[Path]:
        """Where the inputs were when the run was made."""
        return [Path(str(item.get("path", ""))) for item in self.inputs]


@dataclass(frozen=True)
class ReportedRun:
    """A run whose report is made.

    layers: the folder where its layers lie. report: the folder where the report's files go.
    """

    facts: RunFacts
    layers: Path
    report: Path


def read_facts(manifest: Mapping[str, Any]) -> RunFacts:
    """Return what the manifest says.

    Raises UnlayerError where it is damaged or not one of ours.
    """
    try:
        if manifest["schema"] != SCHEMA or not isinstance(manifest["task"], str):
            raise ValueError("it is of another kind or version")
        inputs = tuple(dict(item) for item in _list(manifest["input"]))
        if not inputs:
            raise ValueError("it names no input")
        layers = _layers(_list(manifest["layers"]))
        if not layers:
            raise ValueError("it names no layer")
        return RunFacts(
            task=manifest["task"],
            inputs=inputs,
            layers=layers,
            transitions=tuple(
                _transition(dict(item)) for item in _list(manifest.get("transitions") or [])
            ),
            settings=dict(manifest.get("settings") or {}),
            report=dict(manifest.get("report") or {}),
            warnings=tuple(str(item) for item in _list(manifest.get("warnings") or [])),
            sheets=tuple(name for name in _names(manifest, "sheets") if flat_name(name)),
            first=min(layer.first for layer in layers),
            last=max(layer.last for layer in layers),
            size=(_whole(inputs[0]["height"], 1), _whole(inputs[0]["width"], 1)),
            rate=_rate(str(inputs[0]["rate"])),
            files=tuple(_names(manifest, "report_files")),
            timecode=str(inputs[0].get("timecode") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        problem = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UnlayerError(
            f"its manifest.json cannot be read as a run's ({problem}); do the run again"
        ) from error


def number_of(report: Mapping[str, Any], name: str) -> float | None:
    """Return a figure of a run; ``None`` where there is none."""
    value = report.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else None


def _names(manifest: Mapping[str, Any], key: str) -> list[str]:
    """Return the strings of a list that may be missing."""
    return [name for name in _list(manifest.get(key) or []) if isinstance(name, str)]


def _layers(entries: Sequence[Any]) -> tuple[LayerFact, ...]:
    layers: list[LayerFact] = []
    for number, entry in enumerate(entries, 1):
        name, role, path = str(entry["name"]), str(entry["role"]), entry["path"]
        if not isinstance(path, str) or not flat_name(path):
            raise ValueError(f"the file of layer {number} does not lie in the folder")
        first, last = _whole(entry["first_frame"]), _whole(entry["last_frame"])
        if last < first:
            raise ValueError(f"layer {number} has no frame")
        slug = name
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", name):
            slug = f"layer-{number:03d}"
        if slug in {layer.slug for layer in layers}:
            slug = f"{slug[:50]}-n{number}"
        is_data = entry.get("data") is True
        layers.append(
            LayerFact(
                name=name, role=role, path=path, first=first, last=last, slug=slug, data=is_data
            )
        )
    return tuple(layers)


def _transition(entry: Mapping[str, Any]) -> TransitionFact:
    first, last = _whole(entry["first_frame"]), _whole(entry["last_frame"], -1)
    mix = tuple(float(weight) for weight in _list(entry.get("mix") or []))
    is_finite = all(math.isfinite(weight) for weight in mix)
    if not is_finite or last < first - 1 or len(mix) != last - first + 1:
        raise ValueError(f"the transition at frame {first} has {len(mix)} weights")
    outgoing, incoming, color = (
        None if entry.get(key) is None else str(entry[key]) for key in ("from", "to", "color")
    )
    return TransitionFact(
        first=first,
        last=last,
        kind=str(entry["kind"]),
        sides=(outgoing, incoming),
        mix=mix,
        space=str(entry.get("space") or ""),
        color=color,
        expected_psnr=_expected_psnr(entry.get("confidence"), len(mix)),
    )


def _expected_psnr(entry: Any, count: int) -> tuple[tuple[float, ...], ...]:
    """Return the expected PSNR of both sides in ``count`` frames; nothing where none is given."""
    if entry is None:
        return ()
    if not isinstance(entry, dict):
        raise ValueError("an expected PSNR has no sides")
    sides = [tuple(float(value) for value in _list(entry.get(side))) for side in ("from", "to")]
    if any(len(side) != count or not all(map(math.isfinite, side)) for side in sides):
        raise ValueError(f"an expected PSNR has other than {count} frames")
    return tuple(sides)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise ValueError("a list is missing or too long")
    return value


def _whole(value: Any, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= MAX_NUMBER:
        raise ValueError(f"{value!r} is no frame or size")
    return value


def _rate(word: str) -> float:
    numerator, _, denominator = word.partition("/")
    rate = float(numerator) / float(denominator or 1)
    if not 0 < rate < MAX_RATE:
        raise ValueError(f"{word!r} is no frame rate")
    return rate
