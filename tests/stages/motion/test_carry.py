"""Motion seen through a mixture, on textures with known velocities."""

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

from stages.mixing.mixture import Mixture, Side, mix
from stages.motion.carry import (
    carried_layers,
    carry,
    coarser_levels,
    extrapolated,
    known_motion,
    regularity,
)
from stages.shots import Space

LEVELS = ((2, 40), (1, 40))


@pytest.mark.parametrize("space", ["gamma", "linear"])
@pytest.mark.parametrize(("pace", "guess"), [(0.4, False), (1.0, True)])
def test_two_moving_textures_are_followed_through_their_mixture(
    space: Space, pace: float, guess: bool
) -> None:
    """Slow ones from no motion, so that it is found in the mixture; fast ones from the guess."""
    speeds = (pace * RIGHT[0], pace * RIGHT[1]), (pace * LEFT[0], pace * LEFT[1])
    a, b = drifting(1, COUNT, speeds[0], SIZE), drifting(2, COUNT, speeds[1], SIZE)
    mixture = mixed(a, b, space)
    still = straight((0, 0), PRE - 1), straight((0, 0), PRE + STEPS)
    carried = carry(mixture, LEVELS, start=None if guess else still)
    assert carried.templates == (PRE - 1, PRE + STEPS)
    for side, (truth, held) in enumerate(zip((a, b), carried_layers(mixture, still), strict=True)):
        layer, flow = carried.layers[side], carried.flows[side]
        assert layer.shape == (STEPS, 3, *SIZE) and flow.shape == (STEPS, 2, *SIZE)
        reached = psnr(inner(layer), inner(truth[INSIDE]))
        assert reached > 36 and reached > psnr(inner(held), inner(truth[INSIDE])) + 15
        assert (
            inner(flow - straight(speeds[side], carried.templates[side])).norm(dim=1).mean() < 0.2
        )


def test_the_first_guess_helps() -> None:
    mixture = mixed(*scenes())
    begin = straight((0, 0), PRE - 1), straight((0, 0), PRE + STEPS)
    few = ((2, 6),)
    guessed, plain = carry(mixture, few), carry(mixture, few, start=begin)
    truth = scenes()[0][INSIDE]
    assert psnr(guessed.layers[0], truth) > psnr(plain.layers[0], truth) + 3


def test_true_layers_carried_along_true_flows_are_the_truth() -> None:
    a, b = scenes()
    found = carried_layers(mixed(a, b), (straight(RIGHT, PRE - 1), straight(LEFT, PRE + STEPS)))
    assert (
        psnr(inner(found[0]), inner(a[INSIDE])) > 36
        and psnr(inner(found[1]), inner(b[INSIDE])) > 36
    )


def test_no_flow_holds_the_last_clean_frames() -> None:
    mixture, still = mixed(*scenes()), torch.zeros(STEPS, 2, *SIZE)
    held = carried_layers(mixture, (still, still))
    for layer, index in zip(held, (PRE - 1, PRE + STEPS), strict=True):
        torch.testing.assert_close(layer, mixture.frames[index].expand_as(layer), atol=1e-5, rtol=0)


@pytest.mark.parametrize("locked", ["outgoing", "incoming"])
def test_a_fade_keeps_its_color_and_carries_the_scene(locked: Side) -> None:
    color = torch.tensor([0.0, 0.3, 0.1])
    plain = color.view(1, 3, 1, 1).expand(COUNT, 3, *SIZE)
    a, b = scenes()
    a, b = (plain, b) if locked == "outgoing" else (a, plain)
    open_one = mixed(a, b)
    mixture = Mixture(
        open_one.frames, open_one.weight, open_one.first, open_one.last, "gamma", locked, color
    )
    carried = carry(mixture, LEVELS)
    place, other = (0, 1) if locked == "outgoing" else (1, 0)
    assert torch.equal(carried.layers[place], plain[INSIDE])
    assert psnr(inner(carried.layers[other]), inner((a, b)[other][INSIDE])) > 33


@pytest.mark.parametrize("missing", ["outgoing", "incoming"])
def test_a_scene_without_clean_frames_starts_from_its_strongest_mixed_one(missing: Side) -> None:
    a, b = scenes()
    whole = mixed(a, b)
    kept = slice(PRE, None) if missing == "outgoing" else slice(None, PRE + STEPS)
    first = 0 if missing == "outgoing" else PRE
    mixture = Mixture(whole.frames[kept], whole.weight[kept], first, first + STEPS - 1)
    side, there, template = (0, b, 0) if missing == "outgoing" else (1, a, PRE + STEPS - 1)
    assert mixture.template(missing) == template
    assert known_motion(mixture, missing).shape == (0, 2, *SIZE)
    carried = carry(mixture, LEVELS)
    assert carried.templates[side] == template
    assert all(torch.isfinite(part).all() for part in (*carried.flows, *carried.layers))
    # The scene that has clean frames does not get much worse.
    assert psnr(inner(carried.layers[1 - side]), inner(there[INSIDE])) > 26


