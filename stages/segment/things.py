"""Divide a window's matte into things: what moves apart is told apart, and keeps its identity.

1. The matte's pieces are followed from frame to frame as tracks, see :mod:`stages.segment.pieces`.
2. Two tracks that exist side by side are different things if they drift apart or lie far apart, and
   one thing if they stay close.
3. A piece in which different things have met is nobody's: their labels are carried into it along
   the flow, from before they met and from after they parted, and their colours decide with it.
4. Tracks one after the other are one thing if the flow leads from one to the other and they have
   the same colours.
5. What has no label gets that of the nearest pixel that has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
import torch
from torch import Tensor

from stages.motion.flow import box, warp
from stages.segment.motion import FADING, WindowMotion
from stages.segment.pieces import Labels, Track, mask_of, pieces_of, tracks_of
from stages.segment.votes import spread_colors

# The constants below were chosen on drawn clips, see tests/measure_movers.py.
LEAST_FRAMES = 4
"""Frames in which a thing has to be seen by itself."""
LEAST_AREA = 8e-4
"""Least mean area of a thing, as a part of the picture."""
DRIFT = 0.35
"""Least change of the distance between two things, in the size of the smaller one."""
DRIFT_PIXELS = 1.5
"""Pixels that are added to it, as a piece's middle is uncertain."""
HALF_LENGTH = 0.9
"""Half the length of a long piece, in square roots of its area."""
COLORS = 8  # bins of L, a and b each, in which the colours of tracks are compared
JOINED = 0.9
"""Least sum of the flow's share from one track to another and their colours' likeness, of 2."""
UNSURE = 0.05  # belief that every thing has where nothing is carried to
COLOR_POWER = 0.5  # weight of the colours where different things have met
SMOOTHING = 1  # radius in pixels of the squares over which beliefs are averaged


@dataclass(frozen=True)
class Things:
    """Hold the division of a window's matte.

    labels: the number of the thing that every pixel belongs to, ``(T, h, w)``, from 1 on; a pixel
    outside the matte has that of the nearest one. 0 where there are no things at all.
    numbers: the numbers of the things that are in this window, in rising order.
    """

    labels: Labels
    numbers: tuple[int, ...]


def find_things(
    frames: Tensor,
    matte: Tensor,
    motion: WindowMotion,
    *,
    before: Tensor | None = None,
    known: int = 0,
    most: int = 0,
) -> Things:
    """Return the things of a window.

    frames: ``(T, 3, h, w)`` in [0, 1]. matte: ``(T, h, w)`` of bool. motion: of frames of this
    size. before: the numbers in the first n frames, as the window before found them, ``(n, h, w)``;
    0 outside its matte. known: the highest number so far; new things get higher ones.
    most: how many numbers there may be; 0 for any.
    """
    pieces = pieces_of(matte)
    tracks = tracks_of(pieces, motion)
    looks = torch.stack(spread_colors(frames), 1)
    whole = [index for index, track in enumerate(tracks) if _is_whole(track, pieces)]
    apart = {pair for pair in combinations(whole, 2) if _differ(*(tracks[i] for i in pair))}
    mixed = _mixed(tracks, apart)
    seeds = [i for i, track in enumerate(tracks) if len(track.pieces) >= 2 and i not in mixed]
    seeds = [i for i in seeds if i in whole or not _is_small(tracks[i], pieces)] or whole
    if not seeds:
        return Things(np.zeros_like(pieces), ())
    beliefs = _Beliefs(matte, pieces, [tracks[i] for i in seeds], motion, looks)
    groups = _groups(seeds, tracks, apart, beliefs, before, pieces)
    things = [group for group in groups if any(i in whole for i in group)]
    if not things:
        return Things(np.zeros_like(pieces), ())
    # The larger a thing is, and the longer it is seen, the lower is its number.
    things.sort(key=lambda group: -sum(sum(tracks[i].areas) for i in group))
    numbers = _numbers([[tracks[i] for i in group] for group in things], pieces, before, known)
    places = [[seeds.index(i) for i in group] for group in things]
    kept = [at for at, number in enumerate(numbers) if not most or number <= most]
    if not kept:
        numbers, kept = [most], [0]
    numbers, places = [numbers[at] for at in kept], [places[at] for at in kept]
    return Things(beliefs.labels(places, numbers), tuple(sorted(numbers)))


def _is_small(track: Track, pieces: Labels) -> bool:
    return float(np.mean(track.areas)) < LEAST_AREA * pieces[0].size


def _is_whole(track: Track, pieces: Labels) -> bool:
    """Return whether a track is seen long enough, and is large enough, to be a thing."""
    return len(track.pieces) >= min(LEAST_FRAMES, len(pieces)) and not _is_small(track, pieces)


