"""Define an output container: its file type, its encoder, and what a layer keeps in it.

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
class AudioSupport:
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
class SubtitleSupport:
    """How a file type holds the input's subtitles.

    copied: FFmpeg's names of the codecs that are copied. encoder: FFmpeg's name for all other text.
    one_at_a_time: whether a subtitle begins only when the one before has ended.
    """

    copied: frozenset[str]
    encoder: str
    one_at_a_time: bool = False


@dataclass(frozen=True)
class FinishedFile:
    """A file that the muxer has finished and whose header may need changes.

    time_base: the unit of the layer's times, in seconds. has_hdr_metadata: whether the layer has
    HDR metadata.
    """

    path: Path
    info: ClipInfo
    time_base: Fraction
    has_hdr_metadata: bool


def report_missing_hdr(file: FinishedFile) -> list[str]:
    """Return ``["the HDR metadata"]`` if the file needs it and this type cannot hold it."""
    return ["the HDR metadata"] if file.has_hdr_metadata else []


@dataclass(frozen=True)
class FileType:
    """The file around the encoded picture.

    suffix: of the file's name. muxer: FFmpeg's name; empty for a file of one picture.
    options: of the muxer.
    audio: how it holds audio; ``None`` where it cannot.
    subtitles: how it holds subtitles; ``None`` where it cannot.
    timecode: whether it holds the time code of its first frame.
    pixel_aspect: whether it holds the shape of a pixel; otherwise a layer has a warning.
    colors: whether it says what its colours mean; otherwise a layer has a warning where its colours
        are not those of BT.709 or sRGB.
    photo_labels: whether a file of one picture holds EXIF data and a resolution.
    time_base: the unit of its times, in seconds; ``None``: the input's unit.
    muxer_time_base: the unit that the muxer is told, where that differs from ``time_base``.
    reserves_name: whether the track's name reserves space in the header, see
        :data:`stages.media.video_headers.RESERVED`.
    fix_header: completes the header of a finished file and returns what could not be written there.
    """

    suffix: str
    muxer: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    audio: AudioSupport | None = None
    subtitles: SubtitleSupport | None = None
    timecode: bool = False
    pixel_aspect: bool = False
    colors: bool = True
    photo_labels: bool = True
    time_base: Fraction | None = None
    muxer_time_base: Fraction | None = None
    reserves_name: bool = True
    fix_header: Callable[[FinishedFile], list[str]] = report_missing_hdr


@dataclass(frozen=True)
class CodecSettings:
    """An encoder's settings for one layer.

    pixel_format: FFmpeg's name. options: of the encoder.
    """

    pixel_format: str
    options: Mapping[str, str] = field(default_factory=dict)


ChooseSettings = Callable[[ClipInfo, int, bool], CodecSettings]
"""The settings for a clip, a bit depth, and whether the layer has an alpha channel."""


@dataclass(frozen=True)
class LayerContainer:
    """One way to write layers: a file type with one codec in it.

    name: unique. title: what people call it.
    file_type: the file around it. encoder: FFmpeg's name of the encoder.
    settings: chooses the encoder's settings, with what it falls back to for odd or tiny sizes.
    depths: the bit depths that it holds, ascending. A layer gets the first one that is enough for
        it, otherwise the last.
    alpha: whether it holds an alpha channel.
    gray: whether it holds one number a pixel instead of a colour.
    for_alpha: the name of the container for layers with an alpha channel, where this one has none.
    for_data: the name of the container for layers of data, such as mattes; empty: this one.
    fourcc: the four letters by which the file names the codec; empty: FFmpeg's choice.
    least_size: the smallest height and width that the encoder takes, in pixels.
    fixed_matrix: the only matrix (H.273's number) that its codec can state, where that is so.
    linear: whether it holds linear light instead of encoded values.
    converts_colors: whether HDR and wide gamuts are converted to BT.709, as players of this
        container show nothing else. All other containers keep the input's values and tag them.
    least_psnr: least PSNR of smooth frames after a write and a read, in dB; infinite where the
        container is lossless.
    """

    name: str
    title: str
    file_type: FileType
    encoder: str
    settings: ChooseSettings
    depths: tuple[int, ...] = (8,)
    alpha: bool = False
    gray: bool = False
    for_alpha: str = ""
    for_data: str = ""
    fourcc: str = ""
    least_size: tuple[int, int] = (1, 1)
    fixed_matrix: int | None = None
    linear: bool = False
    converts_colors: bool = False
    least_psnr: float = float("inf")

    @property
    def is_pictures(self) -> bool:
        """Return whether a file holds one picture, so that a clip becomes a folder of files."""
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
        return Encoding(self, chosen.pixel_format, bits, chosen.options, alpha, sequence)


@dataclass(frozen=True)
class Encoding:
    """How one layer is encoded.

    pixel_format: FFmpeg's name. bits: the depth of the values that the encoder gets.
    options: of the encoder. alpha: whether the layer has an alpha channel. sequence: whether the
    layer is a folder of numbered picture files.
    """

    container: LayerContainer
    pixel_format: str
    bits: int = 8
    options: Mapping[str, str] = field(default_factory=dict)
    alpha: bool = False
    sequence: bool = False

    @property
    def suffix(self) -> str:
        """Return the suffix of the layer's name; empty for the folder of a sequence."""
        return "" if self.sequence else self.container.file_type.suffix

    @property
    def yuv(self) -> bool:
        """Return whether pixels are limited-range luma and chroma rather than full-range RGB."""
        return self.pixel_format.startswith("yuv")
