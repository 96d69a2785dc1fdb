"""Make the report's own videos and pictures: previews of what browsers cannot play, stills."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch

from pipeline.codecs import PREMULTIPLIED
from pipeline.report.facts import LayerFact, ReportedRun, RunFacts
from pipeline.report.tracks import LEAST_SIDE, Span, Track, fitting, link, spans_within
from pipeline.runtime.run_record import REPORT
from stages import safe_files
from stages.errors import UnlayerError
from stages.media.clip import Frames, SourceSpan
from stages.media.color_tags import ColorTags
from stages.media.formats import PREVIEW
from stages.media.read import Clip, choose_stream, open_clip, open_media
from stages.media.stored_frame import StoredFrame
from stages.media.thumbnails import Picture, levels
from stages.media.write import LayerWriter
from stages.mixing.blend import blend
from stages.motion.flow import within_side
from stages.optim.threads import ahead

SIDE = 960
"""Pixels of a preview's longer side, at most."""

PICTURE_SIDE = 2048
"""Pixels of the longer side of a preview of a picture, at most."""

STILL_SIDE = 480
"""Pixels of a still's longer side, at most."""

SMALLEST = (LEAST_SIDE, LEAST_SIDE)
"""Height and width in which a frame is read of which only the time is wanted."""

CURVE_SIDE = 96
"""Pixels of the longer side in which a layer is read for its mean level, at most."""

CHECK_SIZE = 8
"""Pixels of a square of the checkerboard behind transparent layers."""

DARK_CHECK, CHECK_CONTRAST = 0.8, 0.15
"""Level of the checkerboard's darker squares, and how much lighter the others are, 0 to 1."""

INPUT_QUALITY, STILL_QUALITY = 92, 85
"""JPEG quality of an input picture, which is compared with its layers, and of a still."""


def encode_preview(
    clip: Clip,
    spans: Sequence[Span],
    stem: Path,
    size: tuple[int, int],
    *,
    first_number: int = 0,
    alpha: Clip | None = None,
    deadline: float,
) -> tuple[list[Span], list[float]]:
    """Write the frames of ``spans`` as ``<stem>.mp4``.

    size: height and width of the preview.
    first_number: the number that the clip's first frame has in ``spans``.
    alpha: alpha of the clip's frames, which are then laid over a checkerboard.
    deadline: the time, by ``time.monotonic``, at which the preview ends early.

    The clip's audio goes with it where the frames are all of one span. Returns the spans that it
    holds in the end, and its times in seconds.
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
    in_clip = [(first - first_number, last - first_number) for first, last in spans]
    sound = _sound_of(clip, in_clip)
    with LayerWriter(stem, info, encoding=PREVIEW, source=sound) as writer:
        for (first, _), span in zip(spans, in_clip, strict=True):
            # Spans follow each other as if nothing lay between them.
            begin = times[-1] + 1 / info.rate if times else Fraction(0)
            written = _write_span(writer, _frames(clip, *span, size, alpha), begin, deadline)
            if written:
                held.append((first, first + len(written) - 1))
            times += written
            if time.monotonic() > deadline:
                break
    return held, [float(each) for each in times]


def _write_span(
    writer: LayerWriter, frames: Iterable[StoredFrame | Frames], begin: Fraction, deadline: float
) -> list[Fraction]:
    """Write consecutive frames with their times moved so that the first one is at ``begin``.

    deadline: the time, by ``time.monotonic``, at which writing ends early. Returns the times.
    """
    times: list[Fraction] = []
    shift: Fraction | None = None
    for frame in frames:
        own_time = frame.time if isinstance(frame, StoredFrame) else frame.times[0]
        if shift is None:
            shift = begin - own_time
        times.append(own_time + shift)
        if isinstance(frame, StoredFrame):
            writer.write_stored(frame, times[-1])
        else:
            writer.write(replace(frame, times=(times[-1],)))
        if time.monotonic() > deadline:
            break
    return times


def _sound_of(clip: Clip, spans: Sequence[Span]) -> SourceSpan | None:
    """Return the audio that goes with the frames of a clip, or None.

    There is none where the frames are not in one piece, or the clip ends before them.
    spans: frames of the clip, at most :data:`pipeline.report.tracks.LONGEST_PREVIEW`.
    """
    if len(spans) != 1 or not clip.info.audio_streams:
        return None
    ((first, last),) = spans
    block = next(iter(clip.blocks(first, first, SMALLEST)), None)
    if block is None:
        return None
    begin = block.times[0]
    end = begin + (last - first + 1) / clip.info.rate
    return SourceSpan(clip.info.path, begin, end)


def _frames(
    clip: Clip, first: int, last: int, size: tuple[int, int], alpha: Clip | None
) -> Iterator[StoredFrame | Frames]:
    """Yield a clip's frames one by one, laid over a checkerboard where they have alpha."""
    if alpha is None:
        yield from ahead(clip.stored_frames(first, last))
        return
    board = checkerboard(size)
    frames = clip.blocks(first, last, size, length=1)
    for frame, alpha_frame in zip(frames, alpha.blocks(first, last, size, length=1), strict=False):
        opacity = alpha_frame.pixels.mean(1, keepdim=True)
        yield replace(frame, pixels=blend(board, frame.pixels, opacity))


