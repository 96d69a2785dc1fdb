"""Verdicts on made clips: what is in them is found, and clean or tiny ones invent nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from clips import drifting, moving
from torch.nn import functional

from pipeline.bench import clips as known
from pipeline.diagnosis.diagnose import diagnosing_tasks
from pipeline.tasks import find_task
from stages.diagnosis import NOT_THERE, PERHAPS, THERE, VERDICTS, ClipSample, Diagnosis
from stages.media.clip import ScanType
from stages.picture_facts import borders, interlacing, stills

FRAMES = 24


def sample_of(frames: torch.Tensor, *, unordered: bool = False) -> ClipSample:
    """Return the sample of a short clip: all of its frames, which are one run too."""
    runs = () if unordered or len(frames) < 2 else (frames,)
    return ClipSample(
        size=(frames.shape[-2], frames.shape[-1]),
        frames=frames,
        numbers=tuple(range(len(frames))),
        runs=runs,
        run_starts=(0,) * len(runs),
        unordered=unordered,
        search={"shots": [], "transitions": [], "colors": []},
    )


def made(make: Callable[[int, int], Any], height: int = 120) -> torch.Tensor:
    clip = make(height, FRAMES)
    pictures = np.stack([clip.mixed(number) for number in range(FRAMES)])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().clamp(0, 1)


def verdict(task: str, frames: torch.Tensor, **more: bool) -> Diagnosis:
    diagnose = find_task(task).diagnose
    assert diagnose is not None
    return diagnose(sample_of(frames, **more))


@pytest.mark.parametrize(
    ("task", "make"),
    [
        ("watermark", known.watermark),
        ("dehaze", known.haze),
        ("segment", known.foreground),
    ],
)
def test_what_a_clip_was_made_with_is_there(task: str, make: Callable[[int, int], Any]) -> None:
    found = verdict(task, made(make))
    assert found.verdict == THERE, found


@pytest.mark.slow
def test_two_pans_that_add_up_are_a_reflection_and_one_before_the_other_is_none() -> None:
    one, other = (
        drifting(seed, 14, step, (90, 160)) for seed, step in ((3, (2.0, 0.5)), (4, (-1.5, 1.0)))
    )
    light = 0.6 * one**2.2 + 0.4 * other**2.2
    assert verdict("transparency", light ** (1 / 2.2)).verdict == THERE
    covered = one.clone()
    covered[:, :, 20:70, 40:120] = other[:, :, 20:70, 40:120]
    assert verdict("transparency", covered).verdict != THERE


def test_a_mark_is_told_with_its_place_time_and_opacity() -> None:
    scene = made(known.foreground)
    scene[:, :, 20:40, 30:70] = 0.4 * scene[:, :, 20:40, 30:70] + 0.6
    found = verdict("watermark", scene)
    assert found.verdict == THERE
    box = found.evidence["box"]
    assert isinstance(box, (list, tuple))
    x, y, width, height = box
    assert abs(x - 30) <= 4 and abs(y - 20) <= 4 and abs(width - 40) <= 8 and abs(height - 20) <= 8
    assert found.evidence["opacity"] == pytest.approx(0.6, abs=0.1)
    assert (found.evidence["first_frame"], found.evidence["last_frame"]) == (0, FRAMES - 1)


def test_haze_is_told_with_its_transmission() -> None:
    found = verdict("dehaze", made(known.haze))
    interval = found.evidence["transmission_interval"]
    assert isinstance(interval, (list, tuple))
    low, high = interval
    assert low <= float(str(found.evidence["transmission"])) <= high < 1


def test_pictures_that_mix_the_same_two_layers_are_a_reflection() -> None:
    one, other = (torch.from_numpy(moving(seed, 1, (60, 80))) / 255 for seed in (1, 2))
    weights = torch.tensor([0.2, 0.4, 0.7]).view(3, 1, 1, 1)
    mixtures = (weights * one + (1 - weights) * other).permute(0, 3, 1, 2)
    assert verdict("transparency", mixtures, unordered=True).verdict == THERE


def test_the_search_tells_cuts_and_transitions() -> None:
    diagnose = find_task("transition").diagnose
    assert diagnose is not None
    frames = torch.rand(2, 3, 8, 8)
    assert diagnose(sample_of(frames)).verdict == NOT_THERE
    moves = [{"kind": "cut"}, {"kind": "dissolve"}, {"kind": "dissolve"}]
    with_moves = ClipSample((8, 8), frames, (0, 1), search={"transitions": moves})
    found = diagnose(with_moves)
    assert found.verdict == THERE and found.account == "1 cut, 2 dissolve"


@pytest.mark.usually(17)
@pytest.mark.parametrize("task", [task.name for task in diagnosing_tasks()])
@pytest.mark.parametrize(
    ("count", "size"), [(1, (1, 1)), (2, (5, 7)), (9, (1, 40)), (24, (12, 16)), (3, (24, 40))]
)
@pytest.mark.parametrize("unordered", [False, True])
def test_every_size_and_length_gets_an_answer(
    task: str, count: int, size: tuple[int, int], unordered: bool
) -> None:
    frames = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))
    found = verdict(task, frames, unordered=unordered)
    assert found.verdict in VERDICTS and found.account
    for plain in (torch.zeros_like(frames), torch.ones_like(frames)):
        assert verdict(task, plain, unordered=unordered).verdict != THERE


@pytest.mark.parametrize("task", ["watermark", "dehaze", "transparency", "segment"])
def test_a_clip_that_stands_still_has_nothing_that_moves(task: str) -> None:
    picture = made(known.foreground)[:1]
    assert verdict(task, picture.expand(FRAMES, -1, -1, -1).clone()).verdict != THERE
    assert verdict(task, picture).verdict != THERE


def test_a_verdict_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="not 'maybe'"):
        Diagnosis("haze", "maybe", "it looks like it")


def test_letterbox_borders_are_measured_in_pixels_of_the_clip() -> None:
    frames = made(known.foreground)
    assert borders(sample_of(frames)).verdict == NOT_THERE
    boxed = frames.clone()
    boxed[:, :, :15] = boxed[:, :, -15:] = 16 / 255
    small = sample_of(boxed)
    found = borders(ClipSample((240, 426), small.frames, small.numbers, small.runs))
    assert found.verdict == THERE
    assert found.evidence == {"top": 30, "bottom": 30, "left": 0, "right": 0}
    boxed[:, :, -15:] = frames[:, :, -15:]
    assert borders(sample_of(boxed)).verdict == PERHAPS
    assert borders(sample_of(torch.zeros_like(frames))).verdict == NOT_THERE


def test_interlacing_is_what_the_reader_measured() -> None:
    assert interlacing(ScanType()).verdict == NOT_THERE
    assert interlacing(ScanType("interlaced", "tff")).verdict == THERE
    assert interlacing(ScanType("telecined", "tff")).verdict == THERE
    assert interlacing(ScanType(flagged="interlaced")).verdict == PERHAPS


def test_slides_are_shots_in_which_nothing_moves() -> None:
    frames = made(known.foreground)
    slide = frames[:1].expand(FRAMES, -1, -1, -1)
    noise = 0.01 * torch.randn(slide.shape, generator=torch.Generator().manual_seed(0))
    assert stills(sample_of(frames)).verdict == NOT_THERE
    assert stills(sample_of(slide + noise)).verdict == THERE
    both = sample_of(frames)
    both = ClipSample(both.size, both.frames, both.numbers, (frames, slide), (0, 0))
    assert stills(both).verdict == PERHAPS
    assert stills(sample_of(frames[:1])).verdict == NOT_THERE


def test_a_box_is_given_in_pixels_of_the_clip() -> None:
    where = torch.zeros(10, 20, dtype=torch.bool)
    sample = ClipSample((20, 60), torch.rand(1, 3, 10, 20), (0,))
    assert sample.box_of(where) == []
    where[2:5, 4:10] = True
    assert sample.box_of(where) == [12, 4, 18, 6]
    below = ClipSample((20, 60), torch.rand(1, 3, 10, 20), (0,), origin=(7, 9))
    assert below.box_of(where) == [21, 11, 18, 6]


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_loses_its_bars(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    top, left = (int(torch.randint(2, 8, (1,), generator=generator)) for _ in range(2))
    picture = torch.rand(2, 3, 40, 60, generator=generator) * 0.5 + 0.4
    frames = functional.pad(picture, (left, left, top, top))
    height, width = 3 * (40 + 2 * top), 2 * (60 + 2 * left)
    bare = ClipSample((height, width), frames, (0, 1), (frames,)).without_bars()
    assert torch.equal(bare.frames, picture) and torch.equal(bare.runs[0], picture)
    assert (bare.size, bare.origin) == ((120, 120), (3 * top, 2 * left))
    assert bare.without_bars() == bare
