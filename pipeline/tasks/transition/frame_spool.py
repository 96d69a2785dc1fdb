"""Keep the separated frames of one transition on disk until all layers are written.

There is one ``.npy`` file for each layer: ``outgoing.npy``, ``incoming.npy`` and ``matte.npy``.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from stages.errors import FitError
from stages.motion.flow import shrunk
from stages.optim.threads import WorkQueue, map_in_threads
from stages.shots import Transition
from stages.storage import safe_files
from stages.transition.separated_frame import SeparatedFrame

SHEET_PIXELS = 512 * 512
"""Pixels, at most, of the copies that are kept for the contact sheet."""

BAND_ROWS = 16
"""Rows that are rounded at once."""

MOST_WAITING_VALUES = 3 * 4096 * 2304
"""Values of a frame up to which one waits while the frame before it is written."""


class FrameSpool:
    """Separated frames on disk, rounded once to the values that the layers' files hold.

    folder: where the ``.npy`` files go.
    deep: whether a value has 16 bits instead of 8.
    sheet_places: the mixed frames, counted from 0, of which ``rows`` keeps small copies.
    rows: these copies ``(C, h, w)`` by layer.
    sides: names of the layers that were written.

    Leaves no half-written file after an error. Raises FitError for values that are not finite.
    """

    def __init__(
        self, folder: Path, transition: Transition, *, deep: bool, sheet_places: Sequence[int]
    ) -> None:
        self.folder = folder
        self.transition = transition
        self.sheet_places = frozenset(sheet_places)
        self.dtype = np.uint16 if deep else np.uint8
        self.rows: dict[str, list[Tensor]] = {}
        self.sides: tuple[str, ...] = ()
        self._files: dict[str, IO[bytes]] = {}
        self._checksums: dict[str, Any] = {}
        self._open = ExitStack()
        self._work: WorkQueue | None = None

    def __enter__(self) -> FrameSpool:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __call__(self, place: int, frame: SeparatedFrame) -> None:
        """Take the layers of mixed frame number ``place``; frames come in order.

        They are written by a thread of their own, so they must not change any more.
        """
        if self._work is None:
            waits = frame.frame.numel() <= MOST_WAITING_VALUES
            self._work = WorkQueue(1 if waits else 0)
        self._work.do(partial(self._take, place, frame))

    def _take(self, place: int, frame: SeparatedFrame) -> None:
        """Write the layers of a frame, and keep copies of them for the contact sheet."""
        layers = layers_of(self.transition, frame)
        # A sum is finite where all values are, and takes a tenth of the time.
        if not all(bool(pixels.sum().isfinite()) for pixels in layers.values()):
            raise FitError(
                f"the layers of frames {self.transition.first_frame} to "
                f"{self.transition.last_frame} have values that are not finite; "
                "try another --seed or --device cpu"
            )
        if place in self.sheet_places:
            for name, pixels in {"input": frame.frame, **layers}.items():
                self.rows.setdefault(name, []).append(shrunk(pixels[None], SHEET_PIXELS)[0])
        for side, pixels in layers.items():
            if side not in self._files:
                self._files[side] = self._create(side, pixels)
        map_in_threads(lambda layer: self._write(layer[0], self._levels(layer[1])), layers.items())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._work is not None:
            self._end_work(is_good=kind is None)
        try:
            # Closing writes what is still in a buffer, and may find the disk full.
            self._open.close()
        except OSError:
            self._remove_files()
            raise
        if kind is not None:
            self._remove_files()
        self.sides = tuple(self._files)

    def _end_work(self, *, is_good: bool) -> None:
        """Wait for the frames that wait, or drop them. Leaves no file after an error."""
        assert self._work is not None
        try:
            if is_good:
                self._work.finish()
        except BaseException:
            is_good = False
            raise
        finally:
            self._work.stop()
            if not is_good:
                with suppress(OSError):
                    self._open.close()
                self._remove_files()

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of each file's content, as it was written, by the file's name."""
        return {f"{side}.npy": digest.hexdigest() for side, digest in self._checksums.items()}

    def _levels(self, pixels: Tensor) -> bytes:
        """Return pixels ``(C, H, W)`` in [0, 1] as the whole numbers of the file."""
        on_cpu = pixels.detach().to("cpu", torch.float32)
        levels = np.empty(tuple(on_cpu.shape), self.dtype)
        top = np.iinfo(self.dtype).max
        # Rows that stay in the processor's cache take a third of the time.
        for first in range(0, levels.shape[1], BAND_ROWS):
            rows = slice(first, first + BAND_ROWS)
            levels[:, rows] = on_cpu[:, rows].clamp(0, 1).mul_(top).round_().numpy()
        return levels.tobytes()

    def _write(self, side: str, data: bytes) -> None:
        self._files[side].write(data)
        self._checksums[side].update(data)

    def _create(self, side: str, pixels: Tensor) -> IO[bytes]:
        """Open the file of one layer and write its header."""
        # Not a memory map: writing to one on a full disk ends the process.
        file = self._open.enter_context(safe_files.create(self.folder / f"{side}.npy"))
        description = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(self.dtype)),
            "fortran_order": False,
            "shape": (len(self.transition), *pixels.shape),
        }
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, description)
        file.write(header.getvalue())
        self._checksums[side] = hashlib.sha256(header.getvalue())
        return file

    def _remove_files(self) -> None:
        for side in self._files:
            (self.folder / f"{side}.npy").unlink(missing_ok=True)


def layers_of(transition: Transition, frame: SeparatedFrame) -> dict[str, Tensor]:
    """Return the layers of a frame that are written: its scenes and its matte, if it has one.

    The plain colour of a fade is no scene and is not written.
    """
    layers: dict[str, Tensor] = {}
    if transition.outgoing is not None:
        layers["outgoing"] = frame.outgoing
    if transition.incoming is not None:
        layers["incoming"] = frame.incoming
    if frame.matte is not None:
        layers["matte"] = frame.matte
    return layers


def spooled_frames(folder: Path, side: str, first: int, last: int) -> Tensor:
    """Read frames of one layer as ``(T, C, H, W)`` float32 in [0, 1].

    first, last: inclusive; the transition's first frame is 0.
    """
    values = np.load(folder / f"{side}.npy", mmap_mode="r")
    return torch.from_numpy(values[first : last + 1].astype(np.float32)) / float(
        np.iinfo(values.dtype).max
    )