def checkerboard(size: tuple[int, int]) -> torch.Tensor:
    """Return a board of light and lighter squares, ``(3, H, W)``, for ``size`` ``(H, W)``."""
    y, x = torch.arange(size[0])[:, None] // CHECK_SIZE, torch.arange(size[1]) // CHECK_SIZE
    return (DARK_CHECK + CHECK_CONTRAST * ((x + y) % 2).float()).expand(3, -1, -1)


def times_and_sound(path: Path) -> tuple[list[float], bool]:
    """Return the times of a layer's frames in seconds, and whether the file has audio.

    They are read from its index alone, as our MP4 files list every frame, in order.
    """
    with open_media(path) as container:
        stream = choose_stream(container, path, None)
        unit = float(stream.time_base or 0)
        times = sorted(entry.timestamp * unit for entry in stream.index_entries)
        return times, bool(container.streams.audio)


def layer_track(
    layer: LayerFact, run: ReportedRun, spans: Sequence[Span], *, deadline: float
) -> Track:
    """Return the track of one layer video: the file itself, or a preview of it.

    spans: the frames of which previews are made.
    deadline: the time, by ``time.monotonic``, at which a preview ends early.
    Raises UnlayerError where the file and the manifest disagree.
    """
    facts = run.facts
    # Mattes are lossless, and browsers do not play H.264 without loss.
    if layer.path.lower().endswith(".mp4") and facts.is_playable and not layer.data:
        return _playable_track(layer, run)
    clip = _layer_clip(layer, run)
    is_multiplied = facts.settings.get("alpha") == PREMULTIPLIED
    alpha = None if is_multiplied else _alpha_of(layer, run)
    size = fitting(clip.info.height, clip.info.width, SIDE, clip.info.pixel_aspect)
    held, times = encode_preview(
        clip,
        spans_within(spans, layer.first, layer.last),
        run.report / f"preview-{layer.slug}",
        size,
        first_number=layer.first,
        alpha=alpha,
        deadline=deadline,
    )
    return Track(
        name=layer.name,
        role=layer.role,
        slug=layer.slug,
        spans=held,
        size=size,
        video=link(f"{REPORT}/preview-{layer.slug}.mp4"),
        times=times,
        preview=True,
        transparent=alpha is not None,
        sound=_has_sound(run.report / f"preview-{layer.slug}.mp4"),
    )


def _playable_track(layer: LayerFact, run: ReportedRun) -> Track:
    """Return the track of a layer whose file browsers can play.

    Raises UnlayerError where it does not hold the frames that the manifest says.
    """
    times, sound = times_and_sound(run.layers / layer.path)
    if len(times) != len(layer):
        raise UnlayerError(
            f"{layer.path} holds {len(times)} frames where the manifest says {len(layer)}"
        )
    return Track(
        name=layer.name,
        role=layer.role,
        slug=layer.slug,
        spans=[(layer.first, layer.last)],
        size=run.facts.size,
        video=link(layer.path),
        times=times,
        sound=sound,
    )


def _layer_clip(layer: LayerFact, run: ReportedRun) -> Clip:
    """Return the open file, or folder of pictures, of a layer."""
    path = run.layers / layer.path
    clip = open_clip([path], interlaced="keep")
    if safe_files.is_folder(path):
        # Pictures have no rate of their own.
        clip.take_pictures_at(run.facts.exact_rate)
    if layer.data:
        # An EXR says that its values are linear light, but these are no colours.
        clip.info = replace(clip.info, color=ColorTags())
    return clip


