"""Compare the layers of this tree with those of another revision, byte for byte.

    python tests/compare_revisions.py 3c592e8
    python tests/compare_revisions.py HEAD~5 --cases dissolve segment-clip

Every case is run by both revisions with the same interpreter, seed and one thread. A refactoring
changes no layer: then every line says ``same bytes``. Otherwise a line says how far the two
layers are apart (PSNR in dB), and the exit status is 1. The inputs are made here from numbers,
so no footage is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
Frames = NDArray[np.float64]
SIZE = (72, 96)
"""Height and width of the made inputs, in pixels."""


def texture(seed: int, size: tuple[int, int], grain: int = 8) -> Frames:
    """Return a random coloured picture ``(H, W, 3)`` in [0, 1] with blobs of ``grain`` pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((size[0] // grain + 3, size[1] // grain + 3, 3))
    fine = rng.random((size[0] // 2 + 3, size[1] // 2 + 3, 3))
    picture = 0.75 * cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    picture += 0.25 * cv2.resize(fine, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(picture.clip(0, 1))


def panning(seed: int, count: int, step: tuple[int, int]) -> Frames:
    """Return ``count`` frames of a texture that moves by ``step`` pixels (x, y) a frame."""
    wide = texture(seed, (SIZE[0] + 64, SIZE[1] + 64))
    frames = []
    for t in range(count):
        left, top = 32 + step[0] * t, 32 + step[1] * t
        frames.append(wide[top : top + SIZE[0], left : left + SIZE[1]])
    return np.stack(frames)


def dissolve() -> Frames:
    """Return two panning scenes with a linear dissolve of eight frames between them."""
    a, b = panning(1, 28, (1, 0)), panning(2, 28, (-1, 1))
    weight = np.clip((np.arange(28) - 9) / 9, 0, 1)[:, None, None, None]
    return (1 - weight) * a + weight * b


def wipe() -> Frames:
    """Return two panning scenes; the second replaces the first from the left in ten frames."""
    a, b = panning(3, 30, (0, 1)), panning(4, 30, (1, 0))
    edge = np.clip((np.arange(30) - 9) / 11, 0, 1)[:, None, None, None] * SIZE[1]
    matte = (np.arange(SIZE[1])[None, None, :, None] < edge).astype(float)
    return (1 - matte) * a + matte * b


def moving_square() -> Frames:
    """Return a textured square that crosses a resting background."""
    frames = np.repeat(texture(5, SIZE)[None], 12, 0)
    square = texture(6, (24, 24), grain=6)
    for t, frame in enumerate(frames):
        frame[24:48, 8 + 4 * t : 32 + 4 * t] = square
    return frames


def hazy() -> Frames:
    """Return a picture behind haze that thickens towards its upper edge."""
    transmission = np.linspace(0.3, 0.9, SIZE[0])[:, None, None]
    return (transmission * texture(7, SIZE) ** 2 + (1 - transmission) * 0.85)[None]


def mark() -> Frames:
    """Return a matte ``(H, W, 1)``: two bars that cover the middle of the picture by half."""
    matte = np.zeros((*SIZE, 1))
    matte[26:32, 24:72] = matte[40:46, 24:72] = 0.5
    return matte


def marked() -> Frames:
    """Return three unrelated pictures under one white mark."""
    return np.stack([(1 - mark()) * texture(10 + n, SIZE) + mark() for n in range(3)])


def box() -> Frames:
    """Return the hint for :func:`mark`: white where the mark lies, black elsewhere."""
    hint = np.zeros((1, *SIZE, 3))
    hint[:, 20:52, 18:78] = 1
    return hint


def reflections() -> Frames:
    """Return two mixtures of the same two layers."""
    a, b = texture(20, SIZE), texture(21, SIZE, grain=14)
    return np.stack([0.7 * a + 0.3 * b, 0.45 * a + 0.55 * b])


def reflected_clip() -> Frames:
    """Return a clip in which two layers of light move in different directions."""
    return 0.65 * panning(30, 10, (2, 0)) + 0.35 * panning(31, 10, (-2, 1))


CASES: dict[str, tuple[str, Callable[[], Frames], str, bool]] = {
    "dissolve": ("transition", dissolve, "--preset balanced", True),
    "dissolve-fast": ("transition", dissolve, "--preset fast", True),
    "wipe": ("transition", wipe, "--preset fast", True),
    "segment-clip": ("segment", moving_square, "", True),
    "segment-picture": ("segment", lambda: moving_square()[:1], "", False),
    "dehaze-picture": ("dehaze", hazy, "", False),
    "watermark-pictures": ("watermark", marked, "", False),
    "watermark-box": ("watermark", lambda: marked()[:1], "--hint HINT", False),
    "transparency-mixtures": ("transparency", reflections, "", False),
    "transparency-clip": ("transparency", reflected_clip, "", True),
    "transparency-guess": ("transparency", lambda: reflections()[:1], "--strength 2", False),
}
"""Each case by its name: task, input, further options, and whether the input is one clip."""


def save(frames: Frames, folder: Path, name: str, clip: bool) -> list[Path]:
    """Write 8-bit ``frames`` losslessly, as one clip or as pictures, and return the files."""
    values = np.round(frames * 255).clip(0, 255).astype(np.uint8)
    if not clip:
        files = [folder / f"{name}-{n}.png" for n in range(len(values))]
        for file, picture in zip(files, values, strict=True):
            cv2.imwrite(str(file), picture[..., ::-1])
        return files
    file = folder / f"{name}.mkv"
    with av.open(str(file), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "bgr0"
        for picture in values:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return [file]


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Check ``revision`` out in a temporary folder for the time of the block."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(folder), revision], check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def run(tree: Path, task: str, inputs: list[Path], options: list[str], out: Path) -> None:
    """Run ``task`` with the code of ``tree``, and write the layers losslessly to ``out``."""
    words = [sys.executable, "-m", "pipeline", "run", *map(str, inputs), "--task", task]
    words += ["--out", str(out), "--seed", "0", "--lossless", "--no-progress", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tree)}
    done = subprocess.run(words, cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{tree}: {' '.join(words)}\n{done.stderr}")


def frames_of(file: Path) -> NDArray[np.uint8]:
    """Decode a layer's file to ``(T, H, W, 4)``."""
    with av.open(str(file)) as opened:
        frames = [frame.to_ndarray(format="rgba") for frame in opened.decode(video=0)]
    return np.stack(frames)


def compare(one: Path, other: Path) -> list[tuple[str, float]]:
    """Return, for each layer of two runs, its name and the PSNR between them in dB.

    The PSNR is infinite for equal frames. It is 0 where one run lacks the layer, or where the
    sizes differ.
    """
    layers = []
    for folder in (one, other):
        entries = json.loads((folder / "manifest.json").read_text())["layers"]
        layers.append({entry["path"] for entry in entries})
    result = []
    for path in sorted(layers[0] | layers[1]):
        distance = 0.0
        if path in layers[0] & layers[1]:
            first, second = frames_of(one / path), frames_of(other / path)
            if first.shape == second.shape:
                error = ((first.astype(float) - second) ** 2).mean() / 255**2
                distance = float("inf")
                if error > 0:
                    distance = float(-10 * np.log10(error))
        result.append((path, distance))
    return result


def main() -> int:
    """Run all cases with both revisions, print a line for each layer, return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("revision", help="what to compare with, for example a commit")
    parser.add_argument("--cases", nargs="+", choices=sorted(CASES), default=list(CASES))
    told = parser.parse_args()
    different = 0
    with checked_out(told.revision) as before, tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        (hint,) = save(box(), folder, "hint", clip=False)
        for name in told.cases:
            task, make, options, clip = CASES[name]
            inputs = save(make(), folder, name, clip)
            words = [str(hint) if word == "HINT" else word for word in options.split()]
            for label, tree in (("before", before), ("after", ROOT)):
                run(tree, task, inputs, words, folder / f"{name}-{label}")
            for layer, distance in compare(folder / f"{name}-before", folder / f"{name}-after"):
                same = distance == float("inf")
                different += not same
                verdict = "same bytes" if same else f"{distance:.1f} dB apart"
                print(f"{name:22} {layer:24} {verdict}", flush=True)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
