"""The interface of frame-wise separation stages: what they are given and what they return.

Tensors are ``(T, C, H, W)``, RGB in [0, 1], float32, at the input's full size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stages.hint_regions import HintRegion
from stages.occlusion import Occlusion
from stages.optim.loss_curves import Curves, Trace
from stages.setting_values import NETWORKS_ALONE
from stages.storage.checkpoint import CheckpointStore, NoCheckpoints

SPACES = ("auto", "gamma", "linear")
"""In what values layers add up: encoded values, linear light, or whichever fits better."""

MEASURES = ("psnr", "iou")
"""What an expected quality may be measured in, see :class:`ExpectedQuality`."""


def confidence_name(layer: str) -> str:
    """Return the name of the layer that says how sure each pixel of another layer is."""
    return f"{layer}-confidence"


@dataclass(frozen=True)
class FitSettings:
    """The user's choices for one separation.

    preset: how much work to do, or which method to compare with; one of the names in
        :data:`stages.setting_values.PRESETS`.
    seed: of all random numbers. device: where to fit.
    max_seconds: the time it may take; ``None`` for the preset's own amount of work.
    """

    preset: str = "balanced"
    seed: int = 0
    device: torch.device = torch.device("cpu")
    max_seconds: float | None = None

    @property
    def networks_alone(self) -> bool:
        """Whether networks do all the work, without motion and without other evidence."""
        return self.preset in NETWORKS_ALONE

    @property
    def is_published(self) -> bool:
        """Whether the method is Double-DIP as published."""
        return self.preset == "paper"


@dataclass(frozen=True)
class SeparationContext:
    """Everything that a separation is given besides its frames.

    settings: preset, seed, device and the seconds that this call may take.
    progress: call it with the fraction done, 0 to 1, and a short note.
    hint: ``(1, 1, H, W)`` or ``(T, 1, H, W)`` in [0, 1], white where the user marked something.
        It joins the hints of the foreground that were given without a frame's number.
    hint_regions: the user's hints one by one, as drawn for this window's frames, of foreground and
        background. A hint without a frame's number is one of the clip's first frame.
    unordered: whether the frames are separate pictures and not a clip in time.
    space: the light in which layers add up, one of :data:`SPACES`.
    strength: how much to remove, from 0 (nothing) to 2; 1 removes what the evidence supports.
        Only some tasks use it.
    reduced: how many times the working size is halved because memory ran out.
    before: layers that the window before found for this window's first frames, where both overlap,
        by name, ``(n, C, H, W)``. Only layers that the task asks for are in it.
    checkpoints: where to save results that should survive a kill. Save a plan that depends on the
        clock (``max_seconds``) with its ``compute_and_save``.
    trace: collects the losses of every fit, by stage, for the report.
    earlier_matte: the matte of an earlier run that the hints correct, ``(T, 1, H, W)`` in [0, 1].
    confidence: whether to return how sure each pixel is, as layers ``(T, 1, H, W)`` in [0, 1]
        with the names of :func:`confidence_name`: 0 is invented, 1 is certain. It follows from
        what the fit knows, never from the reconstruction. Only some tasks have it.
    most_things: how many foregrounds the user asked for; 0 for as many as are found. Only some
        tasks divide their foreground.
    known_things: the highest number of a thing in the windows before.
    mark: the mark that the user gave as a picture, ``(3, h, w)`` in [0, 1], or ``(4, h, w)`` with
        alpha. Only some tasks use it.
    force: whether the user wants a separation even where nothing is found; see
        :meth:`should_separate`.
    origin: row and column of the input at which the frames begin, where its bars are left out.
    """

    settings: FitSettings
    progress: Callable[[float, str], None] = lambda fraction, note: None
    hint: Tensor | None = None
    unordered: bool = False
    space: str = "auto"
    strength: float = 1.0
    reduced: int = 0
    before: Mapping[str, Tensor] = field(default_factory=dict)
    checkpoints: CheckpointStore = field(default_factory=NoCheckpoints)
    trace: Trace = field(default_factory=Trace)
    hint_regions: tuple[HintRegion, ...] = ()
    most_things: int = 1
    known_things: int = 0
    earlier_matte: Tensor | None = None
    confidence: bool = False
    force: bool = False
    mark: Tensor | None = None
    origin: tuple[int, int] = (0, 0)

    def should_separate(self, evidence: float, least: float) -> bool:
        """Return whether there is more than ``least`` evidence, or the user gave ``force``.

        Tasks call it where they would otherwise return the input unchanged.
        """
        return self.force or evidence > least

    def working_pixels(self, pixels: int) -> int:
        """Return a working size of ``pixels``, halved :attr:`reduced` times; at least 1."""
        return max(1, pixels >> self.reduced)


@dataclass(frozen=True)
class Note:
    """One plain sentence for the user about some frames of a window.

    It says what was found there and what the user can do. The run joins equal sentences of all
    windows into one warning.

    text: the sentence. ``{frames}`` in it becomes the frames' names ("frames 3 to 9", "the
        picture") and ``{percent}`` the mean amount. The name of a setting in braces, such as
        ``{strength}``, becomes its option.
    places: the frames that it is about, counted from the window's first frame.
    amounts: a number from 0 to 1 for each of these frames, averaged for ``{percent}``; or empty.
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
        """Return the same note about the frames that lie ``by`` places further on."""
        return Note(self.text, tuple(place + by for place in self.places), self.amounts)


