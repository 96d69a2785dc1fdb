"""Say what becomes of an input's properties: what is converted, and what the layers do not keep."""

from __future__ import annotations

from pathlib import Path

from pipeline.settings import Settings
from stages.media.clip import ClipInfo
from stages.media.color_tags import mastering_values
from stages.media.picture_metadata import count_pages
from stages.media.read import Clip
from stages.media.sniff import printable

_FIELD_ORDERS = {
    "tff": "top field first",
    "bff": "bottom field first",
    "auto": "fields in the order that each frame says",
}
_UNSPECIFIED = 2
"""The code for "unspecified" of primaries, transfer and matrix, in ITU-T H.273."""
_USUAL = [
    ("primaries", _UNSPECIFIED),
    ("transfer", _UNSPECIFIED),
    ("matrix", _UNSPECIFIED),
]
"""Properties that are not worth mentioning."""
_BASE_LAYER_NOT_VIEWABLE = 5
"""The Dolby Vision profile whose base layer alone has wrong colours."""


def notes_of(info: ClipInfo, settings: Settings) -> list[str]:
    """Return the warnings at the start of a run on this clip; none for ordinary clips."""
    name = printable(Path(info.path.name))
    notes = (*_scan_notes(info), *_color_notes(info, settings), *_other_notes(info))
    return [f"{name}: {note}" for note in notes]


def alpha_note(clip: Clip) -> list[str]:
    """Return the warning about transparency in the input, which no layer keeps."""
    if not clip.transparent:
        return []
    name = printable(Path(clip.info.path.name))
    return [
        f"{name}: has transparent parts; their colours are taken as they are stored, "
        "and the layers do not keep its transparency"
    ]


def _scan_notes(info: ClipInfo) -> list[str]:
    """Return what is done about interlaced video."""
    scan = info.scan
    order = _FIELD_ORDERS.get(scan.parity, "")
    if scan.deinterlaced and scan.kind == "telecined":
        return [
            f"is film with pulldown ({order}): its combed frames are deinterlaced, the others stay "
            "as they are, and every frame is kept; undo the pulldown first (FFmpeg's filters "
            "fieldmatch and decimate) to get the film's own frames"
        ]
    if scan.deinterlaced and scan.kind == "interlaced":
        hidden = ", though it is not flagged so" if scan.flagged != "interlaced" else ""
        return [
            f"is interlaced ({order}){hidden}; it is deinterlaced with bwdif, one frame for each; "
            "--interlaced keep leaves its fields"
        ]
    if scan.deinterlaced:
        return [
            "is deinterlaced with bwdif, as --interlaced deinterlace asks, though nothing says "
            "that it is interlaced"
        ]
    if scan.kind != "progressive":
        return [
            "is interlaced and stays so, as --interlaced keep asks: lines of two moments are "
            "treated as one picture"
        ]
    if scan.flagged == "interlaced":
        return [
            "is flagged as interlaced, but its picture is progressive; it stays as it is "
            "(--interlaced deinterlace changes that)"
        ]
    return []


def _color_notes(info: ClipInfo, settings: Settings) -> list[str]:
    """Return what happens to colours that an ordinary video file cannot hold."""
    notes = []
    is_converted = not settings.lossless and settings.codec in (None, "h264")
    if info.color.needs_conversion and is_converted:
        if info.is_picture:
            layers = "PNG layers are written with the input's values"
        else:
            layers = (
                "MP4 layers are converted to SDR with BT.709; --lossless and the other codecs of "
                "--codec keep it"
            )
        notes.append(f"the input is {info.color.describe()}; {layers}")
    if info.color_space == "bt2020" and not info.color.describe():
        notes.append(
            "has the matrix of BT.2020, but neither primaries nor a transfer curve: "
            "its colours are taken for BT.709's"
        )
    profile = info.facts.dolby_vision
    if profile is not None:
        base = ", its base layer is used"
        if profile == _BASE_LAYER_NOT_VIEWABLE:
            base = " and its base layer alone has wrong colours"
        notes.append(f"its Dolby Vision data are not kept{base}")
    if info.facts.dynamic:
        notes.append("its HDR10+ data, which change from scene to scene, are not kept")
    if info.is_picture and (pages := count_pages(info.path)) > 1:
        notes.append(
            f"has {pages} pages, of which the first is used; "
            "save the others as pictures of their own"
        )
    if info.is_picture and info.foreign_profile:
        notes.append("its colour profile is not for RGB, as the layers are; it is left out")
    return notes


def _other_notes(info: ClipInfo) -> list[str]:
    """Return what else is changed or not kept."""
    notes = []
    if info.crop is not None:
        left, top, right, bottom = info.crop
        edges = f"left {left}, top {top}, right {right}, bottom {bottom}"
        notes.append(f"is cropped to its clean aperture, {info.width}x{info.height} ({edges})")
    if info.facts.stereo:
        notes.append(
            f"holds two views in a frame ({info.facts.stereo}); they are treated as one picture, "
            "and layers are not marked so"
        )
    if info.facts.spherical:
        notes.append(
            "is a projection of a sphere; it is treated as a flat picture, "
            "and layers are not marked so"
        )
    return notes


def properties_of(info: ClipInfo) -> dict[str, object]:
    """Return the properties that ``probe`` and the manifest list in addition to size and rate.

    They are JSON values; properties that are absent or usual are left out.
    """
    scan, color = info.scan, info.color
    kind = scan.kind
    if kind != "progressive":
        kind = f"{kind} ({_FIELD_ORDERS.get(scan.parity, 'order unknown')})"
    properties: dict[str, object] = {
        "scan": kind,
        "deinterlaced": scan.deinterlaced,
        "color": color.describe(),
        "primaries": color.primaries,
        "transfer": color.transfer,
        "matrix": color.matrix,
        "mastering": None if color.mastering is None else mastering_values(color.mastering),
        "light_level": None if color.light is None else list(color.light),
        "timecode": info.timecode,
        "crop": None if info.crop is None else list(info.crop),
        "dolby_vision": info.facts.dolby_vision,
        "hdr10_plus": info.facts.dynamic,
        "stereo": info.facts.stereo,
        "spherical": info.facts.spherical,
        "icc_profile": info.icc is not None,
        "chapters": info.chapters,
        "tags": list(info.tags),
    }
    return {
        name: value
        for name, value in properties.items()
        if value not in (None, "", False, 0, []) and (name, value) not in _USUAL
    }
