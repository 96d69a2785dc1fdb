"""Random stories: clips of shots, cuts, fades and dissolves, drawn by seed at the search's size.

A story has 2 to 9 shots of 1 to 60 frames, half of them of at most 8. Each shot is a camera that
pans and zooms over a random texture of its own, in half of them with an object that crosses the
picture. Between two shots lies a cut, a dissolve, a fade through a colour, or a plain colour with a
cut on both sides. A clip may begin with a fade in or end with a fade out. Next to mixed frames a
shot has at least :data:`CLEAN` clean ones. Neighbouring shots differ: pairs that nobody could tell
apart are drawn again (:func:`differ`). A third of the clips has repeated frames, as film at 24
pictures a second that is shown at 30, or as animation on twos.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from clips import through_camera

from stages.find.correlation import motion_compensated_ncc
from stages.find.features import contents
from stages.media.clip import Frames
from stages.shots import Analysis, ColorGap, Shot, Transition

Stack = npt.NDArray[np.float32]
SIZE = (54, 96)
CLEAN = 6
DIFFERENT = 0.12
"""Root mean square difference of two shots' cells, in [0, 1], from which they can be told apart."""
COLORS = ((0, 0, 0), (0, 0, 0), (255, 255, 255), (30, 60, 120))


@dataclass
class Story:
    """A drawn clip.

    frames: ``(T, H, W, 3)``.
    cuts: first frames of new shots or colours.
    shortest: for each cut the length of the shorter of the two parts that it divides.
    spans, kinds, mixes: first and last frame, kind, and weights of each dissolve and fade.
    repeated: how frames are repeated: ``no``, ``pulled`` or ``twos``, see :func:`repeated`.
    """

    frames: Stack
    cuts: list[int] = field(default_factory=list)
    shortest: list[int] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    mixes: list[npt.NDArray[np.float64]] = field(default_factory=list)
    repeated: str = "no"


def texture(rng: np.random.Generator, height: int, width: int) -> Stack:
    """Return a random coloured picture ``(H, W, 3)`` with structure at several scales."""
    scales = (rng.random((2**k + 1, 2**k + 1, 3), np.float32) for k in (1, 3, 5))
    coarse, middle, fine = (
        cv2.resize(scale, (width, height), interpolation=cv2.INTER_CUBIC) for scale in scales
    )
    light = rng.uniform(0.4, 1.0)
    return np.asarray(
        np.clip(light * (0.6 * coarse + 0.5 * middle + 0.3 * fine - 0.2), 0.02, 0.98), np.float32
    )


