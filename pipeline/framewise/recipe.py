"""A task that splits every frame into the same layers, as far as it is not the same for all such tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from stages.context import Note, Separation, SeparationContext
from stages.media.clip import ClipInfo


@dataclass(frozen=True)
class Output:
    """A layer that is written.

    alpha: the name of the layer that is its alpha channel. sound: whether the input's goes with it. data: whether its
    values are no colours, as a matte's.
    """

    role: str
    alpha: str | None = None
    sound: bool = True
    data: bool = False


@dataclass(frozen=True)
class Recipe:
    """A task, as far as it is not the same for all.

    outputs: the layers, in the order of the sheet. survey: what holds for the whole clip, from up to ``sample`` evenly spread frames.
    separate: the layers of a window of frames, given that. window, overlap: frames of a window and what two of them share.
    settle: makes layers mix to the input again, exactly, where two windows' answers were faded into each other.
    memory: bytes that a value of a window's frames takes when most of them are in use, measured; windows are as long as memory allows.
    kinds: the dataclasses that are in what ``survey`` returns, so that a checkpoint may hold it.
    surveying: part of a time budget that ``survey`` may take.
    limits: for an estimate, the pixels beyond which parts of ``separate`` cost no more, by the notes with which they tell their progress.
    account: makes one plain sentence of the report's figures: what the answer rests on, and what of it is invented. Empty where it cannot.
    """

    outputs: tuple[Output, ...]
    survey: Callable[[Tensor, SeparationContext], Any]
    separate: Callable[[Tensor, Any, SeparationContext], Separation]
    window: int = 48
    overlap: int = 8
    sample: int = 24
    memory: float = 24.0
    settle: Callable[[Tensor, dict[str, Tensor], Any], dict[str, Tensor]] | None = None
    kinds: tuple[type, ...] = ()
    surveying: float = 0.15
    limits: Mapping[str, int] = field(default_factory=dict)
    account: Callable[[Mapping[str, float]], str] = lambda figures: ""

    def lengths(self, info: ClipInfo, most: int) -> tuple[int, int]:
        """Frames of a window, ``most`` or fewer where it has room for no more, and of an overlap, at most a third of the window."""
        window = max(3, min(self.window, most))
        return window, min(self.overlap, window // 3)


def checked(made: object, recipe: Recipe, window: Tensor) -> Separation:
    """The layers of a window ``(T, 3, H, W)``, as ``recipe`` gave them. Raises ValueError, which says what is wrong with them."""
    if not isinstance(made, Separation):
        raise ValueError(f"separate() gave a {type(made).__name__}, no Separation")
    wanted = {name for output in recipe.outputs for name in (output.role, output.alpha) if name}
    if missing := wanted - set(made.layers):
        raise ValueError(
            f"separate() gave the layers {', '.join(sorted(made.layers))}; {', '.join(sorted(missing))} is missing"
        )
    for name in sorted(wanted):
        pixels, length = made.layers[name], 1 if name in made.shared else len(window)
        if tuple(pixels.shape) not in [
            (length, channels, *window.shape[-2:]) for channels in (1, 3)
        ]:
            raise ValueError(
                f"the layer {name} is {tuple(pixels.shape)} for a window of {tuple(window.shape)}"
            )
        if not bool(pixels.isfinite().all()):
            raise ValueError(f"the layer {name} holds values that are no numbers")
    for note in made.notes:
        if not isinstance(note, Note):
            raise ValueError(f"separate() gave a note that is a {type(note).__name__}, no Note")
        if not all(0 <= place < len(window) for place in note.places):
            raise ValueError(
                f"a note is about frames that the window of {len(window)} frames does not have"
            )
    return made
