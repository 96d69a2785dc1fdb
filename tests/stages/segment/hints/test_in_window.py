"""Test that marked frames count in the other frames of their window, and in its matte."""

from __future__ import annotations

import torch
from drawn_things import SIZE, area, disc, overlap

from stages.hint_regions import HintRegion
from stages.segment.hints.evidence import RegionEvidence, evidence
from stages.segment.hints.in_window import with_certain_alpha, with_certain_odds, with_marked
from stages.segment.hints.marked_frames import MarkedFrame
from stages.segment.motion import WindowMotion


def test_what_a_marked_frame_says_is_carried_along_the_flow() -> None:
    flow = torch.zeros(2, 2, *SIZE)
    flow[:, 0] = 3.0
    trust = torch.ones(2, 1, *SIZE)
    motion = WindowMotion(flow, -flow, flow, -flow, trust, trust, torch.zeros(3, 2, *SIZE))
    foreground, background = disc(30, 36, 8), disc(70, 36, 8)
    known = RegionEvidence(foreground, background, torch.zeros(SIZE))
    one = MarkedFrame(known, torch.where(foreground, 3.0, -3.0))
    odds = with_marked(torch.ones(3, *SIZE), {1: one}, motion)
    for place, shift in ((0, -3), (1, 0), (2, 3)):
        assert overlap(odds[place] > 0, foreground.roll(shift, 1)) > 0.9
    sure = with_certain_odds(torch.zeros(3, *SIZE), {1: one})
    assert float(sure[1, 36, 30]) > 3 and float(sure[1, 36, 70]) < -3
    assert float(sure[0].abs().max()) == 0


def test_certain_pixels_are_certain_in_the_soft_matte_of_their_frame() -> None:
    stroke, water = area(30, 34, 20, 60), area(60, 64, 10, 80)
    known = evidence([HintRegion(stroke), HintRegion(water, foreground=False)], SIZE)
    large = SIZE[0] * 2, SIZE[1] * 2
    soft = torch.full((3, 1, *large), 0.4)
    matte = with_certain_alpha(soft, {1: MarkedFrame(known, torch.zeros(SIZE))})
    assert bool((matte[1, 0, 60:68, 40:120] == 1).all())
    assert bool((matte[1, 0, 120:128, 20:160] == 0).all())
    assert torch.equal(matte[::2], soft[::2]) and bool((matte[1, 0, :40] == soft[1, 0, :40]).all())
