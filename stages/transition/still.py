"""Transitions between two scenes that stand still: photographs in a slideshow, title cards.

A scene that stands still in its clean frames probably stands still in the mixed frames, too. Its
layer is then the mean of its clean frames, which has less noise than any single frame, and nothing
has to be fitted.

The route: :func:`still_pictures` finds the scenes that stand still. If both do,
:func:`explain_mixed_frames` tests whether they explain the mixed frames. That needs no weights:
whatever the matte is, each pixel of a mixed frame lies on the line between the two pictures in RGB.
:func:`separate_still` then writes the layers. If only one scene stands still, the transition is
fitted as usual, and :func:`still_side` decides whether the picture replaces that scene's layer.

Tensors are ``(T, C, H, W)``, RGB in [0, 1].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.find.stills import AGREES, MOST_NOISE, OFF_LINE, STEADY
from stages.kinds import TRANSITION_KINDS
from stages.mixing.dissolve import Dissolve
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import DISSOLVES, SIDES, Mixture, Side
from stages.mixing.psnr import psnr_of
from stages.motion.flow import box, range_around, resize, within
from stages.optim.timing import clocked
from stages.shots import Transition
from stages.transition.direct import DirectSeparation, PutLayers, mixed_frames
from stages.transition.window import Window, plain_color

LEAST_CLEAN_FRAMES = 4
"""Clean frames that a scene needs, so that it can be judged whether it stands still."""

MEAN_RADIUS = 2
"""Radius in pixels of the square means that are compared. Coding noise averages out in them."""

MOST_DEVIATING = 1e-3
"""Part of a still frame's pixels, 0 to 1, that may differ by more than :data:`STEADY`, for example
through a coding error."""

SKIPPED_FRAMES = 2
"""Clean frames next to the transition that are left out if there are enough others."""

MOST_OTHER_WEIGHT = 0.3
"""Weight of the other scene, 0 to 1, up to which a pixel mainly shows the still scene."""

OTHER_ERROR = 0.25
"""Error assumed for the other scene's layer, in values of [0, 1]; it counts times its weight."""

MOST_UNEXPLAINED = 0.02
"""Part, 0 to 1, of the pixels that mainly show the still scene which it may leave unexplained.
Where more are, the scene counts as moving."""

COMPARED_PIXELS = 128 * 72
"""Pixels of the small pictures in which the still scenes are compared with the mixed frames."""

LEAST_NOISE = 2 / 255
"""Least coding noise that is assumed, as root mean square of values in [0, 1]."""

COARSER_SHARE = 0.02
"""How much the neighbourhood at half the resolution counts, relative to the one before it."""

ENERGY_RADIUS = 4
"""Radius in pixels of the square mean over which a residual is compared with the noise."""

EDGE_RANGE = 0.1
"""Difference between the weights around a pixel from which it lies at the edge of a matte."""

EDGE_RADIUS = 3
"""Distance in pixels over which lossy coding smears colours across such an edge."""

LEAST_CURVATURE = 0.05
"""Lower bound of ``α² + β²``, by which a residual is divided."""

Pictures = tuple[Tensor | None, Tensor | None]
"""The pictures ``(1, 3, H, W)`` of the outgoing and the incoming scene, None for one that moves."""


@dataclass(frozen=True)
class StillScene:
    """One scene that stands still.

    side: which scene it is. picture: ``(1, 3, H, W)`` in [0, 1].
    """

    side: Side
    picture: Tensor


def still_pictures(window: Window, transition: Transition) -> Pictures:
    """Return the picture ``(1, 3, H, W)`` of each scene that stands still in its clean frames.

    The picture is None where a scene moves, or has fewer than :data:`LEAST_CLEAN_FRAMES` clean
    frames in the window. A plain side of a fade is its plain colour.
    """
    before = _skip_at_end(window.first, transition.first_frame - 1)
    outgoing = _mean_if_still(window, *before)
    after = _skip_at_start(transition.last_frame + 1, window.last)
    incoming = _mean_if_still(window, *after)
    color = plain_color(transition)
    if color is None:
        return outgoing, incoming
    plain = color.view(1, 3, 1, 1).expand(1, 3, *window.size)
    return (plain, incoming) if transition.outgoing is None else (outgoing, plain)