def _differ(one: Track, other: Track) -> bool:
    """Return whether two tracks drift apart, or lie far apart, in the frames that both have."""
    first, last = max(one.first, other.first), min(one.last, other.last)
    count = last - first + 1
    if count < LEAST_FRAMES:
        return False
    ours, theirs = (
        np.array(track.centers[first - track.first : last - track.first + 1])
        for track in (one, other)
    )
    sizes = [
        float(np.median(track.areas[first - track.first : last - track.first + 1])) ** 0.5
        for track in (one, other)
    ]
    offset = theirs - ours
    # The slope of a straight line through the offsets, times the frames.
    when = np.arange(count) - (count - 1) / 2
    drift = np.hypot(*(when @ offset / (when @ when))) * (count - 1)
    gap = float(np.hypot(*offset.T).min()) - HALF_LENGTH * sum(sizes)
    return bool(drift > DRIFT * min(sizes) + DRIFT_PIXELS or gap > max(sizes))


def _mixed(tracks: Sequence[Track], apart: set[tuple[int, int]]) -> set[int]:
    """Return the tracks in which different things have met.

    apart: pairs of tracks that are different things.
    """
    found = set()
    for index, track in enumerate(tracks):
        for side in (track.before, track.after):
            if any(tuple(sorted(pair)) in apart for pair in combinations(side, 2)):
                found.add(index)
    # A mixed piece that only loses or gains a crumb stays mixed.
    waiting = list(found)
    while waiting:
        index = waiting.pop()
        for side in (tracks[index].before, tracks[index].after):
            large = [i for i in side if max(tracks[i].areas) > 0.5 * max(tracks[index].areas)]
            if len(large) != 1 or large[0] in found or len(side) > 2:
                continue
            if not any(large[0] in pair for pair in apart):
                found.add(large[0])
                waiting.append(large[0])
    return found


class _Beliefs:
    """Carry the labels of seed tracks along the flow, in both directions.

    matte: ``(T, h, w)`` of bool. seeds: R tracks. looks: L, a and b in [0, 1], ``(T, 3, h, w)``.
    """

    def __init__(
        self,
        matte: Tensor,
        pieces: Labels,
        seeds: Sequence[Track],
        motion: WindowMotion,
        looks: Tensor,
    ) -> None:
        self.matte, self.pieces, self.seeds = matte, pieces, seeds
        count, height, width = matte.shape
        self.cells = (
            (looks * COLORS).long().clamp(0, COLORS - 1)
            * torch.tensor([COLORS**2, COLORS, 1]).view(1, 3, 1, 1)
        ).sum(1)
        start = torch.zeros(count, len(seeds), height, width)
        for number, track in enumerate(seeds):
            for t in range(track.first, track.last + 1):
                start[t, number] = mask_of(track, pieces, t).float()
        self.colors = torch.stack(
            [_histogram(self.cells, start[:, number] > 0) for number in range(len(seeds))]
        )
        self.start = start
        self.ahead = self._carried(motion, forward=True)
        self.behind = self._carried(motion, forward=False)

    def _carried(self, motion: WindowMotion, *, forward: bool) -> Tensor:
        """Return what arrives in each frame, ``(T, R, h, w)``, before its own seeds count."""
        count = len(self.start)
        arrived = torch.zeros_like(self.start)
        order = range(1, count) if forward else range(count - 2, -1, -1)
        for t in order:
            step = t - 1 if forward else t + 1
            flow = motion.backward[t - 1 : t] if forward else motion.forward[t : t + 1]
            trust = motion.trust_backward[t - 1] if forward else motion.trust_forward[t]
            seeded = self.start[step].sum(0) > 0
            there = torch.where(seeded, self.start[step], arrived[step])
            came = (1 - FADING) * trust * warp(there[None], flow)[0]
            arrived[t] = came * self.matte[t]
        return arrived

    def likeness(self, one: int, other: int) -> float:
        """Return how sure it is that two seeds, one after the other, are one thing; 0 to 2."""
        earlier, later = sorted((one, other), key=lambda number: self.seeds[number].first)
        begin, end = self.seeds[later].first, self.seeds[earlier].last
        if begin <= end:
            return 0.0
        shares = []
        for way, t, source, target in (
            (self.ahead, begin, earlier, later),
            (self.behind, end, later, earlier),
        ):
            inside = self.start[t, target] > 0
            arrived = way[t][:, inside]
            share = arrived[source] / (arrived.sum(0) + UNSURE)
            shares.append(float(share.mean()))
        alike = float(torch.minimum(self.colors[one], self.colors[other]).sum())
        return sum(shares) / 2 + alike

    def labels(self, places: Sequence[Sequence[int]], numbers: Sequence[int]) -> Labels:
        """Return the number of the thing of every pixel, ``(T, h, w)``.

        places: the seeds of each thing. numbers: of the things.
        """
        named = np.array(numbers, np.int32)
        found = np.zeros(self.matte.shape, np.int32)
        known = np.zeros(self.matte.shape, bool)
        colors = torch.stack([self.colors[list(each)].mean(0) for each in places])
        for t in range(len(found)):
            own = torch.stack([self.start[t, list(each)].sum(0) for each in places])
            came = self.ahead[t] + self.behind[t]
            carried = torch.stack([came[list(each)].sum(0) for each in places])
            carried = box(carried[None], SMOOTHING)[0]
            likely = (colors[:, self.cells[t]] + 1e-3) ** COLOR_POWER
            belief = torch.where(own.sum(0) > 0, own, (carried + UNSURE * (carried > 0)) * likely)
            sure = (belief.sum(0) > 0) & self.matte[t]
            found[t] = named[belief.argmax(0).numpy()]
            known[t] = sure.numpy()
        return _filled(found, known)


