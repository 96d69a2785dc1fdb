"""Compute the confidence of each pixel of a scene in a transition's frames (``--confidence``).

Confidence is 0 for a pixel that is invented and 1 for one that is certain. What it follows from
differs by transition:

- In a dissolve, the expected PSNR of the scene is known for each frame. Confidence is 0 where the
  expected error is as large as that of a blind guess, and 1 where there is none.
- With a matte, as in a wipe, what the matte shows of the scene is certain. What the other scene
  hides was moved there from clean frames. It is as sure as its expected error is small; where no
  error is known, it counts as invented.
- Where the kind of transition is not known and the scene is held, it is 0.
- Otherwise it is the scene's own weight in the frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from pipeline.tasks.transition.describe import MIXED
from stages.context import confidence_name
from stages.shots import Transition

SCENE_CONFIDENCE = confidence_name("scene")
"""The role of the layers that hold a scene's confidence."""
GUESS_ERROR = 0.25
"""Error of a blind guess, as a root mean square of values in [0, 1]: about that of an even grey to
an ordinary picture, which is 0.24 over 30 photographs and frames (0.18 to 0.33)."""


LEAST_HIDDEN = 1e-3
"""Least part of the picture that is hidden, where it is divided by."""


class KnownTransition(Protocol):
    """A separated transition: its manifest entry, and its layers."""

    transition: Transition
    entry: dict[str, Any]

    def frames(self, side: str, first: int, last: int) -> Tensor:
        """Return frames of a layer, ``(T, C, H, W)`` in [0, 1]."""
        ...


def scene_confidence(item: KnownTransition, first: int, last: int, *, outgoing: bool) -> Tensor:
    """Return the confidence of a scene in mixed frames, ``(T, 1, H or 1, W or 1)`` in [0, 1].

    first, last: frames of the clip, inclusive. outgoing: whether it is the outgoing scene.
    """
    places = range(first - item.transition.first_frame, last - item.transition.first_frame + 1)
    psnr = _expected_psnr(item.entry, "from" if outgoing else "to")
    # A PSNR of p dB is an error of 10^(-p / 20), as a root mean square.
    errors = torch.tensor([10 ** (-psnr[place] / 20) for place in places if psnr])
    if item.entry.get("matte") is not None:
        weight = item.frames("matte", first, last)[:, :1]
        own = (1 - weight if outgoing else weight).clamp(0, 1)
        return own + (1 - own) * _confidence_of_hidden(own, errors)
    if psnr:
        return _by_frame(1 - errors / GUESS_ERROR)
    if MIXED in item.entry:
        return torch.zeros(len(places), 1, 1, 1)
    weight = _by_frame(torch.tensor([item.entry["mix"][place] for place in places]))
    return (1 - weight if outgoing else weight).clamp(0, 1)


def _confidence_of_hidden(own: Tensor, errors: Tensor) -> Tensor:
    """Return the confidence of what a matte hides of a scene, ``(T, 1, 1, 1)``.

    own: the scene's weight, ``(T, 1, H, W)`` in [0, 1]. errors: expected of the scene in each
    frame, as root mean squares; none where they are not known. All of the error lies in the hidden
    part.
    """
    if not len(errors):
        return torch.zeros(len(own), 1, 1, 1)
    hidden = (1 - own).mean((1, 2, 3)).clamp_min(LEAST_HIDDEN)
    return _by_frame(1 - errors / hidden.sqrt() / GUESS_ERROR)


def _expected_psnr(entry: Mapping[str, Any], side: str) -> list[float]:
    """Return the expected PSNR of a scene in each mixed frame, in dB; empty if it is not known."""
    known = entry.get("confidence")
    return list(known[side]) if known else []


def _by_frame(values: Tensor) -> Tensor:
    """Return one number for each frame as ``(T, 1, 1, 1)``, within [0, 1]."""
    return values.clamp(0, 1).view(-1, 1, 1, 1)