def test_the_same_input_gives_the_same_flows_and_progress_rises_to_one() -> None:
    heard: list[float] = []
    mixture = mixed(*scenes())
    one, other = (
        carry(mixture, ((2, 5), (1, 3)), on_step=lambda done, _: heard.append(done)),
        carry(mixture, ((2, 5), (1, 3))),
    )
    assert all(
        torch.equal(x, y)
        for x, y in zip((*one.flows, *one.layers), (*other.flows, *other.layers), strict=True)
    )
    assert heard == pytest.approx([step / 8 for step in range(1, 9)])


def test_parts_of_the_frames_give_the_same_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = mixed(*scenes())
    at_once = carry(mixture, ((2, 8),))
    monkeypatch.setattr("stages.motion.carry.NODES_AT_ONCE", 2 * 24 * 32)
    for one, other in zip(at_once.flows, carry(mixture, ((2, 8),)).flows, strict=True):
        torch.testing.assert_close(one, other, atol=0.02, rtol=0)


def test_a_matte_says_where_each_scene_counts() -> None:
    """With a hard edge that stands still, each half of the picture is one scene: it is followed."""
    a, b = scenes()
    weight = (
        ((torch.arange(COUNT) - PRE + 1) / (STEPS + 1))
        .clamp(0, 1)
        .view(-1, 1, 1, 1)
        .repeat(1, 1, *SIZE)
    )
    weight[INSIDE] = (torch.arange(SIZE[1]) >= SIZE[1] // 2).float()
    carried = carry(Mixture(mix(a, b, weight, "gamma"), weight, PRE, PRE + STEPS - 1), LEVELS)
    half = SIZE[1] // 2
    assert psnr(carried.layers[0][..., 10:-10, 10:half], a[INSIDE][..., 10:-10, 10:half]) > 32
    assert psnr(carried.layers[1][..., 10:-10, half:-10], b[INSIDE][..., 10:-10, half:-10]) > 32


@pytest.mark.parametrize("side", ["outgoing", "incoming"])
def test_known_motion_is_that_of_the_clean_frames_nearest_first(side: Side) -> None:
    known = known_motion(mixed(*scenes()), side)
    velocity, sign = (RIGHT, 1) if side == "outgoing" else (LEFT, -1)
    assert known.shape == (3, 2, *SIZE)
    for away, flow in enumerate(known, 1):
        # A frame that lies `away` before the template looks that many velocities ahead.
        off = inner(flow) - sign * away * torch.tensor(velocity).view(2, 1, 1)
        assert off.norm(dim=0).mean() < 0.35


def test_the_first_guess_goes_on_and_slows_down() -> None:
    """``6 v (1 - exp(-k / 6))`` for the k-th frame, away from the template."""
    known = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1).expand(2, 2, 16, 24)
    guess = extrapolated(known, 3)
    assert guess.shape == (3, 2, 16, 24)
    for index, factor in enumerate((0.921110, 1.700812, 2.360816)):
        torch.testing.assert_close(guess[index], -factor * known[0], atol=1e-4, rtol=0)
    assert torch.equal(extrapolated(torch.zeros(0, 2, 16, 24), 3), torch.zeros(3, 2, 16, 24))


def test_an_even_motion_is_smooth_and_steady() -> None:
    velocity = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1)
    known = torch.arange(1.0, 4.0).view(3, 1, 1, 1) * velocity.expand(3, 2, 4, 5)
    even = -torch.arange(1.0, 6.0).view(5, 1, 1, 1) * velocity.expand(5, 2, 4, 5)
    least = [0.2, 0.1]  # Vectors of length zero count as a tenth of a pixel.
    assert [float(part) for part in regularity(even, known, False).values()] == pytest.approx(
        least, abs=1e-5
    )
    assert [
        float(part) for part in regularity(even.flip(0), known, True).values()
    ] == pytest.approx(least, abs=1e-5)
    torn, jumping = even.clone(), even.clone()
    torn[..., 2:] += 3
    jumping[2:] += 3
    assert float(regularity(torn, known, False)["roughness"]) > 0.9
    assert (
        float(regularity(jumping, known, False)["bend"]) > 0.9
        and float(regularity(jumping, known, False)["roughness"]) < 0.21
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 3)])
def test_tiny_pictures_are_carried_too(size: tuple[int, int]) -> None:
    a, b = (
        torch.rand(COUNT, 3, *size, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 2)
    )
    carried = carry(mixed(a, b), ((4, 3), (1, 3)))
    assert all(
        part.shape == (STEPS, channels, *size)
        for channels, parts in ((2, carried.flows), (3, carried.layers))
        for part in parts
    )
    assert all(torch.isfinite(part).all() for part in (*carried.flows, *carried.layers))


def test_large_pictures_get_coarser_levels_first() -> None:
    """144 / 4 = 36 is coarse enough; 270 / 4 = 67 is not, 270 / 8 = 34 is; 540 needs 16."""
    levels = ((4, 150), (2, 100), (1, 80))
    assert coarser_levels(levels, 144) == levels
    assert coarser_levels(levels, 270) == ((8, 150), (4, 100), (2, 80), (1, 48))
    assert coarser_levels(levels, 540) == ((16, 150), (8, 100), (4, 80), (2, 48), (1, 29))
    assert coarser_levels((), 540) == ()
