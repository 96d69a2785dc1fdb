"""Find the dark bars around a film's picture, and work on the picture alone.

A task draws conclusions from what a frame shows: the haze from the darkest pixels, the camera's
motion from the picture's edge, a mark from edges that all frames share. Bars would mislead it. So a
task gets the picture without the bars, and its layers get them back.

The search for transitions has a border of its own (:mod:`stages.find.borders`): of any colour, and
shared by two frames alone.

Tensors are ``(T, C, H, W)``, RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor
from torch.nn import functional

from stages.context import Separation, SeparationContext
from stages.hint_regions import HintRegion

DARK = 40 / 255
"""Value up to which a line of a border may go. Black is at 16 in some files; codecs add noise."""
EVEN = 6 / 255
"""Largest difference between the bright and the dark values of a line, over time, that codecs and
noise cause in a border."""
STEP = 12 / 255
"""Least difference between a border and the picture's first lines."""
LEAST_BORDER = 0.01
"""Part of a side from which a border counts."""
RINGING = 16
"""Lines of a border next to the picture that coding may make uneven: its blocks of colour."""
EDGE = 3
"""Lines of the picture next to a border that are looked at."""
LIT = 0.8
"""Least part of the picture's edge that is not dark."""
BRIGHTEST = 0.98
"""Quantile of a line that stands for its brightest values. Ringing next to the picture lies above
it."""

Beyond = Literal["input", "none", "all", "nearest"]
"""What a layer is in the border: the input, 0, 1, or its nearest value in the picture."""


@dataclass(frozen=True)
class Border:
    """How many lines at each side of the frames are border."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __bool__(self) -> bool:
        """Return whether there is a border at any side."""
        return bool(self.top or self.bottom or self.left or self.right)

    def paired(self) -> Border:
        """Return the border at those sides whose opposite side has one, too.

        A dark edge at one side alone may belong to the scene.
        """
        down, across = bool(self.top and self.bottom), bool(self.left and self.right)
        return Border(self.top * down, self.bottom * down, self.left * across, self.right * across)

    def within(self, other: Border) -> Border:
        """Return the border that lies in both."""
        return Border(
            min(self.top, other.top),
            min(self.bottom, other.bottom),
            min(self.left, other.left),
            min(self.right, other.right),
        )

    def cropped(self, pixels: Tensor) -> Tensor:
        """Return ``(..., H, W)`` without the border."""
        height, width = pixels.shape[-2:]
        return pixels[..., self.top : height - self.bottom, self.left : width - self.right]

    def with_border(self, layer: Tensor, beyond: Beyond, frames: Tensor) -> Tensor:
        """Return a layer of the picture with the border around it.

        layer: ``(T, C, h, w)``, or one picture ``(1, C, h, w)`` for all frames. beyond: what it is
        in the border. frames: with the border, ``(T, 3, H, W)``.
        """
        sides = (self.left, self.right, self.top, self.bottom)
        if beyond == "nearest" or (beyond == "input" and len(layer) != len(frames)):
            return functional.pad(layer, sides, mode="replicate")
        bordered = functional.pad(layer, sides, value=1.0 if beyond == "all" else 0.0)
        if beyond == "input":
            height, width = frames.shape[-2:]
            bordered[..., : self.top, :] = frames[..., : self.top, :]
            bordered[..., height - self.bottom :, :] = frames[..., height - self.bottom :, :]
            bordered[..., : self.left] = frames[..., : self.left]
            bordered[..., width - self.right :] = frames[..., width - self.right :]
        return bordered

    def cropped_context(self, context: SeparationContext) -> SeparationContext:
        """Return the context for the picture without the border."""
        if not self:
            return context

        def cropped(pixels: Tensor | None) -> Tensor | None:
            return None if pixels is None else self.cropped(pixels)

        return replace(
            context,
            hint=cropped(context.hint),
            hint_regions=tuple(self._cropped_regions(context.hint_regions)),
            before={name: self.cropped(layer) for name, layer in context.before.items()},
            earlier_matte=cropped(context.earlier_matte),
            origin=(self.top, self.left),
        )

    def _cropped_regions(self, regions: tuple[HintRegion, ...]) -> list[HintRegion]:
        """Return the regions without the border, as far as any of them is left."""
        inside = [replace(region, pixels=self.cropped(region.pixels)) for region in regions]
        return [region for region in inside if bool(region.pixels.any())]

    def separation_with_border(
        self, separated: Separation, beyond: Mapping[str, Beyond], frames: Tensor
    ) -> Separation:
        """Return the layers of the picture with the border around them.

        beyond: what each layer is in the border, by name; ``nearest`` unless given. frames: with
        the border, ``(T, 3, H, W)``.
        """
        if not self:
            return separated  # padding would copy every layer
        layers = {
            name: self.with_border(layer, beyond.get(name, "nearest"), frames)
            for name, layer in separated.layers.items()
        }
        return replace(separated, layers=layers)


def dark_border(frames: Tensor, ringing: int = RINGING) -> Border:
    """Return the dark, even border that frames ``(S, 3, H, W)`` share.

    ringing: lines of a border next to the picture that may be uneven.
    A frame that is darker than :data:`DARK` as a whole, as in a fade, says nothing.
    """
    brightest = frames.amax(1)
    brightest = brightest[brightest.amax((1, 2)) > DARK + STEP]
    if not len(brightest):
        return Border()
    # Values of each line in all frames: (H, S * W) for rows, (W, S * H) for columns.
    rows = brightest.permute(1, 0, 2).flatten(1)
    columns = brightest.permute(2, 0, 1).flatten(1)
    sides = (rows, rows.flip(0), columns, columns.flip(0))
    border = Border(*(_count_border_lines(side, ringing) for side in sides))
    return _beside_lit_edges(border, (brightest > DARK).any(0))


def _beside_lit_edges(border: Border, lit: Tensor) -> Border:
    """Return the border at those sides along which the picture's edge is lit.

    A picture fills the space between its bars. A thing in front of a black background does not: the
    darkness around it belongs to the picture.

    lit: the pixels ``(H, W)`` that are not dark in some frame.
    """
    while border:
        inner = border.cropped(lit)
        edges = {
            "top": inner[:EDGE].any(0),
            "bottom": inner[-EDGE:].any(0),
            "left": inner[:, :EDGE].any(1),
            "right": inner[:, -EDGE:].any(1),
        }
        unlit = [
            side
            for side, edge in edges.items()
            if getattr(border, side) and float(edge.float().mean()) < LIT
        ]
        if not unlit:
            break
        border = replace(border, **dict.fromkeys(unlit, 0))
    return border


def _count_border_lines(lines: Tensor, ringing: int) -> int:
    """Return how many lines from the first on are a border.

    lines: ``(n, values)``. ringing: lines of it next to the picture that may be uneven.
    """
    even, _ = _evenness_and_bright_end(lines[:1])
    if not bool(even):
        # Most pictures have no border, and quantiles of all lines take long.
        return 0
    even, high = _evenness_and_bright_end(lines)
    dark = _count_leading(high <= DARK)
    count = _count_leading(even)
    if dark - count <= ringing:
        count = dark
    if count < max(1.0, LEAST_BORDER * len(lines)) or count > len(lines) // 2:
        return 0
    beyond = high[count : count + EDGE]
    return count if float(beyond.max() - high[:count].max()) >= STEP else 0


def _evenness_and_bright_end(lines: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether each of the lines ``(n, values)`` is even and dark, and its bright end."""
    high = _line_quantile(lines, BRIGHTEST)
    low = _line_quantile(lines, 1 - BRIGHTEST)
    return (high <= DARK) & (high - low <= EVEN), high


