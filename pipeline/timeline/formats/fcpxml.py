"""Write Final Cut Pro XML, version 1.10, which DaVinci Resolve reads as well.

Every transition is a Cross Dissolve of the right length whose name says what it is: the other
effects have no names that all programs share. Plain colours are gaps.
"""

from __future__ import annotations

from fractions import Fraction
from xml.etree import ElementTree as ET

from pipeline.timeline.model import (
    EditTimeline,
    TimelineClip,
    TimelineFormat,
    TimelineMedia,
    TimelineTransition,
)

VERSION = "1.10"
CROSS_DISSOLVE = "FxPlug:4731E73A-8DAC-4113-9A30-AE85B1761265"
"""Final Cut Pro's identifier of its Cross Dissolve."""
_FORMAT = "r1"
_EFFECT = "r2"
_FIRST_ASSET = 3


def render(timeline: EditTimeline) -> str:
    """Return the text of an ``.fcpxml`` file."""
    root = ET.Element("fcpxml", version=VERSION)
    assets = _resources(root, timeline)
    event = ET.SubElement(ET.SubElement(root, "library"), "event", name=_text(timeline.name))
    project = ET.SubElement(event, "project", name=_text(timeline.name))
    frames = timeline.last - timeline.first + 1
    sequence = ET.SubElement(
        project,
        "sequence",
        format=_FORMAT,
        duration=_time(frames, timeline.rate),
        tcStart=_time(timeline.start + timeline.first, timeline.rate),
        tcFormat="DF" if timeline.drops_frames else "NDF",
    )
    spine = ET.SubElement(sequence, "spine")
    for index, clip in enumerate(timeline.clips):
        _add_clip(spine, clip, timeline, assets)
        transition = timeline.transitions[index] if index < len(timeline.transitions) else None
        if transition is not None:
            _add_transition(spine, transition, timeline)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{text}\n'


FORMAT = TimelineFormat("fcpxml", "timeline.fcpxml", render)


def _time(frames: int, rate: Fraction) -> str:
    """Return a number of frames as exact seconds: ``1001/30000s``."""
    seconds = frames / rate
    if seconds.denominator == 1:
        return f"{seconds.numerator}s"
    return f"{seconds.numerator}/{seconds.denominator}s"


def _text(text: str) -> str:
    """Return the text without characters that XML cannot hold."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _resources(root: ET.Element, timeline: EditTimeline) -> dict[str, str]:
    """Add the format, the effect and the media; return the identifiers of the media by address."""
    resources = ET.SubElement(root, "resources")
    picture = ET.SubElement(
        resources,
        "format",
        id=_FORMAT,
        frameDuration=_time(1, timeline.rate),
        width=str(timeline.width),
        height=str(timeline.height),
    )
    if timeline.pixel_aspect != 1:
        picture.set("paspH", str(timeline.pixel_aspect.numerator))
        picture.set("paspV", str(timeline.pixel_aspect.denominator))
    if any(timeline.transitions):
        ET.SubElement(resources, "effect", id=_EFFECT, name="Cross Dissolve", uid=CROSS_DISSOLVE)
    assets: dict[str, str] = {}
    for clip in timeline.clips:
        if clip.media is not None and clip.media.url not in assets:
            assets[clip.media.url] = f"r{_FIRST_ASSET + len(assets)}"
            _add_asset(resources, clip.media, assets[clip.media.url], timeline.rate)
    return assets


def _add_asset(resources: ET.Element, media: TimelineMedia, name: str, rate: Fraction) -> None:
    """Add a media file with all of its frames."""
    asset = ET.SubElement(
        resources,
        "asset",
        id=name,
        name=_text(media.name),
        start=_time(media.start, rate),
        duration=_time(media.last - media.first + 1, rate),
        hasVideo="1",
        format=_FORMAT,
        videoSources="1",
    )
    if media.has_audio:
        asset.set("hasAudio", "1")
        asset.set("audioSources", "1")
    ET.SubElement(asset, "media-rep", kind="original-media", src=media.url)


def _add_clip(
    spine: ET.Element, clip: TimelineClip, timeline: EditTimeline, assets: dict[str, str]
) -> None:
    """Add a clip, or a gap for a plain colour, with the markers that begin in it."""
    rate = timeline.rate
    offset, duration = _time(timeline.start + clip.first, rate), _time(len(clip), rate)
    if clip.media is None:
        start = 0
        item = ET.SubElement(spine, "gap", name=clip.color, offset=offset, start="0s")
        item.set("duration", duration)
    else:
        start = clip.source(clip.first)
        item = ET.SubElement(
            spine,
            "asset-clip",
            ref=assets[clip.media.url],
            name=_text(clip.name),
            offset=offset,
            start=_time(start, rate),
            duration=duration,
            tcFormat="DF" if timeline.drops_frames else "NDF",
        )
    for marker in timeline.markers:
        if clip.first <= marker.first <= clip.last:
            length = min(marker.last, clip.last) - marker.first + 1
            ET.SubElement(
                item,
                "marker",
                start=_time(start + marker.first - clip.first, rate),
                duration=_time(length, rate),
                value=_text(marker.text),
            )


def _add_transition(
    spine: ET.Element, transition: TimelineTransition, timeline: EditTimeline
) -> None:
    item = ET.SubElement(
        spine,
        "transition",
        name=_text(transition.name),
        offset=_time(timeline.start + transition.first, timeline.rate),
        duration=_time(len(transition), timeline.rate),
    )
    ET.SubElement(item, "filter-video", ref=_EFFECT, name="Cross Dissolve")
