"""The files of a layered task: written as its windows come, faded into each other where they overlap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.framewise.recipe import Output, Recipe
from pipeline.framewise.windows import Overview, cut
from pipeline.task import Job, WrittenLayer
from stages.context import Separation
from stages.media.clip import Frames
from stages.media.sheet import COLUMNS, chosen_frames, draw_sheet, write_sheet
from stages.media.tone import to_display
from stages.media.write import LayerWriter
from stages.motion.flow import resize

SHEET_SIDE = 256


class LayerFiles:
    """The layers' files. Frames that the next window will answer too are held back until it has, and faded into its answer."""

    def __init__(
        self, job: Job, recipe: Recipe, seen: Overview, unordered: bool, overlap: int
    ) -> None:
        self.job, self.recipe, self.seen, self.unordered, self.overlap = (
            job,
            recipe,
            seen,
            unordered,
            overlap,
        )
        self.layers: list[WrittenLayer] = []
        self.written = 0
        self.open = ExitStack()
        self._writers: dict[str, LayerWriter] = {}
        self._held: tuple[Frames, dict[str, Tensor]] | None = None
        self._shown = [seen.first + place for place in chosen_frames(len(seen.times), COLUMNS)]
        self._rows: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, window: Frames, separated: Separation, facts: Any) -> int:
        """Takes a window's layers. Returns how many frames of the clip are answered by now."""
        layers = {
            name: pixels.expand(len(window), -1, -1, -1)
            for name, pixels in separated.layers.items()
        }
        if self._held is not None and self._held[0].last >= window.first:
            before, old = self._held
            count = before.last - window.first + 1
            rise = (torch.arange(1, count + 1) / (count + 1)).view(-1, 1, 1, 1)
            faded = {
                name: old[name][-count:] + rise * (pixels[:count] - old[name][-count:])
                for name, pixels in layers.items()
            }
            if self.recipe.settle is not None:
                faded = self.recipe.settle(window.pixels[:count], faded, facts)
            layers = {
                name: torch.cat([faded[name], pixels[count:]]) for name, pixels in layers.items()
            }
        # A later window shares at most this many frames.
        ready = len(window) - self.overlap
        self._write(
            cut(window, 0, max(0, ready)),
            {name: pixels[: max(0, ready)] for name, pixels in layers.items()},
            separated.shared,
        )
        rest = {name: pixels[max(0, ready) :].clone() for name, pixels in layers.items()}
        self._held = cut(window, max(0, ready), len(window)), rest
        self._shared = separated.shared
        return window.last - self.seen.first + 1

    def finish(self) -> int:
        """Writes what was held back and closes the files. Returns how many frames were written."""
        if self._held is not None:
            self._write(*self._held, self._shared)
        self.open.close()
        for output in self.recipe.outputs:
            if (writer := self._writers.get(output.role)) is not None:
                first = self.seen.first
                self.layers.append(
                    WrittenLayer(
                        output.role, output.role, writer.path, first, first + self.written - 1
                    )
                )
                for warning in writer.warnings:
                    self.job.stages.warn(f"{output.role}: {warning}")
        return self.written

    def sheet(self) -> Path:
        """Draws the contact sheet, the input and every layer in a few frames, and returns where it is."""
        rows = {name: torch.stack(pictures) for name, pictures in self._rows.items()}
        path = self.job.work / "sheet.png"
        write_sheet(path, draw_sheet(rows, self._shown, title=self.job.settings.task))
        return path

    def _write(self, frames: Frames, layers: Mapping[str, Tensor], shared: frozenset[str]) -> None:
        self._show(frames, layers)
        if self.job.clip.info.is_picture:
            self._write_pictures(frames, layers, shared)
        elif len(frames):
            for output in self.recipe.outputs:
                if output.role not in self._writers:
                    self._writers[output.role] = self.open.enter_context(
                        self._writer(output, output.role, self.seen.first)
                    )
                alpha = layers[output.alpha] if output.alpha else None
                colour = layers[output.role].expand(-1, 3, -1, -1).contiguous()
                self._writers[output.role].write(Frames(colour, frames.times, frames.first), alpha)
        self.written += len(frames)

    def _write_pictures(
        self, frames: Frames, layers: Mapping[str, Tensor], shared: frozenset[str]
    ) -> None:
        """One PNG a picture and layer; one in all for a layer that the pictures share."""
        for output in self.recipe.outputs:
            for place, number in enumerate(range(frames.first, frames.last + 1)):
                common = output.role in shared
                if common and number != self.seen.first:
                    continue
                name = (
                    output.role
                    if common or len(self.seen.times) == 1
                    else f"{output.role}-{number + 1:03d}"
                )
                one = slice(place, place + 1)
                with self._writer(output, name, number) as writer:
                    colour = layers[output.role][one].expand(-1, 3, -1, -1).contiguous()
                    writer.write(
                        Frames(colour, frames.times[one], number),
                        layers[output.alpha][one] if output.alpha else None,
                    )
                last = len(self.seen.times) - 1 if common else number
                self.layers.append(WrittenLayer(name, output.role, writer.path, number, last))

    def _writer(self, output: Output, name: str, first: int) -> LayerWriter:
        clip, settings = self.job.clip, self.job.settings
        times = self.seen.times
        alpha = (
            (settings.alpha or ("ffv1" if settings.lossless else "prores"))
            if output.alpha
            else None
        )
        return LayerWriter(
            self.job.work / name,
            clip.info,
            lossless=settings.lossless,
            alpha=alpha,
            bit_depth=clip.info.bit_depth if settings.lossless else 8,
            sound=clip.sound(times[0], times[-1] + 1 / clip.info.rate) if output.sound else None,
            pictures=clip.info.is_picture,
            data=output.data,
            first_frame=first,
        )

    def _show(self, frames: Frames, layers: Mapping[str, Tensor]) -> None:
        """Keeps small copies of the frames that the sheet shows."""
        height, width = frames.pixels.shape[-2:]
        scale = min(1.0, SHEET_SIDE / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        for number in self._shown:
            if frames.first <= number <= frames.last:
                at = number - frames.first
                color = self.job.clip.info.color
                self._rows["input"].append(
                    to_display(resize(frames.pixels[at][None], size), color)[0]
                )
                for output in self.recipe.outputs:
                    small = resize(layers[output.role][at][None].expand(-1, 3, -1, -1), size)
                    self._rows[output.role].append(
                        (small if output.data else to_display(small, color))[0]
                    )
