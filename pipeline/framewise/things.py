"""Keep account of the things that a foreground is divided into: their frames and their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from pipeline.framewise.findings import Findings
from pipeline.framewise.recipe import Division
from pipeline.settings import Settings
from stages.context import Separation
from stages.occlusion import Occlusion, front_to_back, summed

LEAST_SEEN = 1e-4
"""The part of a frame that a thing must cover to count as found in it."""


COVERED = 0.5
"""Value of a thing's matte, 0 to 1, above which it covers a pixel."""

NAMED_PAIRS = 2
"""Pairs of things that a warning names; the others are counted."""


def requested_things(settings: Settings) -> int:
    """Return how many things ``--layers`` asks for; 0 for as many as are found."""
    return 0 if isinstance(settings.layers, str) else settings.layers


class FoundThings:
    """What the windows find of each thing.

    division: how the recipe divides its foreground. asked: how many things the user asked for; 0
    for as many as there are.
    """

    def __init__(self, division: Division, asked: int) -> None:
        self.division, self.asked = division, asked
        self.numbers: list[int] = []
        self._seen: dict[int, set[int]] = {}
        self._evidence: list[Occlusion] = []

    @property
    def highest(self) -> int:
        """The highest number so far; 0 if there is none."""
        return max(self.numbers, default=0)

    def add(self, separated: Separation) -> None:
        """Take note of the things of a window, and of what it says about their order."""
        self._note_numbers(separated.layers[self.division.layer])
        self._evidence += separated.occlusions

    def _note_numbers(self, layer: Tensor) -> None:
        self.numbers = sorted({*self.numbers, *self.division.numbers(layer)})

    def note_frames(self, number: int, matte: Tensor, first: int) -> None:
        """Take note of where a thing is found.

        matte: of the thing, ``(T, 1, H, W)`` in [0, 1]. first: the number of its first frame.
        """
        covers = (matte > COVERED).float().mean((1, 2, 3)) > LEAST_SEEN
        places = covers.nonzero().flatten().tolist()
        self._seen.setdefault(number, set()).update(first + place for place in places)

    def ranks(self) -> dict[int, int]:
        """Return each thing's place in the order from front to back, from 1 on, by its number."""
        ordered = front_to_back(self.numbers, self._evidence_of_all())
        return {number: rank for rank, number in enumerate(ordered, 1)}

    def _evidence_of_all(self) -> list[Occlusion]:
        """Return the evidence of all windows about things that have layers.

        A thing of a few pixels may be lost where the windows' layers are enlarged.
        """
        there = set(self.numbers)
        return [each for each in summed(self._evidence) if {each.one, each.other} <= there]

    def figures(self, role: str) -> Mapping[str, object]:
        """Return what the manifest says: how many things there are, and the order of each pair.

        role: of the things' layers, of which their names are made.
        """
        ranks = self.ranks()
        pairs = []
        for each in self._evidence_of_all():
            behind = each.other if each.front == each.one else each.one
            pairs.append(
                {
                    "front": thing_name(role, ranks[each.front]),
                    "behind": thing_name(role, ranks[behind]),
                    "known_by": "seen where they meet" if each.is_seen else "guess: stands lower",
                    "agreement": round(each.agreement, 3) if each.is_seen else None,
                }
            )
        return {"things": len(self.numbers), "order": pairs}

    def warnings(self, role: str, findings: Findings) -> list[str]:
        """Return a sentence for whatever the user has to know about the things.

        findings: names the frames.
        """
        sentences = []
        count = len(self.numbers)
        if self.asked and count < self.asked:
            things = f"{count} things that move differently were"
            if count == 1:
                things = "1 thing that moves by itself was"
            sentences.append(f"--layers {self.asked}: only {things} found")
        ranks = self.ranks()
        anywhere = set().union(*self._seen.values()) if self._seen else set()
        for number, rank in sorted(ranks.items(), key=lambda item: item[1]):
            if missing := sorted(anywhere - self._seen.get(number, set())):
                sentences.append(
                    f"{thing_name(role, rank)} was not found in {findings.named(missing)}, so it "
                    "is empty there: it may be hidden, outside the picture or at rest"
                )
        guessed = [each for each in self._evidence_of_all() if not each.is_seen]
        if guessed:
            named = guessed[:NAMED_PAIRS]
            names = " and ".join(_pair_names(each, ranks, role) for each in named)
            others = len(guessed) - len(named)
            more = f" and {others} more pairs" if others else ""
            sentences.append(
                f"it was not seen which one hides the other of {names}{more}: their order is a "
                "guess from which one stands lower in the picture"
            )
        return sentences


def _pair_names(pair: Occlusion, ranks: Mapping[int, int], role: str) -> str:
    """Return the names of two things, the nearer one first."""
    names: Sequence[int] = sorted((ranks[pair.one], ranks[pair.other]))
    return ", ".join(thing_name(role, rank) for rank in names)


def thing_name(role: str, rank: int) -> str:
    """Return the name of the layer of one thing: ``foreground-002``."""
    return f"{role}-{rank:03d}"
