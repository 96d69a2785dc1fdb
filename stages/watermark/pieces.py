"""Weighs a single picture's mark piece by piece: a piece of scene along a strong edge next to the mark passes for mark by continuity.

Taking such a piece for mark makes a real edge weaker, which pays whatever the measure of continuity. Its colours give it away: undone they
are like nothing around. So pieces are offered by cuts of other measures, wherever they disagree, and every one is judged by the colours
around it, none of its own among them (held out), and by how much continuity speaks for it.

One picture ``(1, 3, H, W)`` in [0, 1], a mark of one opacity and one colour; maps ``(H, W)``. Costs in nats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.watermark.find import BEYOND, FARTHEST, NAT, OFFSETS, OUTLINE, SPARING, Cut, Mark, grown, outside, pairs, solve, texture
from stages.watermark.single import SUPPORT, parts, support
from stages.watermark.texture import unusual

MEASURES = (
    (math.inf, 0.0, 1.0),
    (math.inf, 1.0, 1.0),
    (5.0, 0.0, 1.0),
    (5.0, 1.0, 1.0),
    (2.0, 0.0, 1.0),
    (2.0, 1.0, 1.0),
    (math.inf, 1.0, 4.0),
    (5.0, 1.0, 3.0),
)
"""Of the cuts that offer pieces: the most that a difference costs, weights of the colours and of the outline."""
BOUND = 5.0  # the most that a difference costs where a piece is judged: by how much a strong edge weakens says nothing
OPENINGS = (1, 2, 3, 4)  # half the widths of thin parts that are pieces too
SMALLEST, LARGEST = 5, 600  # pixels of a piece
REACH = 14  # pixels around one in which its colour is looked for
ALIKE = 0.0125  # distance of colours that are one
FLOOR, COUNT, SURE = 0.1, 256, 3.0  # what is added to a count, of so many pixels; nats that one pixel's colour may say at most
LOOKED_AT = 120  # pixels of a piece
CONTINUITY = 0.05  # weight of a nat of continuity, over the root of the piece's pixels, beside a pixel's mean nat of colour
AGAINST = 10.0  # continuity's word against a piece counts no more than this: thin true strokes have little of it
DROPPED, TAKEN_BACK = -0.4, -0.9  # a piece above the first goes; what went comes back below the second
ROUNDS = 2


@dataclass(frozen=True)
class Outlines:
    """What an outline costs, exactly: per offset a pair without one, one whose partner, and one whose first pixel is marked."""

    unary: Tensor
    stay: tuple[Tensor, ...]
    enter: tuple[Tensor, ...]
    leave: tuple[Tensor, ...]

    def cost(self, chosen: Tensor) -> float:
        """The cost of the labelling ``chosen`` (H, W, boolean), less that of choosing nothing."""
        label = chosen.float()
        total = (self.unary * label).sum()
        for offset, stay, enter, leave in zip(OFFSETS, self.stay, self.enter, self.leave, strict=True):
            here, there = pairs(label, offset)
            total = total + ((enter - stay) * (1 - here) * there + (leave - stay) * here * (1 - there)).sum()
        return float(total)

    def cut(self, usual: Tensor) -> Cut:
        """The nearest that a cut can express, with ``usual`` (H, W) more for a marked pixel."""
        unary, weights = NAT * (self.unary + usual), []
        for offset, stay, enter, leave in zip(OFFSETS, self.stay, self.enter, self.leave, strict=True):
            # Where both outlines gain, the cheaper one is the likely one and keeps its cost; the other is raised until a cut can have both.
            lacks = (2 * stay - enter - leave).clamp_min(0)
            leave = torch.where(enter < leave, leave + lacks, leave)
            enter = torch.where(enter < leave, enter, enter + lacks)
            here, there = pairs(unary, offset)
            here += NAT * (leave - stay)
            there += NAT * (stay - leave)
            weights.append(NAT * (enter + leave - 2 * stay).clamp_min(0))
        return Cut(unary, tuple(weights))


def outlines(pictures: Tensor, opacity: float, hue: Tensor, spreads: tuple[Tensor, ...], bound: float, length: float) -> Outlines:
    """The costs by the picture's own texture (``spreads``), where no difference costs more than about ``bound``."""
    ink = opacity * hue.view(3, 1, 1)
    undone = (pictures - ink) / (1 - opacity)
    none = torch.zeros_like(pictures[0])
    most, show = FARTHEST / NAT, (1 - opacity) ** 0.5
    unary = [(BEYOND / NAT * outside(pictures, matte, layer)).clamp(max=most) for matte, layer in ((opacity, ink), (0.0, none))]
    costs: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
    for offset, spread in zip(OFFSETS, spreads, strict=True):
        (shown_x, shown_y), (undone_x, undone_y) = pairs(pictures, offset), pairs(undone, offset)
        edge = length * OUTLINE / NAT / (offset[0] ** 2 + offset[1] ** 2) ** 0.5
        costs[0].append(_bounded(unusual((shown_y - shown_x)[0], spread), bound))
        costs[1].append((1 + SPARING) * _bounded(unusual(show * (undone_y - shown_x)[0], spread), bound) + edge)
        costs[2].append((1 + SPARING) * _bounded(unusual(show * (shown_y - undone_x)[0], spread), bound) + edge)
    return Outlines(unary[0] - unary[1], tuple(costs[0]), tuple(costs[1]), tuple(costs[2]))


