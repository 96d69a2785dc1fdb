"""Separate pictures and static clips: two repeating textures, or a guess where the user wants one.

A picture that repeats in two ways is the sum of two textures
(:mod:`stages.transparency.repeats`). Any other picture does not tell its layers apart. A guess at
its reflection (:mod:`stages.transparency.picture_guess`) is as often wrong as right: on made and
real reflections it changes the transmission by -2 to +1.3 dB, and no sign in the picture was found
that tells which (docs/tasks.md). So a guessed reflection is only removed on request.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.context import SeparationContext, notes_where
from stages.mixing.layer_sum import from_space, to_space
from stages.transparency.layer_pair import LayerPair, unchanged_layers, with_scaled_reflection
from stages.transparency.picture_guess import guess_layers
from stages.transparency.removal import decide_on_picture
from stages.transparency.repeats import textures_of
from stages.transparency.separated_light import SeparatedLight

TEXTURES = (
    "two repeating textures add up in {frames}; neither which of them is reflected nor how bright "
    "each is can be told, so the one of more contrast is the transmission"
)


def separate_pictures(light: Tensor, space: str, context: SeparationContext) -> SeparatedLight:
    """Separate a static clip as one picture, or unrelated pictures one by one.

    light: ``(T, 3, H, W)`` in ``space``.
    """
    decision = decide_on_picture(context)
    pairs: list[LayerPair] = []
    is_repeating: list[bool] = []
    # Each of these has the shape (n, 3, H, W).
    pictures = torch.split(light, 1) if context.unordered else (light,)
    for picture in pictures:
        textures = textures_of(picture)
        if textures is not None:
            pairs.append(with_scaled_reflection(textures, picture, context.strength))
        elif decision.times:
            pairs.append(_guessed_layers(picture, space, decision.times))
        else:
            pairs.append(unchanged_layers(picture, space))
        is_repeating += [textures is not None] * len(picture)
    layers = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
    repeats = torch.tensor(is_repeating)
    figures: dict[str, float] = {}
    if any(is_repeating):
        figures["textures"] = float(sum(is_repeating))
    elif not decision.times:
        figures["untouched"] = 1.0
    notes = notes_where(TEXTURES, repeats) + decision.notes(~repeats)
    return SeparatedLight("picture", layers, figures, notes)


def _guessed_layers(light: Tensor, space: str, times: float) -> LayerPair:
    """Return a picture's layers by a guess at its reflection, which is removed ``times`` times.

    light: a picture or a static clip, ``(T, 3, H, W)``.
    """
    if space == "linear":
        transmission = guess_layers(light)[0]
    else:
        # What is known about panes holds in linear light.
        linear = guess_layers(to_space(light, "linear"))[0]
        transmission = torch.minimum(from_space(linear, "linear"), light)
    reflection = times * (light - transmission)
    return light - reflection, reflection
