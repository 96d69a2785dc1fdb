"""Turn what a Python caller gives :func:`pipeline.separate` into files that a run can read.

Arrays are video as NumPy users have it, ``(T, H, W, C)``; tensors are ``(T, C, H, W)`` as in the
rest of this project. Integers are levels of 8 or 16 bits; floating-point values lie in [0, 1].
Pictures of Pillow are taken too. All functions raise UsageError for what they cannot take.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.pillow_pictures import PillowPicture, is_pillow, pillow_pixels
from pipeline.runtime.scratch import save_frames
from pipeline.values import plain
from stages.errors import UsageError

Pixels = NDArray[Any] | torch.Tensor | PillowPicture
Name = str | os.PathLike[str]
Source = Name | Pixels | Sequence[Name] | Sequence[Pixels]

DEFAULT_RATE = Fraction(25)
"""Frames per second of an array unless the caller says otherwise."""
MAX_RATE = 100_000
"""Largest number of frames per second, and largest denominator of the rate."""


def plain_value(value: Any) -> Any:
    """Return a setting's value as JSON has it; NumPy's numbers become Python's."""
    if isinstance(value, tuple | list):
        return [plain_value(item) for item in value]
    return value.item() if isinstance(value, np.generic) else plain(value)


def usable_path(given: Any, what: str) -> Path:
    """Return a path that the caller gave as ``what``, whether or not anything is there."""
    name = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(name, str) or not name:
        raise UsageError(f"separate(): {what} is {given!r}; give a path")
    try:
        os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        # A null character or half of a surrogate pair is a ValueError.
        no_text = "no path can hold all its characters"
        reason = error.strerror if isinstance(error, OSError) else no_text
        raise UsageError(
            f"separate(): {what} is {name!r}, which cannot be used ({reason}); give another path"
        ) from error
    return Path(name)


def input_files(source: Source, folder: Path, fps: float | Fraction | None) -> tuple[Path, ...]:
    """Return the source as files; arrays are written into ``folder`` without loss.

    fps: frames per second of an array that is a clip.
    """
    several = isinstance(source, Sequence) and not isinstance(source, str | bytes)
    parts: Sequence[Any] = source if several else [source]  # type: ignore[assignment]
    parts = [pillow_pixels(part, "source") if is_pillow(part) else part for part in parts]
    if not parts:
        raise UsageError("separate(): source is empty; give a path or an array")
    are_paths = [isinstance(part, str | os.PathLike) for part in parts]
    if all(are_paths):
        if fps is not None:
            raise UsageError("separate(): fps is for arrays; a file has its own")
        return tuple(usable_path(part, "source") for part in parts)
    if any(are_paths):
        raise UsageError("separate(): source mixes paths and arrays; give only one kind")
    is_picture = several or len(getattr(parts[0], "shape", ())) == 3
    if fps is not None and is_picture:
        raise UsageError("separate(): fps is for a clip; pictures have no time")
    if several:
        pictures = [_pixels(part, picture=True) for part in parts]
        return tuple(
            save_frames(folder / f"array-{number:03d}", *picture, DEFAULT_RATE, picture=True)
            for number, picture in enumerate(pictures, 1)
        )
    rate = DEFAULT_RATE if fps is None else _rate(fps)
    pixels, bits = _pixels(parts[0])
    return (save_frames(folder / "array", pixels, bits, rate, picture=is_picture),)


def _rate(fps: float | Fraction) -> Fraction:
    """Return frames per second as an exact number."""
    try:
        rate = Fraction(plain_value(fps)).limit_denominator(MAX_RATE)
    except (TypeError, ValueError, OverflowError):
        rate = Fraction(0)
    if not 0 < rate <= MAX_RATE:
        raise UsageError(f"separate(): fps {fps!r} is not a number of frames per second above 0")
    return rate


def hint_words(hints: Any, what: str, folder: Path) -> list[Any]:
    """Return hints as the words of the command line; arrays become files in ``folder``.

    hints: a path, word, array, tensor or Pillow picture, a list of these, or a mapping from frames
    to these.
    what: the setting's name.
    """
    numbered_hints: list[tuple[Any, Any]] = [(None, hints)]
    if isinstance(hints, Mapping):
        numbered_hints = list(hints.items())
    elif isinstance(hints, list | tuple):
        numbered_hints = [(None, hint) for hint in hints]
    words = []
    for number, (frame, hint) in enumerate(numbered_hints, 1):
        hint = pillow_pixels(hint, what) if is_pillow(hint) else hint
        word = hint
        if isinstance(hint, np.ndarray | torch.Tensor):
            name = f"array-{what.replace('_', '-')}" + (f"-{number}" if number > 1 else "")
            word = hint_file(hint, folder / name)
        elif isinstance(hint, str | os.PathLike) and hint:
            word = usable_path(hint, what)
        frame = plain_value(frame)
        if frame is not None and type(frame) is not int:
            raise UsageError(f"separate(): {what} has the key {frame!r}; give a frame's number")
        words.append(word if frame is None else f"{frame}:{word}")
    return words


