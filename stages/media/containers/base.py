"""What an output container is made of: its file type, its encoder, and what a layer keeps in it.

A :class:`FileType` is the file around the picture (MP4, MOV, Matroska, WebM, a picture file). A
:class:`LayerContainer` is a file type with one codec in it. An :class:`Encoding` is a container
with the settings for one layer. A picture file holds one frame. A layer of several frames is then a
folder of picture files, a sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from stages.media.clip import ClipInfo


@dataclass(frozen=True)
class SoundTracks:
    """How a file type holds the input's audio.

    copied: FFmpeg's names of the codecs that are copied; ``None``: whatever the muxer accepts.
    encoder, sample_format: FFmpeg's names for all other audio.
    rates: the sample rates that the encoder supports; empty: any. The first one is used where the
        input's is not supported.
    """

    copied: frozenset[str] | None
    encoder: str
    sample_format: str
    rates: tuple[int, ...] = ()


@dataclass(frozen=True)
class FinishedFile:
    """A file that the muxer has finished and whose header may need corrections.

    tick: the unit of the layer's times, in seconds. light: whether it gets HDR metadata.
    """

    path: Path
    info: ClipInfo
    tick: Fraction
    light: bool


def light_lost(file: FinishedFile) -> list[str]:
    """Return that HDR metadata could not be written, where there are any."""
    return ["the HDR metadata"] if file.light else []


@dataclass(frozen=True)
class FileType:
    """The file around the encoded picture.

    suffix: of the file's name. muxer: FFmpeg's name; empty for a file of one picture.
    options: of the muxer.
    sound: how it holds audio; ``None`` where it cannot.
    timecode: whether it holds the time code of its first frame.
    pixel_aspect: whether it holds the shape of a pixel; otherwise a layer has a warning.
    colors: whether it says what its colours mean; otherwise a layer has a warning where its colours
        are not those of BT.709 or sRGB.
    unit: of its times, in seconds; ``None``: the input's unit.
    declared_unit: the unit that the muxer is told, where that differs from ``unit``.
    reserves_name: whether the track's name reserves space in the header, see
        :data:`stages.media.headers.RESERVED`.
    correct: corrects the header of a finished file, and returns what could not be written there.
    """

    suffix: str
    muxer: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    sound: SoundTracks | None = None
    timecode: bool = False
    pixel_aspect: bool = False
    colors: bool = True
    unit: Fraction | None = None
    declared_unit: Fraction | None = None
    reserves_name: bool = True
    correct: Callable[[FinishedFile], list[str]] = light_lost


@dataclass(frozen=True)
class CodecSettings:
    """An encoder's settings for one layer: FFmpeg's name of the pixel format, and options."""

    pixels: str
    options: Mapping[str, str] = field(default_factory=dict)


ChooseSettings = Callable[[ClipInfo, int, bool], CodecSettings]
"""The settings for a clip, a bit depth, and whether the layer has an alpha channel."""


@dataclass(frozen=True)
class LayerContainer:
    """One way to write layers: a file type with one codec in it.

    name: unique. about: what people call it.
    file_type: the file around it. encoder: FFmpeg's name of the encoder.
    settings: chooses the encoder's settings, with what it falls back to for odd or tiny sizes.
    depths: the bit depths that it holds, rising. A layer gets the first one that is enough for it,
        otherwise the last.
    alpha: whether it holds an alpha channel.
    for_alpha: the name of the container for layers with an alpha channel, where this one has none.
    for_data: the name of the container for layers of data, such as mattes; empty: this one.
    tag: the four letters by which the file names the codec; empty: FFmpeg's choice.
    least_size: the smallest height and width that the encoder takes, in pixels.
    fixed_matrix: the only matrix (H.273's number) that its codec can state, where that is so.
    linear: whether it holds linear light instead of encoded values.
    converts_colors: whether HDR and wide gamuts are converted to BT.709, as players of this
        container show nothing else. All other containers keep the input's values and tag them.
    least_psnr: what comes back of smooth frames has at least this PSNR, in dB; infinite where the
        container is lossless.
    """

    name: str
    about: str
    file_type: FileType
    encoder: str
    settings: ChooseSettings
    depths: tuple[int, ...] = (8,)
    alpha: bool = False
    for_alpha: str = ""
    for_data: str = ""
    tag: str = ""
    least_size: tuple[int, int] = (1, 1)
    fixed_matrix: int | None = None
    linear: bool = False
    converts_colors: bool = False
    least_psnr: float = float("inf")

    @property
    def is_pictures(self) -> bool:
        """Whether a file of it holds one picture, so that a clip becomes a folder of them."""
        return not self.file_type.muxer

    def encoding(
        self, info: ClipInfo, bit_depth: int, alpha: bool, *, sequence: bool = False
    ) -> Encoding:
        """Return the encoding of a layer of the clip ``info``.

        bit_depth: the depth that the layer needs. alpha: whether it has an alpha channel.
        sequence: whether the layer is a folder of numbered picture files.
        """
        bits = next((depth for depth in self.depths if depth >= bit_depth), self.depths[-1])
        chosen = self.settings(info, bits, alpha)
        return Encoding(self, chosen.pixels, bits, chosen.options, alpha, sequence)


@dataclass(frozen=True)
class Encoding:
    """How one layer is encoded.

    pixels: FFmpeg's name of the pixel format. bits: the depth of the values that the encoder gets.
    options: of the encoder. alpha: whether the layer has an alpha channel. sequence: whether the
    layer is a folder of numbered picture files.
    """

    container: LayerContainer
    pixels: str
    bits: int = 8
    options: Mapping[str, str] = field(default_factory=dict)
    alpha: bool = False
    sequence: bool = False

    @property
    def suffix(self) -> str:
        """The suffix of the layer's name; empty for the folder of a sequence."""
        return "" if self.sequence else self.container.file_type.suffix

    @property
    def yuv(self) -> bool:
        """Whether the pixels are limited-range luma and chroma rather than full-range RGB."""
        return self.pixels.startswith("yuv")
