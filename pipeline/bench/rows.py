"""The rows of ``bench``: one clip each, how their cost grows, and the table of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from stages.errors import UnlayerError
from stages.media.sniff import printable

ASSUMED_GROWTH = 0.9
"""Exponent of pixels and of frames by which seconds grow, while too few rows are known."""

LEAST_ROWS = 4
"""Rows that a growth is fitted to, at least: it has three unknowns."""

SECONDS_PER_PIXEL = 1.5e-7
"""Seconds, for each pixel of each frame, to draw, write and judge a clip; measured."""


@dataclass(frozen=True)
class BenchRow:
    """One clip that is separated.

    state: ``measured``, ``skipped``, ``stopped`` or ``failed``.
    note: why it was not measured.
    seconds: wall-clock time of the run, from its inputs to its manifest.
    cpu_seconds: processor time of the run's process, with its start.
    held, reached: mean PSNR of the judged layers in dB, of a plain method and of the run.
    memory: peak memory of the run in bytes.
    stages: seconds by stage.
    """

    task: str
    preset: str
    device: str
    width: int
    height: int
    frames: int
    state: str = "measured"
    note: str = ""
    threads: int = 1
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    held: float = 0.0
    reached: float = 0.0
    memory: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def gain(self) -> float:
        """The gain over the plain method in dB."""
        return self.reached - self.held

    @property
    def gain_per_second(self) -> float:
        """The gain over the plain method in dB for each second."""
        return self.gain / max(self.seconds, 1e-9)

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """What identifies the row: two rows with the same key measure the same."""
        return self.task, self.preset, self.device, self.height, self.frames


FIGURES: dict[str, Callable[[BenchRow], float]] = {
    "seconds": lambda row: row.seconds,
    "processor seconds": lambda row: row.cpu_seconds,
    "memory": lambda row: row.memory,
}
"""The figures whose growth is fitted."""


def growth(
    rows: Sequence[BenchRow], figure: Callable[[BenchRow], float]
) -> tuple[float, float, float] | None:
    """Fit ``figure ~ pixels^p frames^q`` by least squares in logarithms.

    Returns ``(p, q, f)``, where rows differ from the fit by the factor f in the mean. Returns
    ``None`` where there are too few rows, or all have one size or one length.
    """
    measured = [row for row in rows if row.state == "measured" and figure(row) > 0]
    heights = {row.height for row in measured}
    lengths = {row.frames for row in measured}
    if len(measured) < LEAST_ROWS or len(heights) < 2 or len(lengths) < 2:
        return None
    terms = np.array(
        [[1.0, math.log(row.width * row.height), math.log(row.frames)] for row in measured]
    )
    logarithms = np.log([figure(row) for row in measured])
    fitted = np.linalg.lstsq(terms, logarithms, rcond=None)[0]
    factor = float(np.exp(np.abs(terms @ fitted - logarithms).mean()))
    return float(fitted[1]), float(fitted[2]), factor


def predicted_seconds(row: BenchRow, measured: Sequence[BenchRow]) -> float:
    """Return about how many seconds a row takes, its clip included.

    measured: rows of the same task, preset and device; the nearest one is scaled. Without any
    the prediction is 0.
    """
    if not measured:
        return 0.0
    powers = growth(measured, lambda other: other.seconds)
    by_pixels, by_frames = powers[:2] if powers else (ASSUMED_GROWTH, ASSUMED_GROWTH)

    def log_ratios(other: BenchRow) -> tuple[float, float]:
        pixels = row.height * row.width / (other.height * other.width)
        return math.log(pixels), math.log(row.frames / other.frames)

    nearest = min(measured, key=lambda other: sum(map(abs, log_ratios(other))))
    pixels, frames = log_ratios(nearest)
    own = SECONDS_PER_PIXEL * row.width * row.height * row.frames
    return nearest.seconds * math.exp(by_pixels * pixels + by_frames * frames) + own


def markdown(rows: Sequence[BenchRow]) -> str:
    """Return the rows as a table in Markdown, and how their cost grows."""
    lines = [
        "| size | frames | seconds | processor seconds | plain method, dB | Unlayer, dB "
        "| dB a second | memory |",
        "|---" * 8 + "|",
    ]
    for row in sorted_rows(rows):
        lines.append("| " + " | ".join(cells(row)) + " |")
    return "\n".join(lines) + "\n\n" + "\n".join(growth_lines(rows)) + "\n"


def sorted_rows(rows: Sequence[BenchRow]) -> list[BenchRow]:
    """Return the rows in the order of the table: by size, then by length."""
    return sorted(rows, key=lambda row: (row.height, row.frames))


def cells(row: BenchRow) -> list[str]:
    """Return the eight cells of a row in the table."""
    size, frames = f"{row.width}x{row.height}", str(row.frames)
    if row.state != "measured":
        return [size, frames, row.state, row.note, "", "", "", ""]
    figures = [
        f"{row.seconds:.1f}",
        f"{row.cpu_seconds:.1f}",
        f"{row.held:.1f}",
        f"{row.reached:.1f}",
        f"{row.gain_per_second:.2g}",
    ]
    return [size, frames, *figures, mebibytes(row.memory)]


def mebibytes(size: int) -> str:
    """Return a number of bytes in MiB, for people."""
    return f"{size / 2**20:.0f} MiB"


def growth_lines(rows: Sequence[BenchRow]) -> list[str]:
    """Return a line for each figure about how it grows."""
    lines = []
    for name, figure in FIGURES.items():
        if (powers := growth(rows, figure)) is not None:
            by_pixels, by_frames, factor = powers
            lines.append(
                f"{name}: pixels^{by_pixels:.2f} frames^{by_frames:.2f}, rows differ from it by "
                f"a factor of {factor:.2f} in the mean"
            )
    return lines or ["too few rows to say how the cost grows"]


def read_rows(path: Path) -> list[BenchRow]:
    """Return the rows in a ``--rows`` file; none where there is no file.

    Raises UnlayerError where a line is no row.
    """
    if not path.exists():
        return []
    names = {item.name for item in fields(BenchRow)}
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            values = json.loads(line)
            rows.append(BenchRow(**{name: values[name] for name in names & set(values)}))
        except (ValueError, TypeError) as error:
            raise UnlayerError(
                f"{printable(path)}: line {number} is no row of bench ({error}); give another "
                "--rows file"
            ) from error
    return rows