def hint_file(hint: Any, path: Path, what: str = "hint") -> Path:
    """Write a hint that was given as an array or tensor as a picture; return the picture's path.

    hint: ``(H, W)`` or ``(H, W, C)`` as an array, ``(H, W)`` or ``(C, H, W)`` as a tensor, of 1 or
        3 channels. Booleans are taken too.
    path: where to write it, without suffix. what: the hint's name in messages.
    """
    if isinstance(hint, torch.Tensor):
        _refuse_without_values(hint, what)
        hint = hint.float() if hint.dtype == torch.bool else hint
        hint = hint[None] if hint.ndim == 2 else hint
        hint = hint.repeat(3, 1, 1) if hint.ndim == 3 and len(hint) == 1 else hint
    elif isinstance(hint, np.ndarray):
        hint = hint.astype(np.float32) if hint.dtype == np.bool_ else hint
        hint = hint[..., None] if hint.ndim == 2 else hint
        hint = hint.repeat(3, -1) if hint.ndim == 3 and hint.shape[-1] == 1 else hint
    pixels, bits = _pixels(hint, picture=True, what=what)
    return save_frames(path, pixels, bits, DEFAULT_RATE, picture=True)


def mark_path(mark: Any, folder: Path) -> Path:
    """Return the picture of a mark as a file; an array is written into ``folder`` without loss.

    mark: a path; an array ``(H, W)`` or ``(H, W, C)``, or a tensor ``(H, W)`` or ``(C, H, W)``, of
    1, 3 or, with alpha, 4 channels; or a picture of Pillow.
    """
    if isinstance(mark, str | os.PathLike):
        return usable_path(mark, "mark")
    pixels = pillow_pixels(mark, "mark", alpha=True) if is_pillow(mark) else mark
    axis = 0 if isinstance(pixels, torch.Tensor) else -1
    if len(getattr(pixels, "shape", ())) != 3 or pixels.shape[axis] != 4:
        return hint_file(pixels, folder / "array-mark", "mark")
    color: Any
    alpha: Any
    if isinstance(pixels, torch.Tensor):
        color, alpha = pixels[:3], pixels[[3, 3, 3]]
    else:
        color, alpha = pixels[..., :3], pixels[..., [3, 3, 3]]
    shown, bits = _pixels(color, picture=True, what="mark")
    levels, _ = _pixels(alpha, picture=True, what="mark")
    path = folder / "array-mark"
    return save_frames(path, shown, bits, DEFAULT_RATE, picture=True, alpha=levels[:, :1])


def _refuse_without_values(tensor: torch.Tensor, what: str) -> None:
    """Raise UsageError for a tensor that does not hold a value for every element."""
    kinds = {
        "meta": tensor.is_meta,
        "nested": tensor.is_nested,
        "quantized": tensor.is_quantized,
        "sparse": tensor.layout != torch.strided,
    }
    for kind, applies in kinds.items():
        if applies:
            raise UsageError(
                f"separate(): {what} is a {kind} tensor; give a dense one that holds its values"
            )


def _pixels(
    source: Any, *, picture: bool = False, what: str = "source"
) -> tuple[torch.Tensor, int]:
    """Return pixels ``(T, 3, H, W)`` in [0, 1], and the bits that hold them, 8 or 16.

    picture: whether ``source`` must be one picture, without ``T``. what: its name in messages.
    """
    if not isinstance(source, np.ndarray | torch.Tensor):
        kind = type(source).__name__
        raise UsageError(
            f"separate(): {what} is of type {kind}; "
            "give a path, an array (T, H, W, 3), a tensor (T, 3, H, W) or a Pillow picture"
        )
    is_tensor = isinstance(source, torch.Tensor)
    if isinstance(source, torch.Tensor):
        _refuse_without_values(source, what)
    _check_shape(tuple(source.shape), is_tensor=is_tensor, picture=picture, what=what)
    values: NDArray[Any] = source  # type: ignore[assignment]
    if isinstance(source, torch.Tensor):
        # NumPy does not have all floating-point types of PyTorch.
        values = (source.float() if source.is_floating_point() else source).detach().cpu().numpy()
    if values.dtype not in (np.uint8, np.uint16) and values.dtype.kind != "f":
        raise UsageError(
            f"separate(): {what} is of {values.dtype}; "
            "use uint8, uint16, or floating-point values in [0, 1]"
        )
    top = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    scaled = torch.from_numpy(np.ascontiguousarray(values, np.float32)) / top
    if not bool(((scaled >= 0) & (scaled <= 1)).all()):
        raise UsageError(
            f"separate(): {what} has values outside [0, 1]; integers must be uint8 or uint16"
        )
    scaled = scaled if is_tensor else scaled.movedim(-1, -3)
    bits = 8 if values.dtype == np.uint8 else 16
    return scaled.reshape(-1, *scaled.shape[-3:]), bits


def _check_shape(shape: tuple[int, ...], *, is_tensor: bool, picture: bool, what: str) -> None:
    """Raise UsageError for a shape that is not of RGB pictures."""
    allowed = (3,) if picture else (3, 4)
    channels = -3 if is_tensor else -1
    if len(shape) in allowed and shape[channels] == 3 and 0 not in shape:
        return
    axes = "3, H, W" if is_tensor else "H, W, 3"
    wanted = f"({axes})" if picture else f"(T, {axes})"
    if what != "source":
        wanted += " or (H, W)"
    raise UsageError(f"separate(): {what} has the shape {shape}; it must be {wanted}")
