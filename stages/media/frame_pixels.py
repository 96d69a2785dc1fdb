"""Convert decoded frames to upright RGB. Only :mod:`convert` asks the media library itself.

Pictures are ``(H, W, 3)`` arrays, as the media library returns them. :func:`stack` turns them into
the ``(T, C, H, W)`` tensors of the rest of the package.
"""

from __future__ import annotations

import zlib
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from stages.media.convert import AREA, EXACT, converted
from stages.media.orientation import Crop, Picture, orientation_of
from stages.media.planes import plane_codes
from stages.optim.threads import map_in_threads, pays_in_threads

# Luma weights (kr, kb) by ITU-T H.273's number of the matrix coefficients. Untagged values are
# BT.601, as FFmpeg decodes them.
_BT601_WEIGHTS = (0.299, 0.114)
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
# Larger pictures are converted in bands of rows, which keeps 67 million pixels under 2 GiB.
_BAND_PIXELS = 1 << 24
_YUV_BAND_PIXELS = 1 << 15
_MATRIX_NAMES = {0: "rgb", 1: "bt709", 4: "fcc", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}


def matrix_name(code: int) -> str:
    """Return the name of a matrix by its H.273 number; ``bt601`` where it is not tagged."""
    return _MATRIX_NAMES.get(code, "bt601")


def luma_weights(code: int) -> tuple[float, float]:
    """Return the weights of red and blue in the luma of a matrix, by its H.273 number."""
    return _LUMA_WEIGHTS.get(code, _BT601_WEIGHTS)


def rgb_from_yuv(
    yuv: NDArray[np.float32], bits: int, code: int, full_range: bool
) -> NDArray[np.float32]:
    """Return RGB = M (YUV - offset), ``(H, W, 3)`` float32, clipped to [0, 1].

    yuv: ``(H, W, 3)`` code values of ``bits`` bits with chroma at full size.
    code: the matrix's number in H.273. full_range: whether black is code 0.
    """
    kr, kb = luma_weights(code)
    kg = 1 - kr - kb
    unit = float(1 << (bits - 8))
    # Black, and the ranges of luma and chroma, as codes.
    if full_range:
        black, luma, chroma = 0.0, 2.0**bits - 1, 2.0**bits - 1
    else:
        black, luma, chroma = 16 * unit, 219 * unit, 224 * unit
    matrix = np.array(
        [
            [1, 0, 2 * (1 - kr)],
            [1, -2 * (1 - kb) * kb / kg, -2 * (1 - kr) * kr / kg],
            [1, 2 * (1 - kb), 0],
        ]
    )
    matrix = matrix / np.array([luma, chroma, chroma])
    offset = -matrix @ np.array([black, 128 * unit, 128 * unit])
    rgb = cv2.transform(yuv, np.column_stack([matrix, offset]).astype(np.float32))
    return np.clip(rgb, 0, 1).astype(np.float32, copy=False)


def yuv_planes(
    pixels: torch.Tensor, bits: int, chroma_format: str, matrix: int = 1
) -> list[NDArray[np.uint8] | NDArray[np.uint16]]:
    """Return ``(3, H, W)`` RGB in [0, 1] as three planes of limited-range codes: Y, Cb, Cr.

    bits: of the codes. matrix: its number in H.273, by default BT.709.
    chroma_format: ``444``, ``422`` (chroma has half the width, rounded up) or ``420`` (half the
        width and height). Chroma is sampled where H.264 decoders expect it, on the even columns and
        between the lines. Swscale would centre it in both directions, half a pixel off.
    """
    # A band of rows stays in the processor's cache. It has an even number of them, as chroma asks.
    rows = 2 * max(1, _YUV_BAND_PIXELS // pixels.shape[2] // 2)
    bands = map_in_threads(
        lambda top: _yuv_codes(pixels[:, top : top + rows], bits, chroma_format, matrix),
        range(0, pixels.shape[1], rows),
        parallel=pays_in_threads(pixels),
    )
    return [np.concatenate(planes) for planes in zip(*bands, strict=True)]


def _yuv_codes(
    pixels: torch.Tensor, bits: int, chroma_format: str, matrix: int
) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], ...]:
    """Return the planes of some rows ``(3, h, W)`` of a picture.

    The arguments are those of :func:`yuv_planes`.
    """
    kr, kb = luma_weights(matrix)
    unit = 1 << (bits - 8)
    red, green, blue = pixels
    # In place, so that each step finds its values in the processor's cache.
    luma = (red * kr).add_(green, alpha=1 - kr - kb).add_(blue, alpha=kb)
    chroma = [
        _subsampled(part - luma, chroma_format).mul_(112 * unit / (1 - weight)).add_(128 * unit)
        for part, weight in ((blue, kb), (red, kr))
    ]
    codes = [luma.mul_(219 * unit).add_(16 * unit), *chroma]
    kind = np.uint8 if bits == 8 else np.uint16
    return tuple(code.round_().clamp_(0, 2**bits - 1).numpy().astype(kind) for code in codes)


