"""``from pipeline import separate``: a run from Python, the same code as the command line's, on files or on arrays.

Arrays are video as NumPy users have it, ``(T, H, W, C)``, RGB; tensors are as everywhere in this project, ``(T, C, H, W)``. Integers are
levels (8 or 16 bits), floating-point numbers lie in [0, 1].
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.config import checked
from pipeline.run.execute import perform
from pipeline.runtime.progress import Silent
from pipeline.runtime.run_record import MANIFEST, read_json
from pipeline.runtime.scratch import save_frames
from pipeline.settings import Settings, plain
from pipeline.tasks import names
from stages.errors import UnlayerError, UsageError
from stages.media.read import open_clip

Pixels = NDArray[Any] | torch.Tensor
Name = str | os.PathLike[str]
Source = Name | Pixels | Sequence[Name] | Sequence[Pixels]
Progress = Callable[[str, float, str], None]
"""Called with the stage, the fraction of it that is done, 0 to 1, and a few words."""

RATE = Fraction(25)
NOT_HERE = ("config", "dry_run", "debug", "json", "no_progress", "out", "task")
"""Settings of the command line that have no meaning here, or a parameter of their own."""

NEEDS_OUT = ("resume", "anew", "overwrite")
"""Settings that say what to do with the folder that is there."""


@dataclass(frozen=True)
class LayerResult:
    """One layer. ``first_frame`` to ``last_frame`` (inclusive) of the input are what it covers; :attr:`frames` are read when asked for."""

    name: str
    role: str
    path: Path
    first_frame: int
    last_frame: int

    @cached_property
    def frames(self) -> NDArray[Any]:
        """All frames as ``(T, H, W, 3)``: uint8, or uint16 where the file is deeper than 8 bits. A foreground's alpha is the layer
        ``matte``. Raises UnlayerError where the file has gone."""
        return np.concatenate(list(self.blocks()))

    def blocks(self) -> Iterator[NDArray[Any]]:
        """The same a few frames at a time, for layers that memory does not hold."""
        clip = open_clip([self.path], interlaced="keep")
        kind = np.uint16 if clip.info.bit_depth > 8 else np.uint8
        for block in clip.blocks():
            yield (
                (block.pixels.permute(0, 2, 3, 1) * np.iinfo(kind).max).round().numpy().astype(kind)
            )


@dataclass(frozen=True)
class Separated:
    """What a run made: its layers by name, in the order of their first frames, its manifest and its folder.

    Without ``out`` the folder is a temporary one: it goes with this object, or with :meth:`close`, or at the end of a ``with`` block.
    """

    layers: Mapping[str, LayerResult]
    manifest: Mapping[str, Any]
    folder: Path
    _cleanup: list[Callable[[], object]] = field(default_factory=list, repr=False, compare=False)

    def close(self) -> None:
        """Removes the folder where it is a temporary one. Frames that were read stay."""
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
    progress: Progress | None = None,
    **settings: Any,
) -> Separated:
    """Takes a clip apart, as ``python -m pipeline run`` does.

    source: a file, or a folder of numbered pictures; or one clip as an array ``(T, H, W, 3)`` or a tensor ``(T, 3, H, W)``; or one picture,
    without ``T``; or a list of paths or of pictures that belong together (several under one watermark). Integers are uint8 or uint16,
    floating-point values lie in [0, 1]. task: one of ``pipeline.tasks.names()``. out: the folder for the layers; without it a
    temporary one, in which layers are lossless if nothing else is said. fps: frames per second of an array, 25 unless told.
    progress: called with stage, fraction and a note. settings: as in :class:`pipeline.settings.Settings`, by their names
    (``preset="fast"``, ``max_seconds=60``, ``transition=[(48, 71)]``), values as they are or as words; ``hint`` may be an array too,
    ``(H, W)`` or ``(H, W, C)``, or a tensor ``(H, W)`` or ``(C, H, W)``, white (the largest value, or true) on black.

    Warnings stand in ``manifest["warnings"]``. Raises UsageError for wrong arguments and UnlayerError for what the input or the machine
    lacks, each with one line; KeyboardInterrupt passes, and with ``out`` a later ``resume=True`` goes on.
    """
    if not isinstance(task, str):
        raise UsageError(f"separate(): task is {task!r}; give one of {', '.join(names())}")
    if progress is not None and not callable(progress):
        raise UsageError(
            f"separate(): progress is {progress!r}; give a function of stage, fraction and note"
        )
    if out is not None:
        out = _path(out, "out")
    with tempfile.TemporaryDirectory(prefix="unlayer-") as name:
        room = Path(name)
        if isinstance(hint := settings.get("hint"), np.ndarray | torch.Tensor):
            settings["hint"] = _mark(hint, room)
        elif isinstance(hint, str | os.PathLike) and hint:
            settings["hint"] = _path(hint, "hint")
        given = checked(
            {name: _plain(value) for name, value in settings.items()},
            "separate()",
            without=NOT_HERE,
        )
        words = {**given, "inputs": _inputs(source, room, fps), "task": task, "passing": room}
        if out is not None:
            return _result(*perform(Settings(**words, out=out), _Told(progress)))
        asked = Settings(**words)
        for option in NEEDS_OUT:
            if getattr(asked, option):
                raise UsageError(
                    f"separate(): {option} has no meaning without out, as a temporary folder is empty; give out too"
                )
        folder = Path(tempfile.mkdtemp(prefix="unlayer-"))
        try:
            made = _result(
                *perform(Settings(**{"lossless": True, **words, "out": folder}), _Told(progress))
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    made._cleanup.append(weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True))
    return made


def _plain(value: Any) -> Any:
    """A setting's value as JSON has it; NumPy's numbers are numbers."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else plain(value)


