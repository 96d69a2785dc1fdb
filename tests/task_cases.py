"""The inputs with known layers on which the three methods are compared, a small one for each task.

They are made of the photographs of scikit-image and of the sample's scenes, at 128x72. A case also
says which of its layers is shown in a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage import data
from textures import stripes, tiles

from samples.ablation import case as transition_case
from samples.make import scene_a
from stages.mixing.psnr import psnr_of

HEIGHT, WIDTH = 72, 128
"""Size of the pictures."""

DISC = 60
"""Side of the square photograph in the composites, in pixels of the compared size."""

GRAY = 0.8
"""Brightness behind what a matte cuts out."""

FIRST_MIXED, MIXED = 5, 8
"""The first mixed frame of the dissolve, and how many there are."""

Picture = NDArray[np.float64]
Layers = dict[str, Any]
"""Layers by role: for a transition a list of clips, else frames ``(T, H, W, channels)``."""
Score = Callable[[Layers], float]


@dataclass(frozen=True)
class TaskCase:
    """An input with known layers.

    task: that it is for. source: a picture, a clip, or a list of pictures, in [0, 1].
    truth: the true layers by role. score: judges layers by role.
    shown: returns from layers by role what a picture of the result shows, ``(H, W, 3)``.
    place: the frame or picture of ``source`` that ``shown`` belongs to.
    unit: of the score. options: of the run.
    """

    task: str
    source: Any
    truth: Layers
    score: Score
    shown: Callable[[Layers], Picture]
    place: int = 0
    unit: str = "dB"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def shown_input(self) -> Picture:
        """The frame or picture of the input that is shown, ``(H, W, 3)``."""
        is_one = not isinstance(self.source, list) and self.source.ndim == 3
        return np.asarray(self.source if is_one else self.source[self.place])


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


def leveled(layer: Picture, truth: Picture) -> Picture:
    """Return a layer with the gain and the offset that fit the truth best.

    A sum of two layers does not tell how bright either is, so no method can know.
    """
    brightness = np.stack([layer.ravel(), np.ones(layer.size)], axis=1)
    fitted, *_ = np.linalg.lstsq(brightness, truth.ravel(), rcond=None)
    return np.asarray((brightness @ fitted).reshape(truth.shape))


def matched(layers: Layers, truth: tuple[Picture, Picture]) -> tuple[Picture, Picture]:
    """Return both layers of a mixture in the order and at the level that fit the truth best."""
    one, other = layers["transmission"][0], layers["reflection"][0]
    orders = [(leveled(a, truth[0]), leveled(b, truth[1])) for a, b in ((one, other), (other, one))]
    return max(orders, key=lambda pair: reached(pair[0], truth[0]) + reached(pair[1], truth[1]))


def either(layers: Layers, truth: tuple[Picture, Picture]) -> float:
    """Return the mean PSNR of both layers; neither their order nor their level is judged."""
    pairs = zip(matched(layers, truth), truth, strict=True)
    return sum(reached(layer, real) for layer, real in pairs) / 2


def cut_out(picture: Picture, matte: Picture) -> Picture:
    """Return what a matte ``(H, W, channels)`` cuts out of a picture, on light gray."""
    inside = matte[..., :1] > 0.5
    return np.where(inside, picture, GRAY)


def overlap(matte: Picture, truth: Picture) -> float:
    """Return the intersection over union of a matte and the true mask."""
    found, real = matte[..., :1] > 0.5, truth[..., :1] > 0.5
    return float((found & real).sum() / max(1, (found | real).sum()))


def haze() -> TaskCase:
    """Return a photograph behind haze that is thicker towards the top."""
    through = np.linspace(0.3, 0.9, HEIGHT)[:, None, None]
    hazy = through * coffee() + (1 - through) * np.array([0.85, 0.87, 0.9])
    return hazy_case(hazy, coffee())


def hazy_case(hazy: Picture, clear: Picture) -> TaskCase:
    """Return the case of a hazy picture whose clear picture is known."""
    return TaskCase(
        "dehaze",
        hazy,
        {"clear": clear[None]},
        lambda layers: reached(layers["clear"][0], clear),
        lambda layers: np.asarray(layers["clear"][0]),
    )


def haze_pair(hazy: Path, clear: Path) -> TaskCase:
    """Return a hazy picture from a file; its clear picture is judged at the same size."""
    seen, truth = (cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in (hazy, clear))
    if seen is None or truth is None:
        raise SystemExit(f"{hazy if seen is None else clear}: cannot be read")
    if truth.shape != seen.shape:
        truth = cv2.resize(truth, seen.shape[1::-1], interpolation=cv2.INTER_AREA)
    return hazy_case(np.asarray(seen / 255), np.asarray(truth / 255))


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
        {"clean": coffee()[None]},
        lambda layers: reached(layers["clean"][0][where], coffee()[where]),
        lambda layers: np.asarray(layers["clean"][0]),
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
        {"clean": np.stack(pictures)},
        lambda layers: float(
            np.mean(
                [
                    reached(clean[where], picture[where])
                    for clean, picture in zip(layers["clean"], pictures, strict=True)
                ]
            )
        ),
        lambda layers: np.asarray(layers["clean"][0]),
    )


def two_layers(transmission: Picture, reflection: Picture) -> Layers:
    """Return the layers of a transparency task by role."""
    return {"transmission": transmission[None], "reflection": reflection[None]}


def one_mixture() -> TaskCase:
    """Return a sum of two photographs in encoded values."""
    truth = 0.55 * coffee(), 0.45 * portrait()
    return TaskCase(
        "transparency",
        truth[0] + truth[1],
        two_layers(*truth),
        lambda layers: either(layers, truth),
        lambda layers: matched(layers, truth)[0],
        options={"space": "gamma"},
    )


def two_textures() -> TaskCase:
    """Return a sum of two textures that repeat, in encoded values."""
    random = torch.Generator().manual_seed(0)
    one, other = (
        0.5 * draw(random, (HEIGHT, WIDTH)).permute(1, 2, 0).double().numpy()
        for draw in (stripes, tiles)
    )
    return TaskCase(
        "transparency",
        one + other,
        two_layers(one, other),
        lambda layers: either(layers, (one, other)),
        lambda layers: matched(layers, (one, other))[0],
        options={"space": "gamma"},
    )


def two_mixtures() -> TaskCase:
    """Return two mixtures of two photographs."""
    truth = coffee(), portrait()
    mixed = [share * coffee() + (1 - share) * portrait() for share in (0.7, 0.45)]
    return TaskCase(
        "transparency",
        mixed,
        two_layers(*truth),
        lambda layers: either(layers, truth),
        lambda layers: matched(layers, truth)[0],
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
        {"matte": matte[None]},
        lambda layers: overlap(layers["matte"][0], matte),
        lambda layers: cut_out(mixed, layers["matte"][0]),
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

    return TaskCase(
        "segment",
        clip,
        {"matte": np.stack(mattes)},
        score,
        lambda layers: cut_out(clip[0], layers["matte"][0]),
        unit="J",
    )


def dissolve() -> TaskCase:
    """Return the sample's two scenes in a dissolve of eight frames."""
    given = transition_case("the sample", 1, (HEIGHT, WIDTH), FIRST_MIXED, MIXED)
    first, second = (layer.permute(0, 2, 3, 1).double().numpy() for layer in given.truth)

    def score(layers: Layers) -> float:
        outgoing, incoming = layers["scene"]
        mixed = outgoing[FIRST_MIXED : FIRST_MIXED + MIXED]
        return (reached(mixed, first) + reached(incoming[:MIXED], second)) / 2

    clip = given.window.pixels.permute(0, 2, 3, 1).double().numpy()
    middle = FIRST_MIXED + MIXED // 2
    return TaskCase(
        "transition",
        clip,
        {"scene": [np.concatenate([clip[:FIRST_MIXED], first]), second]},
        score,
        lambda layers: np.asarray(layers["scene"][0][middle]),
        place=middle,
        options={"transition": [(FIRST_MIXED, FIRST_MIXED + MIXED - 1)]},
    )


CASES: dict[str, Callable[[], TaskCase]] = {
    "a dissolve": dissolve,
    "an object in a picture": object_in_a_picture,
    "an object in a clip": object_in_a_clip,
    "haze": haze,
    "a mark on a picture": marked_picture,
    "a mark on four pictures": marked_pictures,
    "one mixture": one_mixture,
    "two textures": two_textures,
    "two mixtures": two_mixtures,
}
"""All cases by name."""
