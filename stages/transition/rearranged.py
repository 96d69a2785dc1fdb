"""Still pictures whose parts a transition shows at other places, whatever its kind.

Slideshows push, slide and shuffle photographs. No kind has to fit such a transition: if both scenes
stand still and each piece of the mixed frames is found somewhere in them, moved along a row or a
column, then the scenes did not change. Their pictures are the layers.

A scene that stood still may also begin to move in the mixed frames. Then the frames show pieces
that are in neither picture, and :attr:`Pieces.are_rearranged` is false.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.find.composed import place, progress_of
from stages.find.stills import AGREES
from stages.kinds import TRANSITION_KINDS
from stages.mixing.blend import blend
from stages.mixing.forward_model import Pair
from stages.mixing.psnr import psnr_of
from stages.motion.flow import box, resize, within
from stages.optim.timing import clocked
from stages.shots import Transition
from stages.transition.direct import DirectSeparation, PutLayers, mixed_frames
from stages.transition.placed import refined_placement
from stages.transition.still import noise_variance, weight_between
from stages.transition.window import Window

COMPARED_PIXELS = 96 * 54
"""Pixels of the small pictures in which pieces are looked for."""

COMPARED_FRAMES = 5
"""Mixed frames that are compared, evenly over the transition."""

PIECE_RADIUS = 2
"""Radius of a piece, in pixels of the small pictures."""

LEAST_OVERLAP = 4
"""Rows or columns of a moved picture that have to be inside of the frame."""

SMALL_SHARE = 0.05
"""Part of all pieces, 0 to 1, that may be explained by nothing: seams, or a small thing that
moves."""

MOST_NEW = 0.2
"""Part, 0 to 1, of the pieces that the kind of transition does not explain which may be in neither
picture. Pictures that were pushed, slid or covered in another way than was found left up to 0.1, a
scene that began to move in the mixed frames 0.33 and more."""

TEXTURE_ERROR = 0.1
"""Squared error that a piece may have, as part of its variance: it may lie between two pixels."""


@dataclass(frozen=True)
class Pieces:
    """What the pieces of the mixed frames are, as parts of all of them, 0 to 1.

    unexplained: they are not what the kind of transition makes of the pictures.
    new: of these, the ones that are in neither picture.
    """

    unexplained: float
    new: float

    @property
    def are_rearranged(self) -> bool:
        """Whether the pictures were rearranged in another way than the kind of transition does."""
        return self.unexplained > SMALL_SHARE and self.new <= MOST_NEW * self.unexplained

    @property
    def are_nearly_all_known(self) -> bool:
        """Whether the kind of transition, or another way, explains all but a small part."""
        return self.new <= SMALL_SHARE


def compare_pieces(window: Window, transition: Transition, scenes: Pair) -> Pieces:
    """Return how much of the mixed frames is a part of two still pictures, and in which way.

    window: holds the mixed frames. scenes: both pictures, ``(1, 3, H, W)`` in [0, 1].
    """
    size = within(window.size, COMPARED_PIXELS)
    pictures = resize(scenes[0], size), resize(scenes[1], size)
    last = len(transition) - 1
    parts = range(1, COMPARED_FRAMES + 1)
    numbers = sorted({round(last * part / (COMPARED_FRAMES + 1)) for part in parts})
    unexplained = new = 0.0
    for number in numbers:
        frame = resize(window.frame(transition.first_frame + number), size)
        allowed = allowed_error(frame, pictures)
        by_kind = kind_error(frame, pictures, transition, number) > allowed
        unexplained += float(by_kind.float().mean()) / len(numbers)
        is_new = by_kind & (moved_error(frame, pictures) > allowed)
        new += float(is_new.float().mean()) / len(numbers)
    return Pieces(unexplained, new)


def separate_rearranged(
    window: Window,
    transition: Transition,
    scenes: Pair,
    progress: Callable[[float, str], None],
    put: PutLayers,
) -> DirectSeparation:
    """Pass two still pictures to ``put`` as the layers of each mixed frame.

    window: holds the mixed frames. scenes: both pictures, ``(1, 3, H, W)`` in [0, 1].
    progress: called with the fraction done and a note.

    The PSNR of the reconstruction is that of the best mixture at each pixel, so it is low where the
    frames show pieces at other places.
    """
    seconds: dict[str, float] = defaultdict(float)
    layers = scenes[0][0], scenes[1][0]
    error = 0.0
    with clocked(seconds, "finish"):
        for number, pixels in mixed_frames(window, transition, progress, "still scenes"):
            error += float(mixture_error(pixels[None], scenes).mean())
            put(number, pixels.clone(), layers, None)
    return DirectSeparation(transition.mix, 1.0, psnr_of(error / len(transition)), dict(seconds))


def allowed_error(frame: Tensor, scenes: Pair) -> Tensor:
    """Return the squared error up to which each piece is explained, ``(1, 1, H, W)``.

    Coding noise is the median of the smaller half of the errors of mixtures: nothing may explain
    the other half.
    """
    errors = mixture_error(frame, scenes)
    lower = errors.flatten().sort().values[: max(1, errors.numel() // 2)]
    mean = box(frame, PIECE_RADIUS)
    variance = (box(frame.square(), PIECE_RADIUS) - mean.square()).mean(1, keepdim=True)
    return AGREES**2 * noise_variance(lower) + TEXTURE_ERROR * variance.clamp_min(0)


def kind_error(frame: Tensor, scenes: Pair, transition: Transition, number: int) -> Tensor:
    """Return the error of each piece as the kind of transition makes it, ``(1, 1, H, W)``.

    frame, scenes: ``(1, 3, H, W)``. number: of the mixed frame, from 0.
    """
    kind = TRANSITION_KINDS[transition.kind]
    if kind.undo != "placement":
        return mixture_error(frame, scenes)
    placer = kind.effects[transition.effect or ""]
    size = frame.shape[-2], frame.shape[-1]
    pictures = scenes[0][0], scenes[1][0]
    placement = refined_placement(
        placer, progress_of(placer, transition.mix[number], size), frame[0], pictures
    )
    return around(frame - place(pictures, placement))


def mixture_error(frame: Tensor, scenes: Pair) -> Tensor:
    """Return the mean squared error around each pixel of the best mixture, ``(1, 1, H, W)``.

    frame, scenes: ``(1, 3, H, W)``. Each pixel has the weight that suits it best.
    """
    mixed = blend(*scenes, weight_between(frame, scenes))
    return around(frame - mixed)


def moved_error(frame: Tensor, scenes: Pair) -> Tensor:
    """Return the mean squared error around each pixel of the best moved picture, ``(1, 1, H, W)``.

    frame, scenes: ``(1, 3, H, W)``. Each picture is moved by whole pixels along rows or columns.
    """
    least = torch.full_like(frame[:, :1], torch.inf)
    for scene in scenes:
        for axis in (-2, -1):
            length = frame.shape[axis]
            for shift in range(LEAST_OVERLAP - length, length - LEAST_OVERLAP + 1):
                overlap = length - abs(shift)
                there = frame.narrow(axis, max(0, shift), overlap)
                error = around(there - scene.narrow(axis, max(0, -shift), overlap))
                part = least.narrow(axis, max(0, shift), overlap)
                torch.minimum(part, error, out=part)
    return least


def around(residual: Tensor) -> Tensor:
    """Return the mean square of a residual ``(1, 3, H, W)`` around each pixel, ``(1, 1, H, W)``."""
    return box(residual.square().mean(1, keepdim=True), PIECE_RADIUS)
