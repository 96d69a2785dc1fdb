"""Transitions between two scenes that stand still: photographs in a slideshow, title cards.

A scene that rests in all its clean frames of the window is known in the mixed frames too, if these
agree with it. Then nothing has to be fitted: the mean of its clean frames is the layer, with less
noise than any single frame. The agreement is tested without knowing the weights, because every
pixel of a mixed frame lies on the line between the two pictures in RGB, whatever the matte is.

Tensors are ``(T, C, H, W)``, RGB in [0, 1].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stages.find.stills import AGREES, MOST_NOISE, OFF_LINE, STEADY
from stages.kinds import TRANSITION_KINDS
from stages.mixing.dissolve import Dissolve
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import DISSOLVES, SIDES, Mixture, Side
from stages.mixing.psnr import psnr_of
from stages.motion.flow import box, resize, within
from stages.optim.timing import clocked
from stages.shots import Transition
from stages.transition.direct import DirectSeparation, PutLayers, mixed_frames
from stages.transition.window import Window, plain_color

FEWEST = 4
"""Clean frames of a side from which it can be judged; fewer say too little."""

RADIUS = 2
"""Radius in pixels of the means that are compared; noise and coding errors average out in them."""

FEW = 1e-3
"""Part of the pixels that may deviate more, for example through a coding error."""

SPARED = 2
"""Clean frames next to the transition that are left out if there are enough others."""

STRONG = 0.3
"""Weight of the other scene up to which a frame shows mostly the one that stands still."""

OTHER_ERROR = 0.25
"""Error of the other scene's layer that is allowed for, times its weight."""

MOVED = 0.02
"""Part of such pixels that may be unexplained before the scene counts as moving."""

COMPARED = 128 * 72
"""Pixels of the pictures in which the agreement of mixed frames is judged."""

LEAST_NOISE = 2 / 255
"""Lower bound of the coding noise (root mean square) that is believed of a full frame."""

WIDER = 0.02
"""How much a neighbourhood of twice the size counts for a pixel's weight."""

NEAR = 4
"""Radius in pixels of the mean over which a residual is compared with the noise."""

RANGE = 0.1
"""Range of weights in a neighbourhood that marks the edge of a matte."""

BLEED = 3
"""Distance in pixels over which colours bleed across such an edge."""

LEAST_CURVATURE = 0.05
"""Lower bound of ``α² + β²``, by which a residual is divided."""

Pictures = tuple[Tensor | None, Tensor | None]
"""The pictures ``(1, 3, H, W)`` of the outgoing and the incoming scene, None for one that moves."""


@dataclass(frozen=True)
class Known:
    """A scene that stands still: which one, and its picture ``(1, 3, H, W)``."""

    side: Side
    picture: Tensor


def still_pictures(window: Window, transition: Transition) -> Pictures:
    """Return the picture ``(1, 3, H, W)`` of each scene that stands still in its clean frames.

    A side that is a plain colour is that colour. Otherwise a side needs at least four clean frames
    in the window. The other sides are None.
    """
    outgoing = _still(window, window.first, transition.first_frame - 1, next_to=1)
    incoming = _still(window, transition.last_frame + 1, window.last, next_to=0)
    color = plain_color(transition)
    if color is None:
        return outgoing, incoming
    plain = color.view(1, 3, 1, 1).expand(1, 3, *window.size)
    return (plain, incoming) if transition.outgoing is None else (outgoing, plain)


def still_scenes(window: Window, transition: Transition, pictures: Pictures) -> Pair | None:
    """Return both scenes ``(1, 3, H, W)`` if they stand still and explain the mixed frames.

    pictures: as :func:`still_pictures` returns them.
    """
    outgoing, incoming = pictures
    if outgoing is None or incoming is None:
        return None
    scenes = outgoing, incoming
    return scenes if _agrees(window, transition, scenes) else None


