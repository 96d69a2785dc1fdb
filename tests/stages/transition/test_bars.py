"""A film's bars are left out of a separation, and are as in the input in every layer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch
from clips import Apart, apart, drifting
from torch import Tensor
from torch.nn import functional

from stages.context import FitSettings
from stages.dark_bars import Border
from stages.media.clip import Frames
from stages.shots import Transition
from stages.transition.bars import shared_bars
from stages.transition.window import Window

CLEAN, STEPS, SIZE = 6, 4, (48, 64)
COUNT = 2 * CLEAN + STEPS
MIX = tuple((number + 1) / (STEPS + 1) for number in range(STEPS))


def clip(kind: str, seed: int, bars: Border) -> Frames:
    """Return two still scenes with a transition between them, and noisy bars around them."""
    one, other = (0.2 + 0.8 * drifting(side, 1, (0, 0), SIZE) for side in (2 * seed, 2 * seed + 1))
    frames = torch.cat([one.repeat(CLEAN + STEPS, 1, 1, 1), other.repeat(CLEAN, 1, 1, 1)])
    for number, weight in enumerate(MIX, CLEAN):
        matte: Tensor | float = weight
        if kind == "wipe":
            matte = (torch.arange(SIZE[1]) < weight * SIZE[1]).float()
        frames[number] = torch.lerp(one[0], other[0], torch.as_tensor(matte))
    sides = (bars.left, bars.right, bars.top, bars.bottom)
    whole = functional.pad(frames, sides, value=16 / 255)
    noise = torch.randint(0, 2, whole.shape, generator=torch.Generator().manual_seed(seed)) / 255
    outside = functional.pad(torch.zeros_like(frames), sides, value=1.0)
    whole = whole + outside * noise
    return Frames(whole, tuple(Fraction(number, 25) for number in range(COUNT)))


def separated(frames: Frames, kind: str) -> Apart:
    transition = Transition(CLEAN, CLEAN + STEPS - 1, kind, MIX, "gamma", 0, 1)
    return apart(frames, transition, settings=FitSettings(preset="fast"))


@pytest.mark.parametrize(("kind", "seed"), [("dissolve", 0), ("wipe", 1)])
def test_layers_do_not_depend_on_bars_and_have_those_of_the_input(kind: str, seed: int) -> None:
    draw = random.Random(seed)
    top, left = [(draw.randint(3, 9), 0), (0, draw.randint(3, 12))][draw.randrange(2)]
    bars = Border(top, top + 1 if top else 0, left, left)
    barred, plain = (separated(clip(kind, seed, each), kind) for each in (bars, Border()))
    assert torch.equal(bars.cropped(barred.outgoing), plain.outgoing)
    assert torch.equal(bars.cropped(barred.incoming), plain.incoming)
    for layer in (barred.outgoing, barred.incoming):
        restored = bars.with_border(bars.cropped(layer), "input", barred.frames)
        assert torch.equal(layer, restored) and layer.shape == barred.frames.shape
    if barred.matte is not None:
        assert barred.matte.shape[-2:] == barred.frames.shape[-2:]


def test_frames_without_bars_are_hardly_read_for_them() -> None:
    frames = clip("wipe", 3, Border())
    reads: list[int] = []

    def blocks(first: int, last: int) -> Iterator[Frames]:
        for number in range(first, last + 1):
            reads.append(number)
            yield Frames(frames.pixels[number : number + 1], (frames.times[number],), number)

    assert not shared_bars(Window(blocks, 0, COUNT - 1, SIZE))
    assert len(reads) == 1
