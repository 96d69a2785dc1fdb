"""Show the result of a run in a notebook: its layers as a table with pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from markupsafe import Markup, escape

from pipeline.frame_ranges import range_text
from stages.errors import UnlayerError
from stages.media.read import open_clip
from stages.media.thumbnails import levels
from stages.motion.flow import within_side

if TYPE_CHECKING:
    from pipeline.api import LayerResult

PICTURE_SIDE = 200
"""Pixels of the longer side of a layer's picture, at most."""

MAX_LAYERS = 12
"""Layers that are shown, at most."""

JPEG_QUALITY = 85

_CELL = "padding:6px 14px 6px 0;text-align:left;vertical-align:middle"
_TABLE = Markup(
    '<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead>'
    "<tbody>{rows}</tbody></table>"
)


def result_html(
    layers: Iterable[LayerResult], manifest: Mapping[str, Any], folder: Path | None
) -> str:
    """Return a table of the layers with a picture from the middle of each, as HTML.

    layers: of the run. manifest: its content, whose warnings stand below. folder: the run's,
    if it is to be kept.
    The text needs nothing but itself, and everything in it is escaped.
    """
    everything = list(layers)
    rows = [_row(layer) for layer in everything[:MAX_LAYERS]]
    head = Markup("").join(_cell(text, "th") for text in ("", "layer", "role", "frames", "file"))
    parts = [_TABLE.format(head=head, rows=Markup("").join(rows))]
    if len(everything) > MAX_LAYERS:
        parts.append(_paragraph(f"and {len(everything) - MAX_LAYERS} more layers"))
    parts += [_paragraph(str(text)) for text in manifest.get("warnings", [])]
    if folder is not None:
        parts.append(_paragraph(f"in {folder}"))
    return str(Markup("<div>{}</div>").format(Markup("").join(parts)))


def picture_html(pixels: np.ndarray, label: str = "") -> Markup:
    """Return a picture ``(H, W, 3)``, RGB with 8 bits, as an element that holds it."""
    done, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        return Markup("")
    text = base64.b64encode(data.tobytes()).decode()
    return Markup('<img alt="{}" src="data:image/jpeg;base64,{}">').format(label, text)


def _row(layer: LayerResult) -> Markup:
    frames = range_text(layer.first_frame, layer.last_frame)
    cells = [_picture(layer), layer.name, layer.role, frames, layer.path.name]
    return Markup("<tr>{}</tr>").format(Markup("").join(map(_cell, cells)))


def _picture(layer: LayerResult) -> Markup:
    """Return a picture from the middle of a layer; nothing where its file is gone or damaged."""
    middle = (layer.last_frame - layer.first_frame) // 2
    try:
        clip = open_clip([layer.path], interlaced="keep")
        size = within_side((clip.info.height, clip.info.width), PICTURE_SIDE)
        (pixels,) = next(iter(clip.blocks(middle, middle, size))).pixels
    except (UnlayerError, OSError, ValueError, StopIteration):
        return Markup("")
    return picture_html(levels(pixels), layer.name)


def _cell(content: str | Markup, tag: str = "td") -> Markup:
    return Markup('<{0} style="{1}">{2}</{0}>').format(Markup(tag), _CELL, escape(content))


def _paragraph(text: str) -> Markup:
    return Markup('<p style="margin:4px 0">{}</p>').format(text)
