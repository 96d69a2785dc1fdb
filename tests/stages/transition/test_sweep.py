"""Sweeps: a slow, obvious reference of the offered value, and what a turn may change."""

from __future__ import annotations

import math

import pytest
import torch
from clips import drifting, psnr
from torch import Tensor

from stages.mixing.mixture import Mixture, Side, mix, project
from stages.motion.links import MotionLinks, find_links, offered_value
from stages.optim.threads import bands, one_thread_an_operation
from stages.shots import Space
from stages.transition.sweep import TOLERANCE, WEIGHTS, relink_and_sweep, weigh_by_clarity

PRE, STEPS, POST = 4, 5, 4
COUNT = PRE + STEPS + POST
INSIDE = slice(PRE, PRE + STEPS)
SIZE = (32, 40)


def scenes() -> tuple[Tensor, Tensor]:
    return drifting(1, COUNT, (1.0, 0.5), SIZE), drifting(2, COUNT, (-1.0, 1.0), SIZE)


def mixed(a: Tensor, b: Tensor, space: Space = "gamma") -> Mixture:
    weight = ((torch.arange(COUNT) - PRE + 1) / (STEPS + 1)).clamp(0, 1).view(-1, 1, 1, 1)
    return Mixture(mix(a, b, weight, space), weight, PRE, PRE + STEPS - 1, space)


