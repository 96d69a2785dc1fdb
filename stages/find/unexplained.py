"""Tell how well the model of a transition explains its frames.

Each frame is explained as freely as the model allows: its scenes as they are held and as their
cameras go on, with small motions of their own, and, where scenes stay in their places, with any
weights. Motion in the scenes leaves an error even so. The clean frames on both sides, explained in
the same way, tell how large that error is at which distance in time. An effect that is no
transition of the kind leaves clearly more.

A part of such an effect may look like a transition all the same, as the middle of a crash zoom
looks like a short dissolve. Then the frames beside it change far more than those further out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from stages.find.boundaries import Boundary
from stages.find.curve import Curve, squared_difference
from stages.find.features import Array, OpticalFlow, plain_color, warped
from stages.find.paths import pixels_of
from stages.find.placements import measured_progress, place
from stages.find.stretch import FOLLOWED, Stretch, TransitionFit
from stages.find.track import camera_speed, moved_on
from stages.kinds import OTHER, TRANSITION_KINDS
from stages.mixing.light_dissolve import GAMMA

ROWS, COLUMNS = 12, 24  # blocks of a frame; each takes the explanation that leaves it least
LEAST_SIDE = 16  # pixels; a smaller picture shows too little
SMALL_MOTION = 3.0  # pixels by which a thing may have moved in an explanation
WEIGHT_SIDE = 5  # pixels of the squares that have one weight
WEIGHT_POWER = 1e-5  # squared difference of the scenes at which a square tells half of its weight
COMPARED = 14  # clean frames on each side that tell how large errors are
AROUND = (3, 1)  # frames nearer and further than a distance whose errors count for it, too
GROWTH = 1.5  # power of the distance with which an error grows beyond the clean frames
MOST_GROWTH = 4.0  # times that it grows at most
UNKNOWN_ERROR = 1e-3  # squared error that is expected of a scene without a clean frame beside it
FLOOR = 3e-4  # squared error that tells nothing
EXCESS = 1.5  # times the expected error above which the rest of an error is an excess
NEXT = 3  # frames beside a transition that change much if the effect goes on in them
NEAR, FAR = 6, 18  # frames beside a transition between which the usual change is measured
FEWEST = 9  # frames of a side that are enough for that
STEP_FLOOR = 3e-5  # squared change from frame to frame that tells nothing
ACTIVE = 3.0  # times the usual change from which a frame belongs to the effect
ACTIVE_FLOOR = 1e-4  # squared change above that from which it does
MOST_ADDED = 12  # frames that are added to a transition on each side, at most
# Ratio and excess from which a model is doubtful, and from which it explains nothing. Of 160 drawn
# wipes and dissolves of moving scenes one was above the first pair, and none above the second.
DOUBTFUL, UNEXPLAINED = (1.4, 0.003), (2.0, 0.015)
# The same where scenes move as a whole: there a camera that changes its speed leaves much, too.
DOUBTFUL_MOVED, UNEXPLAINED_MOVED = (3.0, 0.03), (12.0, 0.15)
# The same for the unrest, with the frames that have to be added.
RESTLESS, MOST_RESTLESS, LEAST_ADDED = 5.0, 8.0, 2
LEAST_CLEAN = 3  # clean frames of each scene without which a model is doubtful at most


class Verdict(Enum):
    """Whether the model of a transition explains its frames."""

    EXPLAINED = 0
    DOUBTFUL = 1
    UNEXPLAINED = 2


@dataclass(frozen=True)
class Misfit:
    """What a model leaves unexplained.

    ratio: the squared error in the mixed frames, as a multiple of what is expected. excess: the
    part of it that is more than :data:`EXCESS` times that, relative to the squared difference of
    the two scenes. unrest: the change from frame to frame beside the transition, as a multiple of
    that further out. added: frames on each side that change as much. clean: frames by which the
    expected error was measured, of the scene with fewer.
    """

    ratio: float
    excess: float
    unrest: float
    added: tuple[int, int]
    clean: int


def misfit(frames: Array, found: TransitionFit, reach: tuple[int, int]) -> Misfit | None:
    """Return what the model of a transition leaves unexplained, or None if nothing can be told.

    frames: ``(T, H, W, 3)``, encoded RGB. reach: the first and the last frame of the two shots.
    """
    inner = range(found.before + 1, found.after)
    if min(frames.shape[1:3]) < LEAST_SIDE or not inner:
        return None
    sides = _Sides.of(frames, found, reach)
    errors = np.array([float(sides.error(time).mean()) for time in inner])
    distances = np.arange(1, len(inner) + 1)
    outgoing, incoming = sides.clean_errors()
    expected = (1 - found.mix) * _at_distances(outgoing, distances)
    expected += found.mix * _at_distances(incoming, distances[::-1])
    apart = squared_difference(frames[found.before], frames[found.after])
    excess = np.maximum(0, errors - EXCESS * expected - FLOOR).mean() / apart
    unrest = _unrest(frames, (found.before, found.after), reach)
    ratio = float(errors.mean() / (expected.mean() + FLOOR))
    clean = min(len(outgoing), len(incoming))
    return Misfit(ratio, float(excess), *unrest, clean)


@dataclass(frozen=True)
class _Sides:
    """The two scenes of a transition, and how its model explains a frame with them.

    frames: ``(T, H, W, 3)``. found: the transition. reach: as of :func:`misfit`.
    speeds: how far each camera pans in a frame. progress: of scenes that move as a whole, ``(n,)``.
    """

    frames: Array
    found: TransitionFit
    reach: tuple[int, int]
    speeds: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
    progress: Curve | None
    motion: OpticalFlow

    @classmethod
    def of(cls, frames: Array, found: TransitionFit, reach: tuple[int, int]) -> _Sides:
        """Return the sides of a transition, with the motion of their cameras measured."""
        (before, after), (low, high) = (found.before, found.after), reach
        outwards = (
            range(before - 1, max(low, before - FOLLOWED) - 1, -1),
            range(after + 1, min(high, after + FOLLOWED) + 1),
        )
        one, other = (
            camera_speed(frames, clean, times)
            for clean, times in zip((before, after), outwards, strict=True)
        )
        progress = None
        if TRANSITION_KINDS[found.kind].undo == "placement":
            progress = measured_progress(Stretch(frames, low, high), found)
        return cls(frames, found, reach, (one, other), progress, OpticalFlow())

    def outgoing(self, time: int) -> list[Array]:
        """Return the outgoing scene as it may look at ``time``: held, and as its camera goes on."""
        return self._pictures(self.found.before, self.speeds[0], time)

    def incoming(self, time: int) -> list[Array]:
        """Return the same of the incoming scene."""
        return self._pictures(self.found.after, self.speeds[1], time)

    def _pictures(self, clean: int, speed: npt.NDArray[np.float64], time: int) -> list[Array]:
        held = self.frames[clean]
        moved = moved_on(held, speed * (time - clean))
        return [held] if moved is held else [held, moved]

    def error(self, time: int) -> Array:
        """Return the squared error of each block of a mixed frame, ``(K,)``."""
        outgoing, incoming = self.outgoing(time), self.incoming(time)
        if self.progress is None:
            return self._mixed_error(self.frames[time], outgoing, incoming)
        placer = TRANSITION_KINDS[self.found.kind].effects[self.found.effect or ""]
        height, width = self.frames.shape[1:3]
        placement = placer(float(self.progress[time - self.found.before - 1]), height / width)
        pictures = [
            place((pixels_of(one), pixels_of(other)), placement).permute(1, 2, 0).numpy()
            for one in outgoing
            for other in incoming
        ]
        return self._least([], self.frames[time], [pictures])

    def clean_errors(self) -> tuple[Curve, Curve]:
        """Return the mean squared error of the clean frames by their distance, for both scenes."""
        (before, after), (low, high) = (self.found.before, self.found.after), self.reach
        early = range(before - 1, max(low, before - COMPARED) - 1, -1)
        late = range(after + 1, min(high, after + COMPARED) + 1)
        held = [self.frames[before]], [self.frames[after]]
        outgoing = [
            self._mixed_error(self.frames[time], self.outgoing(time), held[1]).mean()
            for time in early
        ]
        incoming = [
            self._mixed_error(self.frames[time], held[0], self.incoming(time)).mean()
            for time in late
        ]
        return np.array(outgoing, np.float64), np.array(incoming, np.float64)

    def _mixed_error(
        self, frame: Array, outgoing: Sequence[Array], incoming: Sequence[Array]
    ) -> Array:
        """Return the squared error of each block of a frame as a mixture of both scenes, ``(K,)``.

        Each place may have any weight, and each pixel may show one scene alone.
        """
        one, other = (self._best(frame, pictures) for pictures in (outgoing, incoming))
        near = self._near(frame, one), self._near(frame, other)
        pairs = [(first, second) for first in outgoing for second in incoming]
        pairs += [(near[0], other), (one, near[1]), near]
        mixtures = [self._mixture_error(frame, *pair) for pair in pairs]
        return self._least(mixtures, frame, [outgoing, incoming])

    def _least(
        self, errors: Sequence[Array], frame: Array, choices: Sequence[Sequence[Array]]
    ) -> Array:
        """Return the least error of each block ``(K,)`` among errors of pixels and more pictures.

        errors: ``(H, W)`` each. choices: pictures of which each pixel shows one, and of which one
        may have moved a little as a whole.
        """
        single = [[np.square(frame - each).mean(-1) for each in some] for some in choices]
        all_single = [error for some in single for error in some]
        moved = [
            np.square(frame - self._near(frame, self._best(frame, pictures))).mean(-1)
            for pictures in choices
        ]
        tried = [*errors, *all_single, np.minimum.reduce(all_single), *moved]
        return np.asarray(np.minimum.reduce([_blocks(error) for error in tried]), np.float32)

    def _best(self, frame: Array, pictures: Sequence[Array]) -> Array:
        """Return the picture that is most like a frame."""
        return min(pictures, key=lambda each: float(np.square(frame - each).mean()))

    def _near(self, frame: Array, picture: Array) -> Array:
        """Return a picture with its things moved by a few pixels towards where a frame has them."""
        flow = self.motion.flow(frame, picture)
        length = np.hypot(flow[..., 0], flow[..., 1])[..., None]
        return warped(picture, flow * np.minimum(1, SMALL_MOTION / np.maximum(length, 1e-6)))

    def _mixture_error(self, frame: Array, outgoing: Array, incoming: Array) -> Array:
        """Return the squared error ``(H, W)`` of a mixture whose weights are smooth."""
        power = GAMMA if self.found.space == "linear" else 1.0
        mixed, one, other = (np.maximum(part, 0) ** power for part in (frame, outgoing, incoming))
        step, size = other - one, (WEIGHT_SIDE, WEIGHT_SIDE)
        along = cv2.blur(((mixed - one) * step).sum(-1), size)
        square = cv2.blur(np.square(step).sum(-1), size)
        weight = np.clip((along + WEIGHT_POWER / 2) / (square + WEIGHT_POWER), 0, 1)[..., None]
        explained = np.maximum(one + weight * step, 0) ** (1 / power)
        return np.asarray(np.square(frame - explained).mean(-1), np.float32)


def _blocks(errors: Array) -> Array:
    """Return the mean of errors ``(H, W)`` in each block, ``(K,)``."""
    parts = cv2.resize(errors, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return np.asarray(parts.ravel(), np.float32)


def _at_distances(clean: Curve, distances: npt.NDArray[np.intp]) -> Curve:
    """Return the error that is expected at each distance, ``(n,)``.

    clean: of the clean frames at the distances 1, 2, ...; it may be empty.
    """
    if not len(clean):
        return np.full(len(distances), UNKNOWN_ERROR)
    beyond = float(clean[-AROUND[0] - 1 :].max())
    nearer, further = AROUND
    return np.array(
        [
            float(clean[max(0, distance - nearer) : distance + further].max())
            if distance <= len(clean)
            else beyond * min(MOST_GROWTH, (distance / len(clean)) ** GROWTH)
            for distance in distances.tolist()
        ]
    )


def _unrest(
    frames: Array, sides: tuple[int, int], reach: tuple[int, int]
) -> tuple[float, tuple[int, int]]:
    """Return ``unrest`` and ``added`` of :class:`Misfit`. sides: the clean frames."""
    (before, after), (low, high) = sides, reach
    outwards = (
        range(before, max(low, before - FAR), -1),
        range(after + 1, min(high, after + FAR) + 1),
    )
    motion = OpticalFlow()
    unrest, added = 0.0, []
    for times in outwards:
        changes = [_lasting_change(motion, frames, time, reach) for time in times]
        added.append(0)
        if len(changes) < FEWEST:
            continue
        usual = float(np.median(changes[NEAR:]))
        # One step may be large by chance, as where a repeated frame is before it.
        unrest = max(unrest, sorted(changes[:NEXT])[-2] / (usual + STEP_FLOOR))
        limit = ACTIVE * usual + ACTIVE_FLOOR
        for number, change in enumerate(changes[:MOST_ADDED]):
            if number > added[-1] + 1:
                break  # two frames at rest end the effect
            if change > limit:
                added[-1] = number + 1
    return unrest, (added[0], added[1])


def _lasting_change(motion: OpticalFlow, frames: Array, time: int, reach: tuple[int, int]) -> float:
    """Return the squared change from the frame before ``time`` to it, as far as it lasts.

    A flash changes one frame, and the frames around it are alike.
    """
    pairs = [(time - 1, time), (time - 2, time), (time - 1, time + 1)]
    inside = [(one, other) for one, other in pairs if reach[0] <= one and other <= reach[1]]
    return min(motion.residual(frames[one], frames[other]) ** 2 for one, other in inside)


def verdict_of(left: Misfit, kind: str) -> Verdict:
    """Return what a misfit says of the model of a kind of transition."""
    moves = TRANSITION_KINDS[kind].undo == "placement"
    unrest = left.unrest if max(left.added) >= LEAST_ADDED else 0.0
    limits = (
        (Verdict.UNEXPLAINED, UNEXPLAINED_MOVED if moves else UNEXPLAINED, MOST_RESTLESS),
        (Verdict.DOUBTFUL, DOUBTFUL_MOVED if moves else DOUBTFUL, RESTLESS),
    )
    for verdict, (ratio, excess), most_unrest in limits:
        if verdict is Verdict.UNEXPLAINED and left.clean < LEAST_CLEAN:
            continue
        if (left.ratio >= ratio and left.excess >= excess) or unrest >= most_unrest:
            return verdict
    return Verdict.EXPLAINED


def reach_between(
    taken: Iterable[tuple[int, int]], found: TransitionFit, count: int
) -> tuple[int, int]:
    """Return the first and the last frame of the two shots that a transition is between.

    taken: the first and the last frame of all that ends a shot, itself among it; those of a cut are
    the frame after it and the one before. count: of the frames.
    """
    spans = list(taken)
    low = max([0, *(last + 1 for _, last in spans if last + 1 <= found.before)])
    high = min([count - 1, *(first - 1 for first, _ in spans if first - 1 >= found.after)])
    return low, high


def held_if_unexplained(
    frames: Array, found: TransitionFit, reach: tuple[int, int]
) -> tuple[TransitionFit, bool]:
    """Return a transition, of the kind ``other`` if its model does not explain it.

    The second value says whether its kind is doubtful. A plain colour is a known
    scene, and what fades into it may be a title that moves by itself, so a transition beside one is
    left as it is. Arguments as of :func:`misfit`.
    """
    against_color = any(plain_color(frames[side]) for side in (found.before, found.after))
    if against_color or TRANSITION_KINDS[found.kind].found_around_fade:
        return found, False
    left = misfit(frames, found, reach)
    if left is None:
        return found, False
    verdict = verdict_of(left, found.kind)
    if verdict is Verdict.UNEXPLAINED:
        before, after = found.before - left.added[0], found.after + left.added[1]
        mix = np.array(Boundary(before + 1, after - 1).mix)
        return TransitionFit(before, after, mix, OTHER), False
    return found, verdict is not Verdict.EXPLAINED
