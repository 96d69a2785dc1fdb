"""Run a separation from Python: ``from pipeline import separate``.

It is the same run as that of the command line, on files or on arrays. Arrays are video as NumPy
users have it, ``(T, H, W, C)`` in RGB; tensors are ``(T, C, H, W)`` as everywhere in this project.
Integers are levels of 8 or 16 bits; floating-point values lie in [0, 1].
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import (
    Name,
    Source,
    hint_words,
    input_files,
    mark_path,
    plain_value,
    usable_path,
)
from pipeline.config import parsed_settings
from pipeline.notebook_html import result_html
from pipeline.option_names import python_names
from pipeline.run.chain import perform
from pipeline.runtime.progress import Reporter, SilentReporter, reporter
from pipeline.runtime.run_record import MANIFEST, read_json
from pipeline.setting_types import SeparateSettings
from pipeline.settings import HINTS, Settings
from pipeline.tasks import names
from stages.errors import UnlayerError, UsageError
from stages.media.read import open_clip

Progress = Callable[[str, float, str], None]
"""A function of the stage, the fraction of it that is done (0 to 1), and a short note."""

NOT_HERE = ("config", "dry_run", "debug", "json", "no_progress", "out", "quiet", "task")
"""Settings of the command line that have no meaning here, or that are parameters of their own."""

NEEDS_OUT = ("resume", "anew", "overwrite")
"""Settings about a folder that is already there."""


@dataclass(frozen=True)
class LayerResult:
    """One layer.

    name, role: as in the manifest. path: its file. first_frame, last_frame: the frames of the input
    that it covers, inclusive.
    """

    name: str
    role: str
    path: Path
    first_frame: int
    last_frame: int

    @cached_property
    def frames(self) -> NDArray[Any]:
        """All frames, ``(T, H, W, 3)``, read when first asked for.

        They are uint8, or uint16 where the file is deeper than 8 bits. A foreground's alpha is the
        layer ``matte``. Raises UnlayerError where the file is gone.
        """
        return np.concatenate(list(self.blocks()))

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Yield the frames a few at a time, for layers that do not fit into memory."""
        clip = open_clip([self.path], interlaced="keep")
        kind = np.uint16 if clip.info.bit_depth > 8 else np.uint8
        for block in clip.blocks():
            levels = (block.pixels.permute(0, 2, 3, 1) * np.iinfo(kind).max).round()
            yield levels.numpy().astype(kind)


