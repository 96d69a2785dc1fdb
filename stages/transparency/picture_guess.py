"""Guess the two layers of one picture, which does not say which part of its light came from where.

    picture --signs of a pane--> where light is laid over it, roughly
            --colours of the picture--> the same light with all its edges

Three things are known about a reflection without knowing either scene:

- A pane lifts the black of what is behind it. Nearly every scene has something black in view
  (dark-object subtraction: Chavez, Remote Sensing of Environment 1988). If the darkest places of a
  picture are not black, light is laid over it, at least as much as is seen there. Its colour is
  that in which dark places differ from the rest. There is more of it where the lower envelope of
  the picture's light is high.
- It lowers the contrast of texture, in one place more than in another
  (:mod:`stages.transparency.contrast`).
- It is often out of focus (:mod:`stages.transparency.out_of_focus`).

All three are rough, so only a part of each is taken out. They point at some of the colours that the
picture is a sum of (:mod:`stages.transparency.colors`). Those colours are as sharp as the picture,
and are taken out as far as they can be another layer: two layers are independent, and neither takes
more light than there is. A picture with true black and even texture stays nearly as it is. Light is
``(T, 3, H, W)`` in [0, 1].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stages.motion.flow import resize
from stages.transparency.colors import apply_color_matrix, common_colors, layer_matrices
from stages.transparency.contrast import light_from_contrast
from stages.transparency.filters import channel_quantile, gaussian_blur, lower_envelope
from stages.transparency.out_of_focus import out_of_focus_light

SIDE = 384
"""Largest side of the working picture, in pixels; the estimates have no finer detail."""
DARK_PART = 0.1
"""Part of the picture that counts as its dark places."""
BLACK_PART = 0.01
"""Part of the picture, its darkest pixels, that shows what its black is lifted to."""
SCENE_BLACK = 0.005
"""Light of a scene's own black, seen without a pane."""
LIGHT_TO_LIFT = 2.0
"""Mean of the light on the pane, in parts of the lift of black; brighter places reflect more."""
MOST_COVERED = 0.7
"""Largest part of the picture's lower envelope that the light on the pane takes."""
PANE_BLUR = 0.25
"""Standard deviation of the light on the pane, in parts of the picture's side."""
FOCUS_PART = 0.1
"""Part of the light out of focus that is taken out."""
COLOR_PART = 0.85
"""Part of the light found by its colours that is taken out."""
SAME_LAYER_CORRELATION = 0.82
"""Correlation at which two layers are as likely to be one as to be two."""
CORRELATION_WIDTH = 0.02
"""Difference of correlation that makes one of these e times as likely."""
MOST_TAKEN = 0.9
"""Largest part of the light that is left, at each place, that another layer takes."""
EXCEEDING_PART = 1e-3
"""Part of the values that may exceed it."""
UNSEEN_LIGHT = 0.002
"""Light that counts as none."""
LEAST_TEXTURE_PART = 0.05
"""Part of the light found by contrast that is always taken out."""
TEXTURE_PART_GAIN = 0.8
"""How much more of it is taken out where it explains all of the picture's light."""


def guess_layers(light: Tensor) -> tuple[Tensor, Tensor]:
    """Guess transmission and reflection of a picture, or of a static clip, ``(T, 3, H, W)``.

    One guess serves all frames of the clip. Both layers have the shape of ``light``, add up to it
    and lie within [0, I].
    """
    size = (light.shape[-2], light.shape[-1])
    scale = min(1.0, SIDE / max(size))
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    overlay = estimate_overlay(resize(light.mean(0, keepdim=True), small).clamp(0, 1))
    veil = resize(overlay.veil, size)
    reflections = []
    for picture in torch.split(light, 1):
        veil_here = torch.minimum(veil, picture)
        # The colours hold for every pixel, so what they take out is as sharp as the picture.
        colored = limited(apply_color_matrix(overlay.matrix, picture), picture - veil_here)
        reflections.append((veil_here + colored).clamp_min(0))
    reflection = torch.cat(reflections)
    return light - reflection, reflection


class LightOverlay(NamedTuple):
    """The light laid over a picture, in two parts.

    veil: smooth light, ``(1, 3, h, w)``. matrix: ``(3, 3)``, takes a pixel to the part of its
    colours that is the reflection's.
    """

    veil: Tensor
    matrix: Tensor


