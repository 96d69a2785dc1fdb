"""The report's own videos and pictures: previews of what browsers cannot play, stills, and the strip of the whole clip."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import torch

from pipeline.report.facts import Facts, LayerFact
from pipeline.runtime.run_record import REPORT
from stages import safe_files
from stages.errors import UnlayerError
from stages.media.clip import ClipInfo, Frames
from stages.media.formats import PREVIEW
from stages.media.read import Clip, choose_stream, open_clip, open_media
from stages.media.thumbnails import Picture, levels
from stages.media.write import LayerWriter

LONGEST = 3000
"""Frames of a preview at most: two minutes. Of a longer clip the frames around its transitions are shown, or its beginning."""
AROUND = 50
"""Frames at either side of a transition that are shown of a long clip."""
SIDE, STILL_SIDE = 960, 480
"""Pixels of a preview's and a still's longer side, at most."""
LEAST_SIDE = 16
CHECKS = 8  # pixels to a side of the board behind what is transparent

Span = tuple[int, int]
"""First and last frame, as the input counts them, both inclusive."""


@dataclass
class Track:
    """What one player shows: the input or a layer.

    video: the file, relative to the run's folder; its frames are those of ``spans``, one after the other, at ``times`` (seconds).
    pictures: files by the frames that they stand for, where there is no video. preview: whether the file was made for the report.
    """

    name: str
    role: str
    slug: str
    spans: list[Span]
    size: tuple[int, int]
    video: str | None = None
    pictures: list[tuple[Span, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    preview: bool = False
    transparent: bool = False
    still: str | None = None

    def at(self, frame: int) -> int | None:
        """The place in the file of the input's frame number ``frame``; ``None`` where it is not in it."""
        before = 0
        for first, last in self.spans:
            if first <= frame <= last:
                return before + frame - first
            before += last - first + 1
        return None

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return sum(last - first + 1 for first, last in self.spans)

    def told(self) -> dict[str, Any]:
        """As the page's script and ``data.json`` have it; evenly spaced times are one number."""
        steps = {
            round(later - earlier, 5)
            for earlier, later in zip(self.times, self.times[1:], strict=False)
        }
        even = len(self.times) < 2 or (max(steps) - min(steps) < 2e-5)
        step = (
            (self.times[-1] - self.times[0]) / (len(self.times) - 1)
            if len(self.times) > 1
            else 0.04
        )
        return {
            "name": self.name,
            "role": self.role,
            "slug": self.slug,
            "spans": self.spans,
            "size": self.size,
            "video": self.video,
            "pictures": self.pictures,
            "step": round(step, 7) if even else None,
            "times": [] if even else [round(time, 5) for time in self.times],
            "preview": self.preview,
            "transparent": self.transparent,
            "still": self.still,
        }


def link(name: str) -> str:
    """Return a file's name in the run's folder as a page's address for it. A name that no file can have leads nowhere."""
    try:
        return quote(name.encode("utf-8", "surrogateescape"), safe="/")
    except UnicodeEncodeError:
        return quote(name.encode("utf-8", "replace"), safe="/")


def fitting(
    height: int, width: int, side: int, pixel_aspect: Fraction = Fraction(1)
) -> tuple[int, int]:
    """``(H, W)``, even, of a picture with square pixels whose longer side is at most ``side``, and not larger than it is."""
    wide = width * float(pixel_aspect)
    scale = min(1.0, side / max(height, wide))
    sides = (max(LEAST_SIDE, 2 * round(scale * each / 2)) for each in (height, wide))
    height, width = sides
    return min(height, side), min(width, side)


def shown_spans(facts: Facts) -> list[Span]:
    """The frames of which previews are made, at most :data:`LONGEST`."""
    first, last = facts.first, facts.frames - 1
    if last - first < LONGEST:
        return [(first, last)]
    spans: list[Span] = []
    left = LONGEST
    for move in facts.moves:
        begin, end = max(first, move.first - AROUND), min(last, move.last + AROUND)
        if spans and begin <= spans[-1][1] + 1:
            begin = spans[-1][1] + 1
        end = min(end, begin + left - 1)
        if end < begin:
            continue
        if spans and begin == spans[-1][1] + 1:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((begin, end))
        left -= end - begin + 1
    return spans or [(first, first + LONGEST - 1)]