def _filled(labels: Labels, known: np.ndarray) -> Labels:
    """Give unknown pixels the label of the nearest known one of their frame, or of a near frame."""
    filled = np.zeros_like(labels)
    frames = known.any((1, 2)).nonzero()[0]
    for t in range(len(labels)):
        source = t if known[t].any() else int(frames[np.abs(frames - t).argmin()])
        _, nearest = cv2.distanceTransformWithLabels(
            (~known[source]).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        by_label = np.zeros(int(nearest.max()) + 1, np.int32)
        by_label[nearest[known[source]]] = labels[source][known[source]]
        filled[t] = by_label[nearest]
    return filled


def _histogram(cells: Tensor, where: Tensor) -> Tensor:
    """Return the colours' shares, blurred a little, ``(COLORS ** 3,)``."""
    counts = torch.bincount(cells[where], minlength=COLORS**3).float()
    cube = counts.view(1, 1, COLORS, COLORS, COLORS)
    soft = cube + 2 * torch.nn.functional.avg_pool3d(cube, 3, 1, 1)
    return soft.flatten() / soft.sum().clamp_min(1)


def _groups(
    seeds: Sequence[int],
    tracks: Sequence[Track],
    apart: set[tuple[int, int]],
    beliefs: _Beliefs,
    before: Tensor | None,
    pieces: Labels,
) -> list[list[int]]:
    """Return which seed tracks are one thing: groups of indices of ``tracks``."""
    given = {i: _given_number(tracks[i], pieces, before) for i in seeds}
    links: list[tuple[float, int, int]] = []
    for one, other in combinations(range(len(seeds)), 2):
        pair = seeds[one], seeds[other]
        if pair in apart:
            continue
        numbers = given[pair[0]], given[pair[1]]
        if all(numbers):
            links += [(3.0, *pair)] if numbers[0] == numbers[1] else []
            continue
        first = max(tracks[i].first for i in pair)
        last = min(tracks[i].last for i in pair)
        if last >= first:
            likely = 2.0 if _near(*(tracks[i] for i in pair)) else 0.0
        else:
            likely = beliefs.likeness(one, other)
        if likely > JOINED:
            links.append((likely, *pair))
    group = {i: i for i in seeds}
    for _, one, other in sorted(links, key=lambda link: (-link[0], link[1:])):
        ours, theirs = ([i for i in seeds if group[i] == group[j]] for j in (one, other))
        clash = any(tuple(sorted((i, j))) in apart for i in ours for j in theirs)
        names = {given[i] for i in (*ours, *theirs)} - {0}
        if not clash and len(names) < 2:
            for i in theirs:
                group[i] = group[one]
    return [[i for i in seeds if group[i] == name] for name in dict.fromkeys(group.values())]


def _near(one: Track, other: Track) -> bool:
    """Return whether two tracks that exist side by side lie close enough to be parts of a thing."""
    t = max(one.first, other.first)
    ours, theirs = t - one.first, t - other.first
    offset = np.subtract(other.centers[theirs], one.centers[ours])
    reach = HALF_LENGTH * (one.areas[ours] ** 0.5 + other.areas[theirs] ** 0.5)
    larger = max(one.areas[ours], other.areas[theirs]) ** 0.5
    return bool(np.hypot(*offset) <= reach + larger)


def _given_number(track: Track, pieces: Labels, before: Tensor | None) -> int:
    """Return the number that the window before gave to most of a track; 0 for none."""
    if before is None:
        return 0
    votes = np.zeros(int(before.max()) + 1, np.int64)
    for t in range(track.first, min(track.last + 1, len(before))):
        here = before[t][mask_of(track, pieces, t)].long().numpy()
        votes += np.bincount(here, minlength=len(votes))
    votes[0] = 0
    return int(votes.argmax()) if votes.any() else 0


def _numbers(
    things: Sequence[Sequence[Track]], pieces: Labels, before: Tensor | None, known: int
) -> list[int]:
    """Return the number of each thing: the one it had, or a new one, in order of appearance."""
    numbers: list[int] = []
    for tracks in things:
        given = [_given_number(track, pieces, before) for track in tracks]
        (number,) = {each for each in given if each and each not in numbers} or {0}
        if not number:
            known += 1
            number = known
        numbers.append(number)
    return numbers
