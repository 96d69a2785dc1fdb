"""Test marks that are tiled over one picture, and pictures that only repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from marked_pictures import make_context, psnr_inside, remove_mark
from skimage import data
from tiled_marks import LATTICES, Picture, textured, tiled_case
from torch import Tensor

from stages.diagnosis import NOT_THERE, THERE, ClipSample
from stages.watermark.diagnose import diagnose
from stages.watermark.effort import EFFORTS
from stages.watermark.tile_lattice import Lattice, find_lattices, shortest_steps
from stages.watermark.tile_law import TileLaw, fit_tile_law
from stages.watermark.tiled_mark import LIKELY_STRENGTH, find_tiled_mark
from stages.watermark.tiling import Tiling, offsets_from_middles, reach_of

FAST = EFFORTS["fast"]


def photograph(name: str, size: tuple[int, int] = (240, 320)) -> Picture:
    """Return so many rows and columns of a photograph of scikit-image."""
    whole = getattr(data, name)()[20:, 60:]
    return np.asarray(whole[: size[0], : size[1]], np.float32) / np.float32(255)


def as_tensor(picture: Picture) -> Tensor:
    """Return a picture ``(H, W, 3)`` as ``(3, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)


@pytest.mark.parametrize("lattice", LATTICES)
def test_the_steps_of_a_lattice_are_found(lattice: str) -> None:
    case = tiled_case(photograph("coffee", (360, 480)), 4, lattice=lattice, opacity=0.5, quality=90)
    alone = find_lattices(torch.from_numpy(case.matte).expand(3, -1, -1))[0]
    found = find_lattices(as_tensor(case.marked))[0]
    assert found.strength > 15
    assert found.area == pytest.approx(alone.area, rel=0.02)
    for step in (found.first, found.second):
        basis = torch.tensor([alone.first, alone.second])
        times = torch.tensor(step) @ torch.linalg.inv(basis)
        assert float((times - times.round()).abs().max()) < 0.05


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_a_photograph_has_no_lattice(name: str) -> None:
    found = find_lattices(as_tensor(photograph(name)))
    assert not found or found[0].strength < LIKELY_STRENGTH


def test_what_is_too_small_or_even_has_no_lattice() -> None:
    assert find_lattices(torch.rand(3, 30, 200)) == []
    assert find_lattices(torch.full((3, 140, 160), 0.3)) == []


def test_the_shortest_steps_span_the_lattice() -> None:
    first, second = shortest_steps((100.0, 3.0), (170.0, 3.0))
    assert abs(first[0] * second[1] - first[1] * second[0]) == pytest.approx(210)
    assert max(abs(value) for value in (*first, *second)) <= 35


def test_every_pixel_belongs_to_the_nearest_tile() -> None:
    lattice = Lattice((10.0, 31.0), (40.0, -12.0), 9.0, 9)
    away = offsets_from_middles((120, 150), lattice, (17.0, 23.0))
    assert away[:, 17, 23].tolist() == [0, 0]
    assert away[:, 27, 54].tolist() == [0, 0]
    assert away[:, 57, 11].tolist() == [0, 0]
    assert away[:, 20, 30].tolist() == [3, 7]


def test_tiles_at_the_border_are_filled_from_others() -> None:
    lattice = Lattice((0.0, 30.0), (40.0, 0.0), 9.0, 9)
    rows, columns = torch.meshgrid(torch.arange(100), torch.arange(100), indexing="ij")
    repeating = torch.stack([(rows % 40) / 40, (columns % 30) / 30, torch.zeros(100, 100)])
    tiling = Tiling((100, 100), lattice, (20, 15), (28, 23))
    tiles = tiling.tiles(repeating)
    assert len(tiles) > 4
    assert torch.allclose(tiles, tiles[:1].expand_as(tiles))
    assert torch.allclose(tiling.laid_out(tiles[0]), repeating)


def law_under(inside: Tensor, backs: Tensor) -> TileLaw:
    """Return the law of tiles ``backs`` (K, 3, h, w) that are ``inside`` in a square."""
    chosen = torch.zeros(backs.shape[-2:], dtype=torch.bool)
    chosen[12:28, 12:28] = True
    law = fit_tile_law(torch.where(chosen, inside, backs), chosen)
    assert law is not None
    return law