def over(mixture: Mixture, layers: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return both scenes over the window: the input with the mixed frames replaced."""
    return mixture.over_window(layers)


def flickering(
    mixture: Mixture, a: Tensor, b: Tensor, amount: float = 0.08
) -> tuple[Tensor, Tensor]:
    """Return the true layers with a new error in each frame, mixing back to the input."""
    coarse = torch.rand(STEPS, 3, 4, 5, generator=torch.Generator().manual_seed(5)) - 0.5
    wrong = torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear") * 2 * amount
    return project(mixture, (a[INSIDE] + wrong).clamp(0, 1), (b[INSIDE] - wrong).clamp(0, 1))


def looked_up(picture: Tensor, x: float, y: float) -> Tensor:
    """Return a pixel ``(3,)`` by bilinear lookup; beyond the edge the last one."""
    x, y = min(max(x, 0.0), SIZE[1] - 1.0), min(max(y, 0.0), SIZE[0] - 1.0)
    left, top = min(int(x), SIZE[1] - 2), min(int(y), SIZE[0] - 2)
    right, down = x - left, y - top
    above = (1 - right) * picture[:, top, left] + right * picture[:, top, left + 1]
    below = (1 - right) * picture[:, top + 1, left] + right * picture[:, top + 1, left + 1]
    return (1 - down) * above + down * below


def test_the_offered_value_is_the_weighted_mean_of_all_voices() -> None:
    generator = torch.Generator().manual_seed(0)
    layer, anchor = (
        torch.rand(4, 3, *SIZE, generator=generator),
        torch.rand(3, *SIZE, generator=generator),
    )
    sure = 20 * torch.rand(1, *SIZE, generator=generator)
    flow, confidence = (
        6 * torch.rand(2, 2, *SIZE, generator=generator) - 3,
        torch.rand(2, 1, *SIZE, generator=generator),
    )
    links = MotionLinks([0, 3], flow.half(), confidence.half())
    value, weight = offered_value(layer, 1, links, (anchor, sure), WEIGHTS, slice(0, SIZE[0]))
    for y, x in ((0, 0), (5, 7), (31, 39), (16, 0)):
        for channel in range(3):
            current = float(layer[1, channel, y, x])
            voices = [
                (WEIGHTS.current, current),
                (float(sure[0, y, x]), float(anchor[channel, y, x])),
            ]
            for number, frame in enumerate(links.frames):
                right, down = (float(part) for part in links.flows[number, :, y, x])
                offer = float(looked_up(layer[frame], x + right, y + down)[channel])
                voices.append(
                    (
                        float(links.confidence[number, 0, y, x])
                        / math.hypot(current - offer, WEIGHTS.near),
                        offer,
                    )
                )
            total = sum(weight for weight, _ in voices)
            assert float(weight[channel, y, x]) == pytest.approx(total, rel=1e-3)
            assert float(value[channel, y, x]) == pytest.approx(
                sum(w * v for w, v in voices) / total, abs=1e-3
            )


def test_without_links_and_anchor_a_frame_stays_as_it_is() -> None:
    layer = scenes()[0]
    nobody = MotionLinks([], torch.zeros(0, 2, *SIZE), torch.zeros(0, 1, *SIZE))
    no_anchor = torch.zeros(3, *SIZE), torch.zeros(1, *SIZE)
    value, weight = offered_value(layer, 2, nobody, no_anchor, WEIGHTS, slice(0, SIZE[0]))
    torch.testing.assert_close(value, layer[2])
    torch.testing.assert_close(weight, torch.full((3, *SIZE), WEIGHTS.current))


def test_links_lead_to_allowed_frames_along_the_motion() -> None:
    a, b = scenes()
    mixture = mixed(a, b)
    frames = range(mixture.first, mixture.last + 1)
    links = find_links(a, frames, mixture.visible("outgoing"), TOLERANCE, (1, 3))
    assert [sorted(link.frames) for link in links] == [
        [1, 3, 5, 7],
        [2, 4, 6, 8],
        [3, 5, 7],
        [4, 6, 8],
        [5, 7],
    ]
    for frame, link in enumerate(links, PRE):
        for other, flow, confidence in zip(link.frames, link.flows, link.confidence, strict=True):
            away = other - frame
            error = flow[:, 6:-6, 6:-6].float() - away * torch.tensor([1.0, 0.5]).view(2, 1, 1)
            assert error.norm(dim=0).mean() < 0.4
            # The confidence falls with distance only, where the flows agree.
            assert confidence.max() <= 1 / math.sqrt(abs(away)) + 1e-3
            assert confidence[:, 6:-6, 6:-6].float().mean() > 0.8 / math.sqrt(abs(away))


def test_a_still_layer_is_linked_to_the_same_places() -> None:
    frame = drifting(1, 1, (0, 0), SIZE).expand(COUNT, -1, -1, -1)
    links = find_links(frame.clone(), range(PRE, PRE + STEPS), range(COUNT), TOLERANCE)
    assert all(float(link.flows.abs().max()) == 0 for link in links)


def test_a_link_to_a_fainter_frame_counts_less() -> None:
    a, b = scenes()
    mixture = mixed(a, b)
    frames = range(mixture.first, mixture.last + 1)
    links = find_links(b, frames, mixture.visible("incoming"), TOLERANCE, (1,))
    for place, (before, after) in enumerate(
        zip(links, weigh_by_clarity(mixture, "incoming", links), strict=True), 1
    ):
        for frame, old, new in zip(before.frames, before.confidence, after.confidence, strict=True):
            # The weights of the mixed frames are 1/6, 2/6 and so on.
            fainter = frame < mixture.first + place - 1
            expected = old * (place - 1) / place if fainter else old
            torch.testing.assert_close(new, expected, rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize("space", ["gamma", "linear"])
def test_a_turn_keeps_the_mixture(space: Space) -> None:
    a, b = scenes()
    mixture = mixed(a, b, space)
    layers = flickering(mixture, a, b)
    new = relink_and_sweep(mixture, over(mixture, layers), layers, torch.zeros(STEPS, 1, *SIZE))
    again = mix(new[0][INSIDE], new[1][INSIDE], mixture.weight[INSIDE], space)
    assert psnr(again, mixture.frames[INSIDE]) > 45


def test_a_turn_brings_flickering_layers_nearer_to_the_truth() -> None:
    a, b = scenes()
    mixture = mixed(a, b)
    layers = flickering(mixture, a, b)
    new = relink_and_sweep(mixture, over(mixture, layers), layers, torch.zeros(STEPS, 1, *SIZE))
    for layer, before, truth in zip(new, layers, (a, b), strict=True):
        assert psnr(layer[INSIDE], truth[INSIDE]) > psnr(before, truth[INSIDE]) + 3


def test_a_turn_changes_neither_clean_frames_nor_its_arguments() -> None:
    a, b = scenes()
    mixture = mixed(a, b)
    layers = flickering(mixture, a, b)
    given = over(mixture, layers)
    copies = [layer.clone() for layer in given]
    new = relink_and_sweep(mixture, given, layers, torch.zeros(STEPS, 1, *SIZE), (1,))
    for layer, old, copy in zip(new, given, copies, strict=True):
        assert torch.equal(old, copy) and not torch.equal(layer[INSIDE], copy[INSIDE])
        assert torch.equal(layer[:PRE], copy[:PRE]) and torch.equal(
            layer[PRE + STEPS :], copy[PRE + STEPS :]
        )


def test_frames_in_which_a_layer_has_no_weight_are_never_used() -> None:
    """The outgoing scene after the transition, and the incoming one before it, are invented."""
    a, b = scenes()
    mixture = mixed(a, b)
    layers = flickering(mixture, a, b)
    anchors, sure = layers, torch.zeros(STEPS, 1, *SIZE)
    one = relink_and_sweep(mixture, over(mixture, layers), anchors, sure)
    outgoing, incoming = over(mixture, layers)
    outgoing[PRE + STEPS :], incoming[:PRE] = float("nan"), float("nan")
    other = relink_and_sweep(mixture, (outgoing, incoming), anchors, sure)
    assert torch.equal(one[0][INSIDE], other[0][INSIDE]) and torch.equal(
        one[1][INSIDE], other[1][INSIDE]
    )


def test_anchors_hold_the_layers() -> None:
    a, b = scenes()
    mixture = mixed(a, b)
    wrong = flickering(mixture, a, b)
    sure = torch.zeros(STEPS, 1, *SIZE)
    sure[..., 20:] = 1e6
    new = relink_and_sweep(mixture, over(mixture, wrong), (a[INSIDE], b[INSIDE]), sure, (1,))
    for layer, truth in zip(new, (a, b), strict=True):
        torch.testing.assert_close(
            layer[INSIDE][..., 20:], truth[INSIDE][..., 20:], atol=1e-3, rtol=0
        )
        assert (layer[INSIDE][..., :20] - truth[INSIDE][..., :20]).abs().max() > 0.01


@pytest.mark.parametrize("locked", ["outgoing", "incoming"])
def test_a_locked_color_stays(locked: Side) -> None:
    color = torch.tensor([0.2, 0.5, 0.1])
    plain = color.view(1, 3, 1, 1).expand(COUNT, 3, *SIZE)
    a, b = (plain, scenes()[1]) if locked == "outgoing" else (scenes()[0], plain)
    whole = mixed(a, b)
    mixture = Mixture(whole.frames, whole.weight, PRE, PRE + STEPS - 1, "gamma", locked, color)
    layers = a[INSIDE], b[INSIDE]
    new = relink_and_sweep(
        mixture, over(mixture, layers), layers, torch.zeros(STEPS, 1, *SIZE), (1,)
    )
    torch.testing.assert_close(
        new[0 if locked == "outgoing" else 1][INSIDE], plain[INSIDE], atol=1e-5, rtol=0
    )
    side = 1 if locked == "outgoing" else 0
    assert psnr(new[side][INSIDE], layers[side]) > 40


def test_one_mixed_frame_and_nothing_around_it() -> None:
    a, b = (scene[:1] for scene in scenes())
    mixture = Mixture(mix(a, b, torch.tensor(0.5), "gamma"), torch.full((1, 1, 1, 1), 0.5), 0, 0)
    new = relink_and_sweep(mixture, (a, b), (a, b), torch.zeros(1, 1, *SIZE))
    torch.testing.assert_close(new, (a, b), atol=1e-5, rtol=0)


@pytest.mark.parametrize("has_matte", [False, True])
def test_a_turn_is_the_same_in_one_band_and_in_several(
    monkeypatch: pytest.MonkeyPatch, has_matte: bool
) -> None:
    """The bands in which threads sweep a frame leave no trace, bit by bit."""
    monkeypatch.setattr("stages.optim.threads.LEAST_VALUES", 0)
    a, b = scenes()
    mixture = mixed(a, b)
    if has_matte:
        ramp = torch.linspace(-0.4, 0.4, SIZE[0]).view(1, 1, -1, 1).expand(-1, -1, -1, SIZE[1])
        weight = (mixture.weight + ramp * (mixture.weight * (1 - mixture.weight) > 0)).clamp(0, 1)
        mixture = Mixture(mix(a, b, weight, "gamma"), weight, PRE, PRE + STEPS - 1, "gamma")
    layers = flickering(mixture, a, b)
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        try:
            with one_thread_an_operation():
                assert len(bands(SIZE[0])) == count
                trust = torch.ones(STEPS, 1, *SIZE)
                found.append(relink_and_sweep(mixture, over(mixture, layers), layers, trust))
        finally:
            torch.set_num_threads(1)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
