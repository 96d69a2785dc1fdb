"""Measure how well a mark that is tiled over one picture is found and taken off.

    python tests/measure_tiled.py PICTURE... [--count 20] [--seed 7] [--textures 20] [--look]

A PICTURE is a file, or a folder with such files. Each case is a part of one of them at a drawn size
under a drawn mark (`tiled_marks.py`), and the same part without the mark. TEXTURES more are drawn
textures that repeat by themselves.
A row has the case's number, whether a mark was found, and with ``--look`` nothing more: the mark
is not taken off then. Else PSNR follows in dB against the clean picture, before and after: inside
the mark, and outside of it. Everything follows from the seed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
import torch
from tiled_marks import Picture, TiledCase, saved, textured, tiled_case

from stages.context import FitSettings, SeparationContext
from stages.watermark.effort import EFFORTS
from stages.watermark.layers import separate
from stages.watermark.survey import survey
from stages.watermark.tiled_mark import find_tiled_mark

SIDES = (340.0, 760.0)
"""Pixels of the longer side of a case's picture."""
LEAST_SIDE = 140
"""Pixels of the shorter side, at least."""


def main(words: Sequence[str] | None = None) -> int:
    """Print a row for each case, and the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--textures", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--look", action="store_true")
    options = parser.parse_args(words)
    pictures = readable(options.pictures)
    found, wrong, scores = 0, 0, []
    for number in range(options.count):
        seed = 1000 * options.seed + number
        clean = drawn_part(pictures, seed)
        case = tiled_case(clean, seed)
        is_wrong = is_found(saved(clean, None))
        wrong += is_wrong
        text = ""
        if options.look:
            is_seen = is_found(case.marked)
        else:
            is_seen, score = taken_off(case)
            scores.append(score)
            text = " ".join(f"{value:.2f}" for value in score)
        found += is_seen
        print(f"{number} {case.kind}: {is_seen} {text}; without it: {is_wrong}", flush=True)
    textures = 0
    for number in range(options.textures):
        random = np.random.default_rng(1000 * options.seed + number)
        size = int(random.integers(300, 600)), int(random.integers(300, 600))
        texture, kind = textured(1000 * options.seed + number, size)
        is_wrong = is_found(texture)
        textures += is_wrong
        print(f"texture {number} {kind}: {is_wrong}", flush=True)
    print(
        f"found {found} of {options.count}, without a mark {wrong} of {options.count}, "
        f"textures {textures} of {options.textures}"
    )
    if scores:
        table = np.array(scores)
        print("inside", *table.mean(0)[:2].round(2), "outside", *table.mean(0)[2:].round(2))
        print(
            "least inside", table[:, 1].min().round(2), "least outside", table[:, 3].min().round(2)
        )
        print("below their input", int((table[:, 1] < table[:, 0]).sum()))
    return 0


def readable(paths: Sequence[Path]) -> list[Path]:
    """Return the pictures among files and the files of folders, in order.

    Raises SystemExit where there is none.
    """
    files = [
        file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])
    ]
    pictures = [file for file in files if file.is_file() and cv2.haveImageReader(str(file))]
    if not pictures:
        raise SystemExit("none of these is a picture or a folder with pictures")
    return pictures


def drawn_part(pictures: Sequence[Path], seed: int) -> Picture:
    """Return a part of one of the ``pictures``, at a size that is drawn as well."""
    random = np.random.default_rng(seed)
    while True:
        path = pictures[int(random.integers(len(pictures)))]
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        assert picture is not None, f"{path}: a damaged picture"
        height, width = (round(side * random.uniform(0.7, 1)) for side in picture.shape[:2])
        top, left = (
            random.integers(0, whole - part + 1)
            for whole, part in zip(picture.shape[:2], (height, width), strict=True)
        )
        scale = min(1.0, random.uniform(*SIDES) / max(height, width))
        size = round(width * scale), round(height * scale)
        if min(size) >= LEAST_SIDE:
            part = picture[top : top + height, left : left + width]
            part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
            return np.asarray(part, np.float32) / np.float32(255)


def as_tensor(picture: Picture) -> torch.Tensor:
    """Return a picture ``(H, W, 3)`` as a tensor ``(3, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float()


def is_found(picture: Picture) -> bool:
    """Return whether a tiled mark is found in a picture."""
    return find_tiled_mark(as_tensor(picture), EFFORTS["fast"]) is not None


def taken_off(case: TiledCase) -> tuple[bool, tuple[float, ...]]:
    """Return whether the mark is found, and PSNR inside and outside, before and after."""
    context = SeparationContext(FitSettings(preset="fast"))
    frames = as_tensor(case.marked)[None]
    facts = survey(frames, context)
    made = separate(frames, facts, context).layers["clean"][0].permute(1, 2, 0).numpy()
    inside = case.matte > 0.02 * case.matte.max()
    return facts.opacity > 0, tuple(
        float(-10 * np.log10(max(1e-7, np.square(each - case.clean)[where].mean())))
        for where in (inside, ~inside)
        for each in (case.marked, np.round(255 * made) / 255)
    )


if __name__ == "__main__":
    raise SystemExit(main())
