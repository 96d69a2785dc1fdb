"""The published networks: seeds, shapes, parameters, outputs, noise, jitter and turns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.noise import walking_noise
from models.skip import (
    FIVE_LEVELS,
    FIVE_LEVELS_3X3,
    FOUR_LEVELS_3X3,
    THREE_LEVELS_3X3,
    HourglassLevel,
    Skip,
    SkipShape,
)
from stages.published.networks import (
    DEPTH,
    InputJitter,
    PublishedNetworks,
    layer_noises,
    orientation_at,
    oriented,
    still_jitter,
    uniform_noise,
)

SIZE = (12, 16)


@pytest.mark.parametrize(
    ("channels", "shape", "parameters"),
    [
        ((2, 3), FIVE_LEVELS, 1_544_787),
        ((8, 3), FIVE_LEVELS_3X3, 573_187),
        ((8, 1), FIVE_LEVELS_3X3, 573_169),
        ((2, 3), THREE_LEVELS_3X3, 35_179),
        ((2, 1), THREE_LEVELS_3X3, 35_161),
        # Added up by hand: 2,064, 8,576, 33,792 and 99,604 of the levels, and 9 for each output.
        ((2, 3), FOUR_LEVELS_3X3, 144_063),
        ((2, 1), FOUR_LEVELS_3X3, 144_045),
    ],
)
def test_networks_have_the_published_number_of_parameters(
    channels: tuple[int, int], shape: SkipShape, parameters: int
) -> None:
    assert sum(each.numel() for each in Skip(*channels, shape=shape).parameters()) == parameters


def test_the_shapes_are_the_published_ones() -> None:
    assert (FIVE_LEVELS.side, FIVE_LEVELS_3X3.side, FOUR_LEVELS_3X3.side) == (5, 3, 3)
    assert FIVE_LEVELS.channels == FIVE_LEVELS_3X3.channels == (8, 16, 32, 64, 128)
    assert FIVE_LEVELS.skips == FIVE_LEVELS_3X3.skips == (0, 0, 0, 4, 4)
    assert SkipShape((8, 16, 32, 64), (0, 0, 0, 4), 3) == FOUR_LEVELS_3X3
    assert SkipShape((8, 16, 32), (0, 0, 0), 3) == THREE_LEVELS_3X3


def convolved(values: list[Tensor], x: Tensor, stride: int = 1) -> Tensor:
    """Return a reflected convolution, batch norm and leaky ReLU with the next ``values``."""
    weight, bias, scale, offset = (values.pop(0) for _ in range(4))
    margin = weight.shape[-1] // 2
    x = nn.functional.pad(x, [margin] * 4, mode="reflect") if margin else x
    return nn.functional.leaky_relu(
        normal(nn.functional.conv2d(x, weight, bias, stride), scale, offset), 0.2
    )


def normal(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Return the batch norm of ``x``, from its definition."""
    mean = x.mean((0, 2, 3), keepdim=True)
    spread = (x - mean).square().mean((0, 2, 3), keepdim=True)
    values = (x - mean) / (spread + 1e-5).sqrt()
    return values * scale.view(1, -1, 1, 1) + offset.view(1, -1, 1, 1)


def level(network: HourglassLevel, x: Tensor) -> Tensor:
    """Return what a level of the published hourglass does, written out from its description."""

    def own(*names: str) -> list[Tensor]:
        modules = dict(network.named_modules())
        return [value for name in names for value in modules[name].parameters()]

    below = convolved(own("down.0.convolve", "down.0.norm"), x, stride=2)
    below = convolved(own("down.1.convolve", "down.1.norm"), below)
    if network.deeper is not None:
        below = level(network.deeper, below)
    below = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)(below)
    if network.skip is not None:
        below = torch.cat([convolved(own("skip.convolve", "skip.norm"), x), below], 1)
    below = normal(below, *own("norm"))
    below = convolved(own("up.0.convolve", "up.0.norm"), below)
    return convolved(own("up.1.convolve", "up.1.norm"), below)


