"""Ties between frames, on textures with known velocities."""

from __future__ import annotations

import pytest
import torch
from clips import drifting, psnr
from drifting_scenes import (
    COUNT,
    INSIDE,
    LEFT,
    PRE,
    RIGHT,
    SIZE,
    STEPS,
    inner,
    mixed,
    scenes,
    straight,
)

from stages.mixing.mixture import mix, project
from stages.motion.carry import CarriedLayers, carried_layers
from stages.transition.tie import improve_by_ties, mean_with_tied, solve
from stages.transition.tie_fit import fit_ties
from stages.transition.ties import MOST_TIES, compose_flows, find_ties, tied_frames


def known() -> tuple[CarriedLayers, tuple[torch.Tensor, torch.Tensor]]:
    """Return the layers carried along the true flows, and both scenes over the window."""
    mixture = mixed(*scenes())
    flows = straight(RIGHT, PRE - 1), straight(LEFT, PRE + STEPS)
    carried = CarriedLayers(flows, (PRE - 1, PRE + STEPS), carried_layers(mixture, flows))
    over = mixture.frames.clone(), mixture.frames.clone()
    over[0][INSIDE], over[1][INSIDE] = project(mixture, *carried.layers)
    return carried, over


def test_ties_are_never_frames_in_which_the_scene_has_no_weight() -> None:
    mixture = mixed(*scenes())
    outgoing, incoming = tied_frames(mixture, "outgoing"), tied_frames(mixture, "incoming")
    assert all(other < PRE + STEPS for others in outgoing for other in others)
    assert all(other >= PRE for others in incoming for other in others)
    assert {len(others) for others in outgoing + incoming} == {MOST_TIES}
    assert all(place + PRE not in others for place, others in enumerate(outgoing))
    assert all(PRE - 1 in others for others in outgoing) and all(
        PRE + STEPS in others for others in incoming
    )


def test_flows_to_a_common_template_compose() -> None:
    """t to the template is 3 right, u to it 1 right and 2 down: t to u is 2 right and 2 up."""
    ahead, other = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    ahead[:, 0], other[:, 0], other[:, 1] = 3, 1, 2
    expected = torch.tensor([2.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8)
    assert torch.allclose(compose_flows(ahead, other), expected)


def test_ties_begin_with_the_composed_motion() -> None:
    mixture, (carried, _) = mixed(*scenes()), known()
    tie = find_ties(mixture, carried, "outgoing")
    for place, others in enumerate(tie.frames.tolist()):
        for flow, other in zip(tie.flow(place, SIZE), others, strict=True):
            if other >= PRE:
                # The content at a place of frame t lies (t - u) velocities back in frame u.
                true = (other - PRE - place) * torch.tensor(RIGHT)
                assert (flow.mean((1, 2)) - true).abs().max() < 0.1


def test_fitting_corrects_flows_that_are_off() -> None:
    mixture, (carried, over) = mixed(*scenes()), known()
    ties = find_ties(mixture, carried, "outgoing"), find_ties(mixture, carried, "incoming")
    off = type(ties[0])(ties[0].frames, ties[0].flows + 0.3)
    fitted, _ = fit_ties(mixture, over, (off, ties[1]), (1, 30))
    wrong, corrected = (
        (inner(tie.flows) - inner(ties[0].flows)).norm(dim=1).mean() for tie in (off, fitted)
    )
    assert corrected < 0.6 * wrong


def test_the_solution_mixes_back_and_is_better_than_what_was_carried() -> None:
    a, b = scenes()
    mixture, (carried, over) = mixed(a, b), known()
    ties = find_ties(mixture, carried, "outgoing"), find_ties(mixture, carried, "incoming")
    noisy = over[0].clone(), over[1].clone()
    generator = torch.Generator().manual_seed(0)
    for layer in noisy:
        layer[INSIDE] += 0.05 * torch.randn(layer[INSIDE].shape, generator=generator)
    solved = solve(mixture, noisy, ties)
    again = mix(solved[0], solved[1], mixture.weight, mixture.space)[INSIDE]
    assert psnr(again, mixture.frames[INSIDE]) > 50
    for layer, before, truth in zip(solved, noisy, (a, b), strict=True):
        assert (
            psnr(inner(layer[INSIDE]), inner(truth[INSIDE]))
            > psnr(inner(before[INSIDE]), inner(truth[INSIDE])) + 3
        )


def test_the_mean_of_two_answers_mixes_to_the_input() -> None:
    """What one layer gains the other one loses, by their weights: so it is in any mean."""
    a, b = (scene[INSIDE] for scene in scenes())
    mixture = mixed(*scenes())
    weight = mixture.weight[INSIDE]
    swept, tied = (
        (a + weight * error, b - (1 - weight) * error) for error in (0.1 * a.flip(1), -0.2 * b)
    )
    mean = mean_with_tied(swept, tied)
    again = mix(mean[0], mean[1], weight, mixture.space)
    torch.testing.assert_close(again, mixture.frames[INSIDE], atol=1e-5, rtol=0)
    torch.testing.assert_close(mean[0], (swept[0] + 2 * tied[0]) / 3)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_layers(seed: int) -> None:
    mixture, (carried, over) = mixed(*scenes()), known()
    first, second = (
        improve_by_ties(mixture, over, carried, ((2, 3),), seed=seed) for _ in range(2)
    )
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert torch.equal(first[0][:PRE], mixture.frames[:PRE]) and len(first[1]) == COUNT


def test_one_frame_alone_stays_as_it_is() -> None:
    """A clip of one mixed frame has nothing to tie it to."""
    frames = drifting(3, 1, (0, 0), SIZE)
    mixture = type(mixed(*scenes()))(frames, torch.full((1, 1, 1, 1), 0.5), 0, 0)
    still = torch.zeros(1, 2, *SIZE)
    carried = CarriedLayers((still, still), (0, 0), (frames, frames))
    assert torch.equal(improve_by_ties(mixture, (frames, frames), carried, ((1, 2),))[0], frames)
