"""Hold plain answers of other programs against this one, on drawn clips with known layers.

    python tests/measure_peers.py --seed 1200 --count 4 --stories 60

Each clip follows from its seed: the scenes are those of ``bench``, with drawn marks, haze and
colours, and the stories are those of ``tests/stories.py``. All answers are judged alike, by the
truth. What an answer is told beyond the clip stands in the table:

- marks: OpenCV's inpainting (Telea) is told the mark's pixels, and this program a box around it,
  as is FFmpeg's ``delogo`` where PyAV's FFmpeg has it. Judged is the PSNR in the mark's pixels.
- foregrounds: OpenCV's MOG2 is told nothing, GrabCut a box around the thing in every frame, this
  program nothing. Judged is the mean overlap J of the matte.
- haze: the dark channel prior with a guided filter (He et al. 2009). Judged is the PSNR.
- cuts: FFmpeg's ``scdet`` at its default threshold, and PySceneDetect's detectors with their
  defaults, and with shots of any length allowed (``pip install scenedetect``; without it, they are
  left out). Judged are the cuts that are found and those that are invented, and the dissolves and
  fades that are found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import av
import av.filter
import cv2
import numpy as np
from measure_kinds import write_lossless
from numpy.typing import NDArray
from stories import blocks, compare, drawn

from pipeline import separate
from pipeline.bench.clips import Scene, width_of
from stages.find.search import find

Clip = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Layer = NDArray[np.floating]

HEIGHT, FRAMES = 144, 20
"""Height in pixels and length of the clips with layers."""
WORDS = ("BENCH", "LOGO", "TV 4", "sample", "(c) me")
GROWN = 2  # pixels around the mark that inpainting replaces as well
BOX_MARGIN = 4  # pixels between the mark, or the thing, and the box that an answer is told
GRABCUT_ROUNDS = 5
PATCH, OMEGA, LEAST_TRANSMISSION = 15, 0.95, 0.1
"""Side of a patch, part of the haze that is removed, and lower limit, as in the publication."""
FILTER_RADIUS, FILTER_NOISE = 20, 1e-3
BRIGHTEST = 0.001  # part of the pixels, by their dark channel, that the airlight is taken from
SCDET = "threshold=10"  # FFmpeg's default


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the first clip; others follow")
    parser.add_argument("--count", type=int, default=4, help="clips of each kind")
    parser.add_argument("--stories", type=int, default=60, help="clips in which cuts are found")
    parser.add_argument("--preset", default="fast", help="of this program")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    tables: tuple[tuple[str, str, Callable[[int, str], Mapping[str, float]]], ...] = (
        ("mark", "PSNR in the mark, dB", marks),
        ("foreground", "J", foregrounds),
        ("haze", "PSNR, dB", haze),
    )
    if asked.count:
        last = asked.seed + asked.count - 1
        print(f"Seeds {asked.seed} to {last}, {HEIGHT} rows, {FRAMES} frames\n")
        print("| clip | answer | figure | mean | least | most |\n|---|---|---|---|---|---|")
    for name, figure, measure in tables:
        found: dict[str, list[float]] = defaultdict(list)
        for seed in range(asked.seed, asked.seed + asked.count):
            for answer, value in measure(seed, asked.preset).items():
                found[answer].append(value)
        for answer, values in found.items():
            digits = 2 if figure == "J" else 1
            numbers = (np.mean(values), min(values), max(values))
            cells = " | ".join(f"{number:.{digits}f}" for number in numbers)
            print(f"| {name} | {answer} | {figure} | {cells} |", flush=True)
    cuts(asked.seed, asked.stories)


def marks(seed: int, preset: str) -> dict[str, float]:
    """Return the PSNR in the pixels of a drawn mark, by answer."""
    rng = np.random.default_rng([seed, 1])
    scene, size = Scene(seed, HEIGHT), (HEIGHT, width_of(HEIGHT))
    word = np.zeros(size, np.uint8)
    place = int(rng.integers(8, size[1] // 3)), int(rng.integers(30, HEIGHT - 12))
    text, scale = WORDS[rng.integers(len(WORDS))], float(rng.uniform(0.7, 1.2))
    cv2.putText(word, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 2, cv2.LINE_AA)
    alpha = rng.uniform(0.3, 0.9) * (word / 255.0)[..., None]
    color = rng.choice([0.0, 1.0], p=[0.2, 0.8]) * np.ones(3)
    clean = np.stack([scene.frame(index) for index in range(FRAMES)])
    mixed = as_levels((1 - alpha) * clean + alpha * color)
    drawn_mask = word > 0
    box = around(drawn_mask, BOX_MARGIN)
    left, top, width, height = box
    mask = cv2.dilate(word, np.ones((2 * GROWN + 1,) * 2, np.uint8))
    inpainted = np.stack([cv2.inpaint(frame, mask, 3, cv2.INPAINT_TELEA) for frame in mixed])
    with separate(
        mixed, "watermark", preset=preset, hint=f"box:{left},{top},{width},{height}"
    ) as made:
        ours = made.layers["clean"].frames
    answers = {
        "the input as it is": mixed,
        "OpenCV inpaint (Telea), told the pixels": inpainted,
        "Unlayer, told a box": ours,
    }
    # The FFmpeg that comes with PyAV has no filters under the GPL.
    if "delogo" in av.filter.filters_available:
        options = f"x={left}:y={top}:w={width}:h={height}"
        answers["FFmpeg delogo, told a box"] = np.stack(list(filtered(mixed, "delogo", options)))
    return {
        name: psnr(frames[:, drawn_mask] / 255.0, clean[:, drawn_mask])
        for name, frames in answers.items()
    }


def foregrounds(seed: int, preset: str) -> dict[str, float]:
    """Return the mean overlap of the mattes of a moving disc, by answer."""
    scene = Scene(seed, HEIGHT)
    frames = as_levels(np.stack([scene.frame(index) for index in range(FRAMES)]))
    true = np.stack([scene.matte(index)[..., 0] > 0.5 for index in range(FRAMES)])
    subtractor = cv2.createBackgroundSubtractorMOG2(detectShadows=False)
    moving = np.stack([subtractor.apply(frame) > 0 for frame in frames])
    boxed = np.stack([grabcut(frame, mask) for frame, mask in zip(frames, true, strict=True)])
    with separate(frames, "segment", preset=preset) as made:
        ours = made.layers["matte"].frames[..., 0] > 127
    answers = {
        "OpenCV MOG2, told nothing": moving,
        "OpenCV GrabCut, told a box in each frame": boxed,
        "Unlayer, told nothing": ours,
    }
    return {name: overlap(found, true) for name, found in answers.items()}


def grabcut(frame: Clip, mask: Mask) -> Mask:
    """Return what GrabCut finds in a box around the mask, ``(H, W)``."""
    cv2.setRNGSeed(0)
    sides = np.zeros(mask.shape, np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    box = around(mask, BOX_MARGIN)
    cv2.grabCut(frame, sides, box, *models, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_RECT)
    return np.asarray((sides == cv2.GC_FGD) | (sides == cv2.GC_PR_FGD))


def haze(seed: int, preset: str) -> dict[str, float]:
    """Return the PSNR of the clear layer of a hazy scene, by answer."""
    rng = np.random.default_rng([seed, 3])
    scene = Scene(seed, HEIGHT)
    top, bottom = rng.uniform(0.25, 0.9, 2).tolist()
    transmission = np.linspace(top, bottom, HEIGHT)[:, None, None]
    light = rng.uniform(0.75, 0.95) + rng.uniform(-0.03, 0.03, 3)
    clear = np.stack([scene.frame(index) for index in range(FRAMES)])
    mixed = as_levels(transmission * clear + (1 - transmission) * light)
    with separate(mixed, "dehaze", preset=preset) as made:
        ours = made.layers["clear"].frames / 255.0
    answers = {
        "the input as it is": mixed / 255.0,
        "dark channel prior, each frame alone": np.stack([dark_channel(each) for each in mixed]),
        "Unlayer": ours,
    }
    return {name: psnr(frames, clear) for name, frames in answers.items()}


def dark_channel(frame: Clip) -> Layer:
    """Return a frame without haze by the dark channel prior, ``(H, W, 3)`` in [0, 1]."""
    picture = frame / 255.0
    dark = cv2.erode(picture.min(2), np.ones((PATCH, PATCH)))
    brightest = dark >= np.quantile(dark, 1 - BRIGHTEST)
    light = picture[brightest].mean(0)
    rough = 1 - OMEGA * cv2.erode((picture / light).min(2), np.ones((PATCH, PATCH)))
    transmission = guided(rough, picture.mean(2)).clip(LEAST_TRANSMISSION, 1)[..., None]
    return np.asarray(((picture - light) / transmission + light).clip(0, 1))


def guided(values: Layer, guide: Layer) -> Layer:
    """Return ``values`` ``(H, W)``, aligned with the edges of a grey guide (He et al. 2010)."""

    def mean(picture: Layer) -> Layer:
        return np.asarray(cv2.blur(picture, (2 * FILTER_RADIUS + 1,) * 2))

    covariance = mean(guide * values) - mean(guide) * mean(values)
    slope = covariance / (mean(guide**2) - mean(guide) ** 2 + FILTER_NOISE)
    offset = mean(values) - slope * mean(guide)
    return np.asarray(mean(slope) * guide + mean(offset))


def cuts(seed: int, count: int) -> None:
    """Print how well cuts are found in drawn stories."""
    true, found, invented = 0, defaultdict[str, int](int), defaultdict[str, int](int)
    spans, matched = 0, 0
    for number in range(seed, seed + count):
        story = drawn(number)
        true += len(story.cuts)
        spans += len(story.spans)
        result = compare(story, find(blocks(story.frames)))
        found["Unlayer"] += len(story.cuts) - len(result.missed)
        invented["Unlayer"] += len(result.invented)
        matched += sum(value >= 0.5 for value in result.found)
        mixed = {t for first, last in story.spans for t in range(first, last + 2)}
        for name, named in peer_cuts(as_levels(story.frames)).items():
            found[name] += len(named & set(story.cuts))
            # Within a dissolve or fade, a change is there, so that a cut is not held against it.
            invented[name] += len(named - set(story.cuts) - mixed)
    print(f"\n{count} stories from seed {seed}: {true} cuts, {spans} dissolves and fades\n")
    print("| answer | cuts found | cuts invented | dissolves and fades found, to a half or more |")
    print("|---|---|---|---|")
    for name in sorted(found):
        others = str(matched) if name == "Unlayer" else "it names no frames of them"
        print(f"| {name} | {found[name]} | {invented[name]} | {others} |")


def peer_cuts(frames: Clip) -> dict[str, set[int]]:
    """Return the first frames of the shots that other programs find, by program."""
    answers = {"FFmpeg scdet": set(scene_changes(frames))}
    if find_spec("scenedetect") is None:
        return answers
    import scenedetect

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "story.mkv"
        write_lossless(path, frames)
        for name in ("Content", "Adaptive", "Hash", "Histogram"):
            for shots, more in (("", {}), (", any length", {"min_scene_len": 1})):
                detector = getattr(scenedetect, f"{name}Detector")(**more)
                scenes = scenedetect.detect(str(path), detector)
                label = f"PySceneDetect {name.lower()}{shots}"
                answers[label] = {start.frame_num for start, _ in scenes[1:]}
    return answers


def scene_changes(frames: Clip) -> Iterator[int]:
    """Yield the first frames of the shots that FFmpeg's ``scdet`` finds."""
    for index, frame in enumerate(filtered_frames(frames, "scdet", SCDET)):
        if "lavfi.scd.time" in frame.metadata:
            yield index


