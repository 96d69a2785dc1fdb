"""Make the frames that an encoder takes, from pixels or from the input's own frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from stages.media import frame_pixels
from stages.media.chroma_place import is_chroma_left
from stages.media.color_tags import ColorTags
from stages.media.containers.base import Encoding
from stages.media.convert import AREA, converted
from stages.media.formats import LEFT_CHROMA, OutputColors
from stages.media.planes import fill_plane, plane_codes
from stages.media.stored_frame import StoredFrame
from stages.media.tone import to_display, to_light

_LIMITED_RANGE, _FULL_RANGE = 1, 2  # FFmpeg's numbers


@dataclass(frozen=True)
class EncoderFrames:
    """Make frames for one encoding.

    encoding: the container and its codec. output_colors: the meaning of the layer's values.
    input_color: the meaning of the input's values. codec: the input's, FFmpeg's name.
    linear: whether the layer holds linear light. premultiplied: whether its colours are multiplied
    by alpha.
    """

    encoding: Encoding
    output_colors: OutputColors
    input_color: ColorTags
    codec: str
    linear: bool = False
    premultiplied: bool = False
    _left_chroma: list[bool] = field(default_factory=list, compare=False, repr=False)

    def of_stored(self, stored: StoredFrame, size: tuple[int, int]) -> VideoFrame:
        """Return a frame of the input, ``size`` ``(H, W)``, as a frame for the encoder.

        Where the codes of the input are those of the layer, they are taken over as they are.
        """
        encoding = self.encoding
        if self._has_same_codes(stored):
            frame = stored.frame
            if size != (frame.height, frame.width):
                frame = converted(frame, encoding.pixel_format, size, AREA)
            return _planar(_planes_of(frame), encoding.pixel_format, self.output_colors.tags)
        picture: NDArray[Any] = (
            stored.picture if size == stored.size else stored.scaled_picture(size)
        )
        if picture.dtype == np.uint8 and self._holds_levels:
            return VideoFrame.from_ndarray(np.ascontiguousarray(picture), encoding.pixel_format)
        return self.of_pixels(frame_pixels.stack([picture]), None)

    def of_pixels(self, pixels: torch.Tensor, alpha: torch.Tensor | None) -> VideoFrame:
        """Return pixels ``(1, 3, H, W)`` and alpha ``(1, 1, H, W)`` as a frame for the encoder."""
        encoding = self.encoding
        pixels = pixels.detach().cpu()
        if self.output_colors.converted:
            pixels = to_display(pixels, self.input_color)
        if self.linear:
            pixels = to_light(pixels, self.input_color)
        if encoding.alpha:
            if alpha is None:
                alpha = torch.ones_like(pixels[:, :1])
            alpha = alpha.detach().to(pixels)
            if self.premultiplied:
                pixels = pixels * alpha
            pixels = torch.cat([pixels, alpha], dim=1)
        if encoding.pixel_format.endswith("f32le"):
            values = pixels[0].permute(1, 2, 0).float().numpy()
            return VideoFrame.from_ndarray(np.ascontiguousarray(values), encoding.pixel_format)
        if encoding.yuv:
            return self._of_yuv(pixels[0])
        top = 2**encoding.bits - 1
        levels = pixels[0].permute(1, 2, 0).mul(top).round().clamp(0, top).numpy()
        array: NDArray[Any] = np.ascontiguousarray(
            levels, np.uint8 if encoding.bits == 8 else np.uint16
        )
        if encoding.pixel_format.startswith(("gbrp", "gbrap", "rgb")):
            return VideoFrame.from_ndarray(array, encoding.pixel_format)
        if encoding.container.gray:
            return _gray_frame(array)
        rgb = VideoFrame.from_ndarray(array, "rgba" if encoding.alpha else "rgb24")
        return converted(rgb, encoding.pixel_format)

    def _of_yuv(self, pixels: torch.Tensor) -> VideoFrame:
        """Return pixels ``(3, H, W)``, or ``(4, H, W)`` with alpha, as luma and chroma."""
        encoding = self.encoding
        chroma = next(name for name in ("444", "422", "420") if name in encoding.pixel_format)
        planes = frame_pixels.yuv_planes(
            pixels[:3], encoding.bits, chroma, self.output_colors.tags[2]
        )
        if encoding.alpha:
            top = 2**encoding.bits - 1
            planes.append((pixels[3] * top).round().clamp(0, top).numpy().astype(planes[0].dtype))
        return _planar(planes, encoding.pixel_format, self.output_colors.tags)

    @property
    def _keeps_values(self) -> bool:
        """Whether a layer's values are the input's, without alpha and without another light."""
        return not (self.output_colors.converted or self.linear or self.encoding.alpha)

    @property
    def _holds_levels(self) -> bool:
        """Whether the encoder takes RGB of 8 bits as it is."""
        is_rgb = self.encoding.pixel_format in ("gbrp", "rgb24")
        return is_rgb and self.encoding.bits == 8 and self._keeps_values

    def _has_same_codes(self, stored: StoredFrame) -> bool:
        """Return whether the codes of a frame of the input mean in the layer what they mean there.

        The input's codec, matrix, range, orientation and the place of its chroma decide.
        """
        frame = stored.frame
        return (
            self.encoding.yuv
            and self._keeps_values
            and frame.format.name == self.encoding.pixel_format
            and self.codec in LEFT_CHROMA
            and not frame_pixels.is_full(frame)
            and frame_pixels.luma_weights(frame.colorspace)
            == frame_pixels.luma_weights(self.output_colors.tags[2])
            and stored.is_upright
            and not frame.interlaced_frame
            and self._has_left_chroma(frame)
        )

    def _has_left_chroma(self, frame: VideoFrame) -> bool:
        """Return whether the chroma of the input lies as that of the layer; the first frame tells.

        It holds for a whole stream, and telling it takes as long as converting two frames.
        """
        if not self._left_chroma:
            self._left_chroma.append(is_chroma_left(frame))
        return self._left_chroma[0]


def _planes_of(frame: Any) -> list[NDArray[Any]]:
    """Return the planes of a frame without the padding of their lines."""
    deep = max(component.bits for component in frame.format.components) > 8
    kind = np.dtype(np.uint16 if deep else np.uint8)
    return [plane_codes(plane, kind) for plane in frame.planes]


def _planar(
    planes: list[NDArray[Any]], pixel_format: str, tags: tuple[int, int, int]
) -> VideoFrame:
    """Return a frame of these planes, with the line spacing that the library wants."""
    frame = VideoFrame(planes[0].shape[1], planes[0].shape[0], pixel_format)
    # ProRes stores each frame's own tags, not the stream's.
    frame.color_primaries, frame.color_trc, frame.colorspace = tags
    frame.color_range = _LIMITED_RANGE
    for plane, codes in zip(frame.planes, planes, strict=True):
        fill_plane(plane, codes)
    return frame


def _gray_frame(array: NDArray[Any]) -> VideoFrame:
    """Return levels ``(H, W, 3)``, whose channels are equal, as a frame of one channel."""
    one = np.ascontiguousarray(array[..., 0])
    if (array != one[..., None]).any():
        raise ValueError("this layer holds one number a pixel, but its channels differ")
    frame = VideoFrame.from_ndarray(one, "gray")
    frame.color_range = _FULL_RANGE
    return frame