def within(spans: Sequence[Span], first: int, last: int) -> list[Span]:
    """The parts of ``spans`` that lie in ``first`` to ``last``."""
    return [
        (max(first, begin), min(last, end))
        for begin, end in spans
        if begin <= last and end >= first
    ]


def encode(
    clip: Clip,
    spans: Sequence[Span],
    stem: Path,
    size: tuple[int, int],
    *,
    base: int = 0,
    over: Clip | None = None,
    until: float,
) -> tuple[list[Span], list[float]]:
    """Writes the frames of ``spans`` as ``<stem>.mp4`` of ``size`` ``(H, W)``; what it holds in the end, and its times.

    base: the number that the clip's first frame has in ``spans``. over: the alpha of the clip's frames, which are then laid on a board of
    checks. until: by this clock it ends early, with what is done.
    """
    info = replace(
        clip.info,
        height=size[0],
        width=size[1],
        pixel_aspect=Fraction(1),
        bit_depth=8,
        is_picture=False,
    )
    held: list[Span] = []
    times: list[Fraction] = []
    shift = Fraction(0)
    with LayerWriter(stem, info, lossless=False, encoding=PREVIEW) as writer:
        for first, last in spans:
            begun = len(times)
            for block in _blocks(clip, first - base, last - base, size, over):
                if begun == len(times):
                    # Parts follow each other as if nothing lay between them.
                    shift = times[-1] + 1 / info.rate - block.times[0] if times else -block.times[0]
                at = tuple(time + shift for time in block.times)
                writer.write(Frames(block.pixels, at, block.first))
                times.extend(at)
                if time.monotonic() > until:
                    break
            if len(times) > begun:
                held.append((first, first + len(times) - begun - 1))
            if time.monotonic() > until:
                break
    return held, [float(time) for time in times]


def _blocks(
    clip: Clip, first: int, last: int, size: tuple[int, int], over: Clip | None
) -> Iterator[Frames]:
    if over is None:
        yield from clip.blocks(first, last, size)
        return
    board = checks(size)
    for block, veil in zip(
        clip.blocks(first, last, size), over.blocks(first, last, size), strict=False
    ):
        alpha = veil.pixels[: len(block)].mean(1, keepdim=True)
        yield replace(block, pixels=alpha * block.pixels + (1 - alpha) * board)


def checks(size: tuple[int, int]) -> torch.Tensor:
    """A board of light and lighter squares, ``(3, H, W)``."""
    y, x = torch.arange(size[0])[:, None] // CHECKS, torch.arange(size[1]) // CHECKS
    return (0.8 + 0.15 * ((x + y) % 2).float()).expand(3, -1, -1)


def times_of(path: Path) -> list[float]:
    """The times of a layer's frames in seconds, from its index alone: our MP4 files list every frame, in order."""
    with open_media(path) as container:
        stream = choose_stream(container, path, None)
        unit = float(stream.time_base or 0)
        return sorted(entry.timestamp * unit for entry in stream.index_entries)


