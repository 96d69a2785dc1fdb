"""Read an earlier run that another one goes on from (``--refine``): its manifest, hints and matte.

The folder may come from anywhere, so nothing in its manifest is trusted.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.hint_arguments import HintArgument, parse_hint
from pipeline.runtime.run_record import HINT, MANIFEST, flat_name, identity_of, read_json
from pipeline.settings import HINTS, Settings
from stages.errors import UnlayerError, UsageError
from stages.media.clip import ClipInfo
from stages.media.read import Clip, open_clip
from stages.media.sniff import printable, sha256
from stages.storage import safe_files

MATTE = "matte"
"""The role of the layers that are read."""


@dataclass(frozen=True)
class _MatteFile:
    """One matte of the earlier run.

    path: its file, or its folder of numbered pictures. first, last: the frames that it covers.
    """

    path: Path
    first: int
    last: int

    @cached_property
    def clip(self) -> Clip:
        """The open file. Raises UnlayerError where it cannot be read."""
        return open_clip([self.path], interlaced="keep")


@dataclass(frozen=True)
class EarlierRun:
    """A finished run.

    folder: where it is, as the user gave it. manifest: the contents of its ``manifest.json``.
    """

    folder: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path, task: str) -> EarlierRun:
        """Return the finished run of ``task`` in ``folder``.

        Raises UsageError where there is none, or where its manifest is damaged.
        """
        manifest = read_json(folder / MANIFEST)
        if manifest is None or identity_of(manifest) is None:
            raise UsageError(
                f"{_named(folder)}: holds no finished run; give the folder of a run of {task}"
            )
        if manifest.get("task") != task:
            other = manifest.get("task")
            raise UsageError(
                f"{_named(folder)}: is a run of {other}, not of {task}; give one of {task}"
            )
        if fault := _fault_of(manifest):
            raise UsageError(f"{_named(folder)}: its {MANIFEST} is damaged ({fault})")
        return cls(folder, manifest)

    def check_input(self, sums: Sequence[str]) -> None:
        """Raise UsageError where the earlier run had another input.

        sums: the checksums of this run's inputs.
        """
        inputs = self.manifest["input"]
        if [each.get("sha256") for each in inputs] != list(sums):
            names = ", ".join(str(each.get("path")) for each in inputs[:1])
            raise UsageError(
                f"{_named(self.folder)}: is a run of another input ({names}); "
                "give the folder of a run of this one"
            )

    @cached_property
    def mattes(self) -> tuple[_MatteFile, ...]:
        """The files of the matte; of a divided foreground, one for each thing.

        Raises UsageError where one is missing.
        """
        files = []
        for layer in self.manifest.get("layers", []):
            if not isinstance(layer, dict) or layer.get("role") != MATTE:
                continue
            name = str(layer.get("path"))
            path = self.folder / name
            is_there = flat_name(name) and (safe_files.is_file(path) or _is_plain_folder(path))
            if not is_there:
                raise UsageError(
                    f"{_named(self.folder)}: its layer {name} is missing; do that run again"
                )
            files.append(_MatteFile(path, layer["first_frame"], layer["last_frame"]))
        if not files:
            raise UsageError(f"{_named(self.folder)}: has no matte that could be corrected")
        return tuple(files)

    def checksum(self) -> str:
        """Return the SHA-256 of the matte's files."""
        files: list[Path] = []
        for matte in self.mattes:
            is_folder = safe_files.is_folder(matte.path)
            files += sorted(safe_files.files_in(matte.path)) if is_folder else [matte.path]
        return hashlib.sha256("\n".join(map(sha256, files)).encode()).hexdigest()

    def check_frames(self, first: int, count: int, info: ClipInfo) -> None:
        """Raise UsageError where the matte has another size, or does not cover all frames.

        first, count: the frames that this run reads. info: of its input.
        """
        last = first + count - 1
        for each in self.mattes:
            if (each.first, each.last) != (first, last):
                raise UsageError(
                    f"{_named(self.folder)}: covers the frames {each.first} to {each.last}, and "
                    f"this run {first} to {last}; give the same --start and --end"
                )
            size = each.clip.info.width, each.clip.info.height
            if size != (info.width, info.height):
                raise UsageError(
                    f"{_named(self.folder)}: its matte is {size[0]}x{size[1]}, and the input is "
                    f"{info.width}x{info.height}; give a run of this input at this size"
                )

    def matte(self, indices: Sequence[int]) -> Tensor:
        """Return the matte of some frames, ``(T, 1, H, W)`` in [0, 1].

        indices: numbers of frames in rising order.
        Raises UnlayerError where a file has fewer frames than its manifest says.
        """
        info = self.mattes[0].clip.info
        matte = torch.zeros(len(indices), 1, info.height, info.width)
        places = {frame: place for place, frame in enumerate(indices)}
        for each in self.mattes:
            first, last = max(each.first, indices[0]), min(each.last, indices[-1])
            if first > last:
                continue
            missing = {index for index in indices if first <= index <= last}
            for block in each.clip.blocks(first - each.first, last - each.first):
                for index, pixels in enumerate(block.pixels, block.first + each.first):
                    if (place := places.get(index)) is not None:
                        matte[place] += pixels.mean(0, keepdim=True)
                        missing.discard(index)
            if missing:
                raise UnlayerError(
                    f"{_named(self.folder)}: its {printable(each.path)} ends before frame "
                    f"{min(missing)}; do that run again"
                )
        return matte.clamp(0, 1)

    def hints(self, option: str) -> list[tuple[HintArgument, bool]]:
        """Return the earlier run's hints, and whether each is still as it was.

        A hint's file may be gone or redrawn. option: ``hint`` or ``hint_background``.
        """
        sums = self._sums_of_hints()
        return [
            (hint, hint.file is None or _is_same(hint.file, sums.get(hint.file)))
            for hint in self._arguments(option)
        ]

    def unchanged_hints(self, option: str) -> list[HintArgument]:
        """Return the earlier run's hints that are still as they were; see :meth:`hints`."""
        return [hint for hint, is_same in self.hints(option) if is_same]

    def _arguments(self, option: str) -> list[HintArgument]:
        """Return the hints as they were given. Raises UsageError where one makes no sense."""
        words = self.manifest["settings"].get(option) or []
        try:
            return [parse_hint(word) for word in ([words] if isinstance(words, str) else words)]
        except (argparse.ArgumentTypeError, TypeError) as error:
            raise UsageError(
                f"{_named(self.folder)}: its {MANIFEST} is damaged ({error})"
            ) from error

    def _sums_of_hints(self) -> dict[Path, str]:
        """Return the checksums that the hints' files had."""
        hints = [hint for option in HINTS for hint in self._arguments(option)]
        files = dict.fromkeys(hint.file for hint in hints if hint.file is not None)
        sums = self.manifest.get(HINT) or []
        return dict(zip(files, [sums] if isinstance(sums, str) else sums, strict=False))


