"""Say of a clip what no task takes apart: letterbox borders, interlacing, and slides that rest."""

from __future__ import annotations

from torch import Tensor

from stages.diagnosis import NOT_THERE, PERHAPS, THERE, ClipSample, Diagnosis
from stages.media.clip import ScanType
from stages.motion.flow import shrunk

DARK = 40 / 255
"""Value up to which a line of a border may go. Black is at 16 in some files; codecs add noise."""
EVEN = 6 / 255
"""Spread of the values in a border, over its lines and over time, that codecs and noise cause."""
STEP = 12 / 255
"""Least difference between a border and the picture's first lines."""
LEAST_BORDER = 0.01
"""Part of a side from which a border counts."""
BRIGHTEST = 0.98
"""Quantile of a line that stands for its brightest values; ringing next to the picture is above."""

STILL_PIXELS = 96 * 54
"""Pixels of the frames that are compared for motion; so small, noise averages out."""
STILL = 0.02
"""Change of a pixel, in values from 0 to 1, up to which it rests."""
MOVING_PART = 0.005
"""Part of the picture that has to change for a shot to move."""


def borders(sample: ClipSample) -> Diagnosis:
    """Return the verdict on borders: dark, even bands along the sides in every frame.

    A picture that is darker than :data:`DARK` as a whole, as in a fade, says nothing.
    """
    frames = sample.frames[sample.frames.amax((1, 2, 3)) > DARK + STEP]
    if not len(frames):
        return Diagnosis("borders", NOT_THERE, "every frame is dark")
    brightest = frames.amax(1)
    # Values of each line in all frames: (H, S * W) for rows, (W, S * H) for columns.
    rows = brightest.permute(1, 0, 2).flatten(1)
    columns = brightest.permute(2, 0, 1).flatten(1)
    top, bottom = _border(rows), _border(rows.flip(0))
    left, right = _border(columns), _border(columns.flip(0))
    down, across = (full / here for full, here in zip(sample.size, frames.shape[-2:], strict=True))
    widths = {
        "top": round(top * down),
        "bottom": round(bottom * down),
        "left": round(left * across),
        "right": round(right * across),
    }
    seen = {side: width for side, width in widths.items() if width}
    if not seen:
        return Diagnosis("borders", NOT_THERE, "the picture fills the frame", widths)
    account = ", ".join(f"{side} {width}" for side, width in seen.items()) + " pixels"
    pairs = (("top", "bottom"), ("left", "right"))
    both = any(widths[one] and widths[other] for one, other in pairs)
    return Diagnosis("borders", THERE if both else PERHAPS, account, widths)


def _border(lines: Tensor) -> int:
    """Return how many lines from the first on are a border; ``lines`` is ``(n, values)``."""
    even, _ = _even_and_dark(lines[:1])
    if not bool(even):
        # Most pictures have no border, and quantiles of all lines take long.
        return 0
    even, high = _even_and_dark(lines)
    count = int(even.int().cumprod(0).sum())
    if count < max(1.0, LEAST_BORDER * len(lines)) or count > len(lines) // 2:
        return 0
    beyond = high[count : count + 3]
    return count if float(beyond.max() - high[:count].max()) >= STEP else 0


def _even_and_dark(lines: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether each of the lines ``(n, values)`` is even and dark, and its bright end."""
    high = lines.quantile(BRIGHTEST, 1)
    low = lines.quantile(1 - BRIGHTEST, 1)
    return (high <= DARK) & (high - low <= EVEN), high


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
