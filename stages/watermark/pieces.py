"""Find further pieces of a single picture's mark, which differ from the first one in colour.

A piece is found as the first one was: undoing it makes the picture more continuous across its
outline, by the evidence of :mod:`stages.watermark.evidence`. On the other side of that outline lies
the picture, or another piece of the mark.

Pictures ``(K, 3, H, W)`` in [0, 1] that share the mark; maps of pixels ``(H, W)``.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from stages.watermark.evidence import (
    EXCLUSION,
    LENGTH,
    NEAR,
    OFFSETS,
    Evidence,
    Undone,
    outline_explained,
    pair_nats,
    unlike,
)
from stages.watermark.find import ACROSS, Cut, Mark, dilated, outline_sides, pairs, solve
from stages.watermark.hypotheses import likely_colors
from stages.watermark.search import is_clear, outline_length, strict_length

MOST_PIECES = 4  # further pieces that are looked for at most
COLORS = 4  # likely colours of either kind that are tried for a piece
NEW = 0.15  # least difference between the colours of two pieces
SMALLEST = 10  # least pixels of a piece that are no outline
CORE = 0.1  # least part of a piece's pixels that are no outline
PIECE_PART = 0.5
"""Part of the first piece's gain per outline pixel that every piece has to gain. On 20 drawn marks,
parts of the scene that adjoin the mark had 0.48 at most, and most true pieces 0.65 to 1.7."""
ADJOINING = 0.25  # part of a shadow's outline along which it adjoins other pieces
EXPLAINED = 0.55
"""Part of its outline's nats that a piece explains. On 20 drawn marks, true pieces that do not
adjoin others explained 0.58 and more, and parts of the scene 0.52 at most. Four parts of a scene
that adjoined a mark explained 0.31 to 0.48."""
SETTLING = 1  # alternations of a piece's colour and its outline


def uniform_mark(like: Tensor, opacity: float, color: Tensor) -> Mark:
    """Return the mark of one ``opacity`` and ``color`` (3,) that covers a whole picture.

    like: pictures ``(K, 3, H, W)`` of its size.
    """
    matte = torch.full_like(like[0, :1], opacity)
    return Mark(matte, matte * color.view(3, 1, 1), opacity, 0.0)


def with_piece(mark: Mark, piece: Mark, chosen: Tensor) -> Mark:
    """Return ``mark`` with the matte and the ink of ``piece`` in the pixels ``chosen`` (H, W)."""
    matte = torch.where(chosen, piece.matte, mark.matte)
    return replace(mark, matte=matte, ink=torch.where(chosen, piece.ink, mark.ink))


def piece_cut(evidence: Evidence, mark: Mark, piece: Mark, length: float = LENGTH) -> Cut:
    """Return the costs of a labelling: 0 where ``mark`` stays as it is, 1 where ``piece`` is.

    Two pixels that are marked in the same way differ as the texture around them does. Two that are
    not cost what they differ by once both are undone, and the outline between them.

    piece: given for every pixel. length: nats of an outline for a pair of neighbours.
    """
    kept, new = (Undone.of(evidence.pictures, one) for one in (mark, piece))
    unary = new.beyond - kept.beyond
    weights = []
    for offset in NEAR:
        share = length / math.hypot(*offset)
        stay, enter, leave = (
            share * unlike(one, other, offset)
            for one, other in ((kept, kept), (kept, new), (new, kept))
        )
        weights.append(add_pair(unary, offset, stay, enter, leave))
    for offset, factors, same in zip(ACROSS, evidence.factors, evidence.stay, strict=True):
        share = length / math.hypot(*offset)
        counts = torch.maximum(*pairs(evidence.weight, offset))
        costs = []
        for one, other in ((kept, kept), (kept, new), (new, kept)):
            nats = (1 + EXCLUSION) * pair_nats(one, other, offset, factors)
            costs.append(unlike(one, other, offset) * (counts * (nats - same) + share))
        weights.append(add_pair(unary, offset, *costs))
    return Cut(unary, tuple(weights), OFFSETS)


def add_pair(
    unary: Tensor, offset: tuple[int, int], stay: Tensor, enter: Tensor, leave: Tensor
) -> Tensor:
    """Add the costs of pairs to ``unary`` (H, W), and return the rest, which the cut pays for.

    stay, enter, leave: costs ``(h, w)`` of the labels (0, 0), (0, 1) and (1, 0) at a pixel and its
    partner. The labels (1, 1) cost nothing.
    """
    # Where both ways gain, keep the cheaper one and raise the other until a cut can express it.
    lacks = (stay - enter - leave).clamp_min(0)
    raised = enter + lacks, leave + lacks
    leave, enter = (
        torch.where(enter < leave, raised[1], leave),
        torch.where(enter < leave, enter, raised[0]),
    )
    here, there = pairs(unary, offset)
    here += leave - stay
    there -= leave
    return (enter + leave - stay).clamp_min(0)


def all_pieces(pictures: Tensor, mark: Mark, allowed: Tensor, weight: Tensor, turns: int) -> Mark:
    """Return ``mark`` with further pieces of other colours and the same opacity.

    The piece that gains most is added first. Every piece has to gain, per pixel of its outline,
    :data:`PIECE_PART` of what the first one gains, and explain :data:`EXPLAINED` of its outline.

    allowed: ``(H, W)`` in [0, 1], 0 where no mark may be. weight: how much each pixel counts.
    turns: iterations of a cut.
    """
    length = strict_length(mark)
    least = PIECE_PART * mark.gain / max(1, outline_length(mark))
    labels = (mark.matte[0] > 0).int()
    for number in range(MOST_PIECES):
        evidence = Evidence(pictures, weight, labels)
        found = best_piece(evidence, mark, allowed, length, least, turns)
        if found is None:
            break
        chosen = found.matte[0] > 0
        mark = with_piece(mark, found, chosen)
        labels = torch.where(chosen, number + 2, labels)
    if int(labels.max()) < 2:
        return mark
    evidence = Evidence(pictures, weight, labels)
    for label in range(1, int(labels.max()) + 1):
        mark = recolored(evidence, mark, labels == label)
    return mark


def recolored(evidence: Evidence, mark: Mark, chosen: Tensor) -> Mark:
    """Return ``mark`` with the colour of one piece measured again, if it gains by that.

    The piece was found while others were not known, whose colours confuse what is around it.

    chosen: the piece's pixels, ``(H, W)``, boolean.
    """
    if not bool(chosen.any()):
        return mark
    pictures = evidence.pictures
    without = with_piece(mark, Mark.nothing(pictures), chosen)
    clean = (pictures - without.ink) / (1 - without.matte)
    color = piece_color(pictures, clean, mark.opacity, chosen)
    pieces = [
        uniform_mark(pictures, mark.opacity, each)
        for each in (mark.color[:, chosen].mean(1), color)
    ]
    costs = [piece_cut(evidence, without, piece).cost(chosen) for piece in pieces]
    return with_piece(mark, pieces[1], chosen) if costs[1] < costs[0] else mark


def best_piece(
    evidence: Evidence, mark: Mark, allowed: Tensor, length: float, least: float, turns: int
) -> Mark | None:
    """Return the further piece of ``mark`` that gains most, or None without a clear one.

    Arguments as in :func:`all_pieces`; length: see :func:`piece_cut`.
    least: nats that a piece has to gain per pixel of its outline.
    """
    pictures = evidence.pictures
    clean = (pictures - mark.ink) / (1 - mark.matte)
    best: Mark | None = None
    colors = likely_colors(pictures, clean, allowed > 0.5, mark.opacity, COLORS)
    for first_color in (*colors, torch.ones(3), torch.zeros(3)):
        # A black piece is a shadow, which adjoins others. Much in a scene is black.
        is_shadow = not bool(first_color.any())
        color = first_color
        for _ in range(1 + SETTLING):
            found = piece_of(evidence, mark, color, allowed, length, turns)
            if found is None:
                break
            chosen = found.matte[0] > 0
            if (
                (best is None or found.gain > best.gain)
                and is_clear(found, least)
                and (adjoins(chosen, mark) or not is_shadow)
                and explains(evidence, mark, found)
            ):
                best = found
            color = piece_color(pictures, clean, mark.opacity, chosen)
    return best


def piece_of(
    evidence: Evidence, mark: Mark, color: Tensor, allowed: Tensor, length: float, turns: int
) -> Mark | None:
    """Return the piece of this ``color`` (3,) that gains most, or None without one.

    Other arguments as in :func:`best_piece`.
    """
    piece = uniform_mark(evidence.pictures, mark.opacity, color)
    chosen = solve(piece_cut(evidence, mark, piece, length), allowed, turns)
    # What the mark has already is no part of the piece.
    is_new = (piece.ink - mark.ink).abs().amax(0) > NEW * mark.opacity
    chosen = chosen & (is_new | (mark.matte[0] == 0))
    # What is thinner than 3 pixels is the soft edge of another piece.
    core = int(dilated(chosen, -1).sum())
    if core < max(SMALLEST, CORE * int(chosen.sum())):
        return None
    gain = -piece_cut(evidence, mark, piece).cost(chosen)
    return Mark(piece.matte * chosen, piece.ink * chosen, mark.opacity, gain)


def adjoins(chosen: Tensor, mark: Mark) -> bool:
    """Return whether :data:`ADJOINING` of the outline of ``chosen`` (H, W) lies along ``mark``.

    Things in the scene gain as much as pieces do, but seldom along the mark.
    """
    around = dilated(chosen, 3) & ~dilated(chosen, 1)
    return int((around & (mark.matte[0] > 0)).sum()) > ADJOINING * int(around.sum())


def explains(evidence: Evidence, mark: Mark, piece: Mark) -> bool:
    """Return whether ``piece`` explains :data:`EXPLAINED` of its outline beyond ``mark``."""
    chosen = piece.matte[0] > 0
    return outline_explained(evidence, mark, with_piece(mark, piece, chosen), chosen) > EXPLAINED


def piece_color(pictures: Tensor, clean: Tensor, opacity: float, chosen: Tensor) -> Tensor:
    """Return the colour ``(3,)`` of a piece: the median of what it adds to what is around it.

    clean: the pictures without the mark so far. chosen: the piece's pixels, ``(H, W)``, boolean.
    """
    outer, inner = outline_sides(pictures, chosen, clean)
    if outer.shape[-1] == 0:
        return pictures[0][:, chosen].median(1).values
    added = inner - (1 - opacity) * outer
    return (added.permute(1, 0, 2).flatten(1).median(1).values / opacity).clamp(0, 1)
