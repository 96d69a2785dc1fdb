"""One picture that is the sum of two: a guess, as the picture does not say which part of its light came from where.

    picture --its signs--> roughly where light is laid over it --the picture's own colours--> the same light with all its edges

Three things can be said of the reflection without knowing either scene. A pane lifts the black of what is behind it: nearly every scene has
something black in view (dark-object subtraction, Chavez, Remote Sensing of Environment 1988), so a picture whose darkest places are not
black has light laid over it, at least as much as is seen there, of the colour by which its dark places differ from the rest, and more
where the lower envelope of its light is high. And it washes texture out, more in one place than in another
(:mod:`stages.transparency.contrast`). And it is often out of focus (:mod:`stages.transparency.sharp`). All three are rough, and taken out
with restraint. What they point at among the colours that the picture is a sum of (:mod:`stages.transparency.colours`) is as sharp as the
picture, and taken out where it can be another layer: two layers have nothing to do with each other, and neither takes more light than there
is. A picture whose black is black and whose texture is evenly strong stays nearly as it is. Light is ``(T, 3, H, W)`` in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from stages.motion.flow import resize
from stages.transparency.colours import common_colours, share_of_colours, through
from stages.transparency.contrast import smooth, washed_out
from stages.transparency.sharp import out_of_focus

SIDE = 384  # of the picture that is worked on, at most: what is estimated has no finer detail
DARK, DARKER = 0.1, 0.01  # parts of the picture: its dark places, and those that show what its black is lifted to
BLACK = 0.005  # light of the black of a scene itself, seen with no pane
LIFT = 2.0  # mean of the light laid over the picture, in parts of what its black is lifted by; where all is brighter, more is reflected
COVERED = 0.7  # part of the lower envelope that the pane's light takes at most
BROAD = 0.25  # spread of the pane's light, in parts of the picture's side
FOCUS = 0.1  # part of the light out of focus that is taken out
COLOURED = 0.85  # part of the light that is taken out by its colours
ALIKE, DOUBT = 0.82, 0.02  # correlation of the layers at which it is as likely that they are one, and how fast that turns
TAKEN, BEYOND = 0.9, 1e-3  # part of what is left that is taken at most, and part of the values that may be beyond it
UNSEEN = 0.002  # light that counts as none
BELIEVED, TRUSTED = 0.05, 0.8  # part of the light found by washed-out texture that is taken out: always, and more where it explains much


def separate_picture(light: Tensor) -> tuple[Tensor, Tensor]:
    """Transmission and reflection of one picture, or of the frames of a clip that stands still, for which one guess is made that serves
    all of them; they add up to ``light`` and lie within [0, I]."""
    size = (light.shape[-2], light.shape[-1])
    scale = min(1.0, SIDE / max(size))
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    veil, matrix = laid_over(resize(light.mean(0, keepdim=True), small).clamp(0, 1))
    veil = resize(veil, size)
    reflections = []
    for picture in light.split(1):  # type: ignore[no-untyped-call]
        over = torch.minimum(veil, picture)
        # The colours hold for every pixel, so what they take out is as sharp as the picture.
        reflections.append((over + held_back(through(matrix, picture), picture - over)).clamp_min(0))
    reflection = torch.cat(reflections)
    return light - reflection, reflection


def laid_over(seen: Tensor) -> tuple[Tensor, Tensor]:
    """What is laid over one small picture ``(1, 3, h, w)``: light without the picture's detail, of its size, and the matrix ``(3, 3)`` that
    takes a pixel to what its colours have of the reflection. Nothing without edges, as nothing is seen through such a picture."""
    colours = common_colours(seen)
    if not colours:
        return torch.zeros_like(seen), torch.zeros(3, 3)
    washed, pane = washed_out(seen), pane_light(seen)
    by_texture, by_black = share_of_colours(seen, [washed, pane], colours)
    sure = apart(through(by_texture, seen), seen)
    veil = pane + (BELIEVED + TRUSTED * sure * explained(washed, seen)) * washed + FOCUS * out_of_focus(seen)
    # What black shows of the pane is more certain than what texture does.
    matrix = COLOURED * sure * by_texture + apart(through(by_black, seen), seen) * by_black
    return veil, matrix * possible(through(matrix, seen), seen - torch.minimum(veil, seen))


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
    return min(1.0, share * max(0.0, float(correlation(one, other))))


def apart(found: Tensor, light: Tensor) -> float:
    """How far ``found`` can be another layer than what it leaves of ``light``, 0 to 1: two layers have nothing to do with each other, so
    what goes with what is left, place by place, is the same layer again."""
    one, other = found.mean(1).flatten(), (light - found).mean(1).flatten()
    return float(torch.sigmoid((ALIKE - correlation(one, other)) / DOUBT))


def possible(found: Tensor, left: Tensor) -> float:
    """The part of ``found``, at most all of it, that takes :data:`TAKEN` of what is ``left`` at most, leaving out :data:`BEYOND` of the
    values: a layer that wants more light than there is, is wrong everywhere."""
    ratio = ((found - UNSEEN) / (left + UNSEEN)).flatten()
    most = float(ratio.kthvalue(max(1, round((1 - BEYOND) * len(ratio)))).values)
    return min(1.0, TAKEN / max(most, 1e-6))


def held_back(found: Tensor, left: Tensor) -> Tensor:
    """``found`` ``(1, 3, H, W)``, less where it would take more than :data:`TAKEN` of what is ``left``: all channels alike, as one that is
    taken whole leaves a false colour."""
    room = TAKEN * left.clamp_min(0) / found.clamp_min(1e-9)
    return found * torch.where(found > 0, room, 1.0).amin(1, keepdim=True).clamp(0, 1)


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's correlation of two vectors; 0 where one of them is constant."""
    one, other = one - one.mean(), other - other.mean()
    scale: Tensor = (one.norm() * other.norm()).clamp_min(1e-9)
    return torch.dot(one, other) / scale


def quantile(pixels: Tensor, part: float) -> Tensor:
    """The value that ``part`` of the pixels ``(1, 3, N)`` lie under, in each channel: ``(1, 3, 1, 1)``."""
    return pixels.kthvalue(max(1, round(part * pixels.shape[-1])), dim=-1).values[..., None, None]


def lower(picture: Tensor, reach: int) -> Tensor:
    """The least value within ``reach`` pixels, in each channel."""
    padded = functional.pad(picture, (reach,) * 4, mode="replicate")
    return -functional.max_pool2d(-padded, 2 * reach + 1, 1)
