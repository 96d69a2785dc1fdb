"""Say whether something is in a clip: a verdict, with its evidence in numbers.

A diagnosis looks at a small sample of the clip, and uses the same evidence as the task that would
take the thing out. So a verdict nearly always agrees with what a run would do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from stages.dark_bars import dark_border

THERE = "there"
PERHAPS = "perhaps"
NOT_THERE = "not there"
VERDICTS = (THERE, PERHAPS, NOT_THERE)
"""What a diagnosis may say."""


@dataclass(frozen=True)
class ClipSample:
    """Some frames of a clip, at a small size.

    size: height and width of the clip's own frames, in pixels, without bars that are left out.
    origin: the clip's row and column at which the picture begins.
    picture: of a single picture, ``(3, H, W)`` at up to a larger size, because what is fine in it
        is lost at the small size; else None.
    frames: evenly spread over the clip, ``(S, 3, h, w)`` RGB in [0, 1].
    numbers: the frame numbers of ``frames``, rising.
    runs: consecutive frames from the middle of the longest shots, ``(T, 3, h, w)`` each.
    run_starts: the number of each run's first frame.
    unordered: whether the frames are separate pictures, and not a clip in time; then there are no
        runs.
    search: what the search found, as ``probe --json`` prints it (``shots``, ``transitions``).
    """

    size: tuple[int, int]
    frames: Tensor
    numbers: tuple[int, ...]
    runs: tuple[Tensor, ...] = ()
    run_starts: tuple[int, ...] = ()
    unordered: bool = False
    search: Mapping[str, Any] = field(default_factory=dict)
    origin: tuple[int, int] = (0, 0)
    picture: Tensor | None = None

    def without_bars(self) -> ClipSample:
        """Return the sample without the dark bars around the picture."""
        border = dark_border(self.frames).paired()
        if not border:
            return self
        height, width = self.frames.shape[-2:]
        down, across = self.size[0] / height, self.size[1] / width
        picture = self.picture
        if picture is not None:
            finer = picture.shape[-2] / height, picture.shape[-1] / width
            picture = picture[
                :,
                round(finer[0] * border.top) : round(finer[0] * (height - border.bottom)),
                round(finer[1] * border.left) : round(finer[1] * (width - border.right)),
            ]
        return replace(
            self,
            size=(
                self.size[0] - round(down * (border.top + border.bottom)),
                self.size[1] - round(across * (border.left + border.right)),
            ),
            origin=(round(down * border.top), round(across * border.left)),
            frames=border.cropped(self.frames),
            runs=tuple(border.cropped(run) for run in self.runs),
            picture=picture,
        )

    def box_of(self, where: Tensor) -> list[int]:
        """Return the box ``[x, y, width, height]``, in the clip's pixels, around what is true.

        where: ``(h, w)``, of the whole picture of the sample at any size. The list is empty where
        nothing is true.
        """
        rows, columns = (where.any(axis).nonzero().flatten() for axis in (1, 0))
        if not len(rows):
            return []
        top, left = int(rows[0]), int(columns[0])
        height, width = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
        down, across = (full / here for full, here in zip(self.size, where.shape, strict=True))
        return [
            self.origin[1] + round(left * across),
            self.origin[0] + round(top * down),
            round(width * across),
            round(height * down),
        ]


@dataclass(frozen=True)
class Diagnosis:
    """Say whether one thing is in a clip.

    name: the thing in one word, as in ``haze``. verdict: one of :data:`VERDICTS`. account: one
    plain sentence that says what was seen. evidence: the numbers behind it, as JSON values.

    Raises ValueError where the verdict is none of these.
    """

    name: str
    verdict: str
    account: str
    evidence: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"a verdict is one of {', '.join(VERDICTS)}, not {self.verdict!r}")


@dataclass(frozen=True)
class Diagnosed:
    """The diagnoses of a clip.

    by: what made them, so that other versions can be told apart. of_tasks: by the task's name.
    of_files: facts that no task takes apart.
    """

    by: tuple[str, ...]
    of_tasks: Mapping[str, Diagnosis]
    of_files: tuple[Diagnosis, ...]


def verdict_of(value: float, perhaps: float, there: float) -> str:
    """Return the verdict for a value that grows with the evidence.

    perhaps, there: the values above which the verdict is ``perhaps``, and ``there``.
    """
    if value > there:
        return THERE
    return PERHAPS if value > perhaps else NOT_THERE


def spread(frames: Tensor, most: int) -> Tensor:
    """Return at most ``most`` evenly spread frames of ``(S, 3, h, w)``."""
    chosen = torch.linspace(0, len(frames) - 1, min(most, len(frames))).round().long()
    return frames[chosen]