def separate_still(
    window: Window,
    transition: Transition,
    scenes: Pair,
    progress: Callable[[float, str], None],
    put: PutLayers,
) -> DirectSeparation:
    """Separate a transition between two still scenes.

    window: the mixed frames. scenes: as :func:`still_scenes` returns them.
    progress: called with the fraction done and a note. put: called for each frame.
    """
    seconds: dict[str, float] = defaultdict(float)
    has_matte = TRANSITION_KINDS[transition.kind].has_matte
    means: list[float] = []
    error = 0.0
    with clocked(seconds, "finish"):
        for number, pixels in mixed_frames(window, transition, progress, "still scenes"):
            frame = pixels[None]
            weight = torch.tensor(transition.mix[number]).view(1, 1, 1, 1)
            if has_matte:
                weight = weight_between(frame, scenes, radius=1)
            model = DISSOLVES[transition.space](weight)
            layers = explain(frame, scenes, model)
            error += float(model.residual(frame, *layers).square().mean())
            means.append(float(weight.mean()))
            matte = weight[0] if has_matte else None
            put(number, pixels.clone(), (layers[0][0], layers[1][0]), matte)
    return DirectSeparation(tuple(means), 1.0, psnr_of(error / len(means)), dict(seconds))


def still_side(pictures: Pictures, work: Mixture, layers: Pair) -> Known | None:
    """Return the scene that stands still beside one that moves, or None.

    pictures: as :func:`still_pictures` returns them. work, layers: the transition at its working
    size, with the layers ``(n, 3, h, w)`` that were found without this knowledge.

    A scene that stands still in its clean frames could begin to move in the mixed ones. Then it
    would not explain what the frames show where it is strong.
    """
    if work.locked is not None:
        return None
    for number, side in enumerate(SIDES):
        picture = pictures[number]
        if picture is None or pictures[1 - number] is not None:
            continue
        small = resize(picture, work.size).expand(work.count, -1, -1, -1)
        weight = work.weight[work.mixed]
        given = (small, layers[1]) if side == "outgoing" else (layers[0], small)
        residual = work.dissolve(weight).residual(work.frames[work.mixed], *given)
        other = weight if side == "outgoing" else 1 - weight
        far = box(residual, RADIUS).abs().amax(1, keepdim=True) > STEADY + OTHER_ERROR * other
        seen = other <= STRONG
        if work.has_matte:
            seen = seen & ~_at_edge(weight)
        seen = seen.expand_as(far)
        wrong = float((far & seen).sum()) / max(1.0, float(seen.sum()))
        if wrong <= MOVED:
            return Known(side, picture)
    return None


def _still(window: Window, first: int, last: int, next_to: int) -> Tensor | None:
    """Return the mean of frames ``first`` to ``last`` if all of them equal it but for noise.

    next_to: 0 if the transition is before these frames, 1 if it is behind them. The frames next
    to it do not count where there are enough others: they may show a little of the other scene.
    """
    count = last - first + 1
    spared = min(SPARED, max(0, count - FEWEST))
    first, last = (first, last - spared) if next_to else (first + spared, last)
    count -= spared
    if count < FEWEST:
        return None
    # Most scenes move: two frames show that sooner than all of them. Both ends are within STEADY of
    # the mean in a scene that stands still, so they are within twice that of each other.
    ends = window.frames([first, last])
    apart = box(ends[:1] - ends[1:], RADIUS).abs().amax(1)
    if float((apart > 2 * STEADY).float().mean()) > 2 * FEW:
        return None
    mean = torch.zeros(1, 3, *window.size)
    for block in window.blocks(first, last):
        mean += block.pixels.sum(0, keepdim=True) / count
    for block in window.blocks(first, last):
        for frame in block.pixels:
            change = box(frame[None] - mean, RADIUS).abs().amax(1)
            if float((change > STEADY).float().mean()) > FEW:
                return None
    return mean


