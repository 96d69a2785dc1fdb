"""Flows: their direction, how they scale, when two of them agree, and textures followed."""

from __future__ import annotations

import pytest
import torch
from clips import drifting
from torch import Tensor
from torch.nn import functional

from stages.motion.flow import (
    box,
    box_max,
    consistency,
    flows,
    length,
    resize,
    resize_flow,
    warp,
    warp_rows,
)


def random(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def still(x: float, y: float, size: tuple[int, int], count: int = 1) -> Tensor:
    """Return the same flow everywhere, ``(count, 2, H, W)``."""
    return (
        torch.tensor([x, y], dtype=torch.float32).view(1, 2, 1, 1).expand(count, 2, *size).clone()
    )


def test_no_flow_is_no_change() -> None:
    picture = random(2, 3, 7, 9)
    torch.testing.assert_close(warp(picture, still(0, 0, (7, 9), 2)), picture, atol=1e-5, rtol=0)


def test_warping_by_whole_pixels_is_slicing() -> None:
    picture = random(1, 3, 7, 9)
    moved = warp(picture, still(2, -1, (7, 9)))
    torch.testing.assert_close(moved[..., 1:, :-2], picture[..., :-1, 2:], atol=1e-5, rtol=0)
    # Beyond the edge its last pixel.
    torch.testing.assert_close(
        moved[..., 1:, -2:], picture[..., :-1, -1:].expand(-1, -1, -1, 2), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(moved[..., 0, :-2], picture[..., 0, 2:], atol=1e-5, rtol=0)


def test_warping_by_half_a_pixel_is_the_mean_of_two() -> None:
    picture = random(1, 1, 4, 6)
    moved = warp(picture, still(0.5, 0, (4, 6)))
    torch.testing.assert_close(
        moved[..., :-1], (picture[..., :-1] + picture[..., 1:]) / 2, atol=1e-5, rtol=0
    )


def test_resizing_takes_means_downwards_and_keeps_what_fits() -> None:
    picture = random(2, 3, 6, 8)
    assert resize(picture, (6, 8)) is picture
    torch.testing.assert_close(resize(picture, (3, 4))[1, 2, 1, 3], picture[1, 2, 2:4, 6:8].mean())
    assert resize(picture, (12, 16)).shape == (2, 3, 12, 16) and resize(picture, (3, 16)).shape == (
        2,
        3,
        3,
        16,
    )
    torch.testing.assert_close(
        resize(torch.full((1, 1, 2, 3), 0.4), (5, 7)), torch.full((1, 1, 5, 7), 0.4)
    )


@pytest.mark.parametrize(
    ("size", "expected"), [((3, 16), (4.0, -1.5)), ((12, 4), (1.0, -6.0)), ((6, 8), (2.0, -3.0))]
)
def test_a_resized_flow_is_longer_with_its_picture(
    size: tuple[int, int], expected: tuple[float, float]
) -> None:
    torch.testing.assert_close(resize_flow(still(2, -3, (6, 8)), size), still(*expected, size))


def test_a_resized_flow_moves_a_resized_picture_alike() -> None:
    picture, flow = drifting(1, 1, (0, 0), (32, 48)), still(4, 2, (32, 48))
    small = warp(resize(picture, (16, 24)), resize_flow(flow, (16, 24)))
    expected = resize(warp(picture, flow), (16, 24))
    torch.testing.assert_close(small[..., :-1, :-2], expected[..., :-1, :-2], atol=1e-4, rtol=0)


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_a_box_is_the_mean_of_a_square_with_repeated_edges(radius: int) -> None:
    picture = random(1, 1, 5, 6)
    mean = box(picture, radius)
    assert mean.shape == picture.shape
    for y, x in ((0, 0), (2, 3), (4, 5)):
        square = [
            float(picture[0, 0, min(max(y + down, 0), 4), min(max(x + right, 0), 5)])
            for down in range(-radius, radius + 1)
            for right in range(-radius, radius + 1)
        ]
        assert float(mean[0, 0, y, x]) == pytest.approx(sum(square) / len(square), abs=1e-5)


def test_a_way_there_and_back_is_confident() -> None:
    sure = consistency(still(3, -2, (16, 20)), still(-3, 2, (16, 20)), 1.0)
    assert sure.shape == (1, 1, 16, 20)
    inside = torch.zeros(1, 1, 16, 20)
    inside[..., 2:, :-3] = 1  # elsewhere the flow leaves the picture
    torch.testing.assert_close(sure, inside)


@pytest.mark.parametrize(
    ("missed", "expected"), [(0.0, 1.0), (1.0, 0.778801), (2.0, 0.367879), (8.0, 0.0)]
)
def test_confidence_falls_with_what_is_missed(missed: float, expected: float) -> None:
    """``exp(-(missed / 2)²)``."""
    sure = consistency(still(1, 0, (16, 20)), still(-1 + missed, 0, (16, 20)), 2.0)
    torch.testing.assert_close(
        sure[..., :-1], torch.full((1, 1, 16, 19), expected), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("velocity", [(3.0, -2.0), (0.5, 0.25), (-5.0, 4.0)])
def test_a_moved_texture_is_followed(velocity: tuple[float, float]) -> None:
    frames = drifting(3, 2, velocity, (64, 80))
    found = flows(frames, [(0, 1), (1, 0)])
    middle = (slice(None), slice(12, -12), slice(12, -12))
    for pair, sign in (((0, 1), 1), ((1, 0), -1)):
        off = found[pair][middle] - sign * torch.tensor(velocity).view(2, 1, 1)
        assert off.norm(dim=0).mean() < 0.3, pair
    # The flow from frame t to frame u brings u's pixels to t.
    brought = warp(frames[1:], found[0, 1][None])
    assert (brought - frames[:1])[0][middle].abs().mean() < 0.25 * (frames[1] - frames[0])[
        middle
    ].abs().mean()


def test_each_pair_is_returned_once_and_no_other() -> None:
    frames = drifting(1, 3, (1, 0), (16, 24))
    found = flows(frames, [(0, 2), (1, 1), (0, 2)])
    assert set(found) == {(0, 2), (1, 1)} and all(
        flow.shape == (2, 16, 24) and flow.dtype == torch.float32 for flow in found.values()
    )
    assert found[1, 1].abs().max() < 0.1
    assert flows(frames, []) == {}


def test_the_order_of_the_pairs_changes_nothing() -> None:
    frames, pairs = drifting(2, 4, (1.5, -1), (32, 40)), [(0, 1), (3, 1), (2, 3), (1, 0)]
    one, other = flows(frames, pairs), flows(frames, pairs[::-1])
    assert all(torch.equal(one[pair], other[pair]) for pair in pairs)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (7, 9), (15, 40)])
def test_tiny_pictures_have_flows_too(size: tuple[int, int]) -> None:
    frames = random(2, 3, *size)
    flow = flows(frames, [(0, 1)])[0, 1]
    assert flow.shape == (2, *size) and torch.isfinite(flow).all()
    moved = warp(frames[1:], flow[None])
    assert moved.shape == (1, 3, *size) and torch.isfinite(moved).all()
    assert float(moved.min()) >= 0 and float(moved.max()) <= 1.0001


def test_the_length_is_that_of_the_vectors() -> None:
    flow = 4 * random(2, 2, 5, 6) - 2
    torch.testing.assert_close(length(flow), flow.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("first_row, end", [(0, 7), (0, 3), (2, 5), (6, 7)])
def test_rows_are_warped_as_the_whole_picture_is(first_row: int, end: int) -> None:
    picture, flow = random(1, 3, 7, 9), 6 * random(1, 2, 7, 9) - 3
    rows = warp_rows(picture[0], flow[0, :, first_row:end], first_row)
    torch.testing.assert_close(rows, warp(picture, flow)[0, :, first_row:end])


@pytest.mark.parametrize("seed", range(6))
def test_largest_values_are_those_of_squares(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    height, width, radius = (int(torch.randint(1, most, (), generator=draw)) for most in (9, 9, 5))
    picture = torch.rand(2, 3, height, width, generator=draw).transpose(2, 3)
    square = 2 * radius + 1
    expected = functional.max_pool2d(picture, square, 1, radius)
    assert torch.equal(box_max(picture, radius), expected)
    with_gradient = picture.clone().requires_grad_()
    assert torch.equal(box_max(with_gradient, radius), expected)
