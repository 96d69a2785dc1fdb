"""Find and separate every transition of FFmpeg's ``xfade`` filter, and print how good that is.

    python tests/measure_kinds.py --seed 1 --out kinds.jsonl             # find and separate
    python tests/measure_kinds.py --seed 1 --out found.jsonl --find      # the search alone
    python tests/measure_kinds.py --seed 1 --footage FOLDER --out f.jsonl
    python tests/measure_kinds.py CASES --out kinds.jsonl

The cases are drawn by seed from photographs that come with scikit-image, or from a folder of
footage (:mod:`xfade_cases`). CASES, a JSON list, gives others. A case has an ``xfade`` (FFmpeg's
name), a ``size`` (height, width), the clean frames ``pre`` and ``post``, the frames ``steps`` of
the transition, and two scenes ``a`` and ``b``, each a ``file`` and its ``first`` frame, in the
folder ``clips``. Each case becomes a line of the output as soon as it is done; a run that was
interrupted goes on behind the last one.

A line holds the frames that are mixed and those that were found, the PSNR of both scenes over the
mixed frames, and that of holding the nearest clean frames. A scene is judged in the mixed frames
that show it: a fade through black shows the first scene in its first part alone. A frame that a
scene lacks counts 5 dB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import av
import cv2
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import torch
from xfade_cases import (
    Pixels,
    XfadeCase,
    covering,
    draw_case,
    group_of,
    groups,
    read_frames,
    xfade_names,
)

from stages.context import FitSettings
from stages.find.search import find, search_size
from stages.media.clip import Frames
from stages.shots import Analysis, Transition
from stages.transition.separate import separate_transition
from stages.transition.separated_frame import SeparatedFrame
from stages.transition.window import Window

RATE = 25
"""Frames per second of the clips that are made."""
BLOCK = 16
"""Frames that the search gets at once."""
CLEAN = 12
"""Clean frames beside a transition that its separation gets."""
VISIBLE = 1.5
"""Difference from a scene, of 255, from which a frame is mixed."""
MISSING, MOST = 5.0, 60.0
"""PSNR of a frame that a scene lacks, and of equal frames, in dB."""


@dataclass(frozen=True)
class MadeClip:
    """A clip with one transition whose scenes are known.

    frames: of the clip. scenes: both over all frames. first, last: the mixed frames. shown: the
    numbers of the mixed frames that show each scene.
    """

    frames: Pixels
    scenes: tuple[Pixels, Pixels]
    first: int
    last: int
    shown: tuple[list[int], list[int]]

    def held(self) -> list[float]:
        """Return the PSNR of holding each scene's nearest clean frame."""
        nearest = self.first - 1, self.last + 1
        return [
            float(np.mean([psnr(scene[place], frame) for frame in scene[shown]]))
            for scene, place, shown in zip(self.scenes, nearest, self.shown, strict=True)
        ]


@dataclass(frozen=True)
class MeasuredKind:
    """The figures of one case; ``found`` has the frames, kind and effect of each boundary."""

    name: str
    mixed: tuple[int, int]
    found: list[tuple[int, int, str, str | None]]
    overlap: float
    held: list[float]
    psnr: list[float]
    seconds: float


def psnr(estimate: Pixels, truth: Pixels) -> float:
    """Return the PSNR of a frame in dB, at most :data:`MOST`."""
    error = float(((estimate.astype(np.float32) - truth) ** 2).mean()) / 255**2
    return min(MOST, -10 * float(np.log10(max(error, 1e-12))))


