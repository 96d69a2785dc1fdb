"""A clip in which two layers add up and move differently: what is behind the glass, and what the glass reflects.

    corners --two motions--> mosaics: two pictures on moving planes, fitted together, tell the layers apart also where they are smooth
    mosaics --sweeps--> every frame's layers agree with its neighbours' along each layer's own optical flow, and add up to the input

Frames are ``(T, 3, H, W)`` in [0, 1] in the space in which layers add, ``I_t = T_t + R_t``. After Xue et al. 2015 (obstruction-free
photography), with planes for its first step and a closed form for its last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stages.motion.flow import Pair, resize, resize_flow, shrunk, warp, within
from stages.optim.loss_curves import Trace
from stages.optim.losses import gradients
from stages.transparency.mosaic import Mosaic, Placed, fit_mosaic
from stages.transparency.motion import chain, distance, refined, trusted, two_motions

DISTANCES = (1, 3, 8)  # frames to either side that a frame is linked to
SWEEPS = 4  # goes through the frames in a turn
NEAR = 0.02  # differences below this count squared, above it as they are
TOLERANCE = 1.5  # pixels that a flow may miss there and back
HOLD = 1.0  # weight of a frame's current value; a wholly trusted link weighs up to 1 / NEAR
ANCHOR = 10.0  # weight of the mosaics' value
DETAIL = 0.5  # part of what is missing to the input that the less sharp layer gets beside the other's 1, at least
ALIKE = 0.3  # pixels between two guesses of the motions that are tried as one
TRACKED = 320 * 180  # pixels of the small frames in which corners are tracked as well
TRIAL = 60  # steps of a mosaic that is only fitted to see which motions explain the clip
SHARE = 0.97  # of the light that the transmission starts with: the reflection has to earn its own

Layers = tuple[Tensor, Tensor]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class ClipPlan:
    """The work on one window. pixels: of the frames that flow and sweeps work on; mosaic_pixels, mosaic_steps: of the mosaics; turns: of
    flow and sweeps; full: whether a last sweep goes over the frames at full size."""

    pixels: int
    mosaic_pixels: int
    mosaic_steps: int
    turns: int
    full: bool


@dataclass(frozen=True)
class Links:
    """What one frame of a layer is linked to: K frames, flows ``(K, 2, H, W)`` and confidences ``(K, 1, H, W)``."""

    frames: list[int]
    flows: Tensor
    confidence: Tensor

    def at(self, size: tuple[int, int]) -> Links:
        """The same for pictures of another size."""
        return Links(self.frames, resize_flow(self.flows, size), resize(self.confidence, size))


def separate_clip(frames: Tensor, plan: ClipPlan, progress: Progress, trace: Trace | None = None) -> Layers:
    """Both layers of two frames or more, first the one whose motion more corners follow; they add up to ``frames`` and lie in [0, I].

    trace: takes note of how far the sweeps move the layers.
    """
    full = (frames.shape[-2], frames.shape[-1])
    work = shrunk(frames, plan.pixels)
    mosaic = fit_planes(work, plan, lambda done: progress(0.4 * done))
    detail = min(1 / DETAIL, max(DETAIL, sharpness(mosaic.layers[1]) / max(sharpness(mosaic.layers[0]), 1e-9)))
    layers = _adding_up(work, mosaic.layers, detail)
    anchors = layers
    links = None
    for turn in range(plan.turns):
        progress(0.4 + 0.4 * turn / plan.turns)
        links = find_links(layers[0]), find_links(layers[1])
        for go in range(SWEEPS):
            before, layers = layers, sweep(work, layers, anchors, links, detail, backwards=go % 2 == 1)
            if trace is not None:
                moved = float((layers[0] - before[0]).square().mean().sqrt())
                trace.add("sweeps", (turn * SWEEPS + go + 1) / (plan.turns * SWEEPS), {"moved": moved})
    if work.shape != frames.shape:
        # The less sharp layer is enlarged; what it leaves of the input is the other one, with all the detail.
        soft = 1 if detail <= 1 else 0
        enlarged = torch.minimum(resize(layers[soft], full), frames)
        layers = (frames - enlarged, enlarged) if soft else (enlarged, frames - enlarged)
        if plan.full and links is not None:
            progress(0.8)
            layers = sweep(frames, layers, layers, links, detail)
    return layers


def fit_planes(frames: Tensor, plan: ClipPlan, progress: Progress) -> Mosaic:
    """The mosaics of ``frames``, both layers at the frames' size. Of several guesses of the motions the one is taken that explains most."""
    size = (frames.shape[-2], frames.shape[-1])
    guesses = _first_guesses(frames)
    layers = SHARE * frames, (1 - SHARE) * frames
    mosaic: Mosaic | None = None
    rounds = (
        (plan.mosaic_pixels // 4, min(2 * TRIAL, 2 * plan.mosaic_steps)),
        (plan.mosaic_pixels, plan.mosaic_steps // 2),
        (plan.mosaic_pixels, plan.mosaic_steps),
    )
    for number, (pixels, steps) in enumerate(rounds):
        mosaic = _mosaic(frames, _best(frames, _unlike(guesses, size), layers, plan), layers, pixels, steps)
        layers = _adding_up(frames, mosaic.layers)
        again = chain(encoded(layers[0])), chain(encoded(layers[1]))
        guesses = [mosaic.placed, again, (again[0], mosaic.placed[1]), (mosaic.placed[0], again[1])]
        progress((number + 1) / len(rounds))
    assert mosaic is not None
    return mosaic


def _first_guesses(frames: Tensor) -> list[Placed]:
    """Motions by tracked corners, at the frames' size and at a small one, where corners that jump far are found again."""
    size = (frames.shape[-2], frames.shape[-1])
    guesses: list[Placed] = []
    for seen in (frames,) if size[0] * size[1] <= TRACKED else (frames, shrunk(frames, TRACKED)):
        steady, strongest = two_motions(encoded(seen)), two_motions(encoded(seen), steady=False)
        found = (steady.dominant, steady.other), (strongest.dominant, strongest.other), (strongest.dominant, [np.eye(3)] * len(frames))
        guesses += [at_size(placed, (seen.shape[-2], seen.shape[-1]), size) for placed in found]
    return guesses


def at_size(placed: Placed, size: tuple[int, int], other: tuple[int, int]) -> Placed:
    """Homographies between frames of ``size`` (height, width) as those between frames of an ``other`` size."""
    scale = np.diag([other[1] / size[1], other[0] / size[0], 1.0])
    one, two = ([scale @ each @ np.linalg.inv(scale) for each in layer] for layer in placed)
    return one, two


def _best(frames: Tensor, guesses: list[Placed], layers: Layers, plan: ClipPlan) -> Placed:
    """The guess with which small mosaics explain most of the clip after a few steps."""
    if len(guesses) == 1:
        return guesses[0]
    steps = min(TRIAL, plan.mosaic_steps)
    losses = [_mosaic(frames, placed, layers, max(1, plan.mosaic_pixels // 4), steps).loss for placed in guesses]
    return guesses[losses.index(min(losses))]


def _unlike(guesses: list[Placed], size: tuple[int, int]) -> list[Placed]:
    """Without those that are nearly as one before them, everywhere in the clip and for both layers."""
    kept: list[Placed] = []
    for guess in guesses:
        apart = [
            max(
                distance(one, other, size)
                for mine, theirs in zip(guess, each, strict=True)
                for one, other in zip(mine, theirs, strict=True)
            )
            for each in kept
        ]
        if not apart or min(apart) > ALIKE:
            kept.append(guess)
    return kept


def _mosaic(frames: Tensor, placed: Placed, layers: Layers, pixels: int, steps: int) -> Mosaic:
    """:func:`fit_mosaic` at another size: its answer is at the size of ``frames`` again."""
    size = (frames.shape[-2], frames.shape[-1])
    small = within(size, pixels)
    start = resize(layers[0], small), resize(layers[1], small)
    mosaic = fit_mosaic(resize(frames, small), at_size(placed, size, small), start, steps)
    return Mosaic((resize(mosaic.layers[0], size), resize(mosaic.layers[1], size)), at_size(mosaic.placed, small, size), mosaic.loss)


def sharpness(layer: Tensor) -> float:
    """How much edge a layer ``(T, 3, H, W)`` has to the eye."""
    return sum(float(d.abs().mean()) for d in gradients(encoded(layer)) if d.numel())


def _adding_up(frames: Tensor, layers: Layers, detail: float = DETAIL) -> Layers:
    """Layers moved to add up to ``frames``, within [0, I]; ``detail``: the reflection's part of what is missing beside 1."""
    missing = frames - layers[0] - layers[1]
    reflection = torch.minimum((layers[1] + missing * detail / (1 + detail)).clamp_min(0), frames)
    return frames - reflection, reflection


def find_links(layer: Tensor, distances: Sequence[int] = DISTANCES) -> list[Links]:
    """Links of every frame of ``layer`` to frames some way before and after it, along the layer's own motion."""
    count = len(layer)
    seen = encoded(layer)
    wanted = [[t + sign * d for d in distances for sign in (-1, 1) if 0 <= t + sign * d < count] for t in range(count)]
    pairs: set[Pair] = {pair for t, others in enumerate(wanted) for u in others for pair in ((t, u), (u, t))}
    found = refined(_bright(seen), chain(seen), pairs)
    links = []
    for t, others in enumerate(wanted):
        chosen = [(t, u) for u in others]
        links.append(Links(others, torch.stack([found[pair] for pair in chosen]), trusted(found, chosen, TOLERANCE)))
    return links


def sweep(
    frames: Tensor, layers: Layers, anchors: Layers, links: tuple[list[Links], list[Links]], detail: float, *, backwards: bool = False
) -> Layers:
    """Goes through the frames once: each layer's value is drawn to what its links and its anchor offer, and the two share out what is
    missing to the input by how unsure they are, the reflection's part times ``detail``. Exact, and within [0, I]."""
    transmission, reflection = layers[0].clone(), layers[1].clone()
    size = (frames.shape[-2], frames.shape[-1])
    order = range(len(frames))
    for t in reversed(order) if backwards else order:
        one, sure_one = _offered(transmission, t, anchors[0][t], links[0][t].at(size))
        other, sure_other = _offered(reflection, t, anchors[1][t], links[1][t].at(size))
        missing = frames[t] - one - other
        share = detail * sure_one / (detail * sure_one + sure_other)
        reflection[t] = torch.minimum((other + missing * share).clamp_min(0), frames[t])
        transmission[t] = frames[t] - reflection[t]
    return transmission, reflection


def _offered(layer: Tensor, t: int, anchor: Tensor, links: Links) -> tuple[Tensor, Tensor]:
    """Value and weight ``(3, H, W)`` that links, anchor and the current value together give frame t (re-weighted least absolute values)."""
    current = layer[t]
    offers = warp(layer[links.frames], links.flows)
    trust = links.confidence / ((current - offers) ** 2 + NEAR**2).sqrt()
    weight = HOLD + ANCHOR + trust.sum(0)
    return (HOLD * current + ANCHOR * anchor + (trust * offers).sum(0)) / weight, weight


def encoded(light: Tensor) -> Tensor:
    """As an eye sees it, so that corners of light in the dark count too."""
    return light.clamp_min(0).sqrt()


def _bright(layer: Tensor) -> Tensor:
    """Stretched to the full range for the flow, which sees eight bits."""
    sample = layer.flatten()[:: max(1, layer.numel() // 200_000)]
    return (layer / torch.quantile(sample, 0.995).clamp_min(1e-3)).clamp(0, 1)
