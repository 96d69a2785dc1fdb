"""Measure what a chain of two tasks loses against the second task on the true intermediate.

    python tests/measure_chain.py [CHAIN ...] [--count 3] [--seed 7] [--preset fast]
        [--footage FOLDER]

CHAIN is one of ``mark-dissolve`` and ``haze-mover``; both unless told. For each, COUNT inputs are
drawn: a dissolve under a mark, or a thing that moves behind haze. One run does both tasks
(``--task watermark,transition``, ``--task dehaze,segment``). The other one does the second task
alone, on the same input without mark or haze.

A line has the PSNR in dB of the scenes in the mixed frames, or of the matte, for both runs. The
last lines have the means and by how much the chain falls behind. Everything follows from the seed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from measure_confidence import psnr, two_scenes
from measure_diagnoses import hazed, marked
from media import SHARED
from movers import Footage, drawn_scene
from plain_scenes import Rng, Stack

from pipeline import Separated, separate


@dataclass(frozen=True)
class DrawnChain:
    """Hold a made input of two things, one over the other.

    chain: the two tasks, with a comma between them. frames: the input, ``(T, H, W, 3)`` in [0, 1].
    between: what the first task ought to leave. quality: returns the PSNR in dB of what the second
    task made. words: what was drawn.
    """

    chain: str
    frames: Stack
    between: Stack
    quality: Callable[[Separated], float]
    words: str


def mark_over_dissolve(rng: Rng, seed: int, footage: Footage) -> DrawnChain:
    """Draw a dissolve of two scenes under a mark that stays."""
    one, other, steps, words = two_scenes(rng, seed, footage)
    weight = (np.arange(1, steps + 1, dtype=np.float32) / np.float32(steps + 1)).reshape(
        -1, 1, 1, 1
    )
    begin = len(one) - steps
    mixed = (1 - weight) * one[-steps:] + weight * other[:steps]
    between = np.concatenate([one[:-steps], mixed, other[steps:]])
    frames, text = marked(rng, between)

    def quality(made: Separated) -> float:
        found = []
        for name, scene, offset in (("scene-001", one, 0), ("scene-002", other, begin)):
            layer = next((made.layers[each] for each in made.layers if each.endswith(name)), None)
            if layer is None:
                return 0.0
            values = layer.frames / np.iinfo(layer.frames.dtype).max
            for number in range(begin, begin + steps):
                place = number - layer.first_frame
                if 0 <= place < len(values):
                    found.append(psnr(np.asarray(values[place]), scene[number - offset]))
        return float(np.mean(found))

    return DrawnChain("watermark,transition", frames, between, quality, f"{words}, {text}")


def mover_behind_haze(rng: Rng, seed: int, footage: Footage) -> DrawnChain:
    """Draw a thing that moves before a scene, all behind haze."""
    scene = drawn_scene(seed, 1, footage)
    between = np.asarray(scene.frames / 255, np.float32)
    frames, text = hazed(rng, between)

    def quality(made: Separated) -> float:
        name = next(each for each in made.layers if each.endswith("matte"))
        matte = made.layers[name].frames[..., 0]
        return psnr(np.asarray(matte / np.iinfo(matte.dtype).max, np.float32), scene.matte)

    return DrawnChain("dehaze,segment", frames, between, quality, f"{scene.kind}, {text}")


CHAINS = {"mark-dissolve": mark_over_dissolve, "haze-mover": mover_behind_haze}


def rounded(frames: Stack) -> np.ndarray:
    """Return frames in [0, 1] as 8 bits."""
    return np.clip(np.rint(255 * frames), 0, 255).astype(np.uint8)


def measure(name: str, count: int, seed: int, preset: str, footage: Footage) -> str:
    """Draw the inputs of one chain, print a line for each, and return their summary."""
    both = []
    for number in range(count):
        own = 10000 * seed + 1000 * sorted(CHAINS).index(name) + number
        drawn = CHAINS[name](np.random.default_rng(own), own, footage)
        last = drawn.chain.split(",")[-1]
        with separate(rounded(drawn.frames), drawn.chain, preset=preset) as made:
            chained = drawn.quality(made)
        with separate(rounded(drawn.between), last, preset=preset) as made:
            alone = drawn.quality(made)
        both.append((chained, alone))
        print(f"{own} chain {chained:.2f} dB, alone {alone:.2f} dB [{drawn.words}]")
        sys.stdout.flush()
    chained, alone = np.mean(both, 0)
    behind = [one - other for one, other in both]
    near = sum(each >= -0.5 for each in behind)
    return (
        f"{name}: chain {chained:.2f} dB, second task on the true intermediate {alone:.2f} dB; "
        f"{near} of {count} within 0.5 dB"
    )


def main(words: Sequence[str] | None = None) -> None:
    """Measure the chains that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chains", nargs="*", metavar="CHAIN", help=", ".join(CHAINS))
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--footage", type=Path, default=SHARED)
    options = parser.parse_args(words)
    if unknown := sorted(set(options.chains) - set(CHAINS)):
        parser.error(f"{unknown[0]} is not one of {', '.join(CHAINS)}")
    footage = Footage(options.footage / "segment", options.footage / "photos")
    if not footage.clips.is_dir() or not footage.photos.is_dir():
        print(f"skipped: {options.footage} holds no segment/ and photos/")
        return
    lines = [
        measure(name, options.count, options.seed, options.preset, footage)
        for name in options.chains or CHAINS
    ]
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
