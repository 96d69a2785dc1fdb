"""Make the pictures in ``docs/``.

    python -m samples.figures [steps] [motion] [left-out] [curves] [tasks] [confidence]

Without names it makes all of them. The code is the one that a run uses; the inputs are the sample's
scenes and photographs, whose true layers are known.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import Tensor

from pipeline import separate
from samples.ablation import MIXED, ROWS, SIZE, STILL, WHOLE, Case, by_plan, case, take_apart
from samples.make import scene_a, scene_b
from stages.mixing.forward_model import Pair
from stages.mixing.light_dissolve import GAMMA
from stages.mixing.psnr import psnr_of
from stages.motion.carry import carry, coarser_levels
from stages.transition.reconcile import trust_of

DOCS = Path(__file__).parents[1] / "docs"
MEASURED = Path(__file__).with_name("confidence.json")
"""Expected and true quality of made inputs, by kind."""
Tile = NDArray[np.uint8]
TEXT = 18
"""Height of a line of text, in pixels."""
GAP = 4
"""Space between pictures, in pixels."""
COLORS = 200
"""Colours in a picture's palette; a palette keeps the files small."""
INK = (40, 40, 40)
"""Colour of the text, RGB."""


def tile(picture: Tensor | NDArray[np.float64], label: str) -> Tile:
    """Return a picture with a line of text above it.

    picture: ``(3, H, W)`` or ``(1, H, W)`` in [0, 1]. The result is ``(H + TEXT, W, 3)``.
    """
    values = torch.as_tensor(picture).clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).numpy()
    out = np.full((values.shape[0] + TEXT, values.shape[1], 3), 255, np.uint8)
    out[TEXT:] = np.rint(255 * values)
    cv2.putText(out, label, (1, TEXT - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.36, INK, 1, cv2.LINE_AA)
    return out


def grid(rows: Sequence[Sequence[Tile]]) -> Tile:
    """Return rows of equally large tiles as one picture, with white between them."""

    def joined(parts: Sequence[Tile], axis: int) -> Tile:
        gap = list(parts[0].shape)
        gap[axis] = GAP
        between = [
            part
            for number, part in enumerate(parts)
            for part in ([np.full(gap, 255, np.uint8)] if number else []) + [part]
        ]
        return np.concatenate(between, axis)

    return joined([joined(row, 1) for row in rows], 0)


def save_picture(path: Path, picture: Tile, colors: int = COLORS) -> None:
    """Write a PNG file with a palette of so many colours."""
    palette = Image.fromarray(picture).quantize(colors, dither=Image.Dither.NONE)
    palette.save(path, optimize=True)


def save(name: str, picture: Tile) -> None:
    """Write ``docs/<name>.png`` with a palette."""
    save_picture(DOCS / f"{name}.png", picture)


def steps() -> Tile:
    """Draw one late frame of both scenes: the input, the result of each step, the truth."""
    given = case("", 3)
    place = MIXED - 4  # here the outgoing scene is a third of the mixture
    mixed = given.window.pixels[given.mixture.mixed][place]
    made = {
        "held": by_plan(given, STILL),
        "motion": take_apart(given, "without sweeps and ties")[0],
        "+ sweeps and ties": by_plan(given, WHOLE),
    }
    rows = []
    for side, name in enumerate(("outgoing", "incoming")):
        tiles = [tile(mixed, "mixed frame")]
        for label, layers in made.items():
            reached = psnr_of(float(((layers[side][place] - given.truth[side][place]) ** 2).mean()))
            tiles.append(tile(layers[side][place], f"{label}: {reached:.1f} dB"))
        rows.append([*tiles, tile(given.truth[side][place], f"true {name} scene")])
    return grid(rows)


def motion() -> Tile:
    """Draw both flows that are fitted through the mixture, what they carry, and its trust."""
    given = case("", 3)
    mixture, place = given.mixture, MIXED // 2
    found = carry(mixture, coarser_levels(WHOLE.levels, SIZE[0]))
    trust = trust_of(mixture, found.layers)
    top = max(float(flow[place].norm(dim=0).max()) for flow in found.flows)
    rows = []
    for side, name in enumerate(("outgoing", "incoming")):
        frame = mixture.frames[found.templates[side]]
        shown = colored(found.flows[side][place], top)
        rows.append(
            [
                tile(frame, f"clean frame, {name}"),
                tile(shown, "its flow"),
                tile(found.layers[side][place], "carried along it"),
            ]
        )
    rows[0].append(tile(mixture.frames[mixture.mixed][place], "mixed frame"))
    rows[1].append(tile(trust[place], f"trust, mean {float(trust.mean()):.2f}"))
    return grid(rows)


def colored(flow: Tensor, top: float) -> Tensor:
    """Draw a flow ``(2, H, W)``: hue is its direction, saturation its length over ``top``."""
    angle, length = torch.atan2(flow[1], flow[0]), flow.norm(dim=0) / top
    planes = [180 * (angle / np.pi + 1) / 2, 255 * length.clamp(0, 1), torch.full_like(length, 255)]
    hue = torch.stack(planes, -1).numpy().astype(np.uint8)
    return torch.from_numpy(cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)).permute(2, 0, 1).float() / 255


