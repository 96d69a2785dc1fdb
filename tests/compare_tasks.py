"""Compare three methods on every task, at equal seconds, on the sample's photographs.

    python tests/compare_tasks.py [CASE]... [--seconds 20] [--markdown]
    python tests/compare_tasks.py --haze HAZY CLEAR [--seconds 60] [--markdown]

``paper`` is the published method, ``coupled`` the generators alone, and ``balanced`` the default.
Each gets ``--max-seconds`` and the same input, at 128x72. The true layers are used only to judge
the results. *As it is* judges the input itself as every layer.
``--haze`` compares on one hazy picture instead, at its own size, whose clear picture is known.
``--markdown`` prints a table. The sample needs no footage.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from pipeline import separate
from samples.ablation import case as transition_case
from samples.make import scene_a
from stages.mixing.psnr import psnr_of

HEIGHT, WIDTH = 72, 128
"""Size of the pictures."""

PRESETS = ("paper", "coupled", "balanced")
"""The methods that are compared."""

SECONDS = 20.0
"""Time budget of each run, unless told otherwise."""

DISC = 60
"""Side of the square photograph in the composites, in pixels of the compared size."""

FIRST_MIXED, MIXED = 5, 8
"""The first mixed frame of the dissolve, and how many there are."""

Picture = NDArray[np.float64]
Layers = dict[str, Picture]
Score = Callable[[Layers], float]


@dataclass(frozen=True)
class TaskCase:
    """An input with known layers.

    task: that it is for. source: a picture, a clip, or a list of pictures, in [0, 1].
    score: judges the layers by role. unit: of the score. options: of the run.
    """

    task: str
    source: Any
    score: Score
    unit: str = "dB"
    options: dict[str, Any] = field(default_factory=dict)


def eight_bits(picture: Picture) -> NDArray[np.uint8]:
    """Return values in [0, 1] as they lie in a file."""
    return np.asarray(np.rint(255 * picture.clip(0, 1)), np.uint8)


def small(picture: NDArray[np.uint8]) -> Picture:
    """Return a photograph at the compared size, in [0, 1]."""
    resized = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(resized / 255)


@cache
def coffee() -> Picture:
    """Return the first photograph."""
    return small(data.coffee())


@cache
def portrait() -> Picture:
    """Return the second photograph."""
    return small(data.astronaut())


def reached(layer: Picture, truth: Picture) -> float:
    """Return the PSNR of a layer in dB."""
    return psnr_of(float(((layer - truth) ** 2).mean()))


def reached_up_to_level(layer: Picture, truth: Picture) -> float:
    """Return the PSNR of a layer in dB after the gain and the offset that fit the truth best.

    A sum of two layers does not tell how bright either is, so no method can know.
    """
    brightness = np.stack([layer.ravel(), np.ones(layer.size)], axis=1)
    fitted, *_ = np.linalg.lstsq(brightness, truth.ravel(), rcond=None)
    return reached((brightness @ fitted).reshape(truth.shape), truth)


def either(layers: Layers, truth: tuple[Picture, Picture]) -> float:
    """Return the mean PSNR of both layers, in the better order: which is which is not judged.

    Their level is not judged either, see :func:`reached_up_to_level`.
    """
    one, other = layers["transmission"][0], layers["reflection"][0]
    orders = ((one, other), (other, one))
    return max(
        sum(reached_up_to_level(*pair) for pair in zip(order, truth, strict=True)) / 2
        for order in orders
    )


def overlap(matte: Picture, truth: Picture) -> float:
    """Return the intersection over union of a matte and the true mask."""
    found, real = matte[..., :1] > 0.5, truth[..., :1] > 0.5
    return float((found & real).sum() / max(1, (found | real).sum()))


def haze() -> TaskCase:
    """Return a photograph behind haze that is thicker towards the top."""
    through = np.linspace(0.3, 0.9, HEIGHT)[:, None, None]
    hazy = through * coffee() + (1 - through) * np.array([0.85, 0.87, 0.9])
    return TaskCase("dehaze", hazy, lambda layers: reached(layers["clear"][0], coffee()))


def haze_pair(hazy: Path, clear: Path) -> TaskCase:
    """Return a hazy picture from a file; its clear picture is judged at the same size."""
    seen, truth = (cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in (hazy, clear))
    if seen is None or truth is None:
        raise SystemExit(f"{hazy if seen is None else clear}: cannot be read")
    if truth.shape != seen.shape:
        truth = cv2.resize(truth, seen.shape[1::-1], interpolation=cv2.INTER_AREA)
    known = np.asarray(truth / 255)
    return TaskCase(
        "dehaze", np.asarray(seen / 255), lambda layers: reached(layers["clear"][0], known)
    )


def lettered() -> Picture:
    """Return the matte of a mark, ``(HEIGHT, WIDTH, 1)``."""
    matte = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.putText(matte, "SAMPLE", (18, 45), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2, cv2.LINE_AA)
    return np.asarray(0.6 / 255 * matte[..., None])


def marked_picture() -> TaskCase:
    """Return one photograph under a mark, with a box around it."""
    matte = lettered()
    box = np.zeros((HEIGHT, WIDTH), np.uint8)
    box[24:52, 14:114] = 255
    marked = (1 - matte) * coffee() + matte
    where = np.broadcast_to(matte > 0, coffee().shape)
    return TaskCase(
        "watermark",
        marked,
        lambda layers: reached(layers["clean"][0][where], coffee()[where]),
        options={"hint": box},
    )


def marked_pictures() -> TaskCase:
    """Return four photographs under the same mark."""
    matte = lettered()
    pictures = [coffee(), portrait(), small(data.chelsea()), small(data.rocket())]
    where = np.broadcast_to(matte > 0, coffee().shape)
    return TaskCase(
        "watermark",
        [(1 - matte) * picture + matte for picture in pictures],
        lambda layers: float(
            np.mean(
                [
                    reached(clean[where], picture[where])
                    for clean, picture in zip(layers["clean"], pictures, strict=True)
                ]
            )
        ),
    )


def one_mixture() -> TaskCase:
    """Return a sum of two photographs in encoded values."""
    truth = 0.55 * coffee(), 0.45 * portrait()
    return TaskCase(
        "transparency",
        truth[0] + truth[1],
        lambda layers: either(layers, truth),
        options={"space": "gamma"},
    )


def two_mixtures() -> TaskCase:
    """Return two mixtures of two photographs."""
    truth = coffee(), portrait()
    mixed = [share * coffee() + (1 - share) * portrait() for share in (0.7, 0.45)]
    return TaskCase(
        "transparency",
        mixed,
        lambda layers: either(layers, truth),
        options={"space": "gamma"},
    )


def disc(center: tuple[float, float]) -> tuple[Picture, Picture]:
    """Return a disc of a cat over a table, and its matte ``(HEIGHT, WIDTH, 1)``."""
    photo = cv2.resize(data.chelsea()[:300, 100:400], (DISC, DISC), interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    away = np.hypot(x - center[0], y - center[1])
    matte = np.clip(DISC / 2 - 1 - away, 0, 1)[..., None]
    layer = coffee().copy()
    top, left = round(center[1] - DISC / 2), round(center[0] - DISC / 2)
    layer[top : top + DISC, left : left + DISC] = photo / 255
    return matte * layer + (1 - matte) * coffee(), matte


def object_in_a_picture() -> TaskCase:
    """Return a photograph with a cat in it, which a small mark points at."""
    mixed, matte = disc((70.0, 36.0))
    hint = np.zeros((HEIGHT, WIDTH), np.uint8)
    hint[26:46, 60:80] = 255
    return TaskCase(
        "segment",
        mixed,
        lambda layers: overlap(layers["matte"][0], matte),
        unit="J",
        options={"hint": hint},
    )


def object_in_a_clip() -> TaskCase:
    """Return eight frames of the sample's first scene, in which a disc crosses a panning view."""
    frames = [frame / 255 for frame in scene_a()[10:26:2]]
    clip = np.stack([cv2.resize(frame, (WIDTH, HEIGHT)) for frame in frames])
    # The disc is where the scene's own program puts it (samples/make.py), at a third of the size.
    times = np.arange(10, 26, 2) / 50
    places = [((70 + 90 * t) / 3, (190 - 150 * t + 60 * t * t) / 3) for t in times]
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    mattes = [(np.hypot(x - a, y - b) < 112 / 6)[..., None].astype(float) for a, b in places]

    def score(layers: Layers) -> float:
        pairs = zip(layers["matte"], mattes, strict=True)
        return float(np.mean([overlap(matte, truth) for matte, truth in pairs]))

    return TaskCase("segment", clip, score, unit="J")


