"""Measure `segment`'s stages on pieces of clips that no threshold was chosen on.

    python tests/measure_segment_pieces.py [FOLDER] [--kind crop ...] [--clip NAME ...]
        [--seed 7] [--out pieces.jsonl]

Thresholds of `segment` were chosen on the first 24 frames of the clips in FOLDER, which is laid out
as for ``measure_davis.py``. A piece is 24 other frames of them, or the same ones changed. Seeds
draw the changes. Motion, votes and cut run at 212x120, without networks and without soft edges.
Kinds that only draw something new take every other clip each, so that a pass stays short; name
clips to get these.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import media
import numpy as np
import torch
from measure_davis import overlaps
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from stages.context import FitSettings, SeparationContext
from stages.motion.flow import resize, shrunk
from stages.segment.background import complete_background
from stages.segment.confidence import expected_overlap
from stages.segment.cut import SURE_MOVING, SURE_STILL, cut
from stages.segment.foreground_odds import foreground_odds
from stages.segment.motion import find_motion
from stages.segment.survey import survey
from stages.segment.votes import VOTE_PIXELS, local_vote

Stack = NDArray[np.uint8]
Piece = tuple[Stack, NDArray[np.bool_]]
"""Frames ``(T, H, W, 3)`` and masks ``(T, H, W)``."""

SIZE = (120, 212)  # height and width of a piece
COUNT = 24  # frames of a piece
WHOLE = ("first", "later1", "later2")  # kinds that take every clip
KINDS = (*WHOLE, "crop", "camera", "second", "moved", "mirrored", "backwards", "dark", "h264")


def read(clip: Path, chosen: Sequence[int]) -> tuple[Stack, Stack]:
    """Return frames ``(T, H, W, 3)`` and masks ``(T, H, W)``, 0 to 255, of a clip's folder.

    Raises SystemExit where one cannot be read.
    """

    def picture(path: Path) -> Stack:
        found = cv2.imread(str(path))
        if found is None:
            raise SystemExit(f"{path}: not a picture")
        return found.astype(np.uint8)

    paths = [sorted((clip / "frames").iterdir())[at] for at in chosen]
    masks = [picture(clip / "masks" / f"{path.stem}.png")[..., 0] for path in paths]
    return np.stack([picture(path)[..., ::-1] for path in paths]), np.stack(masks)


def fitted(frames: Stack, masks: Stack) -> Piece:
    """Return both at :data:`SIZE`, cropped in the middle."""

    def fit(picture: Stack) -> Stack:
        height, width = picture.shape[:2]
        scale = max(SIZE[0] / height, SIZE[1] / width)
        size = max(SIZE[1], round(width * scale)), max(SIZE[0], round(height * scale))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        top, left = (size[1] - SIZE[0]) // 2, (size[0] - SIZE[1]) // 2
        return small[top : top + SIZE[0], left : left + SIZE[1]].astype(np.uint8)

    return np.stack([fit(one) for one in frames]), np.stack([fit(one) for one in masks]) > 127


def through_window(frames: Stack, masks: Stack, part: float, path: NDArray[np.float64]) -> Piece:
    """Return both as a window shows them that covers ``part`` of each side.

    path: of its middle, ``(T, 2)`` in [-1, 1], from one end of what is possible to the other.
    """
    height, width = frames.shape[1:3]
    down, across = part * height / SIZE[0], part * width / SIZE[1]
    shown, inside = [], []
    for frame, mask, (x, y) in zip(frames, masks, path, strict=True):
        left, top = (1 - part) * width / 2 * (1 + x), (1 - part) * height / 2 * (1 + y)
        way = np.array([[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5]])
        sharp = cv2.GaussianBlur(frame, (0, 0), 0.35 * max(0.05, across - 0.5))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        shown.append(
            cv2.warpAffine(sharp, way, SIZE[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
        )
        inside.append(cv2.warpAffine(mask, way, SIZE[::-1], flags=flags) > 127)
    return np.stack(shown).astype(np.uint8), np.stack(inside)


def drawn_path(random: np.random.Generator) -> NDArray[np.float64]:
    """Return a window's way, ``(COUNT, 2)`` in [-1, 1]: a pan, half of the time with shaking."""
    shake = random.choice([0.0, 0.5])
    along = []
    for _ in range(2):
        pan = random.uniform(-1, 1) * random.uniform(0.3, 1) * np.linspace(-1, 1, COUNT)
        noise = np.convolve(random.normal(size=COUNT + 4), [1, 2, 2, 2, 1], "valid") / 8
        along.append(np.clip((1 - shake) * pan + 1.5 * shake * noise, -1, 1))
    return np.stack(along, 1)


def cropped(frames: Stack, masks: Stack, random: np.random.Generator) -> Piece:
    """Return a fixed part of the picture that shows at least 60 % of the object.

    If 200 draws find none, it is the last of them.
    """
    for _ in range(200):
        part = random.uniform(0.5, 0.75)
        where = np.repeat(random.uniform(-1, 1, (1, 2)), COUNT, 0)
        piece = through_window(frames, masks, part, where)
        area = piece[1].mean((1, 2))
        kept = area.mean() * part**2 / (masks > 127).mean()
        if 0.6 <= kept <= 1 and area.min() > 0.003 and area.mean() < 0.5:
            break
    return piece