def _subsampled(plane: torch.Tensor, chroma_format: str) -> torch.Tensor:
    """Return a plane ``(H, W)`` of chroma at half the width, and for ``420`` at half the height.

    Columns are weighted 1, 2, 1 around each even one; lines are averaged in pairs. The edges are
    repeated. A plane for ``444`` is returned as it is.
    """
    if chroma_format == "444":
        return plane
    if chroma_format == "420":
        if plane.shape[0] % 2:
            plane = torch.cat([plane, plane[-1:]])
        plane = (plane[::2] + plane[1::2]).mul_(0.5)
    if plane.shape[1] % 2:
        plane = torch.cat([plane, plane[:, -1:]], dim=1)
    even, odd = plane[:, ::2], plane[:, 1::2]
    found = (even * 0.5).add_(odd, alpha=0.25)
    found[:, 1:].add_(odd[:, :-1], alpha=0.25)
    found[:, 0].add_(even[:, 0], alpha=0.25)
    return found


def resize(picture: Picture, height: int, width: int) -> Picture:
    """Resize ``(H, W, C)`` to ``(height, width, C)``: area averages, or linear if a side grows."""
    shrinks = height <= picture.shape[0] and width <= picture.shape[1]
    scaled = cv2.resize(
        np.ascontiguousarray(picture),
        (width, height),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
    return np.asarray(scaled).reshape(height, width, picture.shape[2])


def matrix_of(frame: Any) -> str:
    """Return the name of the matrix that a decoded frame's codes are made with."""
    return "rgb" if frame.format.is_rgb else matrix_name(frame.colorspace)


def is_full(frame: Any) -> bool:
    """Return whether a decoded frame's codes use the full range: black 0, white 255 (8 bits)."""
    return bool(
        frame.format.is_rgb
        or frame.format.name.startswith(("yuvj", "gray"))
        or frame.color_range == 2
    )


def rgb_picture(
    frame: Any, size: tuple[int, int] | None = None, crop: Crop | None = None
) -> Picture:
    """Return a frame as ``(H, W, 3)`` upright RGB: uint8, or float32 in [0, 1] above 8 bits.

    size: ``(H, W)`` of the result. crop: what to cut off the stored frame.
    """
    if crop is not None:
        return _cropped_rgb(frame, size, crop)
    orientation = orientation_of(frame)
    stored = size if size is None or not orientation.swap else (size[1], size[0])
    bits = max(component.bits for component in frame.format.components)
    if bits > 8:
        picture: Picture = _deep_rgb(frame, bits)
        if stored is not None:
            picture = resize(picture, *stored)
    elif stored is None or stored == (frame.height, frame.width):
        picture = converted(frame, "rgb24", interpolation=EXACT).to_ndarray()
    elif stored[0] <= frame.height and stored[1] <= frame.width:
        # One pass from the stored planes to the small picture: fast enough for the search.
        picture = converted(frame, "rgb24", stored, AREA).to_ndarray()
    else:
        picture = resize(converted(frame, "rgb24", interpolation=EXACT).to_ndarray(), *stored)
    return orientation.apply(picture)


def _cropped_rgb(frame: Any, size: tuple[int, int] | None, crop: Crop) -> Picture:
    """Return the part of a frame inside ``crop``; see :func:`rgb_picture`."""
    orientation = orientation_of(frame)
    # The crop counts in the stored frame, before it is made upright.
    upright = orientation.apply(crop.apply(orientation.undo(rgb_picture(frame))))
    return upright if size is None or size == upright.shape[:2] else resize(upright, *size)


def _deep_rgb(frame: Any, bits: int) -> NDArray[np.float32]:
    """Return ``(H, W, 3)`` float32 RGB of a frame of 9 to 16 bits.

    Swscale's own conversion to deep RGB leaves 10-bit white 0.3 % too dark.
    """
    name = frame.format.name
    if name.startswith(("rgb48", "rgba64", "bgr48", "bgra64")):
        return _packed_rgb(frame, bits)
    if name.startswith(("gbrp", "gbrap", "gray")) and "f" not in name:
        array: NDArray[np.uint16] = frame.to_ndarray()
        if array.ndim == 2:
            array = np.repeat(array[..., None], 3, axis=2)
        if not name.startswith("gray") or frame.color_range != 1:
            return np.divide(array[..., :3], np.float32(2**bits - 1), dtype=np.float32)
        return rgb_from_yuv(_with_gray_chroma(array[..., 0], bits), bits, frame.colorspace, False)
    if frame.format.is_rgb or name.startswith("gray"):
        floats = np.asarray(
            converted(frame, "gbrpf32le", interpolation=EXACT).to_ndarray(), np.float32
        )
        return np.clip(np.nan_to_num(floats), 0, 1)
    return _deep_yuv(frame, bits)


def _packed_rgb(frame: Any, bits: int) -> NDArray[np.float32]:
    """Return ``(H, W, 3)`` float32 RGB of a frame of interleaved 16-bit channels.

    This takes one step from the frame's own memory, because each copy of a large picture can be
    most of a gigabyte.
    """
    name = frame.format.name
    channels = 3 if "48" in name else 4
    plane = frame.planes[0]
    kind = ">u2" if name.endswith("be") else "<u2"
    lines = np.frombuffer(plane, kind).reshape(plane.height, -1)
    stored = lines[:, : frame.width * channels].reshape(frame.height, frame.width, channels)
    rgb = stored[..., 2::-1] if name.startswith("bgr") else stored[..., :3]
    deep: NDArray[np.float32] = np.divide(rgb, np.float32(2**bits - 1), dtype=np.float32)
    return deep


def _deep_yuv(frame: Any, bits: int) -> NDArray[np.float32]:
    """Return ``(H, W, 3)`` float32 RGB of a YUV frame of 9 to 16 bits, in bands of rows."""
    full: Any = converted(frame, f"yuv444p{bits}le", interpolation=EXACT)
    planes = [plane_codes(plane, "<u2") for plane in full.planes]
    rows = _BAND_PIXELS // frame.width + 1
    parts = [
        [plane[first : first + rows] for plane in planes] for first in range(0, frame.height, rows)
    ]
    bands = (
        rgb_from_yuv(
            np.stack(part, axis=2).astype(np.float32), bits, frame.colorspace, is_full(frame)
        )
        for part in parts
    )
    if len(parts) == 1:
        return next(bands)
    picture = np.empty((frame.height, frame.width, 3), np.float32)
    for number, part in enumerate(bands):
        picture[number * rows : (number + 1) * rows] = part
    return picture


def _with_gray_chroma(luma: Picture, bits: int) -> NDArray[np.float32]:
    """Return ``(H, W)`` luma codes as ``(H, W, 3)`` YUV codes without colour."""
    chroma = np.full(luma.shape, 1 << (bits - 1), np.float32)
    return np.stack([luma.astype(np.float32), chroma, chroma], axis=2)


def stack(pictures: list[Picture]) -> torch.Tensor:
    """Return ``T`` pictures ``(H, W, 3)`` as ``(T, 3, H, W)`` float32 in [0, 1]."""
    tensor = torch.from_numpy(np.stack([picture.transpose(2, 0, 1) for picture in pictures]))
    return tensor if tensor.dtype == torch.float32 else tensor.to(torch.float32).div_(255)


def has_alpha(frame: Any) -> bool:
    """Return whether a decoded frame has an alpha channel. A palette counts, as it may have one."""
    return bool(
        frame.format.name == "pal8" or any(part.is_alpha for part in frame.format.components)
    )


def alpha_of(frame: Any, crop: Crop | None = None) -> torch.Tensor | None:
    """Return a frame's upright alpha ``(1, H, W)`` in [0, 1], of 8 bits; ``None`` without one.

    crop: as in :func:`rgb_picture`.
    """
    if not has_alpha(frame):
        return None
    stored = (crop or Crop()).apply(converted(frame, "rgba").to_ndarray()[..., 3:])
    upright = np.ascontiguousarray(orientation_of(frame).apply(stored))
    return torch.from_numpy(upright).permute(2, 0, 1).float() / 255


def is_transparent(frame: Any) -> bool:
    """Return whether any pixel of a frame with an alpha channel is not opaque."""
    name = frame.format.name
    bits = max(component.bits for component in frame.format.components)
    if frame.format.is_planar and bits <= 16:
        plane = frame.planes[len(frame.planes) - 1]
        kind = ">u2" if name.endswith("be") else "<u2"
        lines = np.frombuffer(plane, np.uint8 if bits == 8 else np.dtype(kind))
        least = int(lines.reshape(plane.height, -1)[:, : plane.width].min())
        return bool(least < 2**bits - 1)
    alpha = converted(frame, "rgba").to_ndarray()[..., 3]
    return int(alpha.min()) < 255


def frame_checksum(frame: Any) -> int:
    """Return a checksum of every eighth line of the first plane.

    It is enough to recognise a frame after a seek.
    """
    plane = frame.planes[0]
    lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[::8]
    return zlib.crc32(lines[:, : min(plane.width, plane.line_size)].tobytes())
