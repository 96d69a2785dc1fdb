"""Dissolves of two filtered (blurred) scenes, and how to tell that the filter was applied.

A frame is ``(1 - w) F(A) + w F(B)``. The filter F depends on the progress ``w`` in [0, 1]. Frames
and scenes are ``(C, H, W)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from stages.kinds.base import Filter
from stages.mixing.blend import blend

LEAST_EXPECTED = 1e-4
"""Least energy that a filter has to take from a dissolve of clean frames, in squared RGB, to tell
anything. A filter takes nothing from a picture that is even along its direction."""


def filtered_mix(apply: Filter, scenes: tuple[Tensor, Tensor], progress: float) -> Tensor:
    """Return the frame ``(C, H, W)`` in which two filtered scenes dissolve."""
    outgoing, incoming = (apply(scene, progress) for scene in scenes)
    return outgoing + progress * (incoming - outgoing)


def detail_left(
    apply: Filter, frames: Iterable[Tensor], scenes: tuple[Tensor, Tensor], mix: Sequence[float]
) -> float:
    """Return how much energy a filter takes from frames, relative to a dissolve of clean scenes.

    The result is near 0 where the frames were filtered before: little is left to take. It is near 1
    where they were not. It is also 1 where the filter takes hardly anything from the dissolve, so
    that nothing can be told.

    frames: ``(C, H, W)`` each. scenes: clean frames ``(C, H, W)``. mix: the progress of each frame.
    """
    taken = expected = 0.0
    for frame, progress in zip(frames, mix, strict=True):
        plain = blend(*scenes, progress)
        taken += float((frame - apply(frame, progress)).square().mean())
        expected += float((plain - apply(plain, progress)).square().mean())
    return taken / expected if expected > LEAST_EXPECTED * len(mix) else 1.0


def least_detail(
    apply: Filter, frame: Tensor, scenes: tuple[Tensor, Tensor], guesses: Sequence[float]
) -> float:
    """Return the least :func:`detail_left` of one frame over several guesses of its progress.

    frame and the two scenes: as there, one of each. guesses: progresses, 0 to 1.
    """
    return min(detail_left(apply, [frame], scenes, [guess]) for guess in guesses)
