"""Find further pieces of a single picture's mark, which differ from the first one in colour.

A piece is found as the first one was: undoing it makes the picture more continuous across its
outline, by the evidence of :mod:`stages.watermark.evidence`. On the other side of that outline lies
the picture, or another piece of the mark.

Pictures ``(K, 3, H, W)`` in [0, 1] that share the mark; maps of pixels ``(H, W)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stages.watermark.evidence import (
    EVIDENCE_OFFSETS,
    EXCLUSION,
    NEIGHBOR_OFFSETS,
    OUTLINE_NATS,
    Evidence,
    UndonePictures,
    differently_marked,
    explained_outline_part,
    pair_nats,
)
from stages.watermark.gain import gain_per_pixel, is_clear, strict_outline_nats
from stages.watermark.graph_cut import Cut, add_pair_costs, solve
from stages.watermark.hypotheses import likely_colors
from stages.watermark.mark import Mark, MarkedPictures, MarkLaw
from stages.watermark.outline_law import outline_sides
from stages.watermark.pixel_maps import ACROSS_OFFSETS, dilated

MOST_PIECES = 4  # further pieces that are looked for at most
COLORS = 4  # likely colours of either kind that are tried for a piece
LEAST_NEW_COLOR = 0.15  # least difference of a channel between the colours of two pieces
LEAST_CORE = 10  # least pixels of a piece that are no outline
LEAST_CORE_PART = 0.1  # least part of a piece's pixels that are no outline
LEAST_GAIN_PART = 0.5
"""Part of the first piece's gain per outline pixel that every piece has to gain. On 20 drawn marks,
parts of the scene that adjoin the mark had 0.48 at most, and most true pieces 0.65 to 1.7."""
LEAST_ADJOINING = 0.25  # part of a shadow's outline along which it adjoins other pieces
LEAST_EXPLAINED = 0.55
"""Part of its outline's nats that a piece explains. On 20 drawn marks, true pieces that do not
adjoin others explained 0.58 and more, and parts of the scene 0.52 at most. Four parts of a scene
that adjoined a mark explained 0.31 to 0.48."""
ALTERNATIONS = 1  # of a piece's colour and its outline


@dataclass(frozen=True)
class PieceLimits:
    """What a further piece is held to.

    outline_nats: of its outline for a pair of neighbours.
    least_gain: nats that it has to gain per pixel of its outline.
    iterations: of a cut.
    """

    outline_nats: float
    least_gain: float
    iterations: int


def with_all_pieces(marked: MarkedPictures, mark: Mark, iterations: int) -> Mark:
    """Return ``mark`` with further pieces of other colours and the same opacity.

    The piece that gains most is added first. Every piece has to gain, per pixel of its outline,
    :data:`LEAST_GAIN_PART` of what the first one gains, and explain :data:`LEAST_EXPLAINED` of its
    outline.

    iterations: of a cut.
    """
    limits = PieceLimits(
        strict_outline_nats(mark), LEAST_GAIN_PART * gain_per_pixel(mark), iterations
    )
    labels = mark.chosen.int()
    for number in range(MOST_PIECES):
        piece = best_piece(Evidence(marked, labels), mark, limits)
        if piece is None:
            break
        mark = with_piece(mark, piece, piece.chosen)
        labels = torch.where(piece.chosen, number + 2, labels)
    if int(labels.max()) < 2:
        return mark
    evidence = Evidence(marked, labels)
    for label in range(1, int(labels.max()) + 1):
        mark = recolored(evidence, mark, labels == label)
    return mark


def best_piece(evidence: Evidence, mark: Mark, limits: PieceLimits) -> Mark | None:
    """Return the further piece of ``mark`` that gains most, or None without a clear one."""
    pictures = evidence.pictures
    clean = mark.undone(pictures)
    best: Mark | None = None
    inside = evidence.marked.allowed > 0.5
    colors = likely_colors(pictures, clean, inside, mark.opacity, COLORS)
    for first_color in (*colors, torch.ones(3), torch.zeros(3)):
        # A black piece is a shadow, which adjoins others. Much in a scene is black.
        is_shadow = not bool(first_color.any())
        color = first_color
        for _ in range(1 + ALTERNATIONS):
            piece = piece_of_color(evidence, mark, color, limits)
            if piece is None:
                break
            if (
                (best is None or piece.gain > best.gain)
                and is_clear(piece, limits.least_gain)
                and (adjoins(piece.chosen, mark) or not is_shadow)
                and explains_outline(evidence, mark, piece)
            ):
                best = piece
            color = piece_color(pictures, clean, mark.opacity, piece.chosen)
    return best


def piece_of_color(
    evidence: Evidence, mark: Mark, color: Tensor, limits: PieceLimits
) -> Mark | None:
    """Return the piece of this ``color`` (3,) that gains most, or None without one."""
    piece = uniform_mark(evidence.pictures, MarkLaw(mark.opacity, color))
    cut = piece_cut(evidence, mark, piece, limits.outline_nats)
    chosen = solve(cut, evidence.marked.allowed, limits.iterations)
    # What the mark has already is no part of the piece.
    is_new = (piece.ink - mark.ink).abs().amax(0) > LEAST_NEW_COLOR * mark.opacity
    chosen = chosen & (is_new | ~mark.chosen)
    # What is thinner than 3 pixels is the soft edge of another piece.
    core = int(dilated(chosen, -1).sum())
    if core < max(LEAST_CORE, LEAST_CORE_PART * int(chosen.sum())):
        return None
    gain = -piece_cut(evidence, mark, piece).cost(chosen)
    return Mark(piece.matte * chosen, piece.ink * chosen, mark.opacity, gain)


def piece_cut(
    evidence: Evidence, mark: Mark, piece: Mark, outline_nats: float = OUTLINE_NATS
) -> Cut:
    """Return the costs of a labelling: 0 where ``mark`` stays as it is, 1 where ``piece`` is.

    Two pixels that are marked in the same way differ as the texture around them does. Two that are
    not cost what they differ by once both are undone, and the outline between them.

    piece: given for every pixel. outline_nats: of an outline for a pair of neighbours.
    """
    kept, new = (UndonePictures.of(evidence.pictures, one) for one in (mark, piece))
    # The labels (0, 0), (0, 1) and (1, 0) of a pixel and its partner.
    labels = (kept, kept), (kept, new), (new, kept)
    unary = new.range_nats - kept.range_nats
    weights = []
    for offset in NEIGHBOR_OFFSETS:
        share = outline_nats / math.hypot(*offset)
        costs = [share * differently_marked(one, other, offset) for one, other in labels]
        weights.append(add_pair_costs(unary, offset, *costs))
    for offset, factors, unchanged in zip(
        ACROSS_OFFSETS, evidence.factors, evidence.unchanged_nats, strict=True
    ):
        share = outline_nats / math.hypot(*offset)
        counts = evidence.pair_weight(offset)
        costs = []
        for one, other in labels:
            nats = (1 + EXCLUSION) * pair_nats(one, other, offset, factors)
            cost = counts * (nats - unchanged) + share
            costs.append(differently_marked(one, other, offset) * cost)
        weights.append(add_pair_costs(unary, offset, *costs))
    return Cut(unary, tuple(weights), EVIDENCE_OFFSETS)


def recolored(evidence: Evidence, mark: Mark, chosen: Tensor) -> Mark:
    """Return ``mark`` with the colour of one piece measured again, if it gains by that.

    The piece was found while others were not known, whose colours confuse what is around it.

    chosen: the piece's pixels, ``(H, W)``, boolean.
    """
    if not bool(chosen.any()):
        return mark
    pictures = evidence.pictures
    without = with_piece(mark, Mark.nothing(pictures), chosen)
    color = piece_color(pictures, without.undone(pictures), mark.opacity, chosen)
    pieces = [
        uniform_mark(pictures, MarkLaw(mark.opacity, each))
        for each in (mark.color[:, chosen].mean(1), color)
    ]
    costs = [piece_cut(evidence, without, piece).cost(chosen) for piece in pieces]
    return with_piece(mark, pieces[1], chosen) if costs[1] < costs[0] else mark


def adjoins(chosen: Tensor, mark: Mark) -> bool:
    """Return whether enough of the outline of ``chosen`` (H, W) lies along ``mark``.

    Things in the scene gain as much as pieces do, but seldom along the mark.
    """
    around = dilated(chosen, 3) & ~dilated(chosen, 1)
    return int((around & mark.chosen).sum()) > LEAST_ADJOINING * int(around.sum())


def explains_outline(evidence: Evidence, mark: Mark, piece: Mark) -> bool:
    """Return whether ``piece`` explains enough of its outline beyond ``mark``."""
    after = with_piece(mark, piece, piece.chosen)
    return explained_outline_part(evidence, mark, after, piece.chosen) > LEAST_EXPLAINED


def piece_color(pictures: Tensor, clean: Tensor, opacity: float, chosen: Tensor) -> Tensor:
    """Return the colour ``(3,)`` of a piece: the median of what it adds to what is around it.

    clean: the pictures without the mark so far. chosen: the piece's pixels, ``(H, W)``, boolean.
    """
    outer, inner = outline_sides(pictures, chosen, clean)
    if outer.shape[-1] == 0:
        return pictures[0][:, chosen].median(1).values
    added = inner - (1 - opacity) * outer
    return (added.permute(1, 0, 2).flatten(1).median(1).values / opacity).clamp(0, 1)


def uniform_mark(pictures: Tensor, law: MarkLaw) -> Mark:
    """Return the mark of one opacity and colour that covers the whole ``pictures``."""
    everywhere = torch.ones(pictures.shape[-2:], dtype=torch.bool)
    return Mark.of_one_color(everywhere, law)


def with_piece(mark: Mark, piece: Mark, chosen: Tensor) -> Mark:
    """Return ``mark`` with the matte and the ink of ``piece`` in the pixels ``chosen`` (H, W)."""
    matte = torch.where(chosen, piece.matte, mark.matte)
    return replace(mark, matte=matte, ink=torch.where(chosen, piece.ink, mark.ink))
