"""Measure how well a run expects the quality of its own layers, on made inputs of known layers.

    python tests/measure_confidence.py [KIND ...] [--count 6] [--seed 7] [--preset fast]
        [--footage FOLDER] [--rows samples/confidence.json]

KIND is one of ``dissolve``, ``wipe``, ``mover``; all of them unless told. For each, COUNT
inputs are drawn and taken apart, and every frame's expected quality is compared with the true one:

- ``dissolve``, ``wipe``: the PSNR of each scene in each mixed frame, in dB
  (``transitions[].confidence``),
- ``mover``: the intersection over union of the matte and the true one, 0 to 1
  (``layers[].confidence``).

A line has the input's seed, the mean expected and true quality of its frames, and what was drawn.
The last lines have, for each kind, the correlation over all frames and the mean error.
``--rows`` keeps the values of every frame; ``python -m samples.figures confidence`` draws those in
`samples/confidence.json`. FOLDER has the folders ``segment`` and ``photos``; by default it is the
project's development footage. Everything follows from the seed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
from measure_movers import found as found_matte
from measure_movers import pixels_of
from media import SHARED
from movers import Footage, drawn_scene
from numpy.typing import NDArray
from plain_scenes import Rng, Stack, plain_scene

from pipeline import Separated, separate
from stages.segment.confidence import expected_overlap

SIZE = (150, 264)
"""Height and width of the clips with a transition."""
MOST_DECIBELS = 60.0
"""PSNR above which a layer counts as perfect."""
Pairs = list[tuple[float, float]]
"""Expected and true quality of each frame of each layer."""


@dataclass(frozen=True)
class Drawn:
    """Hold a made input.

    frames: ``(T, H, W, 3)`` in [0, 1]. compare: takes a preset, and returns the expected and the
    true quality of each frame; a frame of which nothing is expected is left out. words: what was
    drawn.
    """

    frames: Stack
    compare: Callable[[str], Pairs]
    words: str


def psnr(estimate: Stack, truth: Stack) -> float:
    """Return the PSNR of values in [0, 1] in dB, at most :data:`MOST_DECIBELS`."""
    error = float(np.square(estimate.astype(np.float64) - truth).mean())
    return min(MOST_DECIBELS, -10 * math.log10(max(error, 1e-12)))


def values(made: Separated, name: str) -> Stack:
    """Return the frames of a layer, ``(T, H, W, 3)`` in [0, 1]."""
    frames = made.layers[name].frames
    return np.asarray(frames / np.iinfo(frames.dtype).max, np.float32)


def two_scenes(rng: Rng, seed: int, footage: Footage) -> tuple[Stack, Stack, int, str]:
    """Draw two scenes ``(T, h, w, 3)`` of :data:`SIZE`, and how many frames they share."""
    one, kind = plain_scene(seed, footage)
    other, next_kind = plain_scene(seed + 500, footage)
    steps = int(rng.integers(8, 15))
    height, width = SIZE
    small = [
        np.stack(
            [cv2.resize(each, (width, height), interpolation=cv2.INTER_AREA) for each in scene]
        )
        for scene in (one, other)
    ]
    return small[0], small[1], steps, f"{kind} to {next_kind} in {steps}"


def joined(one: Stack, other: Stack, weight: Stack, words: str) -> Drawn:
    """Return two scenes that overlap, mixed by the incoming one's ``weight`` ``(n, H, W, 1)``."""
    steps = len(weight)
    begin = len(one) - steps
    mixed = (1 - weight) * one[-steps:] + weight * other[:steps]
    frames = np.concatenate([one[:-steps], mixed, other[steps:]])

    def compare(preset: str) -> Pairs:
        pixels = np.clip(np.rint(255 * frames), 0, 255).astype(np.uint8)
        with separate(pixels, "transition", preset=preset) as made:
            return scene_pairs(made, (one, other), range(begin, begin + steps))

    return Drawn(np.asarray(frames, np.float32), compare, words)


def scene_pairs(made: Separated, scenes: tuple[Stack, Stack], mixed: range) -> Pairs:
    """Return the expected and the true PSNR of both scenes in the ``mixed`` frames.

    scenes: the true ones; the second one begins with the first mixed frame.
    """
    found: Pairs = []
    for entry in made.manifest["transitions"]:
        for side, scene, begins in (("from", scenes[0], 0), ("to", scenes[1], mixed[0])):
            expected = entry.get("confidence", {}).get(side, ())
            if not expected or entry[side] is None:
                continue
            layer = values(made, entry[side])
            starts = made.layers[entry[side]].first_frame
            for number, value in enumerate(expected, entry["first_frame"]):
                if number in mixed:
                    found.append((value, psnr(layer[number - starts], scene[number - begins])))
    return found


def drawn_dissolve(rng: Rng, seed: int, footage: Footage) -> Drawn:
    """Draw a dissolve between two scenes."""
    one, other, steps, words = two_scenes(rng, seed, footage)
    weight = np.arange(1, steps + 1, dtype=np.float32) / np.float32(steps + 1)
    return joined(one, other, weight.reshape(-1, 1, 1, 1), words)


