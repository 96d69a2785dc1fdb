"""One picture that is the sum of two: a guess, as the picture does not say which part of its light came from where.

Three things can be said of the reflection without knowing either scene. A pane lifts the black of what is behind it: nearly every scene has
something black in view (dark-object subtraction, Chavez, Remote Sensing of Environment 1988), so a picture whose darkest places are not
black has light laid over it, at least as much as is seen there, of the colour by which its dark places differ from the rest, and more
where the lower envelope of its light is high. And it washes texture out, more in one place than in another
(:mod:`stages.transparency.contrast`). And it is often out of focus (:mod:`stages.transparency.sharp`). All are taken out with restraint:
on pairs with a known truth, more of it does harm where sharp things are reflected, which none tells from what is behind the pane. A
picture whose black is black and whose texture is evenly strong stays nearly as it is. Light is ``(T, 3, H, W)`` in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from stages.flow import resize
from stages.transparency.contrast import smooth, washed_out
from stages.transparency.sharp import out_of_focus

SIDE = 384  # of the picture that is worked on, at most: what is estimated has no finer detail
DARK, DARKER = 0.1, 0.01  # parts of the picture: its dark places, and those that show what its black is lifted to
BLACK = 0.005  # light of the black of a scene itself, seen with no pane
LIFT = 2.0  # mean of the light laid over the picture, in parts of what its black is lifted by; where all is brighter, more is reflected
COVERED = 0.7  # part of the lower envelope that the pane's light takes at most
BROAD = 0.25  # spread of the pane's light, in parts of the picture's side
FOCUS = 0.1  # part of the light out of focus that is taken out
BELIEVED, TRUSTED = 0.05, 0.8  # part of the light found by washed-out texture that is taken out: always, and more where it explains much


def separate_picture(light: Tensor) -> tuple[Tensor, Tensor]:
    """Transmission and reflection of each picture by itself; they add up to ``light`` and lie within [0, I]."""
    size = (light.shape[-2], light.shape[-1])
    scale = min(1.0, SIDE / max(size))
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    reflections = []
    for picture in light.split(1):  # type: ignore[no-untyped-call]
        seen = resize(picture, small).clamp(0, 1)
        washed = washed_out(seen)
        found = pane_light(seen) + (BELIEVED + TRUSTED * explained(washed, seen)) * washed + FOCUS * out_of_focus(seen)
        reflections.append(torch.minimum(resize(found, size).clamp_min(0), picture))
    reflection = torch.cat(reflections)
    return light - reflection, reflection


def pane_light(light: Tensor) -> Tensor:
    """Light that lifts the black of one picture ``(1, 3, H, W)``; nothing where the picture's black is black."""
    pixels = light.flatten(2)
    lifted = float((quantile(pixels, DARKER).min() - BLACK).clamp_min(0))
    dark = quantile(pixels, DARK).clamp_min(1e-5)
    # What is dark shows the pane's colour more than the scene's.
    colour = dark.square() / pixels.mean(-1, keepdim=True)[..., None].clamp_min(1e-5)
    envelope = lower(light, 3)
    spread = BROAD * (light.shape[-2] + light.shape[-1]) / 2
    height = (smooth(envelope, spread) / dark).amin(1, keepdim=True)
    found = LIFT * lifted * colour / colour.mean() * height / height.mean().clamp_min(1e-9)
    return torch.minimum(found, COVERED * smooth(envelope, 2))


def explained(found: Tensor, light: Tensor) -> float:
    """How much of the picture's light is laid over it, 0 to 1, if bright where the picture is bright, as light that is added must be: its
    share times its correlation with the picture."""
    one, other = found.mean(1).flatten(), light.mean(1).flatten()
    share = float(one.mean() / other.mean().clamp_min(1e-5))
    one, other = one - one.mean(), other - other.mean()
    return min(1.0, share * max(0.0, float((one * other).sum() / (one.norm() * other.norm()).clamp_min(1e-9))))


def quantile(pixels: Tensor, part: float) -> Tensor:
    """The value that ``part`` of the pixels ``(1, 3, N)`` lie under, in each channel: ``(1, 3, 1, 1)``."""
    return pixels.kthvalue(max(1, round(part * pixels.shape[-1])), dim=-1).values[..., None, None]


def lower(picture: Tensor, reach: int) -> Tensor:
    """The least value within ``reach`` pixels, in each channel."""
    padded = functional.pad(picture, (reach,) * 4, mode="replicate")
    return -functional.max_pool2d(-padded, 2 * reach + 1, 1)