def notes_where(text: str, holds: Tensor, amounts: Tensor | None = None) -> tuple[Note, ...]:
    """Return one note about the frames for which ``holds`` is true; none if there are no such.

    text: see :class:`Note`. holds: ``(T,)`` booleans. amounts: ``(T,)`` in [0, 1].
    """
    places = tuple(int(place) for place in holds.nonzero().flatten())
    if not places:
        return ()
    chosen = () if amounts is None else tuple(float(amounts[place]) for place in places)
    return (Note(text, places, chosen),)


FORCED = "nothing was found in {frames}, but {force} separates them anyway"
"""The text of a note about frames that are separated without evidence."""


@dataclass(frozen=True)
class ExpectedQuality:
    """How good a layer is expected to be in each frame of a window.

    It follows from what the fit knows, never from how well the layers mix back.

    measure: ``psnr``, of the pixels that were changed, in dB; or ``iou``, the intersection over
        union of a matte and the true one, from 0 to 1.
    values: one number for each frame, or ``None`` where nothing is known.

    Raises ValueError where the measure is none of these.
    """

    measure: str
    values: tuple[float | None, ...]

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ValueError(f"a quality is one of {', '.join(MEASURES)}, not {self.measure!r}")


@dataclass(frozen=True)
class Separation:
    """The layers of one window, by name.

    layers: ``(T, C, H, W)`` each, in [0, 1], with 3 channels or 1.
    shared: names of layers that are one picture, ``(1, C, H, W)``, for all frames.
    report: figures for the manifest. Every window gives the same ones. Three of them divide up the
        main layer and are together at most 1: ``explained`` follows from evidence in the input,
        ``invented`` was made up by a prior, and ``untouched`` was left as it was.
    seconds: time spent, by step.
    trace: losses by stage; the pipeline fills this in from :attr:`SeparationContext.trace`.
    notes: what the user has to know, above all that nothing was found in some frames. They become
        warnings.
    occlusions: what was seen of which thing hides which other one, for a divided foreground.
    expected: how good layers are expected to be, by name, where that is known.
    shown: whether what the task takes out is in each frame of the window, where some frames of the
        clip do not show it; else empty. The manifest gets the frames.

    Raises ValueError where a layer has another shape.
    """

    layers: Mapping[str, Tensor]
    shared: frozenset[str] = frozenset()
    report: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    trace: Curves = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    occlusions: tuple[Occlusion, ...] = ()
    expected: Mapping[str, ExpectedQuality] = field(default_factory=dict)
    shown: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        for name, pixels in self.layers.items():
            if (
                pixels.ndim != 4
                or pixels.shape[1] not in (1, 3)
                or (name in self.shared and len(pixels) != 1)
            ):
                raise ValueError(
                    f"layer {name} must be (T, 3 or 1, H, W), one frame where it is shared, "
                    f"got {tuple(pixels.shape)}"
                )