def drawn_wipe(rng: Rng, seed: int, footage: Footage) -> Drawn:
    """Draw a wipe with a straight, hard edge, in one of four directions."""
    one, other, steps, words = two_scenes(rng, seed, footage)
    height, width = SIZE
    turn = int(rng.integers(4))
    along = np.linspace(0, 1, width if turn % 2 else height, endpoint=False, dtype=np.float32)
    if turn >= 2:
        along = along[::-1]
    place = along[None, :] if turn % 2 else along[:, None]
    done = np.arange(1, steps + 1, dtype=np.float32) / (steps + 1)
    weight = np.broadcast_to(place, SIZE)[None] < done[:, None, None]
    return joined(one, other, weight[..., None].astype(np.float32), f"{words}, turned {turn}")


def drawn_mover(rng: Rng, seed: int, footage: Footage) -> Drawn:
    """Draw a scene in which one or two objects move.

    It is taken apart as by :mod:`measure_movers`: without the networks, which move hardly anything
    and take most of the time.
    """
    scene = drawn_scene(seed, int(rng.integers(1, 3)), footage)
    true = scene.matte > 0.5

    def compare(preset: str) -> Pairs:
        del preset
        matte, _, motion = found_matte(pixels_of(scene))
        if motion is None:
            return []
        masks = matte[:, 0].numpy() > 0.5
        expected = expected_overlap(motion, matte).values
        return [
            (value, overlap(mask, truth))
            for value, mask, truth in zip(expected, masks, true, strict=True)
            if value is not None
        ]

    return Drawn(np.asarray(scene.frames / 255, np.float32), compare, scene.kind)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the intersection over union of two masks ``(H, W)``; 1 where both are empty."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0


@dataclass(frozen=True)
class Kind:
    """Say how a kind of input is drawn.

    draw: takes a generator, a seed and the footage. unit: of its quality, ``dB`` or ``J``.
    place: in the order of all kinds, so that each has seeds of its own.
    """

    draw: Callable[[Rng, int, Footage], Drawn]
    unit: str
    place: int


KINDS = {
    "dissolve": Kind(drawn_dissolve, "dB", 0),
    "wipe": Kind(drawn_wipe, "dB", 3),
    "mover": Kind(drawn_mover, "J", 2),
}


def summary(pairs: Sequence[tuple[float, float]], unit: str) -> str:
    """Return the correlation of expected and true quality, and the mean error."""
    if len(pairs) < 2:
        return "too few frames have an expected quality"
    expected, true = np.array(pairs, np.float64).T
    spread = float(expected.std() * true.std())
    correlation = 0.0
    if spread:
        correlation = float(((expected - expected.mean()) * (true - true.mean())).mean()) / spread
    error, bias = float(np.abs(expected - true).mean()), float((expected - true).mean())
    return (
        f"{len(pairs)} frames, correlation {correlation:.2f}, mean error {error:.2f} {unit}, "
        f"expected too much by {bias:+.2f} {unit}"
    )


def measure(name: str, count: int, seed: int, preset: str, footage: Footage) -> list[Pairs]:
    """Draw the inputs of one kind, print a line for each, and return the pairs of each."""
    found = []
    for number in range(count):
        own = 10000 * seed + 1000 * KINDS[name].place + number
        drawn = KINDS[name].draw(np.random.default_rng(own), own, footage)
        pairs = drawn.compare(preset)
        found.append(pairs)
        means = "nothing is expected"
        if pairs:
            expected, true = np.mean(pairs, 0)
            means = f"expected {expected:.2f} true {true:.2f}"
        print(f"{own} {name:8} {means} [{drawn.words}]")
        sys.stdout.flush()
    return found


def main(words: Sequence[str] | None = None) -> None:
    """Measure the kinds that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--footage", type=Path, default=SHARED)
    parser.add_argument("--rows", type=Path, help="keep expected and true values as JSON")
    options = parser.parse_args(words)
    if unknown := sorted(set(options.kinds) - set(KINDS)):
        parser.error(f"{unknown[0]} is not one of {', '.join(KINDS)}")
    footage = Footage(options.footage / "segment", options.footage / "photos")
    if not footage.clips.is_dir() or not footage.photos.is_dir():
        print(f"skipped: {options.footage} holds no segment/ and photos/")
        return
    rows: dict[str, list[Pairs]] = {}
    for name in options.kinds or KINDS:
        rows[name] = measure(name, options.count, options.seed, options.preset, footage)
    for name, of_inputs in rows.items():
        pairs = [pair for each in of_inputs for pair in each]
        print(f"{name}: {summary(pairs, KINDS[name].unit)}")
    if options.rows:
        units = {name: KINDS[name].unit for name in rows}
        kept = {
            f"{name}, {units[name]}": [
                [round(value, 2) for value in pair] for pairs in of_inputs for pair in pairs
            ]
            for name, of_inputs in rows.items()
        }
        options.rows.write_text(json.dumps(kept, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
