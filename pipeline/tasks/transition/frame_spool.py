"""The separated frames of one transition, waiting on disk until all layers are written: one ``.npy`` file a layer."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from stages import safe_files
from stages.errors import FitError
from stages.motion.flow import shrunk
from stages.shots import Transition
from stages.transition.separate import SeparatedFrame

SHOWN = 512 * 512
"""Pixels of the copies that are kept for the contact sheet, at most."""


class FrameSpool:
    """Takes the frames as they are finished, rounds them, once, to what the layers' files will hold, and puts them on disk.

    deep: 16 bits a value instead of 8. shown: frames, counted from 0, of which ``rows`` keeps small copies, by layer.
    Leaves no half file where it ends in an error. Raises FitError for frames that are no numbers.
    """

    def __init__(
        self, folder: Path, transition: Transition, *, deep: bool, shown: Sequence[int]
    ) -> None:
        self.folder, self.transition, self.shown = folder, transition, frozenset(shown)
        self.kind = np.uint16 if deep else np.uint8
        self.rows: dict[str, list[Tensor]] = {}
        self.sides: tuple[str, ...] = ()
        self._files: dict[str, IO[bytes]] = {}
        self._sums: dict[str, Any] = {}
        self._open = ExitStack()

    def __enter__(self) -> FrameSpool:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __call__(self, place: int, frame: SeparatedFrame) -> None:
        """Takes the layers of mixed frame ``place``; in order."""
        layers = sides_of(self.transition, frame)
        if not all(bool(pixels.isfinite().all()) for pixels in layers.values()):
            frames = f"{self.transition.first_frame} to {self.transition.last_frame}"
            raise FitError(
                f"the layers of the frames {frames} are no numbers; try another --seed or --device cpu"
            )
        if place in self.shown:
            for name, pixels in {"input": frame.frame, **layers}.items():
                self.rows.setdefault(name, []).append(shrunk(pixels[None], SHOWN)[0])
        for side, pixels in layers.items():
            if side not in self._files:
                self._files[side] = self._begin(side, pixels)
            levels = (
                pixels.detach().to("cpu", torch.float32).clamp(0, 1) * np.iinfo(self.kind).max
            ).round()
            self._write(side, levels.numpy().astype(self.kind).tobytes())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # What is still in a buffer is written here, and may find the disk full.
            self._open.close()
        except OSError:
            self._drop()
            raise
        if kind is not None:
            self._drop()
        self.sides = tuple(self._files)

    def sums(self) -> dict[str, str]:
        """Return the SHA-256 of each file by its name, as it was written."""
        return {f"{side}.npy": found.hexdigest() for side, found in self._sums.items()}

    def _write(self, side: str, data: bytes) -> None:
        self._files[side].write(data)
        self._sums[side].update(data)

    def _begin(self, side: str, pixels: Tensor) -> IO[bytes]:
        # Not a memory map: on a full disk writing to one ends the process.
        file = self._open.enter_context(safe_files.create(self.folder / f"{side}.npy"))
        shape = (len(self.transition), *pixels.shape)
        about = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(self.kind)),
            "fortran_order": False,
            "shape": shape,
        }
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, about)
        file.write(header.getvalue())
        self._sums[side] = hashlib.sha256(header.getvalue())
        return file

    def _drop(self) -> None:
        for side in self._files:
            (self.folder / f"{side}.npy").unlink(missing_ok=True)


def sides_of(transition: Transition, frame: SeparatedFrame) -> dict[str, Tensor]:
    """The layers of a frame that are written: scenes (a fade's colour is none), and the matte."""
    sides: dict[str, Tensor] = {}
    if transition.outgoing is not None:
        sides["outgoing"] = frame.outgoing
    if transition.incoming is not None:
        sides["incoming"] = frame.incoming
    if frame.matte is not None:
        sides["matte"] = frame.matte
    return sides


def stored(folder: Path, side: str, first: int, last: int) -> Tensor:
    """Frames ``first`` to ``last`` (from the transition's first on, inclusive) of one side as ``(T, C, H, W)`` float32 in [0, 1]."""
    values = np.load(folder / f"{side}.npy", mmap_mode="r")
    return torch.from_numpy(values[first : last + 1].astype(np.float32)) / float(
        np.iinfo(values.dtype).max
    )
