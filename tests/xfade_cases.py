"""Draw two scenes for each transition of FFmpeg's ``xfade`` filter, from photographs or footage.

Everything follows from the seed. The photographs come with the scikit-image wheel, so the cases
need no footage: a camera pans over each and zooms. A folder of footage may have video files, and
folders of numbered pictures, at any depth; folders named ``masks`` are left out.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
from skimage import data

Pixels = npt.NDArray[np.uint8]
"""Frames ``(T, H, W, 3)``."""

SIZE = (180, 320)
"""Height and width of a drawn clip."""
CLEAN = 12
"""Clean frames before and after a drawn transition."""
STEPS = (10, 16)
"""Fewest and most frames of a drawn transition."""
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
VIDEOS = {".mp4", ".mkv", ".mov", ".webm", ".avi"}
PICTURES = {".jpg", ".jpeg", ".png"}
SEEN = (0.6, 0.9)
"""Least and largest part of a photograph that a drawn camera sees, of what it could see."""
FASTEST = 1.5
"""Pixels by which a drawn camera pans from frame to frame, at most."""

_GROUPS = (
    (r"wipe|[hv].slice", "hard wipes and slices"),
    (r"smooth|circle(open|close)|vert|horz|diag|radial", "soft wipes and irises"),
    (r".*wind", "winds (ragged wipes)"),
    (r"(circle|rect)crop", "`circlecrop`, `rectcrop`"),
    (r"fade", "dissolves and fades"),
    (r"cover", "covers"),
    (r"reveal", "reveals"),
    (r"squeeze", "squeezes"),
    (r"slide", "pushes"),
    (r"dissolve|hblur|pixelize", "random pixels, `hblur`, `pixelize`"),
    (r"", "`distance`, `zoomin`"),
)


@dataclass(frozen=True)
class XfadeCase:
    """What a clip is made of.

    name: FFmpeg's of the transition. scenes: both over all frames of the clip. pre, steps: frames
    before the transition, and its length.
    """

    name: str
    scenes: tuple[Pixels, Pixels]
    pre: int
    steps: int


def xfade_names() -> list[str]:
    """Return the names of the transitions that FFmpeg's filter knows, without ``custom``."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-h", "filter=xfade"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.findall(r"^ +(\w+) +\d+ +\S+ .* transition$", told, re.MULTILINE)


def group_of(name: str) -> str:
    """Return the group of transitions that the tables put ``name`` into."""
    return next(group for pattern, group in _GROUPS if re.match(pattern, name))


def groups() -> list[str]:
    """Return all groups in the tables' order."""
    return [group for _, group in _GROUPS]


def draw_case(name: str, seed: int, footage: Path | None = None) -> XfadeCase:
    """Draw the case of one transition.

    name: of the transition. seed: of the draw. footage: a folder; the photographs without it.
    Raises ValueError where the footage has fewer than two clips that are long enough.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    steps = int(rng.integers(STEPS[0], STEPS[1] + 1))
    count = 2 * CLEAN + steps
    if footage is None:
        one, other = rng.permutation(PHOTOGRAPHS)[:2].tolist()
        scenes = filmed(one, count, rng), filmed(other, count, rng)
    else:
        clips = long_enough(footage, count)
        if len(clips) < 2:
            raise ValueError(f"{footage}: has {len(clips)} clips of {count} frames; give two")
        places = rng.permutation(len(clips))[:2].tolist()
        scenes = part_of(clips[places[0]], count, rng), part_of(clips[places[1]], count, rng)
    return XfadeCase(name, scenes, CLEAN, steps)


def filmed(photograph: str, count: int, rng: np.random.Generator) -> Pixels:
    """Return ``count`` frames of a camera that pans over a photograph and zooms, as drawn."""
    picture = getattr(data, photograph)()
    # Widths and heights in pixels: of a frame, of the photograph, and of what the camera sees of
    # that in the first and in the last frame.
    size, whole = np.array(SIZE[::-1]), np.array(picture.shape[1::-1])
    views = [size * part * min(whole / size) for part in rng.uniform(*SEEN, 2)]
    # The middle of the view in the photograph, in the first and in the last frame.
    begin, end = (view / 2 + rng.uniform(0, 1, 2) * (whole - view) for view in views)
    far = np.abs(end - begin).max() / (views[0][0] / size[0] * FASTEST * count)
    end = begin + (end - begin) / max(1.0, far)
    end = np.clip(end, views[1] / 2, whole - views[1] / 2)
    frames = []
    for progress in np.linspace(0, 1, count):
        scale = ((1 - progress) * views[0] + progress * views[1])[0] / size[0]
        left, top = (1 - progress) * begin + progress * end - scale * size / 2
        view = np.array([[scale, 0, left], [0, scale, top]])
        soft = cv2.GaussianBlur(picture, (0, 0), max(0.4 * scale, 0.01)) if scale > 1 else picture
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        frames.append(cv2.warpAffine(soft, view, SIZE[::-1], flags=flags))
    return np.asarray(np.stack(frames), np.uint8)


def long_enough(folder: Path, count: int) -> list[list[Path]]:
    """Return the clips of a folder with ``count`` frames or more, in the order of their names.

    A clip is one video file, or the pictures of one folder.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    films = [[path] for path in files if path.suffix.lower() in VIDEOS and frames_of(path) >= count]
    pictures = [path for path in files if path.suffix.lower() in PICTURES]
    parents = dict.fromkeys(path.parent for path in pictures if path.parent.name != "masks")
    folders = [[path for path in pictures if path.parent == parent] for parent in parents]
    return films + [clip for clip in folders if len(clip) >= count]


def frames_of(path: Path) -> int:
    """Return how many frames a video file says it has; those of its duration where it does not."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        if stream.frames:
            return stream.frames
        seconds = (file.duration or 0) / av.time_base
        return int(seconds * (stream.average_rate or 0))


def part_of(clip: Sequence[Path], count: int, rng: np.random.Generator) -> Pixels:
    """Return ``count`` drawn consecutive frames of a clip at :data:`SIZE`."""
    if len(clip) > 1:
        first = int(rng.integers(0, len(clip) - count + 1))
        pictures = [read_picture(path) for path in clip[first : first + count]]
    else:
        first = int(rng.integers(0, frames_of(clip[0]) - count + 1))
        pictures = read_frames(clip[0], first, count)
    return np.stack([covering(picture, SIZE) for picture in pictures])


def read_picture(path: Path) -> Pixels:
    """Return a picture file as ``(H, W, 3)``."""
    picture = cv2.imread(str(path))
    assert picture is not None, f"{path}: not a picture"
    return np.asarray(picture[..., ::-1], np.uint8)


def read_frames(path: Path, first: int = 0, count: int | None = None) -> list[Pixels]:
    """Return frames of a video as RGB pictures ``(H, W, 3)``."""
    frames: list[Pixels] = []
    with av.open(str(path)) as file:
        for number, frame in enumerate(file.decode(video=0)):
            if count is not None and len(frames) == count:
                break
            if number >= first:
                frames.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
    return frames


def covering(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """Return a picture scaled to cover ``size`` (height, width) and cut to it around its middle."""
    scale = max(size[0] / picture.shape[0], size[1] / picture.shape[1])
    width, height = (round(side * scale) for side in picture.shape[1::-1])
    wide = max(size[1], width), max(size[0], height)
    large = np.asarray(cv2.resize(picture, wide, interpolation=cv2.INTER_AREA), np.uint8)
    top, left = (large.shape[0] - size[0]) // 2, (large.shape[1] - size[1]) // 2
    return large[top : top + size[0], left : left + size[1]]
