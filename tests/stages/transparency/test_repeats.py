"""Two textures that add up in one picture: the evidence, the layers, and what is left alone."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import measure_textures
import pytest
import torch
from textures import tiles
from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.mixing.layer_sum import from_space, to_space
from stages.mixing.psnr import psnr_of
from stages.transparency.layers import separate, survey
from stages.transparency.pictures import TEXTURES
from stages.transparency.repeats import (
    changes,
    difference,
    find_textures,
    separate_textures,
)

SIDE = 96


def tiled(random: torch.Generator) -> Tensor:
    return tiles(random, (SIDE, SIDE))


def photograph(random: torch.Generator) -> Tensor:
    """Return what repeats nowhere: noise at all scales."""
    parts = [
        torch.nn.functional.interpolate(
            torch.rand(1, 3, side, side, generator=random), (SIDE, SIDE), mode="bicubic"
        )
        for side in (3, 6, 12, 24, 48)
    ]
    return torch.cat(parts).mean(0).clamp(0, 1)


def in_8_bits(picture: Tensor) -> Tensor:
    return (255 * picture).round() / 255


def up_to_level(layer: Tensor, truth: Tensor) -> float:
    """Return the PSNR of a layer in dB, with the gain and the offset that fit the truth best."""
    values = torch.stack([layer.flatten(), torch.ones(layer.numel())], 1)
    fitted = torch.linalg.lstsq(values, truth.flatten()[:, None]).solution
    return psnr_of(float(((values @ fitted)[:, 0] - truth.flatten()).square().mean()))


def reached(layers: tuple[Tensor, Tensor], truth: tuple[Tensor, Tensor]) -> float:
    """Return the mean PSNR of both layers in the better order."""
    return max(
        sum(up_to_level(*pair) for pair in zip(order, truth, strict=True)) / 2
        for order in (layers, layers[::-1])
    )


@pytest.mark.parametrize("seed", [3, 4, 5, 6])
def test_two_textures_come_apart(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    truth = 0.5 * tiled(random), 0.5 * tiled(random)
    mixed = in_8_bits(truth[0] + truth[1])
    textures = find_textures(mixed)
    assert textures is not None and textures.residual < 0.02
    layers = separate_textures(mixed, textures)
    torch.testing.assert_close(layers[0] + layers[1], mixed)
    assert all(float(layer.min()) >= 0 for layer in layers)
    assert layers[0].var() >= layers[1].var()
    assert reached(layers, truth) > reached((mixed, mixed), truth) + 4


@pytest.mark.parametrize("seed", range(3))
def test_other_pictures_are_no_sum_of_two_textures(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    texture, photo = tiled(random), photograph(random)
    ramp = torch.linspace(0, 1, SIDE).expand(3, SIDE, SIDE)
    noise = torch.rand(3, SIDE, SIDE, generator=random)
    sums = (photo + photograph(random)) / 2, (photo + texture) / 2, (noise + texture) / 2
    both = (ramp + ramp.mT) / 2
    half = torch.where(ramp < 0.5, (texture + tiled(random)) / 2, 0.5)
    others = (texture, photo, ramp, both, both**3, noise, torch.full_like(photo, 0.4), half)
    for picture in (*sums, *others):
        assert find_textures(in_8_bits(picture)) is None
    assert find_textures(texture[:, :40, :40]) is None, "too small"


def test_changes_are_mean_squared_differences() -> None:
    values = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(1))
    found = changes(values, 5)
    for down, right in ((0, 3), (2, -4), (5, 5), (4, 0)):
        by_hand = difference(values, (down, right)).square().mean()
        assert float(found[down, right + 5]) == pytest.approx(float(by_hand), rel=1e-4)
    # A shift leads down and to the right.
    there = values[:, 2:, :-4] - values[:, :-2, 4:]
    torch.testing.assert_close(difference(values, (2, -4)), there)


@pytest.mark.parametrize("space", ["gamma", "linear"])
def test_a_run_finds_the_space_in_which_textures_add_up(space: str) -> None:
    random = torch.Generator().manual_seed(11)
    truth = [0.5 * tiled(random) for _ in range(2)]
    mixed = in_8_bits(from_space(truth[0] + truth[1], space))[None]
    context = SeparationContext(FitSettings())
    facts = survey(mixed, context)
    found = separate(mixed, facts, context)
    assert facts.space == space and found.report["textures"] == 1.0
    assert [note.text for note in found.notes] == [TEXTURES]
    layers = tuple(to_space(found.layers[role], space)[0] for role in found.layers)
    assert reached(layers, (truth[0], truth[1])) > 28  # type: ignore[arg-type]
    assert found.report["reconstruction_psnr"] > 50


def test_only_the_pictures_that_repeat_come_apart() -> None:
    random = torch.Generator().manual_seed(12)
    mixed = (tiled(random) + tiled(random)) / 2
    pictures = in_8_bits(torch.stack([mixed, photograph(random)]))
    context = SeparationContext(FitSettings(), unordered=True, space="gamma")
    found = separate(pictures, survey(pictures, context), context)
    assert torch.equal(found.layers["transmission"][1], pictures[1])
    assert found.layers["reflection"][0].var() > 0.001
    assert [note.places for note in found.notes] == [(0,), (1,)]


def test_the_measurement_prints_what_comes_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = torch.Generator().manual_seed(13)
    paths = [tmp_path / f"{name}.png" for name in ("photograph", "mixture")]
    mixture = (tiled(random) + tiled(random)) / 2
    for path, picture in zip(paths, (photograph(random), mixture), strict=True):
        cv2.imwrite(str(path), (255 * picture).round().byte().permute(1, 2, 0).numpy())
    assert measure_textures.main(["--seed", "4", "--count", "1", *map(str, paths)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed[:3]] == [
        "stripes and stripes",
        "stripes and tiles",
        "tiles and tiles",
    ]
    for line in printed[:3]:
        before, after = (float(value) for value in re.findall(r"[\d.]+", line)[:2])
        assert after > before + 2
    assert printed[3:] == ["1 of 2 pictures are taken for two textures", f"  {paths[1]}"]