def write_lossless(path: Path, frames: Pixels) -> None:
    """Write frames as an FFV1 file."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "bgr0"
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def listed(case: Mapping[str, Any]) -> XfadeCase:
    """Return a case of a list, with its scenes read."""
    pre, steps = int(case["pre"]), int(case["steps"])
    total, size = pre + steps + int(case["post"]), (int(case["size"][0]), int(case["size"][1]))
    scenes = []
    for side in (case["a"], case["b"]):
        shown = read_frames(Path(case["clips"]) / side["file"], int(side.get("first", 0)), total)
        scenes.append(np.stack([covering(frame, size) for frame in shown]))
    return XfadeCase(str(case["xfade"]), (scenes[0], scenes[1]), pre, steps)


def made(case: XfadeCase) -> MadeClip:
    """Return the clip of a case. Raises ValueError where no frame of it is mixed."""
    scenes, pre, steps, name = case.scenes, case.pre, case.steps, case.name
    sides = scenes[0][: pre + steps], scenes[1][pre:]
    frames = crossed(*sides, name, pre, steps)
    far = [differ(frames, scene) for scene in scenes]
    mixed = np.flatnonzero(far[0] & far[1])
    if not len(mixed):
        raise ValueError(f"{name}: no frame is mixed")
    first, last = int(mixed.min()), int(mixed.max())
    # A frame shows a scene if it would look different with another scene in its place.
    others = (255 - sides[0], sides[1]), (sides[0], 255 - sides[1])
    visible = [differ(frames, crossed(*other, name, pre, steps)) for other in others]
    numbers = [[place for place in range(first, last + 1) if side[place]] for side in visible]
    return MadeClip(frames, (scenes[0], scenes[1]), first, last, (numbers[0], numbers[1]))


def differ(one: Pixels, other: Pixels) -> npt.NDArray[np.bool_]:
    """Return for each frame ``(T,)`` whether it visibly differs between two clips."""
    apart = np.abs(one.astype(np.int16) - other)
    return np.asarray(apart.reshape(len(one), -1).max(1) > VISIBLE)


def crossed(outgoing: Pixels, incoming: Pixels, name: str, pre: int, steps: int) -> Pixels:
    """Return what FFmpeg makes of two scenes with the transition ``name``."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{side}.mkv" for side in ("out", "in", "both")]
        write_lossless(paths[0], outgoing)
        write_lossless(paths[1], incoming)
        graph = (
            "[0]format=gbrp[x];[1]format=gbrp[y];"
            f"[x][y]xfade=transition={name}:duration={steps / RATE}:offset={pre / RATE}"
        )
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", paths[0], "-i", paths[1]]
        command += ["-filter_complex", graph, "-pix_fmt", "bgr0", "-c:v", "ffv1", paths[2]]
        subprocess.run(command, check=True)
        return np.stack(read_frames(paths[2]))


def as_frames(pixels: Pixels, first: int = 0) -> Frames:
    """Return pictures as frames of a clip that begin with number ``first``."""
    times = tuple(Fraction(first + number, RATE) for number in range(len(pixels)))
    return Frames(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255, times, first)


def searched(pixels: Pixels) -> Analysis:
    """Return what the search finds in a clip."""
    height, width = search_size(pixels.shape[2], pixels.shape[1])
    small = np.stack(
        [
            cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
            for frame in pixels
        ]
    )
    return find(
        as_frames(small[first : first + BLOCK], first) for first in range(0, len(small), BLOCK)
    )


def separated(clip: MadeClip, analysis: Analysis) -> list[dict[int, Pixels]]:
    """Return the frames of each shot by their numbers, those of its transitions separated."""
    shots: list[dict[int, Pixels]] = []
    for shot in range(len(analysis.shots)):
        first, last = analysis.covered(shot)
        shots.append({number: clip.frames[number] for number in range(first, last + 1)})
    for transition in analysis.transitions:
        if transition.extends_shots:
            separate_into(shots, clip, transition)
    return shots


def separate_into(shots: list[dict[int, Pixels]], clip: MadeClip, transition: Transition) -> None:
    """Separate a transition and put its frames into those of the shots beside it."""
    first = max(0, transition.first_frame - CLEAN)
    window = Window.of(as_frames(clip.frames[first : transition.last_frame + 1 + CLEAN], first))

    def put(number: int, frame: SeparatedFrame) -> None:
        sides = (transition.outgoing, frame.outgoing), (transition.incoming, frame.incoming)
        for shot, layer in sides:
            if shot is not None:
                rounded = (layer * 255).round().clamp(0, 255).byte().permute(1, 2, 0)
                shots[shot][transition.first_frame + number] = rounded.numpy()

    settings = FitSettings("fast", 0, torch.device("cpu"))
    separate_transition(window, transition, settings=settings, progress=lambda *_: None, put=put)