def layer_track(
    layer: LayerFact, facts: Facts, folder: Path, into: Path, spans: Sequence[Span], *, until: float
) -> Track:
    """The track of one layer video: the file itself where browsers play it, else a preview in ``into``."""
    height, width = facts.size
    path = folder / layer.path
    if layer.path.lower().endswith(".mp4") and height % 2 == 0 and width % 2 == 0:
        times = times_of(path)
        if len(times) != len(layer):
            raise UnlayerError(
                f"{layer.path} holds {len(times)} frames where the manifest says {len(layer)}"
            )
        return Track(
            layer.name,
            layer.role,
            layer.slug,
            [(layer.first, layer.last)],
            (height, width),
            link(layer.path),
            times=times,
        )
    clip = open_clip([path], interlaced="keep")
    veil = next(
        (
            each
            for each in facts.layers
            if each.role == "matte" and each.first == layer.first and each.last == layer.last
        ),
        None,
    )
    over = (
        open_clip([folder / veil.path], interlaced="keep")
        if layer.role == "foreground" and veil is not None
        else None
    )
    size = fitting(clip.info.height, clip.info.width, SIDE, clip.info.pixel_aspect)
    parts = within(spans, layer.first, layer.last)
    held, times = encode(
        clip, parts, into / f"preview-{layer.slug}", size, base=layer.first, over=over, until=until
    )
    name = f"{REPORT}/preview-{layer.slug}.mp4"
    return Track(
        layer.name,
        layer.role,
        layer.slug,
        held,
        size,
        link(name),
        times=times,
        preview=True,
        transparent=over is not None,
    )


def input_track(
    clip: Clip, facts: Facts, into: Path, spans: Sequence[Span], *, until: float, name: str
) -> Track:
    """The track of the input: a preview of it in ``into``, or its pictures."""
    size = fitting(clip.info.height, clip.info.width, SIDE, clip.info.pixel_aspect)
    if all(layer.is_picture for layer in facts.layers):
        pictures: list[tuple[Span, str]] = []
        for block in clip.blocks(facts.first, facts.frames - 1, size):
            for number, pixels in enumerate(block.pixels, block.first):
                file = f"input-{number + 1:03d}.jpg"
                write_picture(into / file, levels(pixels), 92)
                pictures.append(((number, number), link(f"{REPORT}/{file}")))
        return Track(
            name,
            "input",
            "input",
            [(facts.first, facts.frames - 1)],
            size,
            pictures=pictures,
            preview=True,
        )
    held, times = encode(clip, spans, into / "preview-input", size, until=until)
    return Track(
        name,
        "input",
        "input",
        held,
        size,
        link(f"{REPORT}/preview-input.mp4"),
        times=times,
        preview=True,
    )


def picture_tracks(facts: Facts) -> list[Track]:
    """The layers that are pictures, one track a role: layers of a role that has one for each input picture belong together."""
    tracks: dict[str, Track] = {}
    for layer in facts.layers:
        if not layer.is_picture:
            continue
        alone = sum(each.role == layer.role for each in facts.layers) == 1
        key = layer.name if alone or facts.moves else layer.role
        track = tracks.setdefault(
            key,
            Track(
                key, layer.role, layer.slug, [], facts.size, transparent=layer.role == "foreground"
            ),
        )
        track.spans.append((layer.first, layer.last))
        track.pictures.append(((layer.first, layer.last), link(layer.path)))
        track.still = track.still or link(layer.path)
    return list(tracks.values())


def write_picture(path: Path, picture: Picture, quality: int = 85) -> None:
    """Writes an RGB picture as JPEG. Raises UnlayerError where that fails."""
    done, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise UnlayerError(f"{path.name} could not be made")
    # The report is made again where it is lost.
    safe_files.write_whole(path, data.tobytes(), sync=False)


def mean_curve(path: Path, most: int, until: float) -> list[float]:
    """The mean level, 0 to 1, of each frame of a matte or a transmission."""
    means: list[float] = []
    clip = open_clip([path], interlaced="keep")
    for block in clip.blocks(0, most - 1, _tiny(clip.info)):
        means += [round(float(each.mean()), 4) for each in block.pixels]
        if time.monotonic() > until:
            break
    return means


def _tiny(info: ClipInfo) -> tuple[int, int]:
    scale = min(1.0, 96 / max(info.height, info.width))
    return max(1, round(info.height * scale)), max(1, round(info.width * scale))


def guarded(make: Callable[[], Track], notes: list[str], what: str) -> Track | None:
    """``make()``, or a note on why ``what`` has no player."""
    try:
        return make()
    except (UnlayerError, OSError, ValueError) as error:
        notes.append(f"There is no player for {what}: {error}")
        return None
