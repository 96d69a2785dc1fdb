"""Write the layers of a frame-wise task, and cross-fade neighbouring windows where they overlap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.framewise.recipe import Output, Recipe
from pipeline.framewise.things import FoundThings, thing_name
from pipeline.framewise.windows import Overview, frame_range
from pipeline.runtime.layer_format import layer_format
from pipeline.runtime.layer_warnings import joined_warnings
from pipeline.settings import Settings
from pipeline.task import Job, WrittenLayer
from stages.context import Separation
from stages.media.clip import ClipInfo, Frames
from stages.media.formats import LayerFormat
from stages.media.sheet import COLUMNS, chosen_frames, draw_sheet, write_sheet
from stages.media.tone import to_display
from stages.media.write import LayerWriter
from stages.motion.flow import resize, within_side

SHEET_SIDE = 256
"""Longer side, in pixels, of a picture on the contact sheet."""

EMPTY_FRAMES = 16
"""Empty frames that are written at once before a thing is found, to bound memory."""

LayerKey = tuple[str, int]
"""A layer's role and the number of its thing; 0 for a layer that is not divided."""

INPUT: LayerKey = ("input", 0)
"""The row of the contact sheet that shows the input."""


class _WindowLayers(NamedTuple):
    """The layers of some consecutive frames.

    layers: by name, ``(T, C, H, W)`` in [0, 1]. shared: the names of those that are the same in all
    frames.
    """

    frames: Frames
    layers: Mapping[str, Tensor]
    shared: frozenset[str]

    def part(self, begin: int, end: int) -> _WindowLayers:
        """Return the frames at places ``begin`` to ``end - 1``; the layers are views."""
        layers = {name: pixels[begin:end] for name, pixels in self.layers.items()}
        return _WindowLayers(frame_range(self.frames, begin, end), layers, self.shared)