def left_out() -> Tile:
    """Draw one late frame of the outgoing scene, each time with one part of the method left out."""
    given, place = case("", 3), MIXED - 3
    names = [
        "everything",
        "without motion through the mixture",
        "without sweeps and ties",
        "without anchors",
        "networks alone",
    ]
    tiles = [
        tile(given.window.pixels[given.mixture.mixed][place], "mixed frame"),
        tile(given.truth[0][place], "true outgoing scene"),
    ]
    for name in [*names, next(reversed(ROWS))]:
        layers, _ = take_apart(given, name)
        reached = psnr_of(float(((layers[0][place] - given.truth[0][place]) ** 2).mean()))
        short = (
            name.replace("through the mixture", "")
            .replace("nothing: the last clean frames, ", "")
            .strip()
        )
        tiles.append(tile(layers[0][place], f"{short}: {reached:.1f} dB"))
    return grid([tiles[:4], tiles[4:]])


def curves() -> Tile:
    """Plot the PSNR of both layers in each mixed frame: everything, motion alone, held frames."""
    given = case("", 1)
    made = {
        "everything": (by_plan(given, WHOLE), (30, 90, 200)),
        "motion alone": (take_apart(given, "without sweeps and ties")[0], (220, 130, 30)),
        "held": (by_plan(given, STILL), (120, 120, 120)),
    }
    return grid([[_curve_panel(given, made, side) for side in (0, 1)]])


def _curve_panel(
    given: Case, made: Mapping[str, tuple[Pair, tuple[int, int, int]]], side: int
) -> Tile:
    """Return the plot of one scene: side 0 is the outgoing one, side 1 the incoming one.

    made: the layers and the colour of each curve, by its label.
    """
    wide, high, low, top = 300, 200, 15.0, 55.0

    def row(level: float) -> int:
        return round(high - 20 - (level - low) / (top - low) * (high - 40))

    panel = np.full((high, wide, 3), 255, np.uint8)

    def write(text: str, at: tuple[int, int], color: tuple[int, int, int], size: float) -> None:
        cv2.putText(panel, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, color, 1, cv2.LINE_AA)

    for level in range(int(low), int(top) + 1, 10):
        y = row(level)
        cv2.line(panel, (30, y), (wide - 5, y), (220, 220, 220), 1)
        write(str(level), (4, y + 4), INK, 0.36)
    for number, (label, (layers, color)) in enumerate(made.items()):
        errors = ((layers[side] - given.truth[side]) ** 2).flatten(1).mean(1)
        points = [
            (30 + round((wide - 40) * place / (MIXED - 1)), row(psnr_of(float(error))))
            for place, error in enumerate(errors)
        ]
        cv2.polylines(panel, [np.array(points, np.int32)], False, color, 2, cv2.LINE_AA)
        write(label, (30 + 95 * number, high - 5), color, 0.36)
    write(f"{('outgoing', 'incoming')[side]} scene, dB by frame", (30, 14), INK, 0.4)
    return panel


