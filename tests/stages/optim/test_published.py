"""The published networks: seeds, shapes, shared layers, and rendering that leaves them alone."""

from __future__ import annotations

import torch

from models.noise import walking_noise
from models.skip import Skip
from stages.optim.published import (
    DEPTH,
    InputJitter,
    PublishedNetworks,
    published_plan,
    walking_noises,
)

SIZE = (12, 16)


def test_each_layer_has_a_network_and_noise_of_its_own() -> None:
    module = PublishedNetworks.walking((3, 1), 4, SIZE, seed=5)
    picture, matte = module(torch.tensor([0, 2]))
    assert picture.shape == (2, 3, *SIZE) and matte.shape == (2, 1, *SIZE)
    noise = walking_noise(4, DEPTH, SIZE, 2 * 5 + 1)
    assert torch.equal(module.noises[1], noise)
    alone = Skip(DEPTH, 1, seed=2 * 5 + 1)
    assert torch.equal(alone(noise[[0, 2]]), module(torch.tensor([0, 2]))[1])


def test_a_layer_with_one_frame_of_noise_is_shared() -> None:
    noises = [walking_noise(5, DEPTH, SIZE, 0), *walking_noises(2, 1, SIZE, 0, first=1)]
    module = PublishedNetworks((3, 3), noises, 0)
    clean, mark = module(torch.arange(3))
    assert clean.shape == (3, 3, *SIZE) and mark.shape == (1, 3, *SIZE)
    rendered = module.render(torch.arange(5), batch=2)
    assert rendered[0].shape == (5, 3, *SIZE) and rendered[1].shape == (1, 3, *SIZE)


def test_jitter_moves_only_the_networks_that_it_is_given_to() -> None:
    module = PublishedNetworks.walking((3, 3), 2, SIZE, seed=1)
    index = torch.arange(2)
    plain = module(index)
    noise = InputJitter(7, scale=0.1).draw(module, 2)
    assert noise.shape == (2, 2, DEPTH, *SIZE)
    shaken = module(index, [noise[0], None])
    assert not torch.equal(shaken[0], plain[0]) and torch.equal(shaken[1], plain[1])
    assert torch.equal(noise, InputJitter(7, scale=0.1).draw(module, 2))


def test_rendering_leaves_the_running_statistics_alone() -> None:
    module = PublishedNetworks.walking((3, 3), 3, SIZE, seed=2)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.render(torch.arange(3))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_the_published_rate_never_changes() -> None:
    plan = published_plan(7)
    assert plan.rate == plan.code_rate == 1e-3
    assert {plan.schedule(progress) for progress in (0.0, 0.3, 1.0)} == {1.0}
