"""Dissolves of blurred scenes: the clean frames are held, and what the frames do show is put right.

A frame is ``I = (1 - w) F(A) + w F(B)`` with a filter F that takes the detail away
(:mod:`stages.mixing.filtering`). The detail of the layers is that of the nearest clean frames. What
these leave unexplained, ``I - (1 - w) F(A) - w F(B)``, is coarse. It is divided between the layers
by their weights, as far as coarse errors of a held frame tell its whole error. That is measured on
the scene's own clean frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

from stages.kinds import FILTERS, TRANSITION_KINDS
from stages.kinds.base import Filter
from stages.mixing.filtering import detail_left, filtered_mix, least_detail
from stages.mixing.forward_model import Pair
from stages.mixing.psnr import psnr_of
from stages.optim.timing import clocked
from stages.shots import Transition
from stages.transition.direct import DirectSeparation, PutLayers, mixed_frames
from stages.transition.window import Window, clean_beside

MOST_DETAIL = 0.3
"""Most detail that blurred frames may have, see :func:`stages.mixing.filtering.detail_left`."""

SAMPLE_PARTS = (0.3, 0.5, 0.7)
"""Frames of a transition in which detail is looked for, as parts of its length."""

MOST_DETAIL_UNREFINED = 0.5
"""Most detail in the green of the middle frame alone, before the progress is refined, which takes
long. In 48 drawn dissolves of photographs it was 0.83 and more, in 48 blurs 0.26 at most."""

UNREFINED_VALUES = 9
"""Values of the progress at which that is looked at. FFmpeg's blocks grow in larger steps."""

PROGRESS_REACH = 0.04
"""How far the progress that the search found may be wrong."""

REFINED_VALUES = 33
"""Values of the progress that are tried within this reach."""

COMPARED_FRAMES = 6
"""Clean frames of a scene on which the worth of a coarse error is measured."""

EXPLAINED_ERROR = 0.015
"""Error, root mean square over the colours, up to which a pixel counts as explained."""


def filter_in(window: Window, transition: Transition) -> str | None:
    """Return FFmpeg's name of the filter over both scenes of a dissolve, or None without one.

    The search sees small pictures, in which the blocks of ``pixelize`` do not show.
    """
    clean = clean_beside(window, transition)
    numbers = sorted({round(part * (len(transition) - 1)) for part in SAMPLE_PARTS})
    frames = window.frames([transition.first_frame + number for number in numbers])
    middle = len(numbers) // 2
    green = slice(1, 2)
    sides = clean[0][green], clean[1][green]
    for name, apply in FILTERS.items():
        guesses = _near(transition.mix[numbers[middle]], UNREFINED_VALUES)
        if least_detail(apply, frames[middle][green], sides, guesses) > MOST_DETAIL_UNREFINED:
            continue
        mix = [
            best_progress(apply, transition.mix[number], frame, clean)
            for frame, number in zip(frames, numbers, strict=True)
        ]
        if detail_left(apply, frames, clean, mix) < MOST_DETAIL:
            return name
    return None


def separate_filtered(
    window: Window,
    transition: Transition,
    progress: Callable[[float, str], None],
    put: PutLayers,
) -> DirectSeparation:
    """Take a transition apart in which both scenes are filtered.

    window: its frames with clean ones at both sides.
    progress: called with the fraction done and a note.
    put: called for each frame.
    """
    seconds: dict[str, float] = defaultdict(float)
    filters = TRANSITION_KINDS[transition.kind].filters
    apply = filters[transition.effect or next(iter(filters))]
    clean = clean_beside(window, transition)
    means: list[float] = []
    explained = error = 0.0
    with clocked(seconds, "finish"):
        others = _other_clean_frames(window, transition)
        for number, frame in mixed_frames(window, transition, progress, "blurred scenes"):
            weight = best_progress(apply, transition.mix[number], frame, clean)
            layers = corrected_layers(apply, weight, frame, clean, others)
            residual = (frame - filtered_mix(apply, layers, weight)).square()
            shown = sum(variance_left(apply, weight, side) for side in clean) / 2
            explained += shown * float((residual.mean(0) <= EXPLAINED_ERROR**2).float().mean())
            error += float(residual.mean())
            put(number, frame.clone(), layers, None)
            means.append(weight)
    count = len(means)
    return DirectSeparation(tuple(means), explained / count, psnr_of(error / count), dict(seconds))


def best_progress(apply: Filter, guess: float, frame: Tensor, clean: Pair) -> float:
    """Return the progress near a guess at which the filtered clean frames are most like a frame.

    frame, clean: ``(3, H, W)``.
    """
    tried = _near(guess, REFINED_VALUES)
    errors = [float((filtered_mix(apply, clean, value) - frame).square().mean()) for value in tried]
    return float(tried[errors.index(min(errors))])


def _near(guess: float, count: int) -> list[float]:
    """Return ``count`` values of the progress within :data:`PROGRESS_REACH` of a guess."""
    return (guess + torch.linspace(-PROGRESS_REACH, PROGRESS_REACH, count)).clamp(0, 1).tolist()


def corrected_layers(
    apply: Filter, weight: float, frame: Tensor, clean: Pair, others: tuple[Tensor, Tensor]
) -> Pair:
    """Return both layers ``(3, H, W)`` of a frame: the clean ones, put right where it shows how.

    weight: the progress, which is the weight of the incoming scene. clean: the nearest clean frames
    ``(3, H, W)``. others: more clean frames of each scene, ``(k, 3, H, W)``.
    """
    residual = frame - filtered_mix(apply, clean, weight)
    share_of_one = residual / ((1 - weight) ** 2 + weight**2)
    outgoing, incoming = (
        (side + share * coarse_error_gain(apply, weight, side, more) * share_of_one).clamp(0, 1)
        for side, share, more in zip(clean, (1 - weight, weight), others, strict=True)
    )
    return outgoing, incoming


def variance_left(apply: Filter, weight: float, picture: Tensor) -> float:
    """Return how much of a picture ``(3, H, W)`` a filter leaves, 0 to 1, of its variance."""
    lost = float((picture - apply(picture, weight)).square().mean())
    return max(0.0, 1 - lost / max(float(picture.var(dim=(1, 2)).mean()), 1e-9))


def coarse_error_gain(apply: Filter, weight: float, clean: Tensor, others: Tensor) -> float:
    """Return how much of a coarse error of a held clean frame is to be taken off, in [0, 1].

    It is the regression of the errors with which ``clean`` stands for ``others`` ``(k, 3, H, W)``
    on these errors as the filter shows them.
    """
    both = alone = 0.0
    for other in others:
        error = other - clean
        coarse = apply(error, weight)
        both += float((error * coarse).sum())
        alone += float((coarse * coarse).sum())
    return min(1.0, max(0.0, both / alone)) if alone > 0 else 0.0


def _other_clean_frames(window: Window, transition: Transition) -> tuple[Tensor, Tensor]:
    """Return the clean frames of each scene beyond the nearest, ``(k, 3, H, W)``."""
    before = range(
        max(window.first, transition.first_frame - 1 - COMPARED_FRAMES), transition.first_frame
    )
    after = range(
        transition.last_frame + 1, min(window.last, transition.last_frame + 1 + COMPARED_FRAMES) + 1
    )
    beyond = list(before)[:-1], list(after)[1:]
    empty = torch.empty(0, 3, *window.size)
    outgoing, incoming = (window.frames(indices) if indices else empty for indices in beyond)
    return outgoing, incoming