def _agrees(window: Window, transition: Transition, scenes: Pair) -> bool:
    """Return whether all mixed frames lie between the two pictures, pixel by pixel.

    The pictures are compared at a small size, where coding noise averages out.
    """
    size = within(window.size, COMPARED)
    small = resize(scenes[0], size), resize(scenes[1], size)
    for block in window.blocks(transition.first_frame, transition.last_frame):
        for pixels in resize(block.pixels, size):
            frame = pixels[None]
            weight = weight_between(frame, small)
            if not TRANSITION_KINDS[transition.kind].has_matte:
                weight = _even_weight(frame, small)
            residual = DISSOLVES[transition.space](weight).residual(frame, *small)
            energy = box(residual.square().mean(1, keepdim=True), 1)
            far = energy > AGREES**2 * _noise(energy)
            if float(far.float().mean()) > OFF_LINE:
                return False
    return True


def weight_between(frame: Tensor, scenes: Pair, radius: int = 0) -> Tensor:
    """Return the weight ``(1, 1, H, W)`` at which a frame is nearest to the line between scenes.

    frame, scenes: ``(1, 3, H, W)``. radius: of the smallest neighbourhood, in pixels.

    Among its neighbours a pixel counts by the contrast that it has between the scenes. Where they
    are equal, wider neighbourhoods decide.
    """
    across = scenes[1] - scenes[0]
    contrast = across.square().sum(1, keepdim=True)
    along = ((frame - scenes[0]) * across).sum(1, keepdim=True)
    if not radius:
        return (along / contrast.clamp_min(1e-6)).clamp(0, 1)
    size = (along.shape[-2], along.shape[-1])
    top = box(along, radius)
    bottom = box(contrast, radius)
    share = 1.0
    while min(along.shape[-2:]) >= 8:
        half = (along.shape[-2] // 2, along.shape[-1] // 2)
        along, contrast = resize(along, half), resize(contrast, half)
        share *= WIDER
        top = top + share * resize(along, size)
        bottom = bottom + share * resize(contrast, size)
    return (top / bottom.clamp_min(1e-6)).clamp(0, 1)


def _even_weight(frame: Tensor, scenes: Pair) -> Tensor:
    """Return the one weight ``(1, 1, 1, 1)`` that explains a whole frame best."""
    across = scenes[1] - scenes[0]
    value = ((frame - scenes[0]) * across).sum() / across.square().sum().clamp_min(1e-6)
    return value.clamp(0, 1).view(1, 1, 1, 1)


def _noise(energy: Tensor) -> float:
    """Return the variance of the coding noise: the median of local energies, within bounds."""
    return float(energy.median().clamp(LEAST_NOISE**2, MOST_NOISE**2))


def explain(frame: Tensor, scenes: Pair, model: Dissolve) -> Pair:
    """Return the scenes ``(1, 3, H, W)`` with what stands out from the noise distributed to them.

    Where the scenes are right, the residual of a frame is coding noise, and its median local energy
    tells how strong that is. Only what exceeds it (a Wiener gain) changes a layer.
    """
    mixed = model.mix(*scenes)
    residual = frame - mixed
    energy = box(residual.square().mean(1, keepdim=True), NEAR)
    gain = (1 - AGREES**2 * _noise(energy) / energy.clamp_min(1e-9)).clamp_min(0)
    if model.weight.shape[-1] > 1:
        gain = gain * ~_at_edge(model.weight)
    alpha, beta = model.slopes(*scenes, mixed)
    step = gain * residual / (alpha.square() + beta.square()).clamp_min(LEAST_CURVATURE)
    return model.clamp(scenes[0] + alpha * step, scenes[1] + beta * step)


def _at_edge(weight: Tensor) -> Tensor:
    """Return where a matte ``(1, 1, H, W)`` changes quickly; coding errors gather there."""
    wide = 2 * BLEED + 1
    most = functional.max_pool2d(weight, wide, 1, BLEED)
    least = -functional.max_pool2d(-weight, wide, 1, BLEED)
    return most - least > RANGE