def compressed(frames: Stack, quality: int) -> Stack:
    """Return frames after H.264 at a constant rate factor."""
    with TemporaryDirectory(prefix="unlayer-pieces-") as room:
        path = Path(room, "clip.mp4")
        with av.open(str(path), "w") as box:
            stream = box.add_stream("libx264", rate=Fraction(24), options={"crf": str(quality)})
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
            for frame in frames:
                box.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            box.mux(stream.encode())
        with av.open(str(path)) as box:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in box.decode(video=0)])


def over_another(frames: Stack, masks: Stack, other: Path) -> Piece:
    """Return a clip's object over the background of another clip, filled in behind its object."""
    object_frames, inside = fitted(frames, masks)
    behind, hidden = fitted(*read(other, range(COUNT)))
    wide = [cv2.dilate(mask.astype(np.uint8), np.ones((7, 7))) for mask in hidden]
    pixels = torch.from_numpy(behind).permute(0, 3, 1, 2).float() / 255
    matte = torch.from_numpy(np.stack(wide)).float()[:, None]
    background, _ = complete_background(pixels, matte, find_motion(pixels), None)
    filled = (255 * background.clamp(0, 1)).round().permute(0, 2, 3, 1).numpy()
    soft = np.stack([cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0) for mask in inside])
    mixed = soft[..., None] * object_frames + (1 - soft[..., None]) * filled
    return np.rint(mixed).astype(np.uint8), inside


def piece_of(kind: str, clip: Path, clips: Sequence[Path], seed: int) -> Piece:
    """Return a piece of a clip. clips: all of them. Raises SystemExit for an unknown kind."""
    random = np.random.default_rng([seed, zlib.crc32(f"{kind}{clip.name}".encode())])
    count = len(list((clip / "frames").iterdir()))
    begin = min(count - COUNT, COUNT * WHOLE.index(kind)) if kind in WHOLE else 0
    step = 2 if kind == "second" else 1
    frames, masks = read(clip, range(begin, min(count, begin + step * COUNT), step))
    if kind == "crop":
        return cropped(frames, masks, random)
    if kind == "camera":
        return through_window(frames, masks, random.uniform(0.6, 0.8), drawn_path(random))
    if kind == "moved":
        others = [other for other in clips if other != clip]
        return over_another(frames, masks, others[random.integers(len(others))])
    small, inside = fitted(frames, masks)
    if kind == "mirrored":
        return small[:, :, ::-1].copy(), inside[:, :, ::-1].copy()
    if kind == "backwards":
        return small[::-1].copy(), inside[::-1].copy()
    if kind == "dark":
        noise = random.normal(size=small.shape) * random.uniform(2, 6)
        noisy = np.rint(small * random.uniform(0.25, 0.5) + noise)
        return np.clip(noisy, 0, 255).astype(np.uint8), inside
    if kind == "h264":
        return compressed(small, int(random.integers(28, 36))), inside
    if kind not in (*WHOLE, "second"):
        raise SystemExit(f"unknown kind: {kind}")
    return small, inside


def found(frames: Stack) -> tuple[NDArray[np.bool_], float | None]:
    """Return where the matte is above one half, ``(T, H, W)``, and the J that is expected of it."""
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    context = SeparationContext(FitSettings(preset="fast"))
    facts = survey(pixels, context)
    motion = None if facts.still else find_motion(pixels)
    odds = foreground_odds(shrunk(pixels, VOTE_PIXELS), motion, facts, context, {})
    odds = resize(odds[:, None], (pixels.shape[-2], pixels.shape[-1]))[:, 0]
    if motion is None:
        return cut(pixels, odds, SURE_STILL)[:, 0].numpy() > 0.5, None
    sure = SURE_MOVING if facts.plate is None else SURE_STILL
    matte = cut(pixels, local_vote(pixels, odds), sure)
    expected = [each for each in expected_overlap(motion, matte).values if each is not None]
    return matte[:, 0].numpy() > 0.5, float(np.mean(expected)) if expected else None


def main() -> None:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=media.SHARED / "segment")
    parser.add_argument("--kind", action="append", choices=KINDS, help="may be given again")
    parser.add_argument("--clip", action="append", help="only this one; may be given again")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, help="add a line of JSON for each piece")
    options = parser.parse_args()
    folders = sorted(options.folder.iterdir()) if options.folder.is_dir() else []
    clips = [folder for folder in folders if any((folder / "masks").glob("*.png"))]
    if not clips:
        print(f"skipped: {options.folder} holds no clip with frames/ and masks/")
        return
    torch.set_num_threads(1)
    shares = defaultdict(list)
    for kind in options.kind or KINDS:
        for place, clip in enumerate(clips):
            is_chosen = kind in WHOLE or (place + KINDS.index(kind)) % 2 == 0
            if clip.name not in options.clip if options.clip else not is_chosen:
                continue
            began = time.process_time()
            frames, true = piece_of(kind, clip, clips, options.seed)
            mask, expected = found(frames)
            share = float(overlaps(mask, true).mean())
            shares[kind].append(share)
            row = {"kind": kind, "clip": clip.name, "seed": options.seed, "mean": round(share, 4)}
            row |= {"expected": expected, "seconds": round(time.process_time() - began, 1)}
            print(json.dumps(row), flush=True)
            if options.out:
                with options.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    for kind, each in shares.items():
        print(f"{kind:<10} {np.mean(each):.3f} over {len(each)}")


if __name__ == "__main__":
    main()