def dissolve() -> TaskCase:
    """Return the sample's two scenes in a dissolve of eight frames."""
    given = transition_case("the sample", 1, (HEIGHT, WIDTH), FIRST_MIXED, MIXED)
    first, second = (layer.permute(0, 2, 3, 1).double().numpy() for layer in given.truth)

    def score(layers: Layers) -> float:
        outgoing, incoming = layers["scene"]
        mixed = outgoing[FIRST_MIXED : FIRST_MIXED + MIXED]
        return (reached(mixed, first) + reached(incoming[:MIXED], second)) / 2

    clip = given.window.pixels.permute(0, 2, 3, 1).double().numpy()
    return TaskCase(
        "transition", clip, score, options={"transition": [(FIRST_MIXED, FIRST_MIXED + MIXED - 1)]}
    )


CASES: dict[str, Callable[[], TaskCase]] = {
    "a dissolve": dissolve,
    "an object in a picture": object_in_a_picture,
    "an object in a clip": object_in_a_clip,
    "haze": haze,
    "a mark on a picture": marked_picture,
    "a mark on four pictures": marked_pictures,
    "one mixture": one_mixture,
    "two mixtures": two_mixtures,
}
"""All cases by name."""


def as_it_is(given: TaskCase) -> float | None:
    """Return the score of the input itself in place of the layers; ``None`` for mattes."""
    if given.task == "segment":
        return None
    if given.task == "transition":
        scenes: Any = {"scene": [given.source, given.source[FIRST_MIXED:]]}
        return given.score(scenes)
    if given.task == "transparency":
        is_one = not isinstance(given.source, list)
        one, other = [given.source] * 2 if is_one else given.source
        return given.score({"transmission": one[None], "reflection": other[None]})
    frames = given.source if isinstance(given.source, list) else given.source[None]
    return given.score(dict.fromkeys(("clear", "clean"), np.asarray(frames)))