class LayerFiles:
    """The files of all layers, which are written window by window.

    A window's last frames belong to the next window too. They are held back until that window
    is there, and then the two versions are cross-faded.

    overview: what the first pass over the clip found.
    overlap: how many frames two windows share at most.
    things: takes account of the things of a divided foreground, each of which has its own files.
    written: how many frames have been written so far.
    layers: the layers whose files are complete.
    open_files: closes the files that are being written, whatever happens.
    """

    def __init__(
        self,
        job: Job,
        recipe: Recipe,
        overview: Overview,
        overlap: int,
        things: FoundThings | None = None,
    ) -> None:
        self.job = job
        self.recipe = recipe
        self.overview = overview
        self.overlap = overlap
        self.things = things
        self.layers: list[WrittenLayer] = []
        self.written = 0
        self.open_files = ExitStack()
        self._writers: dict[LayerKey, LayerWriter] = {}
        self._warnings: list[tuple[str, Sequence[str]]] = []
        self._held_back: _WindowLayers | None = None
        self._sheet_frames = [
            overview.first + place for place in chosen_frames(len(overview.times), COLUMNS)
        ]
        self._sheet_rows: dict[LayerKey, list[Tensor]] = defaultdict(list)

    def add(self, window: Frames, separated: Separation, survey: Any) -> int:
        """Take the layers of the next window; return how many frames have layers by now.

        survey: what the recipe's ``survey`` returned.
        """
        layers = {
            name: pixels.expand(len(window), -1, -1, -1)
            for name, pixels in separated.layers.items()
        }
        before = self._held_back
        if before is not None and before.frames.last >= window.first:
            layers = self._cross_faded(before, window, layers, survey)
        ready = max(0, len(window) - self.overlap)
        whole = _WindowLayers(window, layers, separated.shared)
        self._write(whole.part(0, ready))
        rest = whole.part(ready, len(window))
        # Views would keep the whole window in memory.
        copies = {name: pixels.clone() for name, pixels in rest.layers.items()}
        self._held_back = rest._replace(layers=copies)
        return window.last - self.overview.first + 1

    def finish(self) -> int:
        """Write the frames that were held back and close the files.

        Returns how many frames were written.
        """
        if self._held_back is not None:
            self._write(self._held_back)
        self.open_files.close()
        first = self.overview.first
        last = first + self.written - 1
        names = self._layer_names()
        for output, key in self._layer_keys():
            if (writer := self._writers.get(key)) is not None:
                path, *sounds = _renamed([writer.path, *writer.sounds], key, names[key])
                self.layers.append(
                    WrittenLayer(
                        name=names[key],
                        role=output.role,
                        path=path,
                        first_frame=first,
                        last_frame=last,
                        pattern=writer.pattern,
                        sounds=tuple(sounds),
                        data=output.data,
                    )
                )
        written = [(names[key], writer.warnings) for key, writer in self._writers.items()]
        for warning in joined_warnings([*written, *self._warnings]):
            self.job.stages.warn(warning)
        return self.written

    def sheet(self) -> Path:
        """Draw the contact sheet: the input and every layer in a few frames. Return its path."""
        names = self._layer_names()
        inputs = self._sheet_rows[INPUT]
        rows = {"input": torch.stack(inputs)}
        for _, key in self._layer_keys():
            if pictures := self._sheet_rows.get(key):
                # What is found late has no pictures of the frames before.
                before = [torch.zeros_like(pictures[0])] * (len(inputs) - len(pictures))
                rows[names[key]] = torch.stack([*before, *pictures])
        path = self.job.work / "sheet.png"
        write_sheet(path, draw_sheet(rows, self._sheet_frames, title=self.job.settings.task))
        return path

    def _cross_faded(
        self, earlier: _WindowLayers, window: Frames, layers: Mapping[str, Tensor], survey: Any
    ) -> dict[str, Tensor]:
        """Return a window's layers, with the earlier window's version of its frames faded in."""
        earlier_layers = earlier.layers
        count = earlier.frames.last - window.first + 1
        weight = (torch.arange(1, count + 1) / (count + 1)).view(-1, 1, 1, 1)
        faded = {}
        for name, pixels in layers.items():
            before = earlier_layers[name][-count:]
            faded[name] = before + weight * (pixels[:count] - before)
        division = self.recipe.division
        if self.things is not None and division is not None:
            # Numbers cannot be averaged: a pixel keeps the one whose matte counts more here.
            outputs = self.recipe.outputs
            (matte,) = (each.role for each in outputs if each.divided and each.data)
            before, now = (each[division.layer] for each in (earlier_layers, layers))
            earlier_share = (1 - weight) * earlier_layers[matte][-count:]
            is_before = earlier_share > weight * layers[matte][:count]
            faded[division.layer] = torch.where(is_before, before[-count:], now[:count])
        if self.recipe.settle is not None:
            faded = self.recipe.settle(window.pixels[:count], faded, survey)
        return {name: torch.cat([faded[name], pixels[count:]]) for name, pixels in layers.items()}

    def _write(self, final: _WindowLayers) -> None:
        """Write the final layers of the next frames, and keep small copies for the sheet."""
        frames, layers, _ = final
        self._add_to_sheet(INPUT, frames, frames.pixels)
        if self.job.clip.info.is_picture:
            for output in self.recipe.outputs:
                key = output.role, 0
                self._add_to_sheet(key, frames, layers[output.role], data=output.data)
            self._write_pictures(final)
        elif len(frames):
            for output, key, own in self._written_layers(frames, layers):
                self._add_to_sheet(key, frames, own[output.role], data=output.data)
                if key not in self._writers:
                    self._writers[key] = self._open_writer(output, key, frames.pixels)
                color, alpha = _color_and_alpha(output, own)
                self._writers[key].write(Frames(color, frames.times, frames.first), alpha)
        self.written += len(frames)

    def _written_layers(
        self, frames: Frames, layers: Mapping[str, Tensor]
    ) -> Iterator[tuple[Output, LayerKey, Mapping[str, Tensor]]]:
        """Yield every layer that is written, with the layers from which its file is made.

        These are the layers of the window, or those of one thing of a divided foreground.
        """
        divided = self.things is not None
        for output in self.recipe.outputs:
            if not (divided and output.divided):
                yield output, (output.role, 0), layers
        if self.things is None:
            return
        for number in self.things.numbers:
            own = self.things.division.layers(layers, number)
            for output in self.recipe.outputs:
                if output.divided:
                    if output.data:
                        self.things.note_frames(number, own[output.role], frames.first)
                    yield output, (output.role, number), own

    def _open_writer(self, output: Output, key: LayerKey, pixels: Tensor) -> LayerWriter:
        """Return an open writer for a layer; what came before is written as empty frames."""
        writer = self.open_files.enter_context(
            self._writer(output, _file_name(key), self.overview.first)
        )
        for begin in range(0, self.written, EMPTY_FRAMES):
            end = min(self.written, begin + EMPTY_FRAMES)
            color = torch.zeros(end - begin, *pixels.shape[1:])
            times = tuple(self.overview.times[begin:end])
            alpha = color[:, :1] if output.alpha else None
            writer.write(Frames(color, times, self.overview.first + begin), alpha)
        return writer

    def _layer_keys(self) -> Iterator[tuple[Output, LayerKey]]:
        """Yield all layers in the order of the contact sheet, things from front to back."""
        ranks = {} if self.things is None else self.things.ranks()
        for output in self.recipe.outputs:
            yield output, (output.role, 0)
            if output.divided:
                for number in sorted(ranks, key=lambda number: ranks[number]):
                    yield output, (output.role, number)

    def _layer_names(self) -> dict[LayerKey, str]:
        """Return the name of every layer; things are counted from front to back."""
        ranks = {} if self.things is None else self.things.ranks()
        return {
            key: thing_name(key[0], ranks[key[1]]) if key[1] else key[0]
            for _, key in self._layer_keys()
        }

    def _write_pictures(self, final: _WindowLayers) -> None:
        """Write one file for each picture and layer, or one in all for a shared layer."""
        frames, layers, shared = final
        for output in self.recipe.outputs:
            is_shared = output.role in shared
            for place, number in enumerate(range(frames.first, frames.last + 1)):
                if is_shared and number != self.overview.first:
                    continue
                name = output.role
                if not is_shared and len(self.overview.times) > 1:
                    name = f"{output.role}-{number + 1:03d}"
                here = slice(place, place + 1)
                one = {layer: pixels[here] for layer, pixels in layers.items()}
                info = self._info_of_picture(None if is_shared else number)
                with self._writer(output, name, number, info) as writer:
                    color, alpha = _color_and_alpha(output, one)
                    writer.write(Frames(color, frames.times[here], number), alpha)
                self._warnings.append((name, writer.warnings))
                last = len(self.overview.times) - 1 if is_shared else number
                self.layers.append(
                    WrittenLayer(name, output.role, writer.path, number, last, data=output.data)
                )

    def _info_of_picture(self, number: int | None) -> ClipInfo:
        """Return the input's facts with the profile, EXIF data and resolution of one picture.

        number: of the picture among several; ``None`` for what all of them share.
        """
        info, paths = self.job.clip.info, self.job.clip.paths
        if len(paths) == 1:
            return info
        if number is None:
            return replace(info, exif=None)
        return self.job.clip.picture_info(number)

    def _writer(
        self, output: Output, name: str, first: int, info: ClipInfo | None = None
    ) -> LayerWriter:
        """Return a writer for the file ``name``, which begins at the input's frame ``first``.

        info: the facts of the input that the file keeps; those of the clip unless given.
        """
        clip, times = self.job.clip, self.overview.times
        end = times[-1] + 1 / clip.info.rate
        return LayerWriter(
            self.job.work / name,
            info or clip.info,
            format_of(output, self.job.settings, clip.info),
            source=clip.source_span(times[0], end, tracks=output.sound),
            first_frame=first,
        )

    def _add_to_sheet(
        self, key: LayerKey, frames: Frames, pixels: Tensor, *, data: bool = False
    ) -> None:
        """Keep small copies of those of a layer's ``frames`` that the contact sheet shows."""
        height, width = frames.pixels.shape[-2:]
        size = within_side((height, width), SHEET_SIDE)
        color = self.job.clip.info.color
        for number in self._sheet_frames:
            if not frames.first <= number <= frames.last:
                continue
            place = number - frames.first
            small = resize(pixels[place][None].expand(-1, 3, -1, -1), size)
            if not data:
                small = to_display(small, color)
            self._sheet_rows[key].append(small[0])


def format_of(output: Output, settings: Settings, info: ClipInfo) -> LayerFormat:
    """Return how a layer of the clip ``info`` is written."""
    return layer_format(
        settings,
        info,
        picture=info.is_picture,
        data=output.data,
        gray=output.gray,
        alpha=output.alpha is not None,
    )


def _file_name(key: LayerKey) -> str:
    """Return the name of a layer's file while it is written, when the order is not known yet."""
    role, number = key
    return f"{role}-thing-{number}" if number else role


def _renamed(paths: Sequence[Path], key: LayerKey, name: str) -> list[Path]:
    """Give the files of a layer its name."""
    old = _file_name(key)
    if old == name:
        return list(paths)
    return [path.rename(path.with_name(path.name.replace(old, name, 1))) for path in paths]


def _color_and_alpha(output: Output, layers: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    """Return what a layer's file holds: ``(T, 3, H, W)``, and alpha ``(T, 1, H, W)`` or None."""
    color = layers[output.role].expand(-1, 3, -1, -1).contiguous()
    return color, layers[output.alpha] if output.alpha else None