def _path(given: Any, what: str) -> Path:
    """A path that was given as ``what``, to something that is there or might be. Raises UsageError."""
    name = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(name, str) or not name:
        raise UsageError(f"separate(): {what} is {given!r}; give a path")
    try:
        os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        pass
    # What no path can hold is a ValueError: a null character, half of a surrogate pair.
    except (OSError, ValueError) as error:
        why = (
            error.strerror if isinstance(error, OSError) else "no path can hold all its characters"
        )
        raise UsageError(
            f"separate(): {what} is {name!r}, which cannot be used ({why}); give another path"
        ) from error
    return Path(name)


def _result(folder: Path, manifest: Mapping[str, Any] | None) -> Separated:
    whole = manifest if manifest is not None else read_json(folder / MANIFEST)
    if whole is None:
        raise UnlayerError(
            f"{folder}: its {MANIFEST} cannot be read; do the run again with overwrite=True"
        )
    layers: Any = whole["layers"]
    made = [
        LayerResult(
            item["name"],
            item["role"],
            folder / item["path"],
            item["first_frame"],
            item["last_frame"],
        )
        for item in layers
    ]
    return Separated({layer.name: layer for layer in made}, whole, folder)


class _Told(Silent):
    """Tells a function; prints nothing, not even warnings: they stand in the manifest."""

    def __init__(self, tell: Progress | None) -> None:
        self.tell = tell

    def step(self, stage: str, fraction: float, note: str) -> None:
        if self.tell is not None:
            self.tell(stage, fraction, note)

    def end(self, stage: str, seconds: float) -> None:
        self.step(stage, 1.0, "done")

    def warn(self, text: str) -> None:
        pass


def _inputs(source: Source, room: Path, fps: float | Fraction | None) -> tuple[Path, ...]:
    """The source as files; arrays are put into ``room``, losslessly."""
    several = isinstance(source, Sequence) and not isinstance(source, str | bytes)
    parts: Sequence[Any] = source if several else [source]  # type: ignore[assignment]
    if not parts:
        raise UsageError("separate(): source is empty; give a path or an array")
    files = [isinstance(part, str | os.PathLike) for part in parts]
    if all(files):
        if fps is not None:
            raise UsageError("separate(): fps is for arrays; a file has its own")
        return tuple(_path(part, "source") for part in parts)
    if any(files):
        raise UsageError("separate(): source mixes paths and arrays; give the one or the other")
    if fps is not None and (several or len(getattr(source, "shape", ())) == 3):
        raise UsageError("separate(): fps is for a clip; pictures have no time")
    if several:
        pictures = [_pixels(part, picture=True) for part in parts]
        return tuple(
            save_frames(room / f"array-{number:03d}", *picture, RATE, picture=True)
            for number, picture in enumerate(pictures, 1)
        )
    try:
        rate = RATE if fps is None else Fraction(_plain(fps)).limit_denominator(100_000)
    except (TypeError, ValueError, OverflowError):
        rate = Fraction(0)
    if not 0 < rate <= 100_000:
        raise UsageError(f"separate(): fps {fps!r} is not a number of frames per second above 0")
    pixels, bits = _pixels(source)
    return (save_frames(room / "array", pixels, bits, rate, picture=len(source.shape) == 3),)  # type: ignore[union-attr]