def weighed(pictures: Tensor, mark: Mark, allowed: Tensor, turns: int) -> Mark:
    """``mark`` without the pieces whose colours speak against it."""
    spreads, chosen, hue = texture(pictures), mark.matte[0] > 0, mark.hue
    if spreads is None or not bool(chosen.any()):
        return mark
    shown = pictures[0]
    undone = (shown - mark.opacity * hue.view(3, 1, 1)) / (1 - mark.opacity)
    usual = SUPPORT / NAT * support(shown, undone, torch.where(chosen, undone, shown), mark.opacity)
    others = []
    for bound, colours, length in MEASURES:
        cut = outlines(pictures, mark.opacity, hue, spreads, bound, length).cut(colours * usual)
        others.append(solve(cut, allowed, turns))
    judge = outlines(pictures, mark.opacity, hue, spreads, BOUND, 1.0)

    def against(piece: Tensor, whole: Tensor, most: float) -> float:
        """How much speaks against ``piece`` of ``whole``."""
        strange = held_out(shown, undone, whole, piece, mark.opacity)
        return strange + CONTINUITY * min(most, (judge.cost(whole) - judge.cost(whole & ~piece)) / math.sqrt(_size(piece)))

    first = chosen
    for _ in range(ROUNDS):
        before = chosen
        for piece in sorted(_pieces(chosen, others, allowed > 0.5), key=_size):
            # Small ones first: a large piece may be half mark, half scene. A piece stands or falls whole.
            if _size(piece) <= LARGEST and bool(chosen[piece].all()) and against(piece, chosen, AGAINST) > DROPPED:
                chosen = chosen & ~piece
        for piece in sorted(_pieces(chosen, (*others, first), allowed > 0.5), key=_size, reverse=True):
            back = piece & first & ~chosen
            if SMALLEST <= _size(back) <= LARGEST and against(back, chosen | back, math.inf) < TAKEN_BACK:
                chosen = chosen | back
        if torch.equal(before, chosen):
            break
    matte = mark.opacity * chosen.float()[None]
    return Mark(matte, matte * hue.view(3, 1, 1), mark.opacity, mark.gain)


def held_out(shown: Tensor, undone: Tensor, chosen: Tensor, piece: Tensor, opacity: float) -> float:
    """By how many nats a pixel of ``piece`` is, in the mean, more usual around the piece as ``shown`` than ``undone``.

    As :func:`stages.watermark.single.support`, but nearer and finer, and no pixel of the piece speaks for another one of it.
    """
    clean = torch.where(chosen, undone, shown)
    rows, columns = piece.nonzero(as_tuple=True)
    if len(rows) > LOOKED_AT:
        some = torch.linspace(0, len(rows) - 1, LOOKED_AT).long()
        rows, columns = rows[some], columns[some]
    top, left = max(0, int(rows.min()) - REACH), max(0, int(columns.min()) - REACH)
    near = (~grown(piece, 1))[top : int(rows.max()) + REACH + 1, left : int(columns.max()) + REACH + 1]
    other_rows, other_columns = near.nonzero(as_tuple=True)
    other_rows, other_columns = other_rows + top, other_columns + left
    every_second = (other_rows + other_columns) % 2 == 0
    other_rows, other_columns = other_rows[every_second], other_columns[every_second]
    others = clean[:, other_rows, other_columns]
    within = ((other_rows - rows[:, None]).abs() <= REACH) & ((other_columns - columns[:, None]).abs() <= REACH)
    number = within.sum(1).clamp_min(1)
    counts = []
    for picture in (shown, undone):
        own = picture[:, rows, columns]
        distance = (own[:, :, None] - others[:, None]).square().sum(0)
        counts.append((torch.exp(distance / (-2 * ALIKE**2)) * within).sum(1) / number * COUNT)
    return float(((counts[0] + FLOOR) / (counts[1] + FLOOR)).log().clamp(-SURE, SURE).mean()) + math.log(1 - opacity)


def _pieces(chosen: Tensor, others: Iterable[Tensor], allowed: Tensor) -> list[Tensor]:
    """Connected pieces that are mark, or not, by ``chosen`` and the other way by one of the ``others``; and all that is thin."""
    found: dict[bytes, Tensor] = {}
    maps = [part for other in others for part in (chosen & ~other, other & ~chosen)]
    for by in OPENINGS:
        maps += [chosen & ~grown(grown(chosen, -by), by), allowed & ~chosen & grown(grown(chosen, by), -by)]
    for place in (*maps, chosen):
        for part in parts(place):
            if SMALLEST <= _size(part) <= _size(chosen) // 2:
                found.setdefault(part.numpy().tobytes(), part)
    return list(found.values())


def _size(piece: Tensor) -> int:
    return int(piece.sum())


def _bounded(nats: Tensor, bound: float) -> Tensor:
    """Nats of a mixture: a difference is either as usual as it is, or an edge, which costs ``bound`` whatever its strength."""
    if bound == math.inf:
        return nats
    return bound + math.log1p(math.exp(-bound)) - torch.logaddexp(bound - nats, torch.zeros(()))