@pytest.mark.parametrize(
    "shape",
    [FIVE_LEVELS, THREE_LEVELS_3X3, FOUR_LEVELS_3X3],
    ids=["five-5x5", "three-3x3", "four-3x3"],
)
def test_equal_weights_give_equal_outputs_with_aligned_corners(shape: SkipShape) -> None:
    network = Skip(2, 3, seed=4, shape=shape)
    noise = walking_noise(2, 2, (96, 128), 1)
    with torch.no_grad():
        weight, bias = network.last.weight, network.last.bias
        drawn = level(network.body, noise)
        reference = torch.sigmoid(nn.functional.conv2d(drawn, weight, bias))
        torch.testing.assert_close(network(noise), reference, atol=2e-4, rtol=0)


def test_each_layer_has_a_network_and_noise_of_its_own() -> None:
    module = PublishedNetworks((3, 1), layer_noises(2, 4, SIZE, 5), 5)
    picture, matte = module(torch.tensor([0, 2]))
    assert picture.shape == (2, 3, *SIZE) and matte.shape == (2, 1, *SIZE)
    noise = walking_noise(4, DEPTH, SIZE, 2 * 5 + 1)
    assert torch.equal(module.noises[1], noise)
    alone = Skip(DEPTH, 1, seed=2 * 5 + 1)
    assert torch.equal(alone(noise[[0, 2]]), module(torch.tensor([0, 2]))[1])


def test_a_layer_with_one_frame_of_noise_is_shared() -> None:
    noises = [walking_noise(5, DEPTH, SIZE, 0), uniform_noise(DEPTH, SIZE, 1)]
    module = PublishedNetworks((3, 3), noises, 0)
    clean, mark = module(torch.arange(3))
    assert clean.shape == (3, 3, *SIZE) and mark.shape == (1, 3, *SIZE)
    rendered = module.render(torch.arange(5), batch=2)
    assert rendered[0].shape == (5, 3, *SIZE) and rendered[1].shape == (1, 3, *SIZE)


def test_jitter_moves_only_the_networks_that_it_is_given_to() -> None:
    module = PublishedNetworks((3, 3), layer_noises(2, 2, SIZE, 1), 1)
    index = torch.arange(2)
    plain = module(index)
    noise = InputJitter(7).draw(module, index, 0.1)
    assert [each.shape for each in noise] == [(2, DEPTH, *SIZE)] * 2
    shaken = module(index, [noise[0], None])
    assert not torch.equal(shaken[0], plain[0]) and torch.equal(shaken[1], plain[1])
    again = InputJitter(7).draw(module, index, 0.1)
    assert all(torch.equal(one, other) for one, other in zip(noise, again, strict=True))
    assert float(torch.cat(noise).std()) == pytest.approx(0.1, rel=0.2)


def test_rendering_leaves_the_running_statistics_alone() -> None:
    module = PublishedNetworks((3, 3), layer_noises(2, 3, SIZE, 2), 2)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.render(torch.arange(3))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_clips_noise_walks_and_a_pictures_noise_is_small() -> None:
    walk = layer_noises(1, 3, (40, 40), 0)[0]
    assert float(walk[0].abs().max()) <= 0.05 and float(walk[0].abs().max()) > 0.049
    steps = walk.diff(dim=0)
    assert float(steps.min()) >= 0 and 0.0099 < float(steps.max()) <= 0.01
    still = layer_noises(1, 1, (40, 40), 0)[0]
    assert 0.0049 < float(still.abs().max()) <= 0.005 and float(still.min()) < -0.0049


def test_the_jitter_of_a_picture_grows_from_0_to_9e_3() -> None:
    steps = {0: 0.0, 99: 0.0, 100: 1e-3, 550: 5e-3, 999: 9e-3, 1000: 1e-3, 7999: 1e-3}
    assert {step: still_jitter(step) for step in steps} == pytest.approx(steps)


def test_there_are_eight_rotations_and_flips() -> None:
    picture = torch.arange(6.0).view(1, 1, 2, 3)
    turned = [oriented(picture, number) for number in range(8)]
    assert torch.equal(turned[0], picture)
    assert {tuple(each.shape[-2:]) for each in turned} == {(2, 3), (3, 2)}
    assert len({(each.shape[-1], *each.flatten().tolist()) for each in turned}) == 8
    # Half of the steps show the picture as it is; the others go through all eight.
    assert [orientation_at(step) for step in range(0, 16, 2)] == [0] * 8
    assert [orientation_at(step) for step in range(1, 17, 2)] == list(range(8))