def test_the_law_tells_a_mark_from_light_on_a_texture() -> None:
    generator = torch.Generator().manual_seed(3)
    backs = torch.nn.functional.interpolate(
        torch.rand(12, 3, 5, 5, generator=generator), (40, 40), mode="bilinear"
    )
    mark = law_under(0.6 * backs + 0.4 * 0.8, backs)
    assert mark.transmission == pytest.approx(0.6, abs=0.02)
    assert mark.color.tolist() == pytest.approx([0.8] * 3, abs=0.03)
    assert mark.surplus < 1.5
    even = 0.5 + 0.02 * torch.randn(12, 3, 40, 40, generator=generator)
    other = 0.8 + 0.02 * torch.randn(12, 3, 40, 40, generator=generator)
    assert law_under(other, even).correlation < 0.3
    light = torch.linspace(0.4, 1, 12).view(12, 1, 1, 1) * torch.ones(12, 3, 40, 40)
    assert law_under(0.5 * light, light).color.abs().max() < 0.02


def test_a_tiled_mark_is_taken_off_all_its_tiles() -> None:
    clean = photograph("chelsea")
    case = tiled_case(clean, 5, lattice="offset rows", opacity=0.45, quality=None)
    frames = as_tensor(case.marked)[None]
    separated = remove_mark(frames, make_context())
    truth, shape = as_tensor(clean)[None], torch.from_numpy(case.matte)[None, None] / 0.45
    before = psnr_inside(frames, truth, shape)
    assert psnr_inside(separated.layers["clean"], truth, shape) > before + 8
    assert separated.report["repetitions"] >= 6
    border = shape.clone()
    border[..., 20:-20, 20:-20] = 0
    before = psnr_inside(frames, truth, border)
    assert psnr_inside(separated.layers["clean"], truth, border) > before + 6


def test_probe_tells_a_tiled_mark() -> None:
    clean = photograph("astronaut")
    case = tiled_case(clean, 2, lattice="grid", opacity=0.4, quality=None)
    for picture, verdict in ((case.marked, THERE), (clean, NOT_THERE)):
        whole = as_tensor(picture)
        sample = ClipSample((240, 320), whole[None], (0,), picture=whole)
        assert diagnose(sample).verdict == verdict


def test_a_dark_pattern_under_uneven_light_is_no_mark() -> None:
    rows, columns = torch.meshgrid(torch.arange(200), torch.arange(240), indexing="ij")
    joints = ((rows % 40 < 5) | (columns % 50 < 5)).float()
    generator = torch.Generator().manual_seed(1)
    light = torch.rand(1, 1, 4, 4, generator=generator)
    light = torch.nn.functional.interpolate(light, (200, 240), mode="bicubic")[0].clamp(0, 1)
    picture = (1 - 0.4 * joints) * (0.3 + 0.6 * light) * torch.ones(3, 1, 1)
    picture = picture + 0.004 * torch.randn(picture.shape, generator=generator)
    assert find_lattices(picture)[0].strength > LIKELY_STRENGTH
    assert find_tiled_mark(picture, FAST) is None


@pytest.mark.parametrize("seed", [1, 2])
def test_a_texture_that_repeats_is_no_mark(seed: int) -> None:
    picture, _ = textured(seed, (240, 320))
    assert find_tiled_mark(as_tensor(picture), FAST) is None


@pytest.mark.parametrize("seed", range(8))
def test_no_pixel_lies_beyond_the_reach_of_a_tile(seed: int) -> None:
    """Nor where steps are not whole, so that tiles are rounded to different sizes."""
    random = np.random.default_rng(seed)
    first = (float(random.uniform(24, 40)), float(random.uniform(-9, 9)))
    second = (float(random.uniform(-9, 9)), float(random.uniform(24, 40)))
    lattice = Lattice(first, second, 20.0, 9)
    down, right = reach_of(lattice)
    away = offsets_from_middles((230, 260), lattice, (0.0, 0.0)).abs()
    assert int(away[0].max()) <= down
    assert int(away[1].max()) <= right


def test_copies_of_one_picture_tell_no_law() -> None:
    picture = as_tensor(photograph("coffee", (40, 40)))
    random = torch.Generator().manual_seed(2)
    copies = picture + 0.005 * torch.randn(8, 3, 40, 40, generator=random)
    chosen = torch.zeros(40, 40, dtype=torch.bool)
    chosen[12:28, 12:28] = True
    assert fit_tile_law(copies, chosen) is None


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_a_page_of_copies_has_no_mark(name: str) -> None:
    page = np.ones((240, 320, 3), np.float32)
    for top in (8, 124):
        for left in (10, 88, 166, 244):
            page[top : top + 100, left : left + 66] = photograph(name, (100, 66))
    assert find_tiled_mark(as_tensor(page), FAST) is None