def _mark(hint: Any, room: Path) -> Path:
    """A hint that was given as an array, as a picture in ``room``. Raises UsageError."""
    if isinstance(hint, torch.Tensor):
        _check_plain(hint, "hint")
        hint = hint.float() if hint.dtype == torch.bool else hint
        hint = hint[None] if hint.ndim == 2 else hint
        hint = hint.repeat(3, 1, 1) if hint.ndim == 3 and len(hint) == 1 else hint
    else:
        hint = hint.astype(np.float32) if hint.dtype == np.bool_ else hint
        hint = hint[..., None] if hint.ndim == 2 else hint
        hint = hint.repeat(3, -1) if hint.ndim == 3 and hint.shape[-1] == 1 else hint
    pixels, bits = _pixels(hint, picture=True, what="hint")
    return save_frames(room / "array-hint", pixels, bits, RATE, picture=True)


def _check_plain(tensor: torch.Tensor, what: str) -> None:
    """Raises UsageError for a tensor without a value for every place."""
    if tensor.is_meta or tensor.is_nested or tensor.is_quantized or tensor.layout != torch.strided:
        kind = (
            "meta"
            if tensor.is_meta
            else "nested"
            if tensor.is_nested
            else "quantized"
            if tensor.is_quantized
            else "sparse"
        )
        raise UsageError(
            f"separate(): {what} is a {kind} tensor; give a dense one that holds its values"
        )


def _pixels(
    source: Any, *, picture: bool = False, what: str = "source"
) -> tuple[torch.Tensor, int]:
    """``(T, 3, H, W)`` in [0, 1], and the depth in bits that holds it. Raises UsageError."""
    if not isinstance(source, np.ndarray | torch.Tensor):
        kind = type(source).__name__
        raise UsageError(
            f"separate(): {what} is of type {kind}; give a path, an array (T, H, W, 3) or a tensor (T, 3, H, W)"
        )
    if turned := isinstance(source, torch.Tensor):
        _check_plain(source, what)
    shape = tuple(source.shape)
    wanted = f"({'' if picture else 'T, '}{'3, H, W' if turned else 'H, W, 3'}){' or (H, W)' if what == 'hint' else ''}"
    if (
        len(shape) not in ((3,) if picture else (3, 4))
        or shape[-3 if turned else -1] != 3
        or 0 in shape
    ):
        raise UsageError(f"separate(): {what} has the shape {shape}; it must be {wanted}")
    values: NDArray[Any] = source  # type: ignore[assignment]
    if isinstance(source, torch.Tensor):
        # NumPy does not know all of PyTorch's floating-point numbers.
        values = (source.float() if source.is_floating_point() else source).detach().cpu().numpy()
    if values.dtype not in (np.uint8, np.uint16) and values.dtype.kind != "f":
        raise UsageError(
            f"separate(): {what} is of {values.dtype}; use uint8, uint16, or floating-point values in [0, 1]"
        )
    top = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    fine = torch.from_numpy(np.ascontiguousarray(values, np.float32)) / top
    if not bool(((fine >= 0) & (fine <= 1)).all()):
        raise UsageError(
            f"separate(): {what} has values outside [0, 1]; integers must be uint8 or uint16"
        )
    fine = fine if turned else fine.movedim(-1, -3)
    return fine.reshape(-1, *fine.shape[-3:]), 8 if values.dtype == np.uint8 else 16
