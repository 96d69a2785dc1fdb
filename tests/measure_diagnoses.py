"""Measure how often `probe` is right about what is in a clip, on clips that are drawn at random.

    python tests/measure_diagnoses.py [THING ...] [--count 10] [--seed 7] [--footage FOLDER]

THING is one of ``foreground``, ``haze``, ``mark``, ``reflection``, ``transitions``; all of them
unless told. For each, COUNT clips are drawn with the thing and as many without it, and
``python -m pipeline probe CLIP --task ... --json`` is asked for its verdict. FOLDER has the folders
``segment`` and ``photos``; by default it is the project's development footage.

Everything follows from the seed. The scenes are those of :mod:`movers` and :mod:`plain_scenes`: 24
frames of a clip, with or without an object, or a photograph under a drawn camera. A mark may also
lie on four photographs.

A row has the clip's seed, whether the thing is in it, the verdict, what ``probe`` says of it, and
what was drawn. The last lines have the counts and the balanced accuracy of ``there``: the mean of
the part found with the thing and of the part left alone without it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import cv2
import numpy as np
from media import SHARED, save
from movers import Footage
from plain_scenes import (
    Rng,
    Stack,
    any_scene,
    photographed,
    piece_of_clip,
    scene_with_mover,
    still_or_moved,
)

WORDS = ("SAMPLE", "Archive 1974", "TV 5", "News 24", "(c) Studio")
"""Texts of the marks."""
LEAST_CLIP = 5
"""Frames of a clip; fewer are separate pictures."""
SETS = 0.4
"""Part of the inputs with or without a mark that are four pictures and no clip."""
GAMMA = 2.2
"""Exponent between encoded values and light."""


@dataclass(frozen=True)
class DrawnThing:
    """Say how a thing comes into a clip.

    task: the task that takes it out. name: what ``probe`` calls it. add: takes a generator, a seed
    and the footage, and returns the frames ``(T, H, W, 3)`` in [0, 1] with the thing, and words.
    """

    task: str
    name: str
    add: Callable[[Rng, int, Footage], tuple[Stack, str]]


def without(name: str, rng: Rng, seed: int, footage: Footage) -> tuple[Stack, str]:
    """Return a scene without the thing of this name, of a kind that it could be in."""
    if name in ("foreground", "transitions"):
        return still_or_moved(rng, seed, footage)
    if name == "mark" and rng.random() < SETS:
        return set_of_pictures(rng, footage)
    return any_scene(rng, seed, footage)


def set_of_pictures(rng: Rng, footage: Footage) -> tuple[Stack, str]:
    """Return four photographs ``(4, H, W, 3)`` in [0, 1]."""
    drawn = [photographed(rng, footage, "still") for _ in range(4)]
    pictures = np.stack([frames[0] for frames, _ in drawn])
    return pictures, "set " + " ".join(words.split()[0] for _, words in drawn)


def with_mover(rng: Rng, seed: int, footage: Footage) -> tuple[Stack, str]:
    """Return a scene in which an object moves: a piece of a clip, or an object that is pasted."""
    if rng.random() < 0.7:
        return piece_of_clip(rng, footage)
    return scene_with_mover(seed, footage)


def with_haze(rng: Rng, seed: int, footage: Footage) -> tuple[Stack, str]:
    """Return a scene behind haze that takes at least a fifth of the light and grows to the top."""
    frames, kind = any_scene(rng, seed, footage)
    hazy, words = hazed(rng, frames)
    return hazy, f"{kind}, {words}"


def hazed(rng: Rng, frames: Stack) -> tuple[Stack, str]:
    """Return ``frames`` behind drawn haze, and words on it."""
    height = frames.shape[1]
    nearness = np.linspace(0, 1, height, dtype=np.float32)[None, :, None, None]
    mean_depth = rng.uniform(0.25, 1.2)
    transmission = np.exp(-mean_depth * (1.6 - 1.2 * nearness))
    airlight = (rng.uniform(0.75, 0.95) + rng.uniform(-0.03, 0.03, 3)).astype(np.float32)
    hazy = frames * transmission + airlight * (1 - transmission)
    return hazy, f"mean transmission {transmission.mean():.2f}"


def with_mark(rng: Rng, seed: int, footage: Footage) -> tuple[Stack, str]:
    """Return a scene, or four pictures, under a text of one colour and opacity."""
    frames, kind = without("mark", rng, seed, footage)
    with_text, words = marked(rng, frames)
    return with_text, f"{kind}, {words}"


def marked(rng: Rng, frames: Stack) -> tuple[Stack, str]:
    """Return ``frames`` under a drawn text, and words on it."""
    height, width = frames.shape[1:3]
    text = WORDS[rng.integers(len(WORDS))]
    canvas = np.zeros((height, width), np.uint8)
    scale = rng.uniform(0.8, 2.0)
    (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 2)
    left = int(rng.integers(4, max(5, width - wide - 4)))
    bottom = int(rng.integers(high + 4, height - 8))
    cv2.putText(canvas, text, (left, bottom), cv2.FONT_HERSHEY_DUPLEX, scale, 255, 2, cv2.LINE_AA)
    opacity = rng.uniform(0.3, 0.9)
    color = rng.choice([0.0, 1.0, 1.0]) if rng.random() < 0.7 else rng.random(3)
    alpha = (canvas / 255 * opacity).astype(np.float32)[None, ..., None]
    return frames * (1 - alpha) + alpha * np.float32(color), f"{text} at {opacity:.2f}"


def with_reflection(rng: Rng, seed: int, footage: Footage) -> tuple[Stack, str]:
    """Return a scene behind a pane that mirrors another one, which moves in its own way."""
    while True:
        frames, kind = any_scene(rng, seed, footage)
        mirrored, other = still_or_moved(rng, seed + 500, footage)
        # Two pictures that both stand still are one view.
        if not (kind.endswith("still") and other.endswith("still")):
            break
    power = GAMMA if rng.random() < 0.5 else 1.0
    blur = rng.uniform(0.5, 2.5)
    strength = rng.uniform(0.25, 0.6)
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), blur) for frame in mirrored])
    light = frames**power * 0.9 + strength * soft**power
    mixed = np.clip(light, 0, 1) ** (1 / power)
    return mixed.astype(np.float32), f"{kind} mirroring {other} at {strength:.2f}"


def with_transition(rng: Rng, seed: int, footage: Footage) -> tuple[Stack, str]:
    """Return two scenes with a dissolve of 8 to 14 frames between them."""
    one, kind = still_or_moved(rng, seed, footage)
    other, next_kind = still_or_moved(rng, seed + 500, footage)
    steps = int(rng.integers(8, 15))
    weight = (np.arange(1, steps + 1, dtype=np.float32) / (steps + 1))[:, None, None, None]
    mixed = (1 - weight) * one[-steps:] + weight * other[:steps]
    frames = np.concatenate([one[:-steps], mixed, other[steps:]])
    return frames, f"{kind} to {next_kind} in {steps}"


THINGS = {
    "foreground": DrawnThing("segment", "foreground", with_mover),
    "haze": DrawnThing("dehaze", "haze", with_haze),
    "mark": DrawnThing("watermark", "mark", with_mark),
    "reflection": DrawnThing("transparency", "reflection", with_reflection),
    "transitions": DrawnThing("transition", "transitions", with_transition),
}


def verdict_of(thing: DrawnThing, frames: Stack, folder: Path) -> tuple[str, str]:
    """Return the verdict of ``probe`` on a clip of ``frames``, and what it says of the thing."""
    pixels = np.clip(np.rint(255 * frames), 0, 255).astype(np.uint8)
    paths = [folder / f"{number}.png" for number in range(len(pixels))]
    if len(pixels) < LEAST_CLIP:
        for path, picture in zip(paths, pixels, strict=True):
            cv2.imwrite(str(path), picture[..., ::-1])
    else:
        paths = [save(folder / "clip.mkv", pixels)]
    words = [sys.executable, "-m", "pipeline", "probe", *map(str, paths), "--json"]
    words += ["--task", thing.task]
    environment = {**os.environ, "UNLAYER_CACHE": ""}
    home = Path(__file__).parents[1]
    done = subprocess.run(words, env=environment, cwd=home, capture_output=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    (found,) = [each for each in said["diagnoses"] if each["name"] == thing.name]
    return found["verdict"], found["account"]


def summary(verdicts: Sequence[tuple[bool, str]]) -> str:
    """Return the counts of the verdicts with and without the thing, and the balanced accuracy."""
    counts = {
        within: Counter(verdict for inside, verdict in verdicts if inside == within)
        for within in (True, False)
    }
    found = counts[True]["there"] / max(1, counts[True].total())
    left_alone = 1 - counts[False]["there"] / max(1, counts[False].total())
    each = "; ".join(
        f"{word} it: there {count['there']}, perhaps {count['perhaps']}, of {count.total()}"
        for word, count in (("with", counts[True]), ("without", counts[False]))
    )
    return f"{each}; balanced accuracy {(found + left_alone) / 2:.2f}"


def measure(name: str, count: int, seed: int, footage: Footage) -> str:
    """Draw the clips of one thing, print a row for each, and return their summary."""
    thing = THINGS[name]
    verdicts = []
    for number in range(2 * count):
        inside = number % 2 == 0
        own = 10000 * seed + 1000 * sorted(THINGS).index(name) + number
        rng = np.random.default_rng(own)
        frames, words = thing.add(rng, own, footage) if inside else without(name, rng, own, footage)
        with tempfile.TemporaryDirectory() as folder:
            verdict, account = verdict_of(thing, frames, Path(folder))
        verdicts.append((inside, verdict))
        print(f"{own} {'with' if inside else 'without':7} {verdict:9} {account} [{words}]")
        sys.stdout.flush()
    return f"{name}: {summary(verdicts)}"


def main(words: Sequence[str] | None = None) -> None:
    """Measure the things that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("things", nargs="*", metavar="THING", help=", ".join(THINGS))
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--footage", type=Path, default=SHARED)
    options = parser.parse_args(words)
    if unknown := sorted(set(options.things) - set(THINGS)):
        parser.error(f"{unknown[0]} is not one of {', '.join(THINGS)}")
    footage = Footage(options.footage / "segment", options.footage / "photos")
    if not footage.clips.is_dir() or not footage.photos.is_dir():
        print(f"skipped: {options.footage} holds no segment/ and photos/")
        return
    chosen = options.things or list(THINGS)
    lines = [measure(name, options.count, options.seed, footage) for name in chosen]
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