@dataclass(frozen=True, repr=False)
class Separated:
    """What a run made.

    layers: by name, in the order of their first frames. manifest: the contents of
    ``manifest.json``. folder: the run's folder. Without ``out`` the folder is temporary: it is
    removed with this object, by :meth:`close`, or at the end of a ``with`` block.
    """

    layers: Mapping[str, LayerResult]
    manifest: Mapping[str, Any]
    folder: Path
    _cleanup: list[Callable[[], object]] = field(default_factory=list, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"Separated({self.manifest.get('task')!r}, layers: {', '.join(self.layers)})"

    def _repr_html_(self) -> str:
        """Return what notebooks show: the layers with a picture of each, and the warnings."""
        folder = None if self._cleanup else self.folder
        return result_html(self.layers.values(), self.manifest, folder)

    def close(self) -> None:
        """Remove the folder if it is temporary. Frames that were read stay."""
        for clean in self._cleanup:
            clean()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def separate(
    source: Source,
    task: str,
    *,
    out: Name | None = None,
    fps: float | Fraction | None = None,
    progress: Progress | bool | None = None,
    **settings: Unpack[SeparateSettings],
) -> Separated:
    """Take a clip apart, as ``python -m pipeline run`` does.

    source: a file, or a folder of numbered pictures; or one clip as an array ``(T, H, W, 3)`` or a
        tensor ``(T, 3, H, W)``; or one picture, without ``T`` or of Pillow; or a list of paths or
        of pictures that belong together, such as several pictures under one watermark. Integers are
        uint8 or uint16; floating-point values lie in [0, 1].
    task: one of ``pipeline.tasks.names()``, or several with commas between them, or ``auto`` for
        those whose things are found.
    out: the folder for the layers. Without it the folder is temporary and the layers are lossless
        unless ``lossless=False`` or a ``codec`` is given.
    fps: frames per second of an array, 25 by default.
    progress: called with the stage, the fraction done and a note. ``True`` shows a bar, on a
        terminal or in a notebook.
    settings: those of :class:`SeparateSettings` (``preset="fast"``, ``max_seconds=60``,
        ``transition=[(48, 71)]``), as values or as on the command line.
        ``hint`` and ``hint_background`` may also be an array, ``(H, W)`` or ``(H, W, C)``, or a
        tensor, ``(H, W)`` or ``(C, H, W)``, or a picture of Pillow: white (the largest value, or
        true) on black; or a list of hints; or a mapping from frame numbers to hints, as ``{0:
        "a.png", 48: array}``. ``mark`` may also be an array or tensor, with alpha as fourth channel
        or without, or a picture of Pillow.

    Returns the layers and the manifest; warnings are in ``manifest["warnings"]``. Raises UsageError
    for wrong arguments and UnlayerError where the input or the machine fails, each with a message
    of one line. KeyboardInterrupt passes through; with ``out``, ``resume=True`` later goes on.
    """
    if not isinstance(task, str):
        raise UsageError(f"separate(): task is {task!r}; give one of {', '.join(names())}")
    if progress is not None and not callable(progress) and not isinstance(progress, bool):
        raise UsageError(
            f"separate(): progress is {progress!r}; give True, or a function of stage, fraction "
            "and note"
        )
    if out is not None:
        out = usable_path(out, "out")
    with python_names(), tempfile.TemporaryDirectory(prefix="unlayer-") as name:
        temporary = Path(name)
        values: dict[str, Any] = dict(settings)
        for option in HINTS:
            if values.get(option) is not None:
                values[option] = hint_words(values[option], option, temporary)
        if values.get("mark") is not None:
            values["mark"] = mark_path(values["mark"], temporary)
        values = {name: plain_value(value) for name, value in values.items()}
        parsed = parsed_settings(values, "separate()", without=NOT_HERE)
        inputs = input_files(source, temporary, fps)
        parsed |= {"inputs": inputs, "task": task, "temporary": temporary}
        if out is not None:
            return _result(*perform(Settings(**parsed, out=out), lambda: _reporter(progress)))
        return _separated_in_temporary_folder(parsed, lambda: _reporter(progress))


def _separated_in_temporary_folder(
    parsed: Mapping[str, Any], new_reporter: Callable[[], Reporter]
) -> Separated:
    """Run with a folder that is removed together with the result.

    parsed: the settings' values by name, without those at their defaults.
    """
    requested = Settings(**parsed)
    for option in NEEDS_OUT:
        if getattr(requested, option):
            raise UsageError(
                f"separate(): {option} has no meaning without out, as a temporary folder is empty; "
                "give out too"
            )
    folder = Path(tempfile.mkdtemp(prefix="unlayer-"))
    try:
        implied = {} if parsed.get("codec") else {"lossless": True}
        settings = Settings(**{**implied, **parsed, "out": folder})
        separated = _result(*perform(settings, new_reporter))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    separated._cleanup.append(
        weakref.finalize(separated, shutil.rmtree, folder, ignore_errors=True)
    )
    return separated


def _result(folder: Path, manifest: Mapping[str, Any] | None) -> Separated:
    """Return the result of the run in ``folder``; without ``manifest`` it is read from there."""
    contents = manifest if manifest is not None else read_json(folder / MANIFEST)
    if contents is None:
        raise UnlayerError(
            f"{folder}: its {MANIFEST} cannot be read; do the run again with overwrite=True"
        )
    entries: Any = contents["layers"]
    layers = {
        item["name"]: LayerResult(
            item["name"],
            item["role"],
            folder / item["path"],
            item["first_frame"],
            item["last_frame"],
        )
        for item in entries
    }
    return Separated(layers, contents, folder)


def _reporter(progress: Progress | bool | None) -> Reporter:
    """Return what shows the progress: a bar, a function, or nothing."""
    if progress is True:
        return reporter(json_lines=False, quiet=False)
    return _Callback(None if isinstance(progress, bool) else progress)


class _Callback(SilentReporter):
    """A reporter that passes the progress to a function and prints nothing."""

    def __init__(self, call: Progress | None) -> None:
        self.call = call

    def step(self, stage: str, fraction: float, note: str) -> None:
        if self.call is not None:
            self.call(stage, fraction, note)

    def end(self, stage: str, seconds: float) -> None:
        self.step(stage, 1.0, "done")

    def warn(self, text: str) -> None:
        pass
