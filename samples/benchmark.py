"""Compare any method with Unlayer: write clips with known layers, and judge layers of your own.

    python -m samples.benchmark make clips
    python -m samples.benchmark score clips yours

`make` writes a folder for each task: the input, its true layers in `truth/`, and `about.json`,
which names the judged frames. `score` reads the same layers of your method from a folder for each
task, as videos or as folders of numbered pictures, and prints their PSNR beside that of a plain
method. The clips are those of `python -m pipeline bench`: they are made from numbers and are the
same on every machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.bench.clips import RATE, KnownClip, layer_frames, width_of
from pipeline.bench.measure import clip_of, psnr
from pipeline.runtime.run_record import read_json
from stages.errors import UnlayerError
from stages.media.clip import ClipInfo, Frames
from stages.media.formats import LayerFormat
from stages.media.read import open_clip
from stages.media.write import LayerWriter

TASKS = ("transition", "segment", "dehaze", "watermark", "transparency")
ABOUT = "about.json"

LEAST_HEIGHT = 16
"""Rows of the smallest clip that still shows its scenes."""


def make(folder: Path, tasks: Sequence[str], height: int, frames: int) -> None:
    """Write the clip and the true layers of each task.

    height: in pixels, at least :data:`LEAST_HEIGHT`; the width is 16:9. Raises UnlayerError for
    less, for fewer frames than a task needs, and where the folder is not writable.
    """
    if height < LEAST_HEIGHT:
        raise UnlayerError(f"--height {height}: a clip has at least {LEAST_HEIGHT} rows")
    if frames < 1:
        raise UnlayerError(f"--frames {frames}: a clip has at least 1 frame")
    for task in tasks:
        if frames < clip_of(task).least_frames:
            raise UnlayerError(f"--frames {frames}: {clip_of(task).reason}")
    for task in tasks:
        clip: KnownClip = clip_of(task).make(height, frames)
        place = folder / task
        try:
            (place / "truth").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnlayerError(f"{place}: cannot be made ({error.strerror})") from None
        clip.write(place / "input")
        first, last = clip.judged
        names = sorted(clip.truth(first))
        for name in names:
            info = ClipInfo(place, width_of(height), height, last - first + 1, RATE, 1 / RATE)
            with LayerWriter(place / "truth" / name, info, LayerFormat(lossless=True)) as writer:
                for index in range(first, last + 1):
                    picture = np.ascontiguousarray(clip.truth(index)[name].transpose(2, 0, 1))
                    time = (index - first) / RATE
                    writer.write(Frames(torch.from_numpy(picture)[None], (time,), index - first))
        about = {
            "task": task,
            "height": height,
            "frames": frames,
            "first_judged": first,
            "last_judged": last,
            "layers": names,
        }
        (place / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        print(f"{place}: judged frames {first} to {last} of {', '.join(names)}")


def score(folder: Path, yours: Path) -> list[tuple[str, str, float, float]]:
    """Return task, layer, and the PSNR in dB of a plain method and of yours, for what is there.

    folder: what :func:`make` wrote. yours: the layers of your method, in a folder for each task.
    A layer may hold the judged frames alone, or all frames of the clip. Raises UnlayerError for a
    layer of another size or length, for a damaged :data:`ABOUT`, and where no layer is found.
    """
    rows = []
    for about_path in sorted(folder.glob(f"*/{ABOUT}")):
        about = _about(about_path)
        clip: KnownClip = clip_of(about["task"]).make(about["height"], about["frames"])
        first, last = clip.judged
        for name in clip.truth(first):
            # A folder of pictures has no suffix.
            found = sorted(
                path for path in (yours / about["task"]).glob(f"{name}*") if path.stem == name
            )
            if not found:
                continue
            pictures = list(layer_frames(open_clip(found[:1], interlaced="keep").blocks()))
            if len(pictures) == about["frames"]:
                pictures = pictures[first : last + 1]
            shape = clip.truth(first)[name].shape
            if len(pictures) != last - first + 1 or pictures[0].shape != shape:
                raise UnlayerError(
                    f"{found[0]}: has {len(pictures)} frames of {pictures[0].shape[:2]}; "
                    f"{last - first + 1} of {shape[:2]} are judged"
                )
            pairs = [(clip.truth(index)[name], index) for index in range(first, last + 1)]
            plain = [psnr(clip.baseline(index)[name], truth) for truth, index in pairs]
            own = [psnr(mine, truth) for mine, (truth, _) in zip(pictures, pairs, strict=True)]
            rows.append((about["task"], name, float(np.mean(plain)), float(np.mean(own))))
    if not rows:
        raise UnlayerError(f"{yours}: holds none of the layers that {folder}/*/{ABOUT} names")
    return rows


def _about(path: Path) -> dict[str, Any]:
    """Return what :func:`make` wrote about a clip. Raises UnlayerError where it is damaged."""
    about = read_json(path)
    if (
        about is None
        or about.get("task") not in TASKS
        or not all(isinstance(about.get(key), int) for key in ("height", "frames"))
    ):
        raise UnlayerError(f"{path}: is damaged; write the clips again with make")
    return about


def main(words: Sequence[str]) -> int:
    """Do what the words ask for and return the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    maker = verbs.add_parser("make", help="write clips with known layers")
    maker.add_argument("folder", type=Path)
    maker.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    maker.add_argument("--height", type=int, default=144)
    maker.add_argument("--frames", type=int, default=20)
    judge = verbs.add_parser("score", help="judge the layers of a method")
    judge.add_argument("folder", type=Path)
    judge.add_argument("yours", type=Path)
    asked = parser.parse_args(words)
    try:
        if asked.verb == "make":
            make(asked.folder, asked.tasks, asked.height, asked.frames)
            return 0
        rows = score(asked.folder, asked.yours)
    except UnlayerError as error:
        print(error, file=sys.stderr)
        return 1
    print("| task | layer | plain method, dB | yours, dB |\n|---|---|---|---|")
    for task, name, plain, own in rows:
        print(f"| {task} | {name} | {plain:.1f} | {own:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