def _count_leading(holds: Tensor) -> int:
    """Return how many of ``(n,)`` are true before the first that is false."""
    return int(holds.int().cumprod(0).sum())


def _line_quantile(lines: Tensor, part: float) -> Tensor:
    """Return a quantile of each line ``(n, values)``, of any number of values."""
    return lines.kthvalue(1 + round(part * (lines.shape[1] - 1)), 1).values


@dataclass
class BorderWatch:
    """Follow the dark border of a clip through all of its frames.

    It looks only at the lines that were dark so far, so a clip without a border costs nothing.
    """

    _dark: Border | None = None

    def add(self, frame: Tensor) -> None:
        """Take the next frame ``(3, H, W)``."""
        if self._dark is None or self._dark:
            self._dark = dark_lines(frame, self._dark)

    @property
    def has_dark_lines(self) -> bool:
        """Whether there may be a border: all frames so far have dark lines at an edge."""
        return bool(self._dark)

    def border(self, sample: Tensor, ringing: int = RINGING) -> Border:
        """Return the border of the clip.

        sample: some of its frames, ``(S, 3, H, W)``, of the size of those that were added.
        ringing: as for :func:`dark_border`.
        """
        if not self._dark:
            return Border()
        return even_border(sample, self._dark, ringing)


def dark_lines(frame: Tensor, at_most: Border | None = None) -> Border:
    """Return how many lines at each side of a frame ``(3, H, W)`` are dark, up to ``at_most``."""
    height, width = frame.shape[-2:]
    most = at_most or Border(height, height, width, width)
    return Border(
        _count_dark_lines(frame[:, : most.top], 1),
        _count_dark_lines(frame[:, height - most.bottom :].flip(1), 1),
        _count_dark_lines(frame[..., : most.left], 2),
        _count_dark_lines(frame[..., width - most.right :].flip(2), 2),
    )


def even_border(sample: Tensor, dark: Border, ringing: int = RINGING) -> Border:
    """Return the border of frames that have dark lines at opposite sides.

    sample: some of the frames, ``(S, 3, H, W)``. dark: the dark lines that all of them have.
    ringing: as for :func:`dark_border`.
    """
    dark = dark.paired()
    return dark_border(sample, ringing).within(dark).paired() if dark else Border()


def _count_dark_lines(strip: Tensor, axis: int) -> int:
    """Return how many lines from the first on are dark.

    strip: ``(3, h, w)``. axis: 1 where its lines are rows, 2 where they are columns.
    """
    if not strip.shape[axis]:
        return 0
    bright = (strip.amax(0) > DARK).float().mean(2 - axis)
    return _count_leading(bright <= 1 - BRIGHTEST)
