"""Make clips for tests with an FFmpeg that is not the one under test.

ffmpeg-python drives the binary of imageio-ffmpeg.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg
import numpy as np

SHARED = Path(__file__).parents[2] / "shared" / "data"
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
# Luma weights (kr, kb), and the matrices' names on FFmpeg's command line.
WEIGHTS = {
    "bt601": (0.299, 0.114, "smpte170m"),
    "bt709": (0.2126, 0.0722, "bt709"),
    "bt2020": (0.2627, 0.0593, "bt2020nc"),
}
# Black, white, the primaries, and colours in between; RGB, 0 to 255.
COLORS = np.array(
    [
        [0, 0, 0],
        [255, 255, 255],
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [200, 60, 30],
        [128, 128, 128],
        [25, 180, 150],
    ]
)


def run(stream: Any, data: bytes | None = None) -> bytes:
    """Run a graph of ffmpeg-python and return its standard output. data: its standard input."""
    out, _ = ffmpeg.run(
        stream.overwrite_output(), cmd=FFMPEG, input=data, capture_stdout=True, capture_stderr=True
    )
    return bytes(out)


def moving(frames: int = 12, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Return ``(T, H, W, 3)`` uint8: a smooth colourful picture that drifts; all frames differ."""
    phase = np.random.default_rng(seed).uniform(0, 6, 3)
    t, y, x = np.meshgrid(np.arange(frames), np.arange(height), np.arange(width), indexing="ij")
    waves = [
        np.sin(x / 9 + t / 3 + phase[0]),
        np.sin(y / 7 - t / 4 + phase[1]),
        np.sin((x + y) / 11 + t / 5 + phase[2]),
    ]
    return np.rint(127.5 + 110 * np.stack(waves, axis=3)).astype(np.uint8)


def save(path: Path, pictures: np.ndarray, rate: str | int = 25, /, **options: Any) -> Path:
    """Encode ``(T, H, W, 3)`` uint8 RGB and return the path.

    options: FFmpeg's output options; lossless H.264 in RGB if there are none.
    """
    size = f"{pictures.shape[2]}x{pictures.shape[1]}"
    source = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=size, r=rate)
    run(
        ffmpeg.output(
            source, f"file:{path}", **(options or {"c:v": "libx264rgb", "qp": 0, "g": 12})
        ),
        pictures.tobytes(),
    )
    return path


def save_vfr(
    path: Path, pictures: np.ndarray, ticks: list[int], timescale: int = 90000, **options: Any
) -> Path:
    """Encode pictures like :func:`save`, with frame ``i`` at ``ticks[i] / timescale`` seconds."""
    size = f"{pictures.shape[2]}x{pictures.shape[1]}"
    source = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=size, r=25).filter(
        "settb", f"1/{timescale}"
    )
    expression = "+".join(f"eq(N,{index})*{tick}" for index, tick in enumerate(ticks))
    source = source.filter("setpts", expression)
    settings = {
        "c:v": "libx264rgb",
        "qp": 0,
        "fps_mode": "passthrough",
        "enc_time_base": f"1:{timescale}",
        "video_track_timescale": timescale,
    }
    run(ffmpeg.output(source, str(path), **{**settings, **options}), pictures.tobytes())
    return path


def save_yuv(
    path: Path, colors: np.ndarray, matrix: str, full: bool, bits: int, pixels: str, tile: int = 16
) -> Path:
    """Encode one frame with a row of coloured tiles in lossless YUV.

    The conversion to YUV is this function's own arithmetic.

    colors: ``(N, 3)`` RGB in [0, 1], one a tile. matrix: a key of :data:`WEIGHTS`.
    full: whether the codes use the full range. bits: of the codes. pixels: FFmpeg's pixel format.
    tile: side of a tile in pixels.
    """
    kr, kb, name = WEIGHTS[matrix]
    red, green, blue = colors.T
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = [(blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))]
    unit = 2 ** (bits - 8)
    top = 2**bits - 1
    if full:
        codes = [luma * top, *(part * top + 128 * unit for part in chroma)]
    else:
        codes = [(16 + 219 * luma) * unit, *((128 + 224 * part) * unit for part in chroma)]
    planes = [np.tile(np.repeat(np.clip(np.rint(code), 0, top), tile), (tile, 1)) for code in codes]
    if "420" in pixels:
        planes[1:] = [plane[::2, ::2] for plane in planes[1:]]
    data = b"".join(plane.astype(np.uint8 if bits == 8 else "<u2").tobytes() for plane in planes)
    shown = "pc" if full else "tv"
    source = ffmpeg.input(
        "pipe:",
        format="rawvideo",
        pix_fmt=pixels,
        s=f"{tile * len(colors)}x{tile}",
        r=25,
        color_range=shown,
        colorspace=name,
    )
    codec = "libx264" if bits < 12 else "libx265"
    lossless = {"qp": 0} if bits < 12 else {"x265-params": "lossless=1:log-level=none"}
    run(
        ffmpeg.output(
            source,
            str(path),
            **{
                "c:v": codec,
                "pix_fmt": pixels,
                "colorspace": name,
                "color_range": shown,
                **lossless,
            },
        ),
        data,
    )
    return path


def load(
    path: Path, height: int, width: int, decoder: str | None = None, pixels: str = "rgb24"
) -> np.ndarray:
    """Decode every frame once with the other FFmpeg, as ``(T, H, W, C)`` uint8."""
    source = ffmpeg.input(str(path), **({"c:v": decoder} if decoder else {}))
    data = run(
        ffmpeg.output(
            source["v:0"],
            "pipe:",
            format="rawvideo",
            pix_fmt=pixels,
            fps_mode="passthrough",
            sws_flags="accurate_rnd+full_chroma_int",
        )
    )
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, 4 if "a" in pixels else 3)
