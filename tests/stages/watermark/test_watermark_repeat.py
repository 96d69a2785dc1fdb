"""Test marks that repeat over one picture, and the JPEG rounding that undoing a mark amplifies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from clips import psnr
from marked_pictures import (
    WHITE,
    make_context,
    marked,
    psnr_inside,
    remove_mark,
    scene,
    searched,
)
from torch import Tensor
from torch.nn import functional as F

from stages.watermark.evidence import Evidence
from stages.watermark.graph_cut import solve
from stages.watermark.jpeg_rounding import (
    BLOCK,
    cosine_basis,
    jpeg_quality,
    quantization_steps,
    without_rounding,
)
from stages.watermark.mark import MarkLaw
from stages.watermark.pixel_maps import inner_part
from stages.watermark.repetition_grid import find_grid, sum_shifted
from stages.watermark.survey import extend_to_rim

SIZE = (192, 256)
STEP = (61, 83)


def ring_grid() -> Tensor:
    """Return a ring with a bar, repeated every ``STEP`` pixels, ``(1, 1, H, W)``."""
    rows = torch.arange(SIZE[0])[:, None] % STEP[0] - 27.0
    columns = torch.arange(SIZE[1])[None] % STEP[1] - 35.0
    ring = ((rows.square() + columns.square()).sqrt() - 12).abs() < 3
    bar = (rows.abs() < 3) & (columns > 0) & (columns < 24)
    return (ring | bar).float()[None, None]


def busy_scene() -> Tensor:
    """Return smooth colours with dark rectangles and a little noise, ``(1, 3, H, W)``.

    Nothing in it is periodic.
    """
    generator = torch.Generator().manual_seed(6)
    colors = F.interpolate(
        torch.rand(1, 3, 5, 7, generator=generator), size=SIZE, mode="bicubic"
    ).clamp(0, 1)
    picture = 0.3 + 0.4 * colors
    for _ in range(12):
        row, column, height, width = (
            int(torch.randint(5, most, (1,), generator=generator)) for most in (150, 200, 50, 60)
        )
        picture[..., row : row + height, column : column + width] *= 0.6
    return (picture + 0.005 * torch.randn(1, 3, *SIZE, generator=generator)).clamp(0, 1)


def as_jpeg(picture: Tensor, quality: int) -> Tensor:
    """Return ``picture`` with the rounding of a grey JPEG of this ``quality`` in every channel.

    picture: ``(3, H, W)`` in [0, 1]; its sides are divisible by 8.
    """
    height, width = picture.shape[-2:]
    steps, basis = quantization_steps(quality)[0], cosine_basis()
    blocks = (
        (picture * 255 - 128).view(3, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(2, 3)
    )
    rounded = ((basis @ blocks @ basis.T) / steps).round() * steps
    pixels = (basis.T @ rounded @ basis).transpose(2, 3).reshape(3, height, width)
    return ((pixels + 128).round() / 255).clamp(0, 1)


def test_a_grid_is_found_by_its_edges() -> None:
    shifts = find_grid(marked(busy_scene(), ring_grid(), 0.4, WHITE))
    assert {STEP, (-STEP[0], STEP[1]), (0, STEP[1]), (STEP[0], 0)} <= set(shifts)
    assert all(down % STEP[0] == 0 and right % STEP[1] == 0 for down, right in shifts)
    assert {(-down, -right) for down, right in shifts} == set(shifts)


def test_nothing_repeats_in_a_picture_without_a_grid() -> None:
    assert find_grid(busy_scene()) == ()
    assert find_grid(torch.full((1, 3, *SIZE), 0.4)) == ()
    assert find_grid(torch.zeros(1, 3, 5, 7)) == ()


def test_sum_shifted_adds_what_lies_at_each_shift() -> None:
    values = torch.arange(12.0).view(3, 4)
    total = sum_shifted(values, ((1, 2), (0, -1), (9, 0)))
    assert float(total[0, 0]) == 0 + 6
    assert float(total[0, 1]) == 1 + 7 + 0
    assert float(total[2, 3]) == 11 + 10
    assert torch.equal(sum_shifted(values, ()), values)


def test_repetitions_leave_no_part_of_the_scene_in_the_mark() -> None:
    shape = ring_grid()[0, 0] > 0
    frames = marked(busy_scene(), ring_grid(), 0.3, WHITE)
    allowed = inner_part(torch.ones(SIZE))
    wrong = []
    repeated = find_grid(frames)
    assert repeated
    for shifts in ((), repeated):
        evidence = Evidence(replace(searched(frames), shifts=shifts))
        found = solve(evidence.cut(MarkLaw(0.3, torch.ones(3))), allowed, 100)
        wrong.append(int((found & ~shape).sum()))
    assert wrong[1] <= wrong[0]
    assert wrong[1] < 0.01 * int(shape.sum())


@pytest.mark.slow
def test_a_picture_under_a_grid_of_marks() -> None:
    clean, shape = busy_scene(), ring_grid()
    frames = marked(clean, shape, 0.5, WHITE)
    separated = remove_mark(frames, make_context(torch.ones(1, 1, *SIZE)))
    assert psnr_inside(separated.layers["clean"], clean, shape) > 30
    outside = (shape == 0).expand_as(clean)
    assert psnr(separated.layers["clean"][outside][None], frames[outside][None]) > 40


def test_a_mark_goes_on_to_the_rim_of_the_picture() -> None:
    layer, box = torch.zeros(1, 6, 8), torch.ones(6, 8, dtype=torch.bool)
    layer[0, 1, 3] = 0.5
    box[0, 5] = False
    layer[0, 1, 5] = 0.5
    filled = extend_to_rim(layer, box)
    assert float(filled[0, 0, 3]) == 0.5
    assert float(filled[0, 0, 5]) == 0
    assert torch.equal(filled[:, 1:-1, 1:-1], layer[:, 1:-1, 1:-1])


@pytest.mark.parametrize("quality", [60, 85])
def test_the_quality_is_read_off_a_decoded_picture(quality: int) -> None:
    # With equal channels the luminance keeps the steps.
    picture = busy_scene()[0].mean(0, keepdim=True).expand(3, -1, -1)
    assert jpeg_quality(as_jpeg(picture, quality)) == quality
    assert jpeg_quality((picture * 255).round() / 255) is None
    assert jpeg_quality(torch.full((3, 32, 32), 0.5)) is None
    assert jpeg_quality(torch.zeros(3, 4, 4)) is None


def test_the_cosine_basis_is_orthonormal() -> None:
    assert torch.allclose(cosine_basis() @ cosine_basis().T, torch.eye(BLOCK), atol=1e-6)
    first, _ = quantization_steps(50)
    assert float(first[0, 0]) == 16


def test_amplified_rounding_is_taken_off_under_the_mark_alone() -> None:
    clean = scene(3, 1, (144, 200))
    matte = torch.zeros(1, 144, 200)
    matte[:, 40:100, 50:140] = 0.8
    frames = as_jpeg(((1 - matte) * clean + matte)[0], 85)[None]
    undone = torch.where(matte > 0, ((frames - matte) / (1 - matte)).clamp(0, 1), frames)
    smooth = without_rounding(undone, matte, [85])
    shown = (matte > 0).expand(3, -1, -1)
    assert (
        psnr(smooth[0][shown][None], clean[0][shown][None])
        > psnr(undone[0][shown][None], clean[0][shown][None]) + 2
    )
    assert torch.equal(smooth[0][~shown], frames[0][~shown])
    assert torch.equal(without_rounding(frames, torch.zeros(1, 144, 200), [85]), frames)
