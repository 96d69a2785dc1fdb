"""Marks laid over pictures made here, so that the clean pictures, the mark and its matte are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from clips import moving, psnr
from torch import Tensor
from torch.nn import functional as F

from stages.checkpoint import NoCheckpoints
from stages.context import FitSettings, Separation, SeparationContext
from stages.watermark.colours import all_colours, part_colour
from stages.watermark.fill import fill, pull_push
from stages.watermark.find import (
    OFFSETS,
    Cut,
    Mark,
    dilated,
    expansion_move,
    misfit,
    opacity_and_colour,
    pairs,
    shared_opacity,
    solve,
    texture,
)
from stages.watermark.fit import consensus
from stages.watermark.layers import independent, motion_weight, separate, survey
from stages.watermark.paper import separate_published
from stages.watermark.texture import texture_nats, whitening

T = TypeVar("T")
SIZE = (72, 96)
WHITE, RED = (1.0, 1.0, 1.0), (0.9, 0.1, 0.1)


def brief(
    hint: Tensor | None = None,
    *,
    preset: str = "fast",
    seed: int = 0,
    seconds: float | None = None,
    unordered: bool = True,
) -> SeparationContext:
    return SeparationContext(
        FitSettings(preset=preset, seed=seed, max_seconds=seconds), hint=hint, unordered=unordered
    )


def scene(seed: int = 3, frames: int = 1, size: tuple[int, int] = SIZE) -> Tensor:
    """A smooth coloured pattern with a square in front, both moving, ``(frames, 3, H, W)``."""
    return torch.from_numpy(moving(seed, frames, size)).permute(0, 3, 1, 2).float() / 255


def scenes(count: int, size: tuple[int, int] = SIZE) -> Tensor:
    """As many different ones."""
    return torch.cat([scene(10 + number, 1, size) for number in range(count)])


def letters(size: tuple[int, int] = SIZE) -> Tensor:
    """A thing like an H beside a ring, with soft edges, ``(1, 1, H, W)``."""
    height, width = 4 * size[0], 4 * size[1]
    y, x = torch.arange(height)[:, None] / 4, torch.arange(width)[None] / 4
    bars = (
        ((x - 22.3).abs() < 4)
        | ((x - 42.6).abs() < 4)
        | (((y - 36.2).abs() < 4) & (x > 20) & (x < 44))
    )
    h = bars & (y > 20.4) & (y < 52.7)
    ring = (((x - 68.2) ** 2 + (y - 36.1) ** 2).sqrt() - 12).abs() < 4
    return F.avg_pool2d((h | ring).float()[None, None], 4)


def marked(
    clean: Tensor, shape: Tensor, opacity: float, colour: tuple[float, float, float] | Tensor
) -> Tensor:
    """The pictures under the mark, as 8 bits hold them."""
    hue = torch.tensor(colour).view(1, 3, 1, 1) if isinstance(colour, tuple) else colour
    return rounded((1 - opacity * shape) * clean + opacity * shape * hue)


def rounded(pixels: Tensor) -> Tensor:
    return (pixels * 255).round() / 255


def box_around(shape: Tensor) -> Tensor:
    """The box that a user would draw."""
    rows, columns = shape[0, 0].amax(1).nonzero(), shape[0, 0].amax(0).nonzero()
    box = torch.zeros_like(shape)
    box[
        ...,
        int(rows.min()) - 4 : int(rows.max()) + 5,
        int(columns.min()) - 4 : int(columns.max()) + 5,
    ] = 1
    return box


def taken_off(frames: Tensor, told: SeparationContext | None = None) -> Separation:
    told = told or brief()
    return separate(frames, survey(frames, told), told)


def inside(guess: Tensor, truth: Tensor, shape: Tensor) -> float:
    where = (shape > 0.02).expand_as(truth)
    return psnr(rounded(guess)[where][None], truth[where][None])


def mixed_back(separated: Separation) -> Tensor:
    layers = {name: rounded(pixels) for name, pixels in separated.layers.items()}
    return (1 - layers["matte"]) * layers["clean"] + layers["matte"] * layers["watermark"]


def test_pairs_are_partners_in_every_direction() -> None:
    picture = torch.arange(12.0).view(3, 4)
    for offset in ((0, 1), (1, 0), (1, -1), (2, 2), (2, -2)):
        here, there = pairs(picture, offset)
        assert torch.equal(there - here, torch.full_like(here, 4 * offset[0] + offset[1]))
    assert pairs(torch.zeros(2, 2), (0, 3))[0].numel() == 0


def test_misfit_by_hand() -> None:
    difference = torch.zeros(1, 3, 1, 1)
    assert float(misfit(difference)) == 0
    difference[0, 0] = 0.05
    assert float(misfit(difference, 0.05)) == pytest.approx(0.05 * 0.6931, rel=1e-3)


def test_a_cut_finds_the_cheapest_labels_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    unary = torch.randn(2, 3, generator=generator)
    empty = Cut(
        unary,
        tuple(torch.rand(pairs(unary, offset)[0].shape, generator=generator) for offset in OFFSETS),
    )
    every = [
        torch.tensor([(number >> bit) & 1 for bit in range(6)]).view(2, 3) > 0
        for number in range(64)
    ]
    best = min(empty.cost(labels) for labels in every)
    assert empty.cost(solve(empty, torch.ones(2, 3), 500)) == pytest.approx(best, abs=1e-5)


def test_undoing_the_true_mark_costs_less_than_leaving_it() -> None:
    shape = (letters() > 0.5).float()
    frames = marked(scene(), shape, 0.4, WHITE)
    none = torch.zeros_like(frames[0])
    cut = expansion_move(frames, none[:1], none, 0.4, torch.ones(3), 0.05, torch.ones(SIZE))
    assert cut.cost(shape[0, 0] > 0.5) < 0
    assert cut.cost(torch.zeros(SIZE, dtype=torch.bool)) == 0


@pytest.mark.parametrize(("opacity", "colour"), [(0.3, WHITE), (0.6, RED), (0.45, (0.0, 0.0, 0.0))])
def test_opacity_and_colour_follow_from_the_outline(
    opacity: float, colour: tuple[float, float, float]
) -> None:
    found = opacity_and_colour(marked(scenes(2), letters(), opacity, colour), letters()[0, 0] > 0.5)
    assert found is not None
    assert found[0] == pytest.approx(opacity, abs=0.05)
    assert torch.allclose(found[1], torch.tensor(colour), atol=0.1)


def test_opacity_of_any_colours_from_several_pictures() -> None:
    colours = scene(77)
    found = shared_opacity(marked(scenes(4), letters(), 0.5, colours), letters()[0, 0] > 0.5)
    assert found == pytest.approx(0.5, abs=0.04)
    assert shared_opacity(scene(), letters()[0, 0] > 0.5) is None


def test_consensus_is_what_all_pictures_share() -> None:
    shape = (letters() > 0.5).float()
    levels = torch.tensor([0.1, 0.5, 0.3]).view(3, 1, 1, 1).expand(3, 3, *SIZE)
    allowed = torch.zeros(SIZE)
    allowed[1:-1, 1:-1] = 1
    common = consensus(levels + 0.2 * shape, allowed, 600)
    assert psnr(common[None], 0.2 * shape.expand(1, 3, -1, -1)) > 30


def test_grown_both_ways() -> None:
    dot = torch.zeros(7, 7, dtype=torch.bool)
    dot[3, 3] = True
    assert int(dilated(dot, 1).sum()) == 9
    assert torch.equal(dilated(dilated(dot, 2), -2), dot)


def test_a_picture_with_a_box() -> None:
    clean, shape = scene(), letters()
    frames = marked(clean, shape, 0.4, WHITE)
    separated = taken_off(frames, brief(box_around(shape)))
    assert inside(separated.layers["clean"], clean, shape) > 30
    outside = (shape == 0).expand_as(clean)
    assert psnr(separated.layers["clean"][outside][None], frames[outside][None]) > 45
    assert separated.report["opacity"] == pytest.approx(0.4, abs=0.03)


def test_several_pictures_under_one_mark_of_many_colours() -> None:
    clean, shape = scenes(4), letters()
    colour = torch.where(
        torch.arange(SIZE[1]) < 50, torch.tensor(WHITE)[:, None], torch.tensor(RED)[:, None]
    )[None, :, None]
    frames = marked(clean, shape, 0.5, colour.expand(1, 3, *SIZE))
    separated = taken_off(frames)
    assert separated.shared == {"watermark", "matte"}
    assert separated.layers["matte"].shape == (1, 1, *SIZE)
    assert inside(separated.layers["clean"], clean, shape.expand(4, -1, -1, -1)) > 25
    outside = (shape == 0).expand_as(clean)
    assert psnr(separated.layers["clean"][outside][None], frames[outside][None]) > 45


def test_a_clip_with_a_logo_that_stays_put() -> None:
    clean, shape = scene(5, 96)[::8], letters()
    separated = taken_off(marked(clean, shape, 0.45, WHITE), brief(unordered=False))
    assert inside(separated.layers["clean"], clean, shape.expand(12, -1, -1, -1)) > 28


def test_no_mark_leaves_everything_as_it_is() -> None:
    for frames, told in (
        (scenes(4), brief()),
        (scene(), brief()),
        (scene().expand(6, -1, -1, -1), brief(unordered=False)),
    ):
        separated = taken_off(frames, told)
        assert torch.equal(separated.layers["clean"], frames)
        assert float(separated.layers["matte"].max()) == 0
        assert separated.report["marked_part"] == 0


def test_an_opaque_mark_is_filled() -> None:
    clean, shape = scenes(2), letters()
    separated = taken_off(marked(clean, shape, 1.0, RED))
    assert separated.report["lost_part"] > 0.05
    assert psnr(mixed_back(separated), marked(clean, shape, 1.0, RED)) > 40
    assert float(separated.layers["matte"].max()) == 1
    raw = inside(marked(clean, shape, 1.0, RED), clean, shape.expand(2, -1, -1, -1))
    assert inside(separated.layers["clean"], clean, shape.expand(2, -1, -1, -1)) > raw + 6


def test_the_layers_mix_back() -> None:
    shape = letters()
    frames = marked(scene(), shape, 0.5, WHITE)
    assert psnr(mixed_back(taken_off(frames, brief(box_around(shape)))), frames) > 40


def test_same_seed_same_bytes() -> None:
    frames = marked(scenes(2), letters(), 0.4, WHITE)
    one, two = (taken_off(frames, brief(seed=3)) for _ in range(2))
    assert all(torch.equal(one.layers[name], two.layers[name]) for name in one.layers)


@pytest.mark.parametrize(
    ("size", "count", "value"),
    [((1, 1), 1, 0.0), ((1, 9), 2, 1.0), ((3, 2), 1, 0.5), ((37, 53), 1, 1.0), ((9, 11), 2, 0.0)],
)
def test_any_size_and_plain_pictures(size: tuple[int, int], count: int, value: float) -> None:
    frames = torch.full((count, 3, *size), value)
    separated = taken_off(frames, brief(torch.ones(1, 1, *size), seconds=2.0))
    assert separated.layers["clean"].shape == frames.shape
    assert psnr(mixed_back(separated), frames) > 40


@pytest.mark.parametrize("count", [1, 2])
def test_rough_pictures_stay_finite(count: int) -> None:
    noise = torch.rand(count, 3, 37, 53, generator=torch.Generator().manual_seed(0))
    layers = taken_off(noise, brief(torch.ones(1, 1, 37, 53), seconds=2.0)).layers
    assert all(
        bool(pixels.isfinite().all()) and float(pixels.min()) >= 0 and float(pixels.max()) <= 1
        for pixels in layers.values()
    )


def grass(size: tuple[int, int] = SIZE) -> Tensor:
    """Green of one hue, rough in its light alone, ``(1, 3, H, W)``."""
    rough = F.avg_pool2d(
        torch.randn(1, 1, size[0] + 2, size[1] + 2, generator=torch.Generator().manual_seed(4)),
        3,
        1,
    )
    return (0.45 + 0.35 * rough).clamp(0.1, 0.9) * torch.tensor([0.7, 1.0, 0.3]).view(1, 3, 1, 1)


def test_a_difference_costs_more_where_its_colour_is_rare() -> None:
    differences = [there - here for here, there in (pairs(grass()[0], (0, 1)),)][0]
    factor = whitening(differences)
    light = torch.tensor([0.07, 0.1, 0.03]).view(3, 1, 1).expand_as(differences)
    tint = torch.tensor([0.07, -0.1, 0.03]).view(3, 1, 1).expand_as(differences)
    assert float(texture_nats(torch.zeros_like(light), factor).abs().max()) == 0
    assert float(texture_nats(tint, factor).mean()) > 3 * float(texture_nats(light, factor).mean())


def test_an_edge_does_not_widen_what_is_usual() -> None:
    flat = 0.01 * torch.randn(3, 60, 60, generator=torch.Generator().manual_seed(1))
    edged = flat.clone()
    edged[:, :, 30] += 0.5
    probe = torch.full_like(flat, 0.05)
    without, within = (
        float(texture_nats(probe, whitening(kind))[10:50, 10:50].mean()) for kind in (flat, edged)
    )
    assert within > 0.7 * without


def two_colours() -> Tensor:
    """Red to the left, white to the right, ``(1, 3, H, W)``."""
    hue = torch.where(
        torch.arange(SIZE[1]) < 50, torch.tensor(RED)[:, None], torch.tensor(WHITE)[:, None]
    )
    return hue[None, :, None].expand(1, 3, *SIZE)


def test_a_second_colour_of_a_single_picture() -> None:
    shape = (letters() > 0.5).float()
    frames = marked(scene(), shape, 0.5, two_colours())
    left = 0.5 * (shape[0] * (torch.arange(SIZE[1]) < 50))
    mark = Mark(left, left * torch.tensor(RED).view(3, 1, 1), 0.5, 1.0)
    ring = shape[0, 0].bool() & (torch.arange(SIZE[1]) >= 50)
    assert torch.allclose(
        part_colour(frames, mark.matte, mark.ink, 0.5, ring), torch.ones(3), atol=0.08
    )
    whole = all_colours(
        frames, mark, box_around(shape)[0, 0], torch.ones(SIZE), 80, texture(frames)
    )
    assert int(((whole.matte[0] > 0) ^ shape[0, 0].bool()).sum()) < 40
    assert torch.allclose(whole.colour[:, ring].median(1).values, torch.ones(3), atol=0.08)
    one = marked(scene(), shape, 0.5, RED)
    kept = Mark(0.5 * shape[0], 0.5 * shape[0] * torch.tensor(RED).view(3, 1, 1), 0.5, 1.0)
    assert torch.equal(
        all_colours(one, kept, box_around(shape)[0, 0], torch.ones(SIZE), 80, texture(one)).matte,
        kept.matte,
    )


def test_frames_that_are_alike_count_as_one() -> None:
    assert independent(scene().expand(5, -1, -1, -1)) == pytest.approx(1, abs=1e-3)
    noise = torch.rand(5, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    assert independent(noise) == pytest.approx(5, abs=0.2)


def test_stirred_tells_what_moves() -> None:
    frames = torch.zeros(4, 3, 20, 40)
    frames[::2, :, :, 30:] = 1
    told = motion_weight(frames)
    assert float(told[:, :20].max()) == 0
    assert float(told[:, 31:].min()) == 1


def test_carried_on_keeps_what_is_known() -> None:
    known = torch.ones(1, 1, 13, 17)
    known[..., 4:9, 5:11] = 0
    plane = torch.full((1, 3, 13, 17), 0.3)
    filled = pull_push(plane * known, known)
    assert torch.allclose(filled, plane, atol=1e-5)


def test_the_fill_changes_the_hole_alone() -> None:
    frames, hole = scenes(2), torch.zeros(SIZE, dtype=torch.bool)
    hole[30:40, 40:52] = True
    filled = fill(frames, hole, brief(), 30)
    assert torch.equal(filled[..., ~hole], frames[..., ~hole])
    assert not torch.equal(filled[..., hole], frames[..., hole])


def test_the_published_method_runs() -> None:
    frames, shape = (
        marked(scenes(2, (40, 48)), letters()[..., 16:56, 10:58], 0.4, WHITE),
        letters()[..., 16:56, 10:58],
    )
    separated = taken_off(frames, brief(torch.ones_like(shape), preset="paper", seconds=0.5))
    assert {name: tuple(pixels.shape) for name, pixels in separated.layers.items()} == {
        "clean": (2, 3, 40, 48),
        "watermark": (1, 3, 40, 48),
        "matte": (1, 1, 40, 48),
    }


class Given(NoCheckpoints):
    """Measures, where told to, and goes by another number all the same."""

    def __init__(self, count: int, *, measuring: bool) -> None:
        self.count, self.measuring, self.asked = count, measuring, list[str]()

    def compute_and_save(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        self.asked.append(name)
        if self.measuring:
            make()
        return self.count  # type: ignore[return-value]


def test_a_fill_by_the_clock_does_the_steps_that_were_kept() -> None:
    frames, hole = scenes(2, (40, 48)), torch.zeros(40, 48, dtype=torch.bool)
    hole[18:24, 20:28] = True
    kept, measured = Given(6, measuring=False), Given(6, measuring=True)
    told = brief(seconds=2.0)
    resumed, first = (
        fill(frames, hole, replace(told, checkpoints=checkpoints), 100)
        for checkpoints in (kept, measured)
    )
    assert kept.asked == measured.asked == ["fill"]
    assert torch.equal(resumed, first)
    assert torch.equal(first, fill(frames, hole, brief(), 6))


def test_the_published_method_by_the_clock_does_the_steps_that_were_kept() -> None:
    frames, box = scenes(1, (24, 32)), torch.ones(24, 32, dtype=torch.bool)
    kept, measured = Given(2, measuring=False), Given(2, measuring=True)
    told = brief(preset="paper", seconds=2.0)
    resumed, first = (
        separate_published(frames, box, replace(told, checkpoints=checkpoints))
        for checkpoints in (kept, measured)
    )
    assert kept.asked == measured.asked == ["steps"]
    assert all(torch.equal(resumed.layers[name], first.layers[name]) for name in first.layers)
    assert first.report["fit_steps"] == 2