def separate_still(
    window: Window,
    transition: Transition,
    scenes: Pair,
    progress: Callable[[float, str], None],
    put: PutLayers,
) -> DirectSeparation:
    """Separate a transition between two still scenes, and return what was learnt about it.

    window: holds the mixed frames. scenes: both pictures, of :func:`still_pictures`.
    progress: called with the fraction done and a note. put: called with each frame's layers.
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
            layers = distribute_above_noise(frame, scenes, model)
            error += float(model.residual(frame, *layers).square().mean())
            means.append(float(weight.mean()))
            matte = weight[0] if has_matte else None
            put(number, pixels.clone(), (layers[0][0], layers[1][0]), matte)
    return DirectSeparation(tuple(means), 1.0, psnr_of(error / len(means)), dict(seconds))


def still_side(pictures: Pictures, mixture: Mixture, layers: Pair) -> StillScene | None:
    """Return the one scene that stands still while the other one moves, or None.

    A scene that stands still in its clean frames may begin to move in the mixed ones. So its
    picture also has to explain the pixels that mainly show it.

    pictures: as :func:`still_pictures` returns them. mixture: the transition at its working size.
    layers: both scenes in its mixed frames, ``(n, 3, h, w)``, as the fit found them.
    """
    if mixture.locked is not None:
        return None
    for number, side in enumerate(SIDES):
        picture = pictures[number]
        if picture is None or pictures[1 - number] is not None:
            continue
        if _unexplained_share(StillScene(side, picture), mixture, layers) <= MOST_UNEXPLAINED:
            return StillScene(side, picture)
    return None


def unless_moved(layer: Tensor, picture: Tensor) -> Tensor:
    """Return a scene's layer with its still picture in place of noise, ``(3, H, W)``.

    layer: the scene in a mixed frame. picture: as :func:`still_pictures` returns it. Where the
    layer differs from it by more than noise, something moves, and the layer stays as it is.
    """
    change = box(layer[None] - picture, MEAN_RADIUS).abs().amax(1)
    return torch.where(change <= 2 * STEADY, picture[0], layer)


def _unexplained_share(still: StillScene, mixture: Mixture, layers: Pair) -> float:
    """Return the part of the pixels that a still scene leaves unexplained, 0 to 1.

    Only pixels that mainly show this scene count; those at the edge of a matte do not.
    """
    picture = resize(still.picture, mixture.size).expand(mixture.count, -1, -1, -1)
    weight = mixture.weight[mixture.mixed]
    is_outgoing = still.side == "outgoing"
    scenes = (picture, layers[1]) if is_outgoing else (layers[0], picture)
    residual = mixture.dissolve(weight).residual(mixture.frames[mixture.mixed], *scenes)
    other = weight if is_outgoing else 1 - weight
    allowed = STEADY + OTHER_ERROR * other
    unexplained = box(residual, MEAN_RADIUS).abs().amax(1, keepdim=True) > allowed
    counted = other <= MOST_OTHER_WEIGHT
    if mixture.has_matte:
        counted = counted & ~_at_edge(weight)
    counted = counted.expand_as(unexplained)
    return float((unexplained & counted).sum()) / max(1.0, float(counted.sum()))


def _skip_at_end(first: int, last: int) -> tuple[int, int]:
    """Return the range of clean frames without its last ones, which may show the other scene."""
    return first, last - _skipped(first, last)


def _skip_at_start(first: int, last: int) -> tuple[int, int]:
    """Return the range of clean frames without its first ones, which may show the other scene."""
    return first + _skipped(first, last), last


def _skipped(first: int, last: int) -> int:
    """Return how many of the clean frames ``first`` to ``last`` can be left out."""
    return min(SKIPPED_FRAMES, max(0, last - first + 1 - LEAST_CLEAN_FRAMES))


def _mean_if_still(window: Window, first: int, last: int) -> Tensor | None:
    """Return the mean ``(1, 3, H, W)`` of frames ``first`` to ``last`` if all of them show it.

    Returns None where a frame differs from the mean by more than noise, or where there are too few.
    """
    count = last - first + 1
    if count < LEAST_CLEAN_FRAMES:
        return None
    # Compare the ends first: most scenes move, and two frames show that sooner than all of them.
    # In a still scene both are within STEADY of the mean, so within twice that of each other.
    ends = window.frames([first, last])
    apart = box(ends[:1] - ends[1:], MEAN_RADIUS).abs().amax(1)
    if float((apart > 2 * STEADY).float().mean()) > 2 * MOST_DEVIATING:
        return None
    mean = torch.zeros(1, 3, *window.size)
    for block in window.blocks(first, last):
        mean += block.pixels.sum(0, keepdim=True) / count
    for block in window.blocks(first, last):
        for frame in block.pixels:
            change = box(frame[None] - mean, MEAN_RADIUS).abs().amax(1)
            if float((change > STEADY).float().mean()) > MOST_DEVIATING:
                return None
    return mean


def explain_mixed_frames(window: Window, transition: Transition, scenes: Pair) -> bool:
    """Return whether two still scenes mix to every mixed frame, up to coding noise.

    scenes: their pictures, ``(1, 3, H, W)``. The frames are compared at a small size, where coding
    noise averages out.
    """
    size = within(window.size, COMPARED_PIXELS)
    small = resize(scenes[0], size), resize(scenes[1], size)
    for block in window.blocks(transition.first_frame, transition.last_frame):
        for pixels in resize(block.pixels, size):
            frame = pixels[None]
            weight = weight_between(frame, small)
            if not TRANSITION_KINDS[transition.kind].has_matte:
                weight = _frame_weight(frame, small)
            residual = DISSOLVES[transition.space](weight).residual(frame, *small)
            energy = box(residual.square().mean(1, keepdim=True), 1)
            far = energy > AGREES**2 * noise_variance(energy)
            if float(far.float().mean()) > OFF_LINE:
                return False
    return True


def weight_between(frame: Tensor, scenes: Pair, radius: int = 0) -> Tensor:
    """Return the weight of the incoming scene at each pixel, ``(1, 1, H, W)`` in [0, 1].

    With radius 0 it is the least-squares weight of each pixel by itself. Otherwise neighbouring
    pixels are taken together, each by the contrast between the scenes there. Where the scenes are
    equal, coarser and coarser neighbourhoods decide.

    frame, scenes: ``(1, 3, H, W)``. radius: of the smallest neighbourhood, in pixels.
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
        share *= COARSER_SHARE
        top = top + share * resize(along, size)
        bottom = bottom + share * resize(contrast, size)
    return (top / bottom.clamp_min(1e-6)).clamp(0, 1)


