"""Describe a frame-wise task: one that splits every frame into the same layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from stages.context import Note, Separation, SeparationContext, confidence_name
from stages.dark_bars import Beyond

LEAST_WINDOW = 3
"""Frames of the shortest window of a clip."""


@dataclass(frozen=True)
class Output:
    """One layer that is written.

    role: the layer's role in the manifest and its name in :class:`Separation`.
    alpha: name of the layer that becomes this layer's alpha channel.
    sound: whether the file gets the input's audio and subtitles.
    data: whether the values are data rather than colours, as those of a matte are.
    divided: whether each thing of a divided foreground has such a layer of its own.
    gray: whether it holds one number a pixel, in three equal channels. The file may then have one
        channel.
    """

    role: str
    alpha: str | None = None
    sound: bool = True
    data: bool = False
    divided: bool = False
    gray: bool = False


@dataclass(frozen=True)
class Division:
    """How a task divides its foreground where the user asks for several things.

    layer: name of the layer that holds the number of the thing that each pixel belongs to.
    numbers: returns the numbers that such a layer holds, rising.
    layers: returns the layers of one thing, given those of a window and its number.
    """

    layer: str
    numbers: Callable[[Tensor], list[int]]
    layers: Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]


@dataclass(frozen=True)
class Recipe:
    """A frame-wise task: its layers and the two functions that compute them.

    outputs: the layers, in the order of the contact sheet.
    survey: computes what holds for the whole clip from up to ``sample`` evenly spaced frames.
    separate: computes the layers of one window, given the result of ``survey``.
    window: frames in a window.
    overlap: frames that two neighbouring windows share.
    sample: frames that ``survey`` gets at most.
    memory: measured peak memory in bytes for each value of a window's frames (frames x 3 x
        height x width). Windows are made shorter where memory is short.
    settle: makes faded layers mix back to the input exactly, where two windows overlap.
    carried: names of the layers that the next window is given for the frames that both share, see
        :attr:`stages.context.SeparationContext.before`.
    kinds: the dataclasses in the result of ``survey``, so that a checkpoint can hold it.
    surveying: the part of a time budget that ``survey`` may take, 0 to 1.
    limits: for estimates, the number of pixels beyond which a part of ``separate`` costs no
        more. The keys are the notes with which the parts report their progress.
    account: returns one plain sentence about the report's figures: which part of the result is
        evidence and which is invented. Returns an empty string where there is nothing to say.
    division: how the foreground is divided into things, for a task that can do that.
    beyond: what each layer is in the dark bars around a film's picture, by name. ``survey`` and
        ``separate`` then get the picture without them. They get whole frames unless this is given.
    bars_of_pictures: whether separate pictures, too, are separated without their bars.
    confident: the layers of which ``separate`` says how sure it is of each pixel, if
        :attr:`stages.context.SeparationContext.confidence` asks for it.
    """

    outputs: tuple[Output, ...]
    survey: Callable[[Tensor, SeparationContext], Any]
    separate: Callable[[Tensor, Any, SeparationContext], Separation]
    window: int = 48
    overlap: int = 8
    sample: int = 24
    memory: float = 24.0
    settle: Callable[[Tensor, dict[str, Tensor], Any], dict[str, Tensor]] | None = None
    carried: tuple[str, ...] = ()
    kinds: tuple[type, ...] = ()
    surveying: float = 0.15
    limits: Mapping[str, int] = field(default_factory=dict)
    account: Callable[[Mapping[str, float]], str] = lambda figures: ""
    division: Division | None = None
    confident: tuple[str, ...] = ()
    beyond: Mapping[str, Beyond] = field(default_factory=dict)
    bars_of_pictures: bool = True

    def confidence_outputs(self) -> tuple[Output, ...]:
        """Return the layers that ``--confidence`` adds."""
        return tuple(
            Output(confidence_name(name), sound=False, data=True, gray=True)
            for name in self.confident
        )

    def in_bars(self) -> dict[str, Beyond]:
        """Return what each layer is in the bars, with the layers that ``--confidence`` adds.

        These are 1 there: what the bars hold is put into the layers as it is, and so is certain.
        """
        sure: dict[str, Beyond] = {confidence_name(name): "all" for name in self.confident}
        return {**sure, **self.beyond}

    def lengths(self, max_frames: int) -> tuple[int, int]:
        """Return the length of a window and of an overlap, in frames.

        max_frames: how many frames fit into memory. An overlap is at most a third of the longest
            window; a clip is divided into windows that may be shorter.
        """
        return bounded_lengths(self.window, self.overlap, max_frames)


def bounded_lengths(window: int, overlap: int, max_frames: int) -> tuple[int, int]:
    """Return the length of a window and of an overlap in the memory there is, in frames.

    window, overlap: the wanted lengths. max_frames, and the overlap: as of :meth:`Recipe.lengths`.
    """
    bounded = max(LEAST_WINDOW, min(window, max_frames))
    return bounded, min(overlap, bounded // 3)


def validated(result: object, recipe: Recipe, window: Tensor) -> Separation:
    """Return ``result`` if it is a valid separation of ``window`` ``(T, 3, H, W)``.

    result: what the recipe's ``separate`` returned.
    Raises ValueError, which says what is wrong.
    """
    if not isinstance(result, Separation):
        raise ValueError(f"separate() returned a {type(result).__name__}, not a Separation")
    wanted = {name for output in recipe.outputs for name in (output.role, output.alpha) if name}
    if missing := wanted - set(result.layers):
        raise ValueError(
            f"separate() returned the layers {', '.join(sorted(result.layers))}; "
            f"{', '.join(sorted(missing))} is missing"
        )
    for name in sorted(wanted):
        _check_layer(name, result.layers[name], window, shared=name in result.shared)
    for note in result.notes:
        if not isinstance(note, Note):
            raise ValueError(
                f"separate() returned a note that is a {type(note).__name__}, not a Note"
            )
        if not all(0 <= place < len(window) for place in note.places):
            raise ValueError(
                f"a note is about frames that the window of {len(window)} frames does not have"
            )
    return result


def _check_layer(name: str, pixels: Tensor, window: Tensor, *, shared: bool) -> None:
    """Raise ValueError where a layer has a wrong shape or values that are not finite."""
    length = 1 if shared else len(window)
    if tuple(pixels.shape) not in [(length, channels, *window.shape[-2:]) for channels in (1, 3)]:
        raise ValueError(
            f"the layer {name} is {tuple(pixels.shape)} for a window of {tuple(window.shape)}"
        )
    if not bool(pixels.isfinite().all()):
        raise ValueError(f"the layer {name} holds values that are not finite (NaN or infinite)")