def run(given: TaskCase, preset: str, seconds: float | None) -> tuple[float, float]:
    """Return the score of a preset and the seconds of its run."""
    source = given.source
    several = isinstance(source, list)
    pixels = [eight_bits(picture) for picture in source] if several else eight_bits(source)
    began = time.monotonic()
    more: dict[str, Any] = dict(given.options)
    if seconds is not None:
        more["max_seconds"] = seconds
    with separate(pixels, given.task, preset=preset, **more) as made:
        spent = time.monotonic() - began
        layers: dict[str, Any] = {}
        for layer in made.layers.values():
            frames = layer.frames
            values = frames / np.iinfo(frames.dtype).max
            layers.setdefault(layer.role, []).append(values)
    if given.task != "transition":
        layers = {role: np.concatenate(parts) for role, parts in layers.items()}
    return given.score(layers), spent


def main(words: Sequence[str] | None = None) -> int:
    """Run the comparison and print a line for each case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--haze", nargs=2, type=Path, metavar=("HAZY", "CLEAR"))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time budget of each run")
    parser.add_argument("--markdown", action="store_true", help="print a table")
    options = parser.parse_args(words)
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no case {sorted(unknown)[0]!r}; there are {', '.join(CASES)}")
    chosen = {name: CASES[name] for name in options.cases or CASES}
    if options.haze:
        chosen = {options.haze[0].stem: lambda: haze_pair(*options.haze)}
    if options.markdown:
        print("| case | as it is | " + " | ".join(f"`{name}` | s" for name in PRESETS) + " |")
        print("|---|---|" + "---|---|" * len(PRESETS), flush=True)
    for name, make in chosen.items():
        given = make()
        figures = [run(given, preset, options.seconds) for preset in PRESETS]
        digits = 1 if given.unit == "dB" else 2
        parts = [(f"{score:.{digits}f} {given.unit}", f"{spent:.0f}") for score, spent in figures]
        if options.markdown:
            plain = as_it_is(given)
            cells = ["" if plain is None else f"{plain:.{digits}f}"]
            cells += [cell.removesuffix(f" {given.unit}") for part in parts for cell in part]
            print(f"| {name} ({given.unit}) | {' | '.join(cells)} |", flush=True)
        else:
            told = zip(PRESETS, parts, strict=True)
            print(f"{name}: " + ", ".join(f"{p} {s} in {t} s" for p, (s, t) in told), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
