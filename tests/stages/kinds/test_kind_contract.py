"""The contract of a transition kind: the same tests for every file of ``stages/kinds``."""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.context import FitSettings
from stages.find.composed import place
from stages.find.search import find
from stages.find.soft_edge import coverage
from stages.kinds import PATTERNS, TRANSITION_KINDS, kind_of_pattern
from stages.kinds.base import AffineMap, TransitionKind, pixel_places
from stages.media.clip import Frames
from stages.shots import Analysis, Transition
from stages.transition.separate import separate_transition
from stages.transition.separated_frame import SeparatedFrame
from stages.transition.window import Window

HEIGHT, WIDTH = 54, 96
ASPECT = HEIGHT / WIDTH
CLEAN, MIXED = 14, 17
EFFECTS = [(kind.name, effect) for kind in TRANSITION_KINDS.values() for effect in kind.effects]
FIRST_EFFECTS = {next(iter(kind.effects)) for kind in TRANSITION_KINDS.values() if kind.effects}
"""One effect of each kind. The others differ in their direction; they are for slow tests."""


def picture(seed: int) -> Tensor:
    """Return a random picture ``(3, H, W)`` with structure at several scales."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        torch.nn.functional.interpolate(
            torch.rand(1, 3, 2**k + 1, 2**k + 1, generator=generator),
            (HEIGHT, WIDTH),
            mode="bicubic",
        )
        for k in (1, 3, 5)
    ]
    mixed = 0.6 * layers[0] + 0.5 * layers[1] + 0.3 * layers[2] - 0.2
    return mixed[0].clamp(0.02, 0.98)


def clip_of(kind: str, effect: str) -> tuple[Frames, tuple[Tensor, Tensor]]:
    """Return a clip of two still scenes with one effect, and the scenes."""
    scenes = picture(1), picture(2)
    placer = TRANSITION_KINDS[kind].effects[effect]
    inner = [place(scenes, placer((n + 1) / (MIXED + 1), ASPECT)) for n in range(MIXED)]
    frames = torch.stack([*[scenes[0]] * CLEAN, *inner, *[scenes[1]] * CLEAN])
    times = tuple(Fraction(number, 25) for number in range(len(frames)))
    return Frames(frames, times, 0), scenes


def searched(clip: Frames) -> Analysis:
    """Return what the search finds in a clip."""
    return find([clip])


@pytest.mark.parametrize("kind", TRANSITION_KINDS.values(), ids=lambda kind: kind.name)
def test_a_kind_is_one_file_with_its_name(kind: TransitionKind) -> None:
    module = sys.modules[f"stages.kinds.{kind.name}"]
    assert module.KIND is kind and inspect.getdoc(module)
    assert kind.beside_color() in TRANSITION_KINDS
    # Of a cut no frame is mixed, and those of an unknown kind are not taken apart.
    assert kind.extends_shots == (kind.name != "cut")
    assert kind.separable == (kind.name not in ("cut", "other"))


def test_no_pattern_and_no_effect_belongs_to_two_kinds() -> None:
    kinds = TRANSITION_KINDS.values()
    names = Counter(name for kind in kinds for name in [*kind.patterns, *kind.effects])
    assert max(names.values()) == 1
    assert all(name in TRANSITION_KINDS[kind_of_pattern(name)].patterns for name in PATTERNS)


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("soft", [0.05, 0.5])
def test_a_pattern_covers_the_picture_once(name: str, direction: int, soft: float) -> None:
    """Every place goes from the outgoing to the incoming scene once, from progress 0 to 1."""
    maps = PATTERNS[name].order(*pixel_places(HEIGHT, WIDTH, ASPECT), ASPECT)
    assert len(maps) in (1, 2) and all(part.shape == (HEIGHT, WIDTH) for part in maps)
    total = direction * torch.stack(maps).sum(0)
    order = ((total - total.min()) / (total.max() - total.min())).double().numpy()
    assert np.isfinite(order).all()
    mattes = np.stack([coverage(order, progress, soft) for progress in np.linspace(0, 1, 21)])
    assert (mattes[0] == 0).all() and np.allclose(mattes[-1], 1)
    assert (np.diff(mattes, axis=0) >= 0).all() and mattes.min() >= 0 and mattes.max() <= 1
    # Neither half of the way is empty: the edge passes over the picture, it does not jump.
    assert 0 < mattes[10].mean() < 1


def test_a_pattern_s_effect_depends_on_direction_and_softness() -> None:
    plane, circle = PATTERNS["plane"], PATTERNS["circle"]
    assert plane.effect((1.0, 0.0), 0.1, ASPECT) == "wiperight"
    assert plane.effect((-1.0, 0.0), 1.0, ASPECT) == "smoothleft"
    assert plane.effect((0.0, 1.0), 0.1, ASPECT) == "wipedown"
    assert plane.effect((1.0, 1.0), 0.1, ASPECT) is None
    assert circle.effect((-1.0,), 0.1, ASPECT) == "circleclose"
    # It begins at the left and the top side and moves to the corner at the bottom right.
    assert PATTERNS["bent-se"].effect((1.0,), 1.0, ASPECT) == "diagbr"


@pytest.mark.parametrize("progress", [0.1, 0.35, 0.6, 0.9])
def test_strips_change_as_ffmpeg_s_slices_do(progress: float) -> None:
    """FFmpeg compares a smoothstep along the picture with the place inside the strip."""
    x, y = pixel_places(1, 1000, 1.0)
    place = x[0] + 0.5
    ramp = ((place - 1.5 * (1 - progress) + 0.5) / 0.5).clamp(0, 1)
    changed = ramp**2 * (3 - 2 * ramp) > (10 * place) % 1
    (order,) = PATTERNS["strips-across"].order(x, y, 1.0)
    # The order runs over 1.5, from -1 at the end of the picture to 0.5.
    assert torch.equal((order[0] + 1) / 1.5 < progress, changed)


@pytest.mark.parametrize(("kind", "effect"), EFFECTS)
def test_an_effect_begins_and_ends_with_one_scene_alone(kind: str, effect: str) -> None:
    scenes, placer = (picture(1), picture(2)), TRANSITION_KINDS[kind].effects[effect]
    means = [
        placer(float(progress), ASPECT).mean_weight(HEIGHT, WIDTH)
        for progress in np.linspace(0, 1, 21)
    ]
    assert means[0] < 0.02 and means[-1] > 0.98 and means == sorted(means)
    for progress, scene in ((0.0, scenes[0]), (1.0, scenes[1])):
        shown = place(scenes, placer(progress, ASPECT))
        # The middle line that a squeezed scene ends as may still be seen.
        assert ((shown - scene).abs().amax(0) < 1e-4).float().mean() > 0.98


@pytest.mark.parametrize(("kind", "effect"), EFFECTS)
def test_the_places_of_a_scene_are_found_back(kind: str, effect: str) -> None:
    x, y = pixel_places(HEIGHT, WIDTH, ASPECT)
    for progress in (0.0, 0.3, 0.8):
        placement = TRANSITION_KINDS[kind].effects[effect](progress, ASPECT)
        for side in (placement.outgoing, placement.incoming):
            again = side.inverse()(*side(x, y))
            torch.testing.assert_close(torch.stack(again), torch.stack([x, y]), atol=1e-5, rtol=0)


def test_an_affine_map_by_hand() -> None:
    there = AffineMap(scale=(2.0, 1.0), shift=(0.5, -0.25))
    x, y = there(torch.tensor([0.25]), torch.tensor([0.5]))
    assert (float(x), float(y)) == (1.0, 0.25)
    assert there.inverse() == AffineMap(scale=(0.5, 1.0), shift=(-0.25, 0.25))


@pytest.mark.parametrize(
    ("kind", "effect"),
    [
        pytest.param(kind, effect, marks=[] if effect in FIRST_EFFECTS else [pytest.mark.slow])
        for kind, effect in EFFECTS
    ],
)
def test_an_effect_is_found_and_undone(kind: str, effect: str) -> None:
    """Still scenes come out as they are, and their frames mix back to the input."""
    clip, scenes = clip_of(kind, effect)
    (found,) = searched(clip).transitions
    assert (found.kind, found.effect) == (kind, effect)
    assert abs(found.first_frame - CLEAN) <= 1
    assert abs(found.last_frame - (CLEAN + MIXED - 1)) <= 1
    first, last = found.first_frame - 4, found.last_frame + 4
    part = Frames(clip.pixels[first : last + 1], clip.times[first : last + 1], first)
    done: dict[int, SeparatedFrame] = {}
    separated = separate_transition(
        Window.of(part),
        found,
        settings=FitSettings("fast", 0, torch.device("cpu")),
        progress=lambda fraction, note: None,
        put=done.__setitem__,
    )
    assert sorted(done) == list(range(len(found))) and len(separated.mix) == len(found)
    assert list(separated.mix) == sorted(separated.mix)
    for frame in done.values():
        for layer, scene in zip((frame.outgoing, frame.incoming), scenes, strict=True):
            assert float(((layer - scene) ** 2).mean()) < 1e-3


def test_a_push_to_a_plain_color_is_undone() -> None:
    scene, black = picture(1), torch.zeros(3, HEIGHT, WIDTH)
    mix = tuple((n + 1) / 7 for n in range(6))
    placer = TRANSITION_KINDS["push"].effects["slideleft"]
    inner = [place((scene, black), placer(weight, ASPECT)) for weight in mix]
    frames = torch.stack([*[scene] * 3, *inner])
    clip = Frames(frames, tuple(Fraction(n, 25) for n in range(len(frames))), 0)
    move = Transition(3, 8, "push", mix, "gamma", 0, None, "#000000", effect="slideleft")
    done: dict[int, SeparatedFrame] = {}
    separate_transition(
        Window.of(clip),
        move,
        settings=FitSettings("fast", 0, torch.device("cpu")),
        progress=lambda fraction, note: None,
        put=done.__setitem__,
    )
    for frame in done.values():
        assert float(((frame.outgoing - scene) ** 2).mean()) < 1e-3
        assert float(frame.incoming.abs().mean()) < 1e-3