def filtered(frames: Clip, name: str, options: str) -> Iterator[Clip]:
    """Yield frames after one of FFmpeg's filters, ``(H, W, 3)``."""
    for frame in filtered_frames(frames, name, options):
        yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def filtered_frames(frames: Clip, name: str, options: str) -> Iterator[av.VideoFrame]:
    """Yield the frames of one of FFmpeg's filters.

    frames: ``(T, H, W, 3)``. name, options: of the filter.
    """
    graph = av.filter.Graph()
    source = graph.add(
        "buffer",
        f"video_size={frames.shape[2]}x{frames.shape[1]}:pix_fmt=yuv444p:time_base=1/25",
    )
    middle, sink = graph.add(name, options), graph.add("buffersink")
    source.link_to(middle)
    middle.link_to(sink)
    graph.configure()
    for index, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(format="yuv444p")
        frame.pts = index
        frame.time_base = Fraction(1, 25)
        source.push(frame)
        pulled = sink.pull()
        assert isinstance(pulled, av.VideoFrame)
        yield pulled


def around(mask: Mask, margin: int) -> tuple[int, int, int, int]:
    """Return left, top, width and height of a box around a mask, inside of the picture."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    top, left = max(1, int(rows[0]) - margin), max(1, int(columns[0]) - margin)
    bottom = min(mask.shape[0] - 1, int(rows[-1]) + 1 + margin)
    right = min(mask.shape[1] - 1, int(columns[-1]) + 1 + margin)
    return left, top, right - left, bottom - top


def as_levels(frames: NDArray[np.floating]) -> Clip:
    """Return frames in [0, 1] as levels of 8 bits."""
    return np.asarray(np.rint(255 * frames).clip(0, 255), np.uint8)


def psnr(found: NDArray[np.floating], true: NDArray[np.floating]) -> float:
    """Return the PSNR in dB of values in [0, 1]."""
    return float(-10 * np.log10(max(1e-9, float(((found - true) ** 2).mean()))))


def overlap(found: Mask, true: Mask) -> float:
    """Return the mean intersection over union of masks ``(T, H, W)``."""
    both, either = (found & true).sum((1, 2)), (found | true).sum((1, 2))
    return float(np.mean(both / np.maximum(either, 1)))


if __name__ == "__main__":
    main()
