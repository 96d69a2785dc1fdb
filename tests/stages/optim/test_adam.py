"""Adam: the values of PyTorch's class, its state, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from stages.optim.adam import EPSILON, Adam

BETAS = (0.8, 0.99)
RATES = (0.1, 0.02)


def values(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((5,), (2, 3), ())
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def slopes(some: list[Tensor], step: int) -> None:
    """Give all tensors gradients that change from step to step; the last one at even steps only."""
    loss = sum(((value - step / 3) ** 3).sum() for value in some[: 2 + (step % 2 == 0)])
    assert isinstance(loss, Tensor)
    loss.backward()  # type: ignore[no-untyped-call]


def groups(some: list[Tensor]) -> list[dict[str, object]]:
    return [{"params": some[:1], "lr": RATES[0]}, {"params": some[1:], "lr": RATES[1]}]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_values_are_those_of_the_class(seed: int, fused: bool) -> None:
    ours, theirs = values(seed), values(seed)
    one = Adam(groups(ours), betas=BETAS, fused=fused)
    other = torch.optim.Adam(groups(theirs), betas=BETAS, eps=EPSILON, fused=fused or None)
    for step in range(12):
        for optimizer, some in ((one, ours), (other, theirs)):
            optimizer.param_groups[0]["lr"] = RATES[0] / (1 + step)
            optimizer.zero_grad()
            slopes(some, step)
            optimizer.step()
        assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("fused", [False, True])
def test_it_goes_on_from_its_state(fused: bool) -> None:
    whole, parted = values(1), values(1)
    first = Adam(groups(whole), fused=fused)
    second = Adam(groups(parted), fused=fused)
    for step in range(8):
        if step == 4:
            saved = second.state_dict()
            second = Adam(groups(parted), fused=fused)
            second.load_state_dict(saved)
        for optimizer, some in ((first, whole), (second, parted)):
            optimizer.zero_grad()
            slopes(some, step)
            optimizer.step()
    assert all(map(torch.equal, whole, parted))


def test_a_fit_does_not_load_the_compiler() -> None:
    """A fresh program fits networks and motion; PyTorch's compiler is not among its modules."""
    program = (
        "import sys; sys.path.insert(0, 'tests'); import torch\n"
        "from drifting_scenes import mixed, scenes\n"
        "from stages.motion.carry import carry\n"
        "from stages.optim.fit import FitPlan\n"
        "from stages.transition.networks import fit_layers\n"
        "mixture = mixed(*scenes())\n"
        "carry(mixture, [(2, 2)]); fit_layers(mixture, plan=FitPlan(2))\n"
        "assert 'torch._dynamo' not in sys.modules, 'loaded'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