def _frame_weight(frame: Tensor, scenes: Pair) -> Tensor:
    """Return the one weight ``(1, 1, 1, 1)`` that explains a whole frame best (least squares)."""
    across = scenes[1] - scenes[0]
    value = ((frame - scenes[0]) * across).sum() / across.square().sum().clamp_min(1e-6)
    return value.clamp(0, 1).view(1, 1, 1, 1)


def noise_variance(energy: Tensor) -> float:
    """Return the variance of the coding noise: the median of local energies, within bounds."""
    return float(energy.median().clamp(LEAST_NOISE**2, MOST_NOISE**2))


def distribute_above_noise(frame: Tensor, scenes: Pair, model: Dissolve) -> Pair:
    """Return the scenes changed by the part of a frame's residual that is more than noise.

    Where the scenes are right, the residual is coding noise, and its median local energy tells how
    strong that is. Only what exceeds it (a Wiener gain) changes a layer.

    frame, scenes, and what is returned: ``(1, 3, H, W)`` in [0, 1].
    """
    mixed = model.mix(*scenes)
    residual = frame - mixed
    energy = box(residual.square().mean(1, keepdim=True), ENERGY_RADIUS)
    gain = (1 - AGREES**2 * noise_variance(energy) / energy.clamp_min(1e-9)).clamp_min(0)
    if model.weight.shape[-1] > 1:
        gain = gain * ~_at_edge(model.weight)
    alpha, beta = model.slopes(*scenes, mixed)
    step = gain * residual / (alpha.square() + beta.square()).clamp_min(LEAST_CURVATURE)
    return model.clamp(scenes[0] + alpha * step, scenes[1] + beta * step)


def _at_edge(weight: Tensor) -> Tensor:
    """Return where a matte ``(n, 1, H, W)`` changes quickly; coding errors gather there."""
    least, most = range_around(weight, EDGE_RADIUS)
    return most - least > EDGE_RANGE
