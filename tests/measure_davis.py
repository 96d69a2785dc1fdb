"""Measure `segment` on whole sequences with known mattes, through the command line.

    python tests/measure_davis.py [FOLDER] [--height 480] [--out davis.jsonl] [--clip NAME]
        [--begin 0.5 --count 24] [-- ...]

FOLDER has a folder for each clip, with its pictures in ``frames/`` and a mask of the same name for
each of them in ``masks/``, as in DAVIS 2016; by default it is the project's development footage.
Every clip becomes one line of JSON in ``--out``. Clips that are there already, at this height and
with these options, are not run again, so that a stopped measurement goes on where it was. With
``--begin`` and ``--count``, some frames of each clip are taken for a clip of their own. What stands
after ``--`` is passed on to ``run``.

J is the intersection over union of the matte above 0.5 and the mask. Its mean is over all frames,
its recall is the part of the frames with a J above 0.5. A row of ``--out`` also holds the J of each
frame, as ``each``: there one sees where in a clip the object is lost.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import media
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
RATE = 24
"""Frames a second of DAVIS."""
FOUND = 0.5
"""J above which a frame counts as found."""

Masks = NDArray[np.bool_]


def resized(path: Path, height: int) -> NDArray[np.uint8]:
    """Return a picture in RGB at ``height`` pixels and an even width, ``(height, W, 3)``.

    Raises SystemExit where it cannot be read.
    """
    picture = cv2.imread(str(path))
    if picture is None:
        raise SystemExit(f"{path}: not a picture")
    width = 2 * round(picture.shape[1] * height / picture.shape[0] / 2)
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[..., ::-1]).astype(np.uint8)


def overlaps(found: Masks, true: Masks) -> NDArray[np.float64]:
    """Return J of every frame, ``(T,)`` in [0, 1], of two stacks of masks ``(T, H, W)``.

    It is 1 where both are empty.
    """
    both, either = (found & true).sum((1, 2)), (found | true).sum((1, 2))
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def matte_of(run: Path) -> Masks:
    """Return where the matte of a finished run is above one half, ``(T, H, W)``."""
    layers = json.loads((run / "manifest.json").read_text())["layers"]
    (path,) = [layer["path"] for layer in layers if layer["role"] == "matte"]
    with av.open(str(run / path)) as box:
        return np.stack([frame.to_ndarray(format="gray") > 127 for frame in box.decode(video=0)])


def some_of(pictures: Sequence[Path], begin: float, count: int | None) -> Sequence[Path]:
    """Return ``count`` pictures, or all that follow, from a part ``begin`` in [0, 1] of them on.

    Where fewer follow, these are the last ``count``.
    """
    first = round(begin * len(pictures))
    if count is None:
        return pictures[first:]
    return pictures[max(0, min(first, len(pictures) - count)) :][:count]


def measured(
    clip: Path, height: int, options: Sequence[str], begin: float = 0.0, count: int | None = None
) -> dict[str, object]:
    """Run `segment` on a clip's pictures and return its row.

    clip: its folder. height: of the pictures, in pixels. options: more words for ``run``. begin,
    count: which of the pictures, see :func:`some_of`.
    """
    pictures = some_of(sorted((clip / "frames").iterdir()), begin, count)
    frames = np.stack([resized(path, height) for path in pictures])
    masks = [clip / "masks" / f"{path.stem}.png" for path in pictures]
    true = np.stack([resized(path, height)[..., 0] > 127 for path in masks])
    with tempfile.TemporaryDirectory(prefix="unlayer-davis-") as room:
        source = media.save(Path(room, f"{clip.name}.mkv"), frames, RATE)
        out = Path(room, "out")
        words = ["run", str(source), "--task", "segment", "--out", str(out), "--lossless"]
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "pipeline", *words, "--no-progress", *options],
            check=True,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.monotonic() - began
        shares = overlaps(matte_of(out), true)
    return {
        "clip": clip.name,
        "height": height,
        "options": list(options),
        "begin": begin,
        "count": count,
        "frames": len(frames),
        "mean": round(float(shares.mean()), 4),
        "recall": round(float((shares > FOUND).mean()), 4),
        "worst": round(float(shares.min()), 4),
        "each": [round(float(share), 3) for share in shares],
        "seconds": round(seconds, 1),
    }


def main(words: Sequence[str] | None = None) -> None:
    """Measure all clips that are not measured yet, and print the table."""
    given = list(sys.argv[1:] if words is None else words)
    begin = given.index("--") if "--" in given else len(given)
    passed_on = given[begin + 1 :]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=media.SHARED / "segment")
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--out", type=Path, default=Path("davis.jsonl"))
    parser.add_argument("--clip", action="append", help="only this one; may be given again")
    parser.add_argument(
        "--begin", type=float, default=0.0, help="part of each clip to leave out first"
    )
    parser.add_argument("--count", type=int, help="frames of each clip that are taken; default all")
    options = parser.parse_args(given[:begin])
    clips = [
        folder
        for folder in (sorted(options.folder.iterdir()) if options.folder.is_dir() else [])
        if (folder / "frames").is_dir() and (folder / "masks").is_dir()
        if not options.clip or folder.name in options.clip
    ]
    if not clips:
        print(f"skipped: {options.folder} holds no clip with frames/ and masks/")
        return
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    # Rows of earlier versions have neither, and are of whole clips.
    rows = [{"begin": 0.0, "count": None, **json.loads(line)} for line in lines]
    chosen = {"begin": options.begin, "count": options.count}
    wanted = {"height": options.height, "options": passed_on, **chosen}
    for clip in clips:
        same = {"clip": clip.name, **wanted}
        if any(same.items() <= row.items() for row in rows):
            continue
        rows.append(measured(clip, options.height, passed_on, **chosen))
        with options.out.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
    table = [row for row in rows if wanted.items() <= row.items()]
    print(f"{'clip':<20}{'frames':>7}{'J mean':>8}{'recall':>8}{'worst':>7}{'seconds':>9}")
    for row in table:
        print(
            f"{row['clip']:<20}{row['frames']:>7}{row['mean']:>8.3f}{row['recall']:>8.3f}"
            f"{row['worst']:>7.2f}{row['seconds']:>9.1f}"
        )
    means = [float(np.mean([row[name] for row in table])) for name in ("mean", "recall")]
    print(f"{'all':<27}{means[0]:>8.3f}{means[1]:>8.3f}")


if __name__ == "__main__":
    main()
