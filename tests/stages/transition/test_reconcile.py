"""The residual of carried layers goes to the one that is more likely to be wrong."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stages.mixing.mixture import Mixture, Side, mix
from stages.transition.reconcile import clarity, reconcile

COUNT, SIZE = 5, (40, 56)


def texture(seed: int) -> Tensor:
    return torch.rand(COUNT, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


def of(outgoing: Tensor, incoming: Tensor) -> Mixture:
    """Return the equal mixture of two layers, between a clean frame of each."""
    frames = torch.cat(
        [outgoing[:1], mix(outgoing, incoming, torch.tensor(0.5), "gamma"), incoming[-1:]]
    )
    weight = torch.tensor([0.0, *[0.5] * COUNT, 1.0]).view(-1, 1, 1, 1)
    return Mixture(frames, weight, 1, COUNT)


def error(one: Tensor, other: Tensor) -> Tensor:
    """Return the root mean square difference in each frame."""
    return (one - other).square().mean((1, 2, 3)).sqrt()


def test_a_layer_full_of_edges_gets_the_residual_of_its_shift() -> None:
    rough, flat = texture(1), torch.full((COUNT, 3, *SIZE), 0.4)
    mixture = of(rough, flat)
    for wrong, first in (((rough.roll(1, -1), flat), 0), ((flat, rough.roll(1, -1)), 1)):
        true = (rough, flat) if first == 0 else (flat, rough)
        found = reconcile(mixture, wrong)
        assert (error(found[first], true[first]) < 0.05 * error(wrong[first], true[first])).all()
        assert (error(found[1 - first], true[1 - first]) < 0.05).all()


def test_the_layer_that_was_carried_farther_moves_more() -> None:
    one, other = texture(2), texture(3)
    wrong = one + 0.1, other + 0.1
    found = reconcile(of(one, other), wrong)
    moved = [error(new, old) for new, old in zip(found, wrong, strict=True)]
    assert (moved[0].diff() > 0).all() and (moved[1].diff() < 0).all()
    # With equal gradients layers move in proportion to the distance from their clean frames.
    torch.testing.assert_close(
        moved[0] / moved[1], torch.tensor([1 / 5, 2 / 4, 1, 4 / 2, 5]), rtol=0.1, atol=0
    )
    mixed = mix(*found, torch.tensor(0.5), "gamma")
    torch.testing.assert_close(
        mixed, mix(one, other, torch.tensor(0.5), "gamma"), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(
    ("side", "frame", "expected"),
    [("outgoing", 2, [1.0, 1.0, 1.0, 0.25]), ("incoming", 4, [1.0, 1.0, 0.5, 0.25])],
)
def test_a_fainter_frame_counts_by_the_ratio_of_the_weights(
    side: Side, frame: int, expected: list[float]
) -> None:
    weight = torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8, 0.85, 1.0]).view(-1, 1, 1, 1)
    if side == "outgoing":
        weight[4] = 0.85
        others = [0, 1, 2, 4]
    else:
        others = [6, 5, 2, 1]
    mixture = Mixture(torch.zeros(7, 3, *SIZE), weight, 1, 5)
    found = clarity(mixture, side, frame, others)
    assert found.shape == (4, 1, 1, 1)
    torch.testing.assert_close(found.flatten(), torch.tensor(expected))


def test_under_a_matte_every_frame_counts_fully() -> None:
    weight = torch.linspace(0, 1, 7).view(-1, 1, 1, 1).expand(-1, 1, *SIZE)
    mixture = Mixture(torch.zeros(7, 3, *SIZE), weight, 1, 5)
    assert (clarity(mixture, "outgoing", 2, [1, 4]) == 1).all()