def with_earlier_hints(settings: Settings) -> tuple[Settings, list[str]]:
    """Return the settings with the hints of the run that they refine, before the new ones.

    Also returns a warning for each earlier hint that cannot be kept.
    Raises UsageError where there is no such run, and where no hint is new.
    """
    if settings.refine is None:
        return settings, []
    if not settings.hint and not settings.hint_background:
        raise UsageError(
            "--refine has nothing to correct; give --hint or --hint-background, or leave it out"
        )
    earlier = EarlierRun.open(settings.refine, settings.task)
    changes: dict[str, Any] = {}
    warnings = []
    any_new = False
    for option in HINTS:
        kept = []
        for hint, is_same in earlier.hints(option):
            if is_same:
                kept.append(hint)
            elif hint not in getattr(settings, option):
                warnings.append(
                    f"{_named(settings.refine)}: its hint {hint} is gone or was changed, so it is "
                    "not kept; the earlier matte still follows it"
                )
        changes[option] = tuple(dict.fromkeys([*kept, *getattr(settings, option)]))
        any_new = any_new or len(changes[option]) > len(kept)
    if not any_new:
        raise UsageError(
            f"{_named(settings.refine)}: had all of these hints already; give a new one"
        )
    return replace(settings, **changes), warnings


def _fault_of(manifest: Mapping[str, Any]) -> str | None:
    """Return what is wrong in the parts of a manifest that are read here, or None."""
    if not isinstance(manifest.get("settings"), dict):
        return "it has no settings"
    layers = manifest.get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        return "its layers are no list of entries"
    for layer in layers:
        if layer.get("role") != MATTE:
            continue
        first, last = layer.get("first_frame"), layer.get("last_frame")
        if type(first) is not int or type(last) is not int or not 0 <= first <= last:
            return "a matte does not say which frames it covers"
    return None


def _named(folder: Path) -> str:
    return f"--refine {printable(folder)}"


def _is_plain_folder(path: Path) -> bool:
    """Return whether a path is a folder of regular files alone; links are none."""
    return safe_files.is_folder(path) and all(map(safe_files.is_file, path.iterdir()))


def _is_same(file: Path, checksum: str | None) -> bool:
    """Return whether a hint's file still has the bytes that it had."""
    try:
        return file.is_file() and sha256(file) == checksum
    except (OSError, UnlayerError):
        return False