def tasks() -> Tile:
    """Draw the other tasks on the sample's photographs: the input and the layers."""
    height, width = SIZE

    def small(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(resized / 255)

    coffee, portrait = small(data.coffee()), small(data.astronaut())
    scene = np.stack([small(frame) for frame in scene_a()[10:26]])
    others = np.stack([small(frame) for frame in scene_b()[:3]])
    clear_air = np.linspace(0.3, 0.9, height)[:, None, None]
    hazy = clear_air * coffee + (1 - clear_air) * np.array([0.85, 0.87, 0.9])
    matte = np.zeros((height, width), np.uint8)
    cv2.putText(matte, "SAMPLE", (30, 65), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 3, cv2.LINE_AA)
    share = 0.6 / 255 * matte[..., None]
    marked = [(1 - share) * picture + share for picture in (coffee, portrait, others[2])]
    light = [(a * coffee**GAMMA + (1 - a) * portrait**GAMMA) ** (1 / GAMMA) for a in (0.7, 0.45)]
    rows = []
    for task, source, roles in (
        ("segment", [scene], ("foreground", "background", "matte")),
        ("dehaze", [hazy], ("clear", "transmission", "airlight")),
        ("watermark", marked, ("clean", "watermark", "matte")),
        ("transparency", light, ("transmission", "reflection")),
    ):
        several = len(source) > 1
        given = [np.asarray(item) for item in source] if several else source[0]
        first = source[0]
        if first.ndim == 4:
            first = first[len(first) // 2]
        label = f"{task}: input" + f", 1 of {len(source)}" * several
        with separate(given, task, preset="balanced") as made:
            shown = {layer.role: layer for layer in reversed([*made.layers.values()])}
            tiles = [tile(first.transpose(2, 0, 1), label)]
            for role in roles:
                frames = shown[role].frames
                middle = frames[len(frames) // 2] / np.iinfo(frames.dtype).max
                tiles.append(tile(middle.transpose(2, 0, 1), role))
        blank = np.full_like(tiles[0], 255)
        rows.append([*tiles, blank][:4])
    return grid(rows)


def confidence() -> Tile:
    """Draw true against expected quality, a panel a kind. A dot is a frame, the line equality.

    The values are those that `tests/measure_confidence.py --rows` keeps.
    """
    return grid([[_quality_panel(*each) for each in json.loads(MEASURED.read_text()).items()]])


def _quality_panel(name: str, pairs: Sequence[tuple[float, float]]) -> Tile:
    """Return the plot of one kind. name: of the kind and its unit. pairs: expected and true."""
    side, rim = 150, 24
    low, high = (0.0, 1.0) if name.endswith("J") else (10.0, 60.0)

    def place(value: float) -> int:
        return round(side * (min(max(value, low), high) - low) / (high - low))

    panel = np.full((side + 2 * rim, side + 2 * rim, 3), 255, np.uint8)
    cv2.rectangle(panel, (rim, rim), (rim + side, rim + side), (200, 200, 200), 1)
    cv2.line(panel, (rim, rim + side), (rim + side, rim), (150, 150, 150), 1, cv2.LINE_AA)
    for expected, true in pairs:
        at = rim + place(expected), rim + side - place(true)
        cv2.circle(panel, at, 1, (40, 90, 180), -1, cv2.LINE_AA)
    for text, at in (
        (f"true: {name}", (4, rim - 8)),
        (f"expected, {low:g} to {high:g}", (rim, side + 2 * rim - 8)),
    ):
        cv2.putText(panel, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.38, INK, 1, cv2.LINE_AA)
    return panel


PICTURES: dict[str, Callable[[], Tile]] = {
    "steps": steps,
    "motion": motion,
    "left-out": left_out,
    "curves": curves,
    "tasks": tasks,
    "confidence": confidence,
}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or PICTURES:
        save(wanted, PICTURES[wanted]())
        print(DOCS / f"{wanted}.png", (DOCS / f"{wanted}.png").stat().st_size)