def estimate_overlay(seen: Tensor) -> LightOverlay:
    """Estimate the light laid over one small picture ``(1, 3, h, w)``.

    It is zero for a picture without edges, which shows nothing behind a pane.
    """
    bases = common_colors(seen)
    if not bases:
        return LightOverlay(torch.zeros_like(seen), torch.zeros(3, 3))
    by_contrast, by_black = light_from_contrast(seen), pane_light(seen)
    contrast_colors, black_colors = layer_matrices(seen, [by_contrast, by_black], bases)
    contrast_chance = independence(apply_color_matrix(contrast_colors, seen), seen)
    share = explained_share(by_contrast, seen)
    contrast_part = LEAST_TEXTURE_PART + TEXTURE_PART_GAIN * contrast_chance * share
    veil = by_black + contrast_part * by_contrast + FOCUS_PART * out_of_focus_light(seen)
    # Black tells more reliably than texture, so its colours are taken out in full.
    black_chance = independence(apply_color_matrix(black_colors, seen), seen)
    matrix = COLOR_PART * contrast_chance * contrast_colors + black_chance * black_colors
    left = seen - torch.minimum(veil, seen)
    return LightOverlay(veil, matrix * feasible_scale(apply_color_matrix(matrix, seen), left))


def pane_light(light: Tensor) -> Tensor:
    """Estimate the light that lifts the black of one picture ``(1, 3, H, W)``.

    Returns a tensor of the same shape, of zeros where the darkest pixels are black.
    """
    lifted = float((channel_quantile(light, BLACK_PART).min() - SCENE_BLACK).clamp_min(0))
    dark = channel_quantile(light, DARK_PART).clamp_min(1e-5)
    # Dark places show more of the pane's colour than of the scene's.
    mean = light.flatten(2).mean(-1)[..., None, None]
    color = dark.square() / mean.clamp_min(1e-5)
    envelope = lower_envelope(light, 3)
    spread = PANE_BLUR * (light.shape[-2] + light.shape[-1]) / 2
    height = (gaussian_blur(envelope, spread) / dark).amin(1, keepdim=True)
    shape = height / height.mean().clamp_min(1e-9)
    found = LIGHT_TO_LIFT * lifted * color / color.mean() * shape
    return torch.minimum(found, MOST_COVERED * gaussian_blur(envelope, 2))


def explained_share(found: Tensor, light: Tensor) -> float:
    """Return how much of a picture's light a found layer explains: its share times correlation.

    found, light: ``(1, 3, H, W)``. The result is 0 to 1. Light that is added makes the picture
    bright where it is bright itself.
    """
    one, other = found.mean(1).flatten(), light.mean(1).flatten()
    share = float(one.mean() / other.mean().clamp_min(1e-5))
    return min(1.0, share * max(0.0, float(correlation(one, other))))


def independence(found: Tensor, light: Tensor) -> float:
    """Return how likely ``found`` is another layer than the rest of ``light``, 0 to 1.

    Two layers are independent. What correlates with the rest, place by place, belongs to the same
    layer. found, light: ``(1, 3, H, W)``.
    """
    one, other = found.mean(1).flatten(), (light - found).mean(1).flatten()
    return float(
        torch.sigmoid((SAME_LAYER_CORRELATION - correlation(one, other)) / CORRELATION_WIDTH)
    )


def feasible_scale(found: Tensor, left: Tensor) -> float:
    """Return the factor, at most 1, with which ``found`` fits into the light that is ``left``.

    The layer then takes at most :data:`MOST_TAKEN` of the light, except in :data:`EXCEEDING_PART`
    of the values. The factor is the same everywhere, because a layer that takes more light than
    there is in one place is too bright everywhere. found, left: ``(1, 3, H, W)``.
    """
    ratio = ((found - UNSEEN_LIGHT) / (left + UNSEEN_LIGHT)).flatten()
    most = float(ratio.kthvalue(max(1, round((1 - EXCEEDING_PART) * len(ratio)))).values)
    return min(1.0, MOST_TAKEN / max(most, 1e-6))


def limited(found: Tensor, left: Tensor) -> Tensor:
    """Return ``found`` ``(1, 3, H, W)``, scaled down where it takes too much of what is ``left``.

    At most :data:`MOST_TAKEN` of it may be taken. All channels of a pixel have one factor, because
    a channel taken whole leaves a false colour.
    """
    room = MOST_TAKEN * left.clamp_min(0) / found.clamp_min(1e-9)
    return found * torch.where(found > 0, room, 1.0).amin(1, keepdim=True).clamp(0, 1)


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Return Pearson's correlation of two vectors ``(n,)``; 0 where one of them is constant."""
    one, other = one - one.mean(), other - other.mean()
    scale: Tensor = (one.norm() * other.norm()).clamp_min(1e-9)
    return torch.dot(one, other) / scale