def camera(rng: np.random.Generator, count: int) -> Stack:
    """Return a random shot ``(count, H, W, 3)``."""
    height, width = SIZE
    scene, thing = texture(rng, 2 * height, 2 * width), texture(rng, height // 3, width // 6)
    pan, zoom = rng.uniform(-0.8, 0.8, 2), rng.uniform(-0.004, 0.004)
    crossing, start = rng.random() < 0.5, int(rng.integers(0, 70))
    frames = []
    for time in range(count):
        frame = through_camera(scene, SIZE, time, pan.tolist(), zoom)
        if crossing:
            # The object turns back at the picture's edges: a jump would be a cut of its own.
            room = width - thing.shape[1]
            left = room - abs((start + round(0.9 * time)) % (2 * room) - room)
            frame[height // 3 : height // 3 + thing.shape[0], left : left + thing.shape[1]] = thing
        frames.append(frame)
    return np.stack(frames).astype(np.float32)


def differ(one: Stack, other: Stack) -> bool:
    """Return whether two frames ``(H, W, 3)`` of different shots can be told apart."""
    cells = contents(np.stack([one, other]))
    return (
        float(np.sqrt(((cells[0] - cells[1]) ** 2).mean())) > DIFFERENT
        and motion_compensated_ncc(one, other) < 0.3
    )


def weights(rng: np.random.Generator, steps: int) -> npt.NDArray[np.float64]:
    """Return the weights of ``steps`` mixed frames: even, or eased."""
    x = np.arange(1, steps + 1) / (steps + 1)
    return x if rng.random() < 0.7 else x * x * (3 - 2 * x)


def draw(seed: int, longest: int = 60, shots: tuple[int, int] = (2, 9)) -> Story:
    """Return the story of a seed.

    longest: frames of the longest shot. shots: how many there are at least and at most.
    """
    rng = np.random.default_rng([seed, 11])
    count = int(rng.integers(shots[0], shots[1] + 1))
    joints = [
        str(rng.choice(["cut", "dissolve", "fade", "plain"], p=[0.7, 0.12, 0.1, 0.08]))
        for _ in range(count - 1)
    ]
    joints = [
        str(rng.choice(["", "fade"], p=[0.85, 0.15])),
        *joints,
        str(rng.choice(["", "fade"], p=[0.85, 0.15])),
    ]
    story = Story(np.zeros((0, *SIZE, 3), np.float32))
    parts: list[Stack] = []
    # The first frame and the length of each part, without the mixed frames.
    lengths: list[tuple[int, int]] = []

    def now() -> int:
        return sum(map(len, parts))

    def mixed(one: Stack, other: Stack, mix: npt.NDArray[np.float64], kind: str) -> None:
        story.spans.append((now(), now() + len(mix) - 1))
        story.kinds.append(kind)
        story.mixes.append(mix)
        weight = mix[:, None, None, None].astype(np.float32)
        parts.append((1 - weight) * one + weight * other)

    def plain(color: tuple[int, int, int], length: int) -> Stack:
        return np.full((length, *SIZE, 3), np.asarray(color, np.float32) / 255, np.float32)

    before: Stack | None = None
    for number in range(count):
        least = CLEAN if {joints[number], joints[number + 1]} & {"dissolve", "fade"} else 1
        length = max(
            least, int(rng.integers(1, 9) if rng.random() < 0.5 else rng.integers(1, longest + 1))
        )
        steps = [
            int(rng.integers(4, 25)) if joint in ("dissolve", "fade") else 0
            for joint in joints[number : number + 2]
        ]
        lead = 0 if before is None or joints[number] != "dissolve" else len(before)
        while True:
            shot = camera(rng, (lead or steps[0]) + length + steps[1])
            if before is None or joints[number] in ("fade", "plain") or differ(before[-1], shot[0]):
                break
        color = COLORS[int(rng.integers(len(COLORS)))]
        if joints[number] == "dissolve" and before is not None:
            mixed(before, shot[:lead], weights(rng, lead), "dissolve")
        elif joints[number] == "fade":
            if number:
                assert before is not None
                mixed(before, plain(color, len(before)), weights(rng, len(before)), "fade")
            hold = int(rng.integers(1, 12))
            parts.append(plain(color, hold))
            mixed(plain(color, steps[0]), shot[: steps[0]], weights(rng, steps[0]), "fade")
            lead = steps[0]
        elif joints[number] == "plain":
            hold = int(rng.integers(1, 12))
            story.cuts += [now(), now() + hold]
            lengths.append((now(), hold))
            parts.append(plain(color, hold))
        elif number:
            story.cuts.append(now())
        lead = lead or 0
        if joints[number] not in ("dissolve", "fade"):
            lead = 0
            shot = shot[steps[0] :]
        lengths.append((now(), length))
        parts.append(shot[lead : lead + length])
        before = shot[lead + length :] if steps[1] else shot[-1:]
    if joints[-1] == "fade":
        assert before is not None
        color = COLORS[int(rng.integers(len(COLORS)))]
        mixed(before, plain(color, len(before)), weights(rng, len(before)), "fade")
        parts.append(plain(color, int(rng.integers(1, 12))))
    story.frames = (np.round(np.concatenate(parts) * 255) / 255).astype(np.float32)
    for cut in story.cuts:
        ahead = min(length for start, length in lengths if start == cut)
        behind = [length for start, length in lengths if start + length == cut]
        story.shortest.append(min([ahead, *behind]))
    return story


def repeated(story: Story, how: str) -> Story:
    """Return the same story with repeated frames.

    how: ``pulled`` shows four pictures in five frames, ``twos`` shows each picture twice.
    """
    count = len(story.frames)
    source = (
        [time * 4 // 5 for time in range(-(-count * 5 // 4))]
        if how == "pulled"
        else [time // 2 for time in range(2 * count)]
    )
    place = np.array(source)

    def at(picture: int) -> int:
        return int(np.searchsorted(place, picture))

    spans = [(at(first), at(last + 1) - 1) for first, last in story.spans]
    mixes = [
        mix[place[first : last + 1] - old]
        for mix, (first, last), (old, _) in zip(story.mixes, spans, story.spans, strict=True)
    ]
    return Story(
        story.frames[place],
        [at(cut) for cut in story.cuts],
        story.shortest,
        spans,
        story.kinds,
        mixes,
        how,
    )


def drawn(seed: int, **more: Any) -> Story:
    """Return the story of a seed, in a third of the cases with repeated frames."""
    story = draw(seed, **more)
    how = ("no", "no", "no", "no", "pulled", "twos")[seed % 6]
    return story if how == "no" else repeated(story, how)


def blocks(frames: Stack, length: int = 32, first: int = 0) -> Iterator[Frames]:
    """Yield the frames from number ``first`` on in blocks of ``length``."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
    for start in range(first, len(pixels), length):
        part = pixels[start : start + length]
        yield Frames(part, tuple(Fraction(start + place, 25) for place in range(len(part))), start)


@dataclass
class Comparison:
    """How an analysis compares with the story that was drawn.

    missed, invented: cuts.
    found: for each dissolve and fade the best overlap (intersection over union) of a transition.
    outside: transitions that are no cuts and overlap no mixed frame.
    """

    missed: list[int]
    invented: list[int]
    found: list[float]
    outside: list[tuple[int, int]]

    @property
    def right(self) -> bool:
        """Whether all cuts are right and nothing is invented."""
        return not (self.missed or self.invented or self.outside)


def compare(story: Story, analysis: Analysis) -> Comparison:
    """Compare cuts exactly and mixed frames by their overlap.

    Raises AssertionError where a frame is in no part of the analysis or in two.
    """
    covered = np.zeros(len(story.frames), int)
    parts: list[Shot | Transition | ColorGap] = [*analysis.shots, *analysis.transitions]
    for part in [*parts, *analysis.colors]:
        covered[part.first_frame : part.last_frame + 1] += 1
    assert (covered == 1).all() and analysis.frames == len(story.frames), f"covered {covered}"
    cuts = {move.first_frame for move in analysis.transitions if not len(move)}
    moves = [(move.first_frame, move.last_frame) for move in analysis.transitions if len(move)]
    found = []
    for first, last in story.spans:
        common = [
            max(0, min(last, end) - max(first, start) + 1)
            / (max(last, end) - min(first, start) + 1)
            for start, end in moves
        ]
        found.append(max(common, default=0.0))
    outside = [
        (start, end)
        for start, end in moves
        if not any(start <= last and first <= end for first, last in story.spans)
    ]
    return Comparison(
        sorted(set(story.cuts) - cuts), sorted(cuts - set(story.cuts)), found, outside
    )
