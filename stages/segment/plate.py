"""The plate: the background of a clip under a fixed camera, as the median of its frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.motion.flow import resize
from stages.segment.margins import hidden_background

STEADY = 0.08  # largest difference of any channel, in [0, 1], with which a pixel shows the plate
STEADY_SHARE = 0.6
"""Least part of a typical frame that has to show the plate, for the camera to count as fixed."""
SAME_SHARE = 0.7
"""Largest part of a pixel's foreground frames that may look like the plate.

Where more of them do, the plate shows the foreground itself.
"""
ROWS = 64  # rows of a picture that are sorted at once, to bound memory
PARTS = 4  # parts of the clip, in each of which a trusted pixel of the plate has to be seen
SEEN_SHARE = 0.3  # least part of the frames of each of these parts that has to show it


@dataclass(frozen=True)
class Plate:
    """The background of a clip under a fixed camera.

    picture: ``(3, H, W)`` in [0, 1]. trusted: where it is known, ``(1, H, W)`` of bool.
    """

    picture: Tensor
    trusted: Tensor

    def resized(self, size: tuple[int, int]) -> Plate:
        """Return this plate at another size ``(H, W)``."""
        return Plate(
            resize(self.picture[None], size)[0], resize(self.trusted[None].float(), size)[0] > 0.5
        )

    def without(self, frames: Tensor, matte: Tensor) -> Plate:
        """Return the plate without the places that show the foreground itself.

        A body that hardly moves is the median of most frames. There the frames look like the plate
        exactly where the matte says foreground.

        frames: ``(T, 3, H, W)`` in [0, 1]. matte: ``(T, 1, H, W)``.
        """
        foreground_frames = torch.zeros_like(matte[0])
        frames_like_plate = torch.zeros_like(matte[0])
        for frame, inside in zip(frames, matte > 0.5, strict=True):
            foreground_frames += inside
            frames_like_plate += inside & self._is_shown_by(frame)
        is_background = frames_like_plate <= SAME_SHARE * foreground_frames
        return Plate(self.picture, self.trusted & is_background)

    def completed(self, frames: Tensor, matte: Tensor) -> Plate:
        """Return the plate with its gaps filled by the median of the frames outside the matte.

        frames: ``(T, 3, H, W)`` in [0, 1]. matte: ``(T, 1, H, W)``.
        """
        seen = _median_of_shown(frames, hidden_background(matte))
        known = seen.isfinite()[:1]
        return Plate(torch.where(self.trusted | ~known, self.picture, seen), self.trusted | known)

    def _is_shown_by(self, frame: Tensor) -> Tensor:
        """Return where a frame ``(3, H, W)`` looks like the plate, ``(1, H, W)`` of bool."""
        return (frame - self.picture).abs().amax(0, keepdim=True) < STEADY


def find_plate(sample: Tensor) -> Plate | None:
    """Return the median of evenly spread frames ``(S, 3, H, W)`` if the camera stands still.

    Returns ``None`` if it moves, and for fewer than three frames.
    """
    if len(sample) < 3:
        return None
    # In groups of rows, because the median of whole frames would need their memory again.
    picture = torch.cat([rows.median(0).values for rows in torch.split(sample, ROWS, dim=2)], 1)
    shown = torch.stack(
        [(frame - picture).abs().amax(0, keepdim=True) < STEADY for frame in sample]
    )
    # A typical frame must agree with the plate over most of the picture.
    if float(shown.float().mean((1, 2, 3)).median()) < STEADY_SHARE:
        return None
    # Someone who comes and stays may be the median of most frames, but not of the first part.
    parts = [part.float().mean(0) for part in torch.tensor_split(shown, min(PARTS, len(shown)))]
    return Plate(picture, torch.stack(parts).amin(0) >= SEEN_SHARE)


def _median_of_shown(frames: Tensor, hidden: Tensor) -> Tensor:
    """Return the median ``(3, H, W)`` of the pixels that are not hidden; NaN where all are."""
    parts = zip(torch.split(frames, ROWS, dim=2), torch.split(hidden, ROWS, dim=2), strict=True)
    return torch.cat(
        [torch.where(covered, torch.nan, rows).nanmedian(0).values for rows, covered in parts], 1
    )
