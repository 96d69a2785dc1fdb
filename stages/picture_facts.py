"""Say of a clip what no task takes apart: letterbox borders, interlacing, and slides that rest."""

from __future__ import annotations

from torch import Tensor

from stages.dark_bars import DARK, STEP, dark_border
from stages.diagnosis import NOT_THERE, PERHAPS, THERE, ClipSample, Diagnosis
from stages.media.clip import ScanType
from stages.motion.flow import shrunk

STILL_PIXELS = 96 * 54
"""Pixels of the frames that are compared for motion; so small, noise averages out."""
STILL = 0.02
"""Change of a pixel, in values from 0 to 1, up to which it rests."""
MOVING_PART = 0.005
"""Part of the picture that has to change for a shot to move."""


def borders(sample: ClipSample) -> Diagnosis:
    """Return the verdict on borders: dark, even bands along the sides in every frame.

    A picture that is dark as a whole, as in a fade, says nothing.
    """
    frames = sample.frames
    if float(frames.amax()) <= DARK + STEP:
        return Diagnosis("borders", NOT_THERE, "every frame is dark")
    border = dark_border(frames)
    down, across = (full / here for full, here in zip(sample.size, frames.shape[-2:], strict=True))
    widths = {
        "top": round(border.top * down),
        "bottom": round(border.bottom * down),
        "left": round(border.left * across),
        "right": round(border.right * across),
    }
    seen = {side: width for side, width in widths.items() if width}
    if not seen:
        return Diagnosis("borders", NOT_THERE, "the picture fills the frame", widths)
    account = ", ".join(f"{side} {width}" for side, width in seen.items()) + " pixels"
    pairs = (("top", "bottom"), ("left", "right"))
    both = any(widths[one] and widths[other] for one, other in pairs)
    return Diagnosis("borders", THERE if both else PERHAPS, account, widths)


def interlacing(scan: ScanType) -> Diagnosis:
    """Return the verdict on interlacing, which the reader has measured on the first frames.

    scan: how the clip was scanned.
    """
    evidence = {"scan": scan.kind, "flagged": scan.flagged, "deinterlaced": scan.deinterlaced}
    if scan.kind == "interlaced":
        return Diagnosis("interlacing", THERE, "odd and even lines show two moments", evidence)
    if scan.kind == "telecined":
        account = "some frames hold lines of two moments: film with pulldown"
        return Diagnosis("interlacing", THERE, account, evidence)
    if scan.flagged == "interlaced":
        account = "the file says so, but the picture is progressive or does not move"
        return Diagnosis("interlacing", PERHAPS, account, evidence)
    return Diagnosis("interlacing", NOT_THERE, "each frame shows one moment", evidence)


def stills(sample: ClipSample) -> Diagnosis:
    """Return the verdict on slides: shots in which nothing moves at all."""
    if not sample.runs or max(len(run) for run in sample.runs) < 2:
        return Diagnosis("stills", NOT_THERE, "no frames follow each other here")
    parts = [_moving_part(run) for run in sample.runs]
    resting = sum(part < MOVING_PART for part in parts)
    evidence = {"shots": len(parts), "resting": resting, "moving_part": round(max(parts), 4)}
    if not resting:
        return Diagnosis("stills", NOT_THERE, "the picture moves", evidence)
    account = f"nothing moves in {resting} of {len(parts)} places that were looked at"
    return Diagnosis("stills", THERE if resting == len(parts) else PERHAPS, account, evidence)


def _moving_part(run: Tensor) -> float:
    """Return the part of the picture that changes within consecutive frames ``(T, 3, h, w)``."""
    small = shrunk(run, STILL_PIXELS)
    changes = (small - small[:1]).abs().amax(1)
    return float((changes > STILL).float().mean((1, 2)).max()) if len(run) > 1 else 0.0
