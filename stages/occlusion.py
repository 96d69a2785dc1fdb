"""Which of two things is nearer to the camera: the evidence, and the order that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST_VOTES = 30
"""Votes from which an order counts as seen. Each pair of frames that is compared has a vote for
every pixel in which the two things meet."""
LEAST_MAJORITY = 0.65
"""Least part of the votes that has to agree, 0.5 to 1."""


@dataclass(frozen=True)
class Occlusion:
    """What speaks for the order of two things.

    one, other: their numbers, the lower one first.
    one_votes, other_votes: in how many pixels that one was seen to hide the other.
    one_lowest, other_lowest: the row of the thing's lowest pixel, as a part of the picture's
        height, summed over all frames that show both.
    frames: how many frames show both.
    """

    one: int
    other: int
    one_votes: float = 0.0
    other_votes: float = 0.0
    one_lowest: float = 0.0
    other_lowest: float = 0.0
    frames: float = 0.0

    def plus(self, more: Occlusion) -> Occlusion:
        """Return the sum of two pieces of evidence about the same things."""
        return Occlusion(
            one=self.one,
            other=self.other,
            one_votes=self.one_votes + more.one_votes,
            other_votes=self.other_votes + more.other_votes,
            one_lowest=self.one_lowest + more.one_lowest,
            other_lowest=self.other_lowest + more.other_lowest,
            frames=self.frames + more.frames,
        )

    @property
    def agreement(self) -> float:
        """Return the part of the votes that agrees, 0.5 to 1; 0 where there are too few."""
        votes = self.one_votes + self.other_votes
        return max(self.one_votes, self.other_votes) / votes if votes >= LEAST_VOTES else 0.0

    @property
    def is_seen(self) -> bool:
        """Return whether it was seen which one hides the other."""
        return self.agreement >= LEAST_MAJORITY

    @property
    def front(self) -> int:
        """Return the number of the nearer thing: by the votes, or else the one that stands lower.

        On level ground, what stands lower in the picture is nearer to the camera.
        """
        if self.is_seen:
            return self.one if self.one_votes > self.other_votes else self.other
        return self.one if self.one_lowest >= self.other_lowest else self.other


def summed(evidence: Sequence[Occlusion]) -> list[Occlusion]:
    """Return the evidence of all windows: one entry for each pair of things."""
    sums: dict[tuple[int, int], Occlusion] = {}
    for each in evidence:
        pair = each.one, each.other
        sums[pair] = sums[pair].plus(each) if pair in sums else each
    return [sums[pair] for pair in sorted(sums)]


def front_to_back(numbers: Sequence[int], evidence: Sequence[Occlusion]) -> list[int]:
    """Return the numbers of things from front to back.

    What was seen counts before what is guessed from which one stands lower. Things that were never
    in the picture together keep the order of their numbers.
    """
    left, ordered = sorted(numbers), []
    while left:
        nearest = min(left, key=lambda number: _hidden(number, left, evidence))
        ordered.append(nearest)
        left.remove(nearest)
    return ordered


def _hidden(
    number: int, others: Sequence[int], evidence: Sequence[Occlusion]
) -> tuple[int, int, int]:
    """Return how much speaks against a thing being in front of ``others``, for sorting.

    That is how many were seen to hide it, how many were seen or are guessed to, and its number.
    """
    behind = [
        each
        for each in evidence
        if number in (each.one, each.other)
        and each.one in others
        and each.other in others
        and each.front != number
    ]
    return sum(each.is_seen for each in behind), len(behind), number
