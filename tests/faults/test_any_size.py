"""Any size, rate and length through the reader and the writer.

What comes back is what was given.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stages.media.clip import ClipInfo, Frames
from stages.media.formats import LayerFormat
from stages.media.read import open_clip
from stages.media.write import LayerWriter

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
RATES = st.one_of(
    st.sampled_from(
        [
            Fraction(24000, 1001),
            Fraction(30000, 1001),
            Fraction(25),
            Fraction(50),
            Fraction(12),
            Fraction(1, 2),
            Fraction(240),
        ]
    ),
    st.fractions(min_value=Fraction(1, 5), max_value=120, max_denominator=1001),
)
OFTEN = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def written(
    folder: Path,
    pictures: np.ndarray,
    times: tuple[Fraction, ...],
    tick: Fraction,
    rate: Fraction,
    **options: bool,
) -> Path:
    """Write a layer of ``(T, H, W, 3)`` with levels from 0 to 255 at ``times``."""
    count, height, width, _ = pictures.shape
    info = ClipInfo(Path("in.mp4"), width, height, count, rate, tick)
    frames = Frames(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255, times)
    with LayerWriter(
        folder / "layer", info, LayerFormat(lossless=bool(options.get("lossless")))
    ) as writer:
        writer.write(frames)
    return writer.path


def read(path: Path) -> tuple[np.ndarray, list[Fraction]]:
    """Read its frames back, in whole levels, and their times."""
    blocks = list(open_clip([path]).blocks(length=3))
    pixels = torch.cat([block.pixels for block in blocks]).permute(0, 2, 3, 1).numpy()
    return np.rint(pixels * 255).astype(np.uint8), [
        time for block in blocks for time in block.times
    ]


@OFTEN
@given(size=SIZES, count=st.integers(1, 7), rate=RATES, seed=st.integers(0, 99))
@example(size=(1, 1), count=1, rate=Fraction(25), seed=0)
def test_lossless_layers_come_back_exactly(
    tmp_path: Path, size: tuple[int, int], count: int, rate: Fraction, seed: int
) -> None:
    pictures = np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)
    times = tuple(Fraction(3) + index / rate for index in range(count))
    got, again = read(written(tmp_path, pictures, times, 1 / rate, rate, lossless=True))
    assert np.array_equal(got, pictures)
    # Matroska stores times to 10 microseconds.
    assert all(abs(time - index / rate) <= Fraction(5, 10**6) for index, time in enumerate(again))


@OFTEN
@given(size=SIZES, count=st.integers(1, 7), rate=RATES, level=st.integers(0, 255))
@example(size=(1, 1), count=1, rate=Fraction(25), level=255)
def test_playable_layers_have_the_size_and_the_times(
    tmp_path: Path, size: tuple[int, int], count: int, rate: Fraction, level: int
) -> None:
    pictures = np.full((count, *size, 3), level, np.uint8)
    times = tuple(index / rate for index in range(count))
    got, again = read(written(tmp_path, pictures, times, 1 / rate, rate))
    assert got.shape == pictures.shape and np.abs(got.astype(int) - level).max() <= 2
    # These are whole ticks of the rate, so nothing is rounded.
    assert again == list(times)


@OFTEN
@given(
    steps=st.lists(st.integers(1, 200_000), min_size=1, max_size=9),
    start=st.integers(0, 10**6),
    lossless=st.booleans(),
)
def test_variable_times_are_kept(
    tmp_path: Path, steps: list[int], start: int, lossless: bool
) -> None:
    ticks = [start, *(start + int(tick) for tick in np.cumsum(steps))]
    pictures = np.random.default_rng(0).integers(0, 256, (len(ticks), 6, 8, 3), np.uint8)
    times = tuple(Fraction(tick, 90_000) for tick in ticks)
    got, again = read(
        written(tmp_path, pictures, times, Fraction(1, 90_000), Fraction(25), lossless=lossless)
    )
    assert len(got) == len(ticks)
    most = Fraction(5, 10**6) if lossless else 0
    assert all(
        abs(time - (given - times[0])) <= most for time, given in zip(again, times, strict=True)
    )