def _alpha_of(layer: LayerFact, run: ReportedRun) -> Clip | None:
    """Return the matte of a foreground that covers the same frames, if there is one."""
    if layer.role != "foreground":
        return None
    for other in run.facts.layers:
        if other.role == "matte" and (other.first, other.last) == (layer.first, layer.last):
            return open_clip([run.layers / other.path], interlaced="keep")
    return None


def input_track(
    clip: Clip, run: ReportedRun, spans: Sequence[Span], *, deadline: float, name: str
) -> Track:
    """Return the track of the input: a preview, or its pictures, which are written.

    spans, deadline: as for :func:`layer_track`. name: what the page calls the input.
    """
    facts, into = run.facts, run.report
    are_pictures = all(layer.is_picture for layer in facts.layers)
    side = PICTURE_SIDE if are_pictures else SIDE
    size = fitting(clip.info.height, clip.info.width, side, clip.info.pixel_aspect)
    track = Track(
        name=name,
        role="input",
        slug="input",
        spans=[(facts.first, facts.last)],
        size=size,
        preview=True,
    )
    if are_pictures:
        for block in clip.blocks(facts.first, facts.last, size):
            for number, pixels in enumerate(block.pixels, block.first):
                file = input_picture(number)
                write_picture(into / file, levels(pixels), INPUT_QUALITY)
                track.pictures.append(((number, number), link(f"{REPORT}/{file}")))
        return track
    stem = into / "preview-input"
    track.spans, track.times = encode_preview(clip, spans, stem, size, deadline=deadline)
    track.video = link(f"{REPORT}/preview-input.mp4")
    track.sound = _has_sound(into / "preview-input.mp4")
    return track


def _has_sound(path: Path) -> bool:
    with open_media(path) as container:
        return bool(container.streams.audio)


def input_picture(number: int) -> str:
    """Return the file name of input picture ``number``, from 0."""
    return f"input-{number + 1:03d}.jpg"


def picture_tracks(facts: RunFacts) -> list[Track]:
    """Return the tracks of layers that are pictures.

    Layers of a role that has one for each input picture share a track.
    """
    tracks: dict[str, Track] = {}
    for layer in facts.layers:
        if not layer.is_picture:
            continue
        is_only = sum(other.role == layer.role for other in facts.layers) == 1
        key = layer.name if is_only or facts.transitions else layer.role
        is_transparent = layer.role == "foreground"
        track = tracks.setdefault(
            key,
            Track(
                name=key,
                role=layer.role,
                slug=layer.slug,
                spans=[],
                size=facts.size,
                transparent=is_transparent,
            ),
        )
        track.spans.append((layer.first, layer.last))
        track.pictures.append(((layer.first, layer.last), link(layer.path)))
        track.still = track.still or link(layer.path)
    return list(tracks.values())


def write_picture(path: Path, picture: Picture, quality: int = STILL_QUALITY) -> None:
    """Write an RGB picture as JPEG. Raises UnlayerError where that fails."""
    done, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise UnlayerError(f"{path.name} could not be made")
    # No sync to disk: a lost report can be made again.
    safe_files.write_whole(path, data.tobytes(), sync=False)


def mean_curve(path: Path, max_frames: int, deadline: float) -> list[float]:
    """Return the mean level, 0 to 1, of each frame of a matte or a transmission.

    max_frames: how many frames are read, at most.
    deadline: the time, by ``time.monotonic``, at which reading ends early.
    """
    means: list[float] = []
    clip = open_clip([path], interlaced="keep")
    size = within_side((clip.info.height, clip.info.width), CURVE_SIDE)
    for block in clip.blocks(0, max_frames - 1, size):
        means += [round(float(frame.mean()), 4) for frame in block.pixels]
        if time.monotonic() > deadline:
            break
    return means


def track_or_note(make: Callable[[], Track], notes: list[str], name: str) -> list[Track]:
    """Return the track that ``make`` makes, in a list; on an error note it and return none.

    name: what the note calls the track.
    """
    try:
        return [make()]
    except (UnlayerError, OSError, ValueError) as error:
        notes.append(f"There is no player for {name}: {error}")
        return []
