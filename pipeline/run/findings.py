"""What a run found, or did not find, told as warnings: the notes of all windows, joined into one sentence each.

A task's stage puts a :class:`stages.context.Note` into what it returns. A stage that says nothing is covered too: where one of its layers
is the input itself, nothing was taken apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.framewise.recipe import Recipe
from stages.context import Note, Separation
from stages.media.clip import Frames

SAME = 0.5 / 255
"""Largest difference, in values from 0 to 1, that a file of 8 bits does not show."""

RANGES = 3
"""Ranges of frames that a warning names; the others are counted."""


class Findings:
    """Collects the notes of a run's windows. A frame that several windows hold is in a warning only if all of them say the same of it.

    first: the clip's first frame that is read. count: how many are read. pictures: whether they are pictures rather than a clip.
    """

    def __init__(self, first: int, count: int, *, pictures: bool) -> None:
        self.first, self.count, self.pictures = first, count, pictures
        self._windows: Counter[int] = Counter()
        self._told: dict[str, Counter[int]] = defaultdict(Counter)
        self._amounts: dict[str, list[float]] = defaultdict(list)

    def add(self, window: Frames, separated: Separation, recipe: Recipe) -> None:
        """Take the notes of a window, and note by itself where a layer is the input."""
        self._windows.update(range(window.first, window.last + 1))
        told = {place for note in separated.notes for place in note.places}
        for note in (*separated.notes, *unchanged(window.pixels, separated, recipe, told)):
            self._told[note.text].update(window.first + place for place in note.places)
            self._amounts[note.text] += note.amounts

    def warnings(self) -> list[str]:
        """Return one sentence for each kind of note, in the order in which they came first."""
        found = []
        for text, told in self._told.items():
            frames = sorted(frame for frame, times in told.items() if times == self._windows[frame])
            if frames:
                amounts = self._amounts[text]
                percent = f"{100 * sum(amounts) / len(amounts):.0f} %" if amounts else ""
                found.append(
                    text.replace("{frames}", self.named(frames)).replace("{percent}", percent)
                )
        return found

    def named(self, frames: Sequence[int]) -> str:
        """Return the names of frames, which rise: ``all 75 frames``, ``frames 3 to 9 and 12``, ``the picture``, ``pictures 1 and 3``."""
        what = "picture" if self.pictures else "frame"
        if len(frames) == self.count:
            return f"the {what}" if self.count == 1 else f"all {self.count} {what}s"
        # Pictures count from 1, as the files of their layers do; frames from 0, as everywhere.
        ranges = [
            f"{first}" if first == last else f"{first} to {last}"
            for first, last in runs(frames, 1 if self.pictures else 0)
        ]
        words = ranges[:RANGES]
        if len(ranges) > RANGES:
            words.append(f"{len(ranges) - RANGES} more ranges")
        joined = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
        return f"{what}{'' if len(frames) == 1 else 's'} {joined}"


def runs(numbers: Sequence[int], add: int = 0) -> list[tuple[int, int]]:
    """Return the first and last number of each run of consecutive ones, with ``add`` added to them."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number + add == found[-1][1] + 1:
            found[-1] = found[-1][0], number + add
        else:
            found.append((number + add, number + add))
    return found


def unchanged(frames: Tensor, separated: Separation, recipe: Recipe, told: set[int]) -> list[Note]:
    """Return notes about the frames ``(T, 3, H, W)`` that a layer repeats, those that are ``told`` of already left out."""
    notes = []
    known = set(told)
    for output in recipe.outputs:
        layer = separated.layers[output.role]
        places = []
        # One frame at a time: a difference of all of them would take as much memory as the window itself.
        for place in sorted(set(range(len(frames))) - known):
            shown = layer[min(place, len(layer) - 1)]
            if bool(torch.le((shown - frames[place]).abs().amax(), SAME)):
                places.append(place)
        if places:
            known |= set(places)
            text = f"nothing was found to take apart in {{frames}}: the layer {output.role} is the input itself"
            notes.append(Note(text, tuple(places)))
    return notes
