"""Say how much a mark gains by being undone, and how much it has to gain to be believed.

A gain is by how much undoing the mark makes the pictures more continuous, in nats of
:mod:`stages.watermark.evidence`. Marks are compared by their gain per pixel of their outline.
"""

from __future__ import annotations

from dataclasses import replace

from stages.watermark.evidence import OUTLINE_NATS, Evidence, explained_outline_part
from stages.watermark.mark import Mark, MarkedPictures
from stages.watermark.pixel_maps import outline_band

LEAST_GAIN = 2.5
"""Least nats per outline pixel of a mark in a box of one picture. True marks have 3 to 13."""
SHARED_GAIN = 15.0
"""Least nats per outline pixel of a mark that several pictures share. Scenes without a mark have at
most 9, marks about 40."""
UNRELATED_GAIN = 9.0
"""Least nats per outline pixel of a mark on pictures of different scenes, if each gains by it. Of
six sets with drawn marks, 0.18 to 0.36 opaque, all pictures gained, and together 9.8 to 33. Of five
without marks one picture or more lost, and they gained 4 at most."""
LEAST_EXPLAINED = 0.42
"""Part of its outline's nats that a mark in a box of one picture explains if it is beyond doubt. Of
63 drawn marks, 8 explained less. Taking these off changed them by -1.6 to +14.2 dB, 4.3 in the
mean, so that is done all the same, with a warning."""
LEAST_OUTLINE_PART = 0.5
"""Part of a mark's mean gain per outline pixel that every outline of it has to reach. Scenes have
things that look like the mark on a part of their outline. With 0.7, faint marks lose parts."""
LENGTHS_PER_PIXEL = 3.6
"""Sum of the outline's lengths over the pairs that cross a straight outline, for a pixel at either
side of it."""


def outline_length(mark: Mark) -> int:
    """Return the number of pixels at the outline of ``mark``, on both of its sides."""
    return int(outline_band(mark.chosen, 1).sum())


def gain_per_pixel(mark: Mark) -> float:
    """Return the nats that ``mark`` gains for each pixel of its outline."""
    return mark.gain / max(1, outline_length(mark))


def is_clear(mark: Mark, least: float) -> bool:
    """Return whether a mark gains more than ``least`` nats for each pixel of its outline.

    What is a little lighter or darker all over the pictures may gain more than a mark does, along a
    far longer outline. So clear marks come before others, whatever these gain.
    """
    return mark.gain > least * outline_length(mark)


def least_shared_gain(marked: MarkedPictures, mark: Mark, *, unrelated: bool) -> float:
    """Return the least nats per outline pixel with which a mark that several pictures share counts.

    mark: with an outline. unrelated: whether the pictures show different scenes.
    """
    if not unrelated:
        return SHARED_GAIN
    gains = []
    for picture in marked.pictures:
        evidence = Evidence(replace(marked, pictures=picture[None]), mark.chosen)
        gains.append(-evidence.cut(mark.law).cost(mark.chosen))
    return UNRELATED_GAIN if min(gains) > 0 else SHARED_GAIN


def strict_outline_nats(mark: Mark) -> float:
    """Return the nats of an outline for a pair of neighbours once ``mark`` is known.

    They are so many that an outline has to gain :data:`LEAST_OUTLINE_PART` of what the whole mark
    gains per outline pixel.
    """
    gain = max(0.0, mark.gain) / max(1, outline_length(mark))
    return OUTLINE_NATS + LEAST_OUTLINE_PART * gain / LENGTHS_PER_PIXEL


def explained_part(marked: MarkedPictures, mark: Mark) -> float:
    """Return the part of the nats across the outline of ``mark`` that undoing it removes.

    The colours that a mark's law predicts agree along its whole outline. Those of a thing in the
    scene agree along a part of it, however much that part gains.
    """
    evidence = Evidence(marked, mark.chosen)
    return explained_outline_part(evidence, Mark.nothing(marked.pictures), mark, mark.chosen)
