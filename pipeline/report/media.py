"""Make the report's own videos and pictures: previews of what browsers cannot play, stills."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from pipeline.codecs import PREMULTIPLIED
from pipeline.report.facts import LayerFact, ReportedRun, RunFacts
from pipeline.report.previews import MadePreview, encode_preview, preview_name
from pipeline.report.tracks import Span, Track, fitting, link, spans_within
from pipeline.runtime.run_record import REPORT
from stages.errors import UnlayerError
from stages.media.color_tags import ColorTags
from stages.media.decode import choose_stream, open_media
from stages.media.read import Clip, open_clip
from stages.media.thumbnails import Picture, levels
from stages.motion.flow import within_side
from stages.storage import safe_files

SIDE = 960
"""Pixels of a preview's longer side, at most."""

PICTURE_SIDE = 2048
"""Pixels of the longer side of a preview of a picture, at most."""

STILL_SIDE = 480
"""Pixels of a still's longer side, at most."""

CURVE_SIDE = 96
"""Pixels of the longer side in which a layer is read for its mean level, at most."""

INPUT_PREVIEW = preview_name("input")
"""Name of the input's preview in the report's folder, without suffix."""

INPUT_QUALITY, STILL_QUALITY = 92, 85
"""JPEG quality of an input picture, which is compared with its layers, and of a still."""


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
    layer: LayerFact,
    run: ReportedRun,
    spans: Sequence[Span],
    *,
    deadline: float,
    made: MadePreview | None = None,
) -> Track:
    """Return the track of one layer video: the file itself, or a preview of it.

    spans: the frames of which previews are made.
    deadline: the time, by ``time.monotonic``, at which a preview ends early.
    made: the preview, where it was made while the layers were written.
    Raises UnlayerError where the file and the manifest disagree.
    """
    facts = run.facts
    if is_playable(layer, facts):
        return _playable_track(layer, run)
    clip = _layer_clip(layer, run)
    is_multiplied = facts.settings.get("alpha") == PREMULTIPLIED
    alpha = None if is_multiplied else _alpha_of(layer, run)
    size = shown_size(clip, SIDE)
    name = preview_name(layer.slug)
    if made is None:
        made = encode_preview(
            clip,
            spans_within(spans, layer.first, layer.last),
            run.report / name,
            size,
            first_number=layer.first,
            alpha=alpha,
            deadline=deadline,
        )
    return Track(
        name=layer.name,
        role=layer.role,
        slug=layer.slug,
        spans=list(made.spans),
        size=size,
        video=link(f"{REPORT}/{name}.mp4"),
        times=list(made.times),
        preview=True,
        transparent=alpha is not None,
        sound=_has_sound(run.report / f"{name}.mp4"),
    )


def is_playable(layer: LayerFact, facts: RunFacts) -> bool:
    """Return whether browsers play the file of a layer."""
    # Mattes are lossless, and browsers do not play H.264 without loss.
    return layer.path.lower().endswith(".mp4") and facts.is_playable and not layer.data


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


def input_size(clip: Clip, facts: RunFacts) -> tuple[int, int]:
    """Return the height and width in which a report shows the input."""
    return shown_size(clip, PICTURE_SIDE if facts.is_of_pictures else SIDE)


def shown_size(clip: Clip, longer_side: int) -> tuple[int, int]:
    """Return the height and width in which a report shows a clip, with square pixels."""
    return fitting(clip.info.height, clip.info.width, longer_side, clip.info.pixel_aspect)


def input_track(
    clip: Clip,
    run: ReportedRun,
    spans: Sequence[Span],
    *,
    deadline: float,
    name: str,
    made: MadePreview | None = None,
) -> Track:
    """Return the track of the input: a preview, or its pictures, which are written.

    spans, deadline: as for :func:`layer_track`. name: what the page calls the input. made: the
    preview, where it was made while the layers were written.
    """
    facts, into = run.facts, run.report
    size = input_size(clip, facts)
    track = Track(
        name=name,
        role="input",
        slug="input",
        spans=[(facts.first, facts.last)],
        size=size,
        preview=True,
    )
    if facts.is_of_pictures:
        for block in clip.blocks(facts.first, facts.last, size):
            for number, pixels in enumerate(block.pixels, block.first):
                file = input_picture(number)
                write_picture(into / file, levels(pixels), INPUT_QUALITY)
                track.pictures.append(((number, number), link(f"{REPORT}/{file}")))
        return track
    if made is None:
        made = encode_preview(clip, spans, into / INPUT_PREVIEW, size, deadline=deadline)
    track.spans, track.times = list(made.spans), list(made.times)
    track.video = link(f"{REPORT}/{INPUT_PREVIEW}.mp4")
    track.sound = _has_sound(into / f"{INPUT_PREVIEW}.mp4")
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
