"""What the task of a kind "one input, some layers" is told, and what it gives back; the tasks' own stages are written against this.

Tensors are ``(T, C, H, W)``, RGB in [0, 1], float32, at the input's full size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stages.checkpoint import CheckpointStore, Nothing
from stages.optim.loss_curves import Curves, Trace

SPACES = ("auto", "gamma", "linear")

SAFE = 0.8  # part of a budget that is planned for: machines slow down and rounding, checking and drawing take time too


@dataclass(frozen=True)
class FitSettings:
    """What the user decides of a separation. ``max_seconds``: the time it may take, ``None`` for the preset's own amount."""

    preset: str = "balanced"
    seed: int = 0
    device: torch.device = torch.device("cpu")
    max_seconds: float | None = None


@dataclass(frozen=True)
class SeparationContext:
    """What a separation is told besides its frames.

    settings: preset, seed, device and the seconds that this call may take. progress: fraction done and a note.
    hint: ``(1, 1, H, W)`` or ``(T, 1, H, W)`` in [0, 1], white where the user marked something.
    unordered: the frames are pictures that were given one by one, not a clip in time.
    space: the light in which layers add up, one of :data:`SPACES`.
    strength: how much is taken off, 0 (nothing) to 2, for the tasks that have a use for it; 1 is what the evidence says.
    reduced: how often the working size is halved, for want of memory.
    keeper: where what should survive a kill is kept; a plan by the clock (``max_seconds``) goes through its ``fixed``.
    trace: takes the losses of whatever is fitted, by stage, for the report.
    """

    settings: FitSettings
    progress: Callable[[float, str], None] = lambda fraction, note: None
    hint: Tensor | None = None
    unordered: bool = False
    space: str = "auto"
    strength: float = 1.0
    reduced: int = 0
    keeper: CheckpointStore = field(default_factory=Nothing)
    trace: Trace = field(default_factory=Trace)

    def within(self, pixels: int) -> int:
        """A working size of so many pixels, as far as the memory has room for it."""
        return max(1, pixels >> self.reduced)


@dataclass(frozen=True)
class Note:
    """One plain sentence for the user about some frames of a window: what was found there, and what the user can do.

    text: the sentence; ``{frames}`` in it becomes the frames' names ("frames 3 to 9", "the picture"), ``{percent}`` the mean amount.
    places: the frames that it is about, counted from the window's first. amounts: what ``{percent}`` is made of, a number from 0 to 1
    for each of these frames, or nothing.

    The run joins equal sentences of all windows into one warning.
    """

    text: str
    places: tuple[int, ...]
    amounts: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.amounts and len(self.amounts) != len(self.places):
            raise ValueError(
                f"a note about {len(self.places)} frames has {len(self.amounts)} amounts"
            )

    def moved(self, by: int) -> Note:
        """The same note about the frames that lie ``by`` places further on."""
        return Note(self.text, tuple(place + by for place in self.places), self.amounts)


def notes_where(text: str, holds: Tensor, amounts: Tensor | None = None) -> tuple[Note, ...]:
    """Return a note about the frames of which ``holds`` ``(T,)`` is true, or nothing where there are none; ``amounts`` ``(T,)``."""
    places = tuple(int(place) for place in holds.nonzero().flatten())
    if not places:
        return ()
    return (
        Note(
            text,
            places,
            () if amounts is None else tuple(float(amounts[place]) for place in places),
        ),
    )


@dataclass(frozen=True)
class Separation:
    """The layers of one window by name: ``(T, C, H, W)`` in [0, 1] with 3 channels or 1.

    shared: names of layers that are one picture, ``(1, C, H, W)``, for all frames.
    report: figures for the manifest. Of these ``explained``, ``invented`` and ``untouched`` are parts of the main layer, together at
    most 1: what follows from evidence in the input, what a prior made up, and what was left as it was. Every window gives the same ones.
    seconds: by step. trace: the losses; the pipeline takes them from the brief's.
    notes: what the user has to know, above all that nothing was found in some frames; they become warnings.
    """

    layers: Mapping[str, Tensor]
    shared: frozenset[str] = frozenset()
    report: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    trace: Curves = field(default_factory=dict)
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        for name, pixels in self.layers.items():
            if (
                pixels.ndim != 4
                or pixels.shape[1] not in (1, 3)
                or (name in self.shared and len(pixels) != 1)
            ):
                raise ValueError(
                    f"layer {name} must be (T, 3 or 1, H, W), one frame where it is shared, got {tuple(pixels.shape)}"
                )
