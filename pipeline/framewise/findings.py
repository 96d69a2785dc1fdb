"""Turn the notes of all windows into warnings, one sentence for each kind of note.

A stage adds a :class:`stages.context.Note` to what it returns. A stage that adds none is covered
too: where one of its layers equals the input, nothing was separated, and a note says so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.frame_ranges import consecutive_ranges, range_text
from pipeline.framewise.recipe import Recipe
from pipeline.option_names import with_named_options
from stages.context import Note, Separation
from stages.media.clip import Frames

SAME = 0.5 / 255
"""Largest difference, in values from 0 to 1, at which a layer still equals the input.

It is half a level of 8 bits, and disappears in a file.
"""

MAX_RANGES = 3
"""Ranges of frames that a warning names; the others are counted."""


class Findings:
    """The notes of a run's windows.

    A frame that lies in several windows appears in a warning only if all of them say the same about
    it.

    first: the first frame that is read. count: how many frames are read. pictures: whether they are
    pictures rather than a clip.
    """

    def __init__(self, first: int, count: int, *, pictures: bool) -> None:
        self.first, self.count, self.pictures = first, count, pictures
        self._windows: Counter[int] = Counter()
        self._noted: dict[str, Counter[int]] = defaultdict(Counter)
        self._amounts: dict[str, list[float]] = defaultdict(list)

    def add(self, window: Frames, separated: Separation, recipe: Recipe) -> None:
        """Take the notes of a window, and add notes where a layer equals the input."""
        self._windows.update(range(window.first, window.last + 1))
        noted = {place for note in separated.notes for place in note.places}
        for note in (*separated.notes, *unchanged_notes(window.pixels, separated, recipe, noted)):
            self._noted[note.text].update(window.first + place for place in note.places)
            self._amounts[note.text] += note.amounts

    def warnings(self) -> list[str]:
        """Return one sentence for each kind of note, in the order of their first appearance."""
        sentences = []
        for text, noted in self._noted.items():
            frames = sorted(
                frame for frame, times in noted.items() if times == self._windows[frame]
            )
            if frames:
                amounts = self._amounts[text]
                percent = f"{100 * sum(amounts) / len(amounts):.0f} %" if amounts else ""
                named = text.replace("{frames}", self.named(frames))
                sentences.append(with_named_options(named.replace("{percent}", percent)))
        return sentences

    def named(self, frames: Sequence[int]) -> str:
        """Return the names of frames, given in rising order.

        Examples: ``all 75 frames``, ``frames 3 to 9 and 12``, ``pictures 1 and 3``.
        """
        what = "picture" if self.pictures else "frame"
        if len(frames) == self.count:
            return f"the {what}" if self.count == 1 else f"all {self.count} {what}s"
        # Pictures count from 1, as the files of their layers do; frames count from 0.
        ranges = [
            range_text(first, last)
            for first, last in consecutive_ranges(frames, 1 if self.pictures else 0)
        ]
        words = ranges[:MAX_RANGES]
        if len(ranges) > MAX_RANGES:
            words.append(f"{len(ranges) - MAX_RANGES} more ranges")
        joined = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
        return f"{what}{'' if len(frames) == 1 else 's'} {joined}"


def unchanged_notes(
    frames: Tensor, separated: Separation, recipe: Recipe, noted: set[int]
) -> list[Note]:
    """Return notes about the frames in which a layer equals the input.

    frames: the input, ``(T, 3, H, W)`` in [0, 1]. noted: places of the frames that other notes are
    about; they are left out.
    """
    notes = []
    done = set(noted)
    for output in recipe.outputs:
        layer = separated.layers[output.role]
        places = []
        # One frame at a time: the difference of all would take as much memory as the window.
        for place in sorted(set(range(len(frames))) - done):
            shown = layer[min(place, len(layer) - 1)]
            if bool(torch.le((shown - frames[place]).abs().amax(), SAME)):
                places.append(place)
        if places:
            done |= set(places)
            text = (
                "nothing was found to take apart in {frames}: "
                f"the layer {output.role} is the input itself"
            )
            notes.append(Note(text, tuple(places)))
    return notes
