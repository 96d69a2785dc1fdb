"""Make ``samples/fade.mp4``: two moving scenes, dissolved into each other by FFmpeg's ``xfade``.

    python samples/make.py

Each scene is made of two public-domain photographs from the scikit-image wheel (see
``samples/README.md``): the camera pans or zooms over the first, and the second crosses it, cut out
as a disc. The scenes are computed, so the true layers are known (:func:`true_layers`). The script
needs the extra ``dev``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import ffmpeg
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from skimage import data

Stack = NDArray[np.uint8]

RATE = 25
HEIGHT, WIDTH = 216, 384
SCENE = 50
"""Number of frames of each scene; two seconds."""
OFFSET = 25
"""Frame at which the dissolve begins. FFmpeg gives this frame the weight 0."""
SIDE = 112
"""Side of the photograph that the disc is cut from, in pixels."""


def view(photo: Stack, center: tuple[float, float], zoom: float) -> Stack:
    """Return what a camera sees of a photograph, ``(HEIGHT, WIDTH, 3)``.

    photo: the photograph, ``(H, W, 3)``.
    center: the point in the middle of the view, (x, y) in pixels of the photograph.
    zoom: pixels of the view for one pixel of the photograph.
    """
    back = np.array(
        [[1 / zoom, 0, center[0] - WIDTH / 2 / zoom], [0, 1 / zoom, center[1] - HEIGHT / 2 / zoom]]
    )
    seen = cv2.warpAffine(
        photo,
        back,
        (WIDTH, HEIGHT),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(seen, np.uint8)


def with_disc(picture: Stack, photo: Stack, center: tuple[float, float]) -> Stack:
    """Return ``picture`` behind a disc cut out of the square ``photo``, at ``center`` (x, y)."""
    side = photo.shape[0]
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    alpha = np.clip((side / 2 - 1 - np.hypot(x, y)) / 2, 0, 1).astype(np.float32)
    move = np.array([[1, 0, center[0] - side / 2], [0, 1, center[1] - side / 2]])
    moved, cover = (
        cv2.warpAffine(what, move, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        for what in (photo.astype(np.float32), alpha)
    )
    mixed = cover[..., None] * moved + (1 - cover[..., None]) * picture
    return np.round(mixed).astype(np.uint8)


def small(photo: Stack) -> Stack:
    """Return a square ``photo`` at ``SIDE`` pixels a side."""
    resized = cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def scene_a() -> Stack:
    """Return the outgoing scene, ``(SCENE, HEIGHT, WIDTH, 3)``: a pan over coffee, and a cat."""
    coffee = data.coffee()
    cat = small(data.chelsea()[:300, 100:400])
    frames = []
    for t in np.arange(SCENE) / SCENE:
        table = view(coffee, (350 - 70 * t, 205), 0.95)
        frames.append(with_disc(table, cat, (70 + 90 * t, 190 - 150 * t + 60 * t * t)))
    return np.stack(frames)


def scene_b() -> Stack:
    """Return the incoming scene, ``(SCENE, HEIGHT, WIDTH, 3)``: a person, and a rocket."""
    portrait = data.astronaut()
    launch = small(data.rocket()[30:330, 170:470])
    frames = []
    for t in np.arange(SCENE) / SCENE:
        person = view(portrait, (240 - 10 * t, 150 + 8 * t), 0.85 + 0.15 * t)
        frames.append(with_disc(person, launch, (330 - 80 * t, 50 + 110 * t)))
    return np.stack(frames)


def true_layers() -> tuple[Stack, Stack, NDArray[np.float64]]:
    """Return the two scenes of ``fade.mp4`` and the weight of the second in each frame.

    The first scene lasts from frame 0 to ``SCENE - 1`` of the clip, the second from ``OFFSET`` to
    ``OFFSET + SCENE - 1``. Both are ``(SCENE, HEIGHT, WIDTH, 3)`` RGB; the weights are
    ``(OFFSET + SCENE,)`` in [0, 1].
    """
    weight = np.clip((np.arange(OFFSET + SCENE) - OFFSET) / (SCENE - OFFSET), 0, 1)
    return scene_a(), scene_b(), weight


def write(path: Path) -> None:
    """Encode the sample: a dissolve by ``xfade``, a tone for each scene; H.264 and AAC in MP4."""
    command = imageio_ffmpeg.get_ffmpeg_exe()
    seconds, fade = SCENE / RATE, (SCENE - OFFSET) / RATE
    with tempfile.TemporaryDirectory() as folder:
        scenes = []
        for name, frames in zip("ab", true_layers()[:2], strict=True):
            raw = Path(folder, f"{name}.rgb")
            raw.write_bytes(frames.tobytes())
            source = ffmpeg.input(
                str(raw), format="rawvideo", pix_fmt="rgb24", s=f"{WIDTH}x{HEIGHT}", r=RATE
            )
            scenes.append(source.video.filter("format", "gbrp"))
        picture = ffmpeg.filter(
            scenes, "xfade", transition="fade", duration=fade, offset=OFFSET / RATE
        )
        picture = picture.filter(
            "scale", out_color_matrix="bt709", out_range="tv", flags="accurate_rnd+full_chroma_int"
        ).filter("format", "yuv420p")
        tones = [
            ffmpeg.input(
                f"sine=frequency={pitch}:sample_rate=44100:duration={seconds}", f="lavfi"
            ).audio
            for pitch in (330, 495)
        ]
        sound = ffmpeg.filter(tones, "acrossfade", duration=fade).filter("volume", 0.3)
        tags = dict(
            colorspace="bt709", color_primaries="bt709", color_trc="bt709", color_range="tv"
        )
        made = ffmpeg.output(
            picture, sound, str(path), vcodec="libx264", preset="slow", crf=12,
            acodec="aac", audio_bitrate="64k", movflags="+faststart", fflags="+bitexact",
            map_metadata=-1, **{"flags:v": "+bitexact", "flags:a": "+bitexact"}, **tags,
        )  # fmt: skip
        made.global_args("-loglevel", "error", "-nostdin").overwrite_output().run(cmd=command)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("fade.mp4"))