def measure(case: XfadeCase, *, find_only: bool) -> MeasuredKind:
    """Return the figures of a case."""
    clip = made(case)
    began = time.process_time()
    analysis = searched(clip.frames)
    moves = [(m.first_frame, m.last_frame, m.kind, m.effect) for m in analysis.transitions]
    true = set(range(clip.first, clip.last + 1))
    overlap = 0.0
    # Two halves around a plain colour are one event.
    events = {m.event or (m.first_frame, m.last_frame) for m in analysis.transitions}
    if len(events) == 1:
        ((first, last),) = events
        seen = set(range(first, last + 1))
        overlap = len(true & seen) / len(true | seen)
    values: list[float] = []
    if not find_only and len(analysis.shots) == 2:
        shots = separated(clip, analysis)
        for shot, scene, shown in zip(shots, clip.scenes, clip.shown, strict=True):
            decibels = [
                psnr(shot[number], scene[number]) if number in shot else MISSING for number in shown
            ]
            values.append(float(np.mean(decibels)))
    seconds = time.process_time() - began
    mixed = clip.first, clip.last
    return MeasuredKind(case.name, mixed, moves, overlap, clip.held(), values, round(seconds, 1))


def summary(rows: list[dict[str, Any]]) -> str:
    """Return the means over all cases that were measured, and a table of their groups."""
    whole = sum(row["overlap"] >= 0.8 for row in rows)
    text = f"{len(rows)} transitions, {whole} found as one with an overlap of 0.8 or more"
    apart = [row for row in rows if row["psnr"]]
    if not apart:
        return text
    gains = [gain_of(row) for row in apart]
    mean, held = (np.mean([np.mean(row[name]) for row in apart]) for name in ("psnr", "held"))
    text += (
        f"; {len(apart)} separated: {mean:.1f} dB, held {held:.1f}, "
        f"{sum(gain < 0 for gain in gains)} below holding\n\n"
        "| kind | cases | held | separated | gain | least gain |\n|---|---|---|---|---|---|"
    )
    for group in groups():
        found = [row for row in apart if group_of(row["name"]) == group]
        if found:
            mean, held = (np.mean([np.mean(row[n]) for row in found]) for n in ("psnr", "held"))
            text += f"\n| {group} | {len(found)} | {held:.1f} | {mean:.1f} | {mean - held:+.1f} | "
            text += f"{min(map(gain_of, found)):+.1f} |"
    return text


def gain_of(row: Mapping[str, Any]) -> float:
    """Return by how many dB a case is better than holding the nearest clean frames."""
    return float(np.mean(row["psnr"]) - np.mean(row["held"]))


def cases_of(options: argparse.Namespace, done: Container[str]) -> Iterator[XfadeCase]:
    """Yield the cases that were asked for and are not done yet."""

    def wanted(name: str) -> bool:
        return name not in done and (not options.name or name in options.name)

    if options.cases is None:
        for name in filter(wanted, xfade_names()):
            yield draw_case(name, options.seed, options.footage)
        return
    for case in json.loads(options.cases.read_text()):
        if wanted(case["xfade"]):
            yield listed(case)


def main() -> None:
    """Measure all cases and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one a case")
    parser.add_argument("--seed", type=int, default=1, help="of the cases that are drawn")
    parser.add_argument("--footage", type=Path, help="a folder to draw from, not photographs")
    parser.add_argument("--find", action="store_true", help="only search")
    parser.add_argument("--name", action="append", help="one transition; may be given again")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    rows = [json.loads(line) for line in lines]
    for case in cases_of(options, {row["name"] for row in rows}):
        rows.append(asdict(measure(case, find_only=options.find)))
        with options.out.open("a") as out:
            out.write(json.dumps(rows[-1]) + "\n")
        row = rows[-1]
        print(
            f"{case.name:12} overlap {row['overlap']:.2f}  {np.mean(row['psnr'] or [np.nan]):.1f} "
            f"dB  held {np.mean(row['held']):.1f}  {row['seconds']} s  {row['found']}",
            flush=True,
        )
    print(summary(rows))


if __name__ == "__main__":
    main()
