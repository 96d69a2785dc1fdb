"""The contract of an output container: the same tests for every file of the registry."""

from __future__ import annotations

import inspect
import sys
from fractions import Fraction
from pathlib import Path

import av
import media
import numpy as np
import pytest
import torch
from writing import back, clip_of, leftovers

from stages.media.clip import ClipInfo, Frames
from stages.media.color_tags import BT709, ColorTags
from stages.media.containers import LAYER_CONTAINERS
from stages.media.containers.base import LayerContainer
from stages.media.formats import ALPHA_CONTAINERS, LayerFormat, container_for
from stages.media.read import AudioSpan, open_clip
from stages.media.write import LayerWriter
from stages.mixing.psnr import psnr_of

CONTAINERS = list(LAYER_CONTAINERS.values())
HEIGHT, WIDTH = 48, 64
TICKS = [90000, 93600, 97200, 104400, 108000]  # 1/90000 s; one frame lasts twice as long
P3 = ColorTags(12, 13, 1)  # Display P3 primaries and sRGB's transfer


def smooth(count: int) -> torch.Tensor:
    """Return frames ``(T, 3, H, W)`` of colour ramps that brighten from frame to frame."""
    y = torch.linspace(0.1, 0.9, HEIGHT)[:, None].expand(HEIGHT, WIDTH)
    x = torch.linspace(0.1, 0.9, WIDTH).expand(HEIGHT, WIDTH)
    return torch.stack(
        [torch.stack([x, y, torch.full_like(x, 0.3 + 0.1 * number)]) for number in range(count)]
    )


def is_clip(container: LayerContainer) -> bool:
    return bool(container.file_type.muxer)


def layer_of(
    container: LayerContainer, path: Path, *, bits: int = 8, alpha: bool = False, **changes: object
) -> tuple[LayerWriter, Frames]:
    """Write a layer of known frames into ``path``; return its writer and the frames."""
    count = len(TICKS) if is_clip(container) else 1
    info, empty = clip_of(np.zeros((count, HEIGHT, WIDTH, 3), np.uint8), TICKS[:count], **changes)
    top = 2**bits - 1
    frames = Frames((smooth(count) * top).round() / top, empty.times)
    ramp = torch.linspace(0, 1, WIDTH).expand(count, 1, HEIGHT, WIDTH) if alpha else None
    encoding = container.encoding(info, bits, alpha)
    with LayerWriter(path / "layer", info, encoding=encoding, first_frame=25) as writer:
        writer.write(frames, ramp)
    return writer, frames


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the PSNR in dB; infinite where both differ by rounding alone."""
    error = one.double() - other.double()
    return float("inf") if error.abs().max() < 1e-6 else psnr_of(float((error**2).mean()))


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda item: item.name)
def test_a_container_is_one_file_with_its_name(container: LayerContainer) -> None:
    module = sys.modules[f"stages.media.containers.{container.name.replace('-', '_')}"]
    assert module.CONTAINER is container and inspect.getdoc(module)
    assert list(container.depths) == sorted(set(container.depths))
    # The encoder is in the libraries that the project requires.
    assert av.Codec(container.encoder, "w").type == "video"


def test_every_name_of_alpha_leads_to_a_container_with_alpha() -> None:
    for pictures in (False, True):
        for name in ALPHA_CONTAINERS:
            assert container_for(LayerFormat(alpha=name, pictures=pictures)).alpha


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda item: item.name)
def test_frames_and_times_come_back(container: LayerContainer, tmp_path: Path) -> None:
    writer, frames = layer_of(container, tmp_path)
    assert writer.warnings == []
    assert leftovers(tmp_path) == [f"layer{container.file_type.suffix}"]
    found = back(writer.path)
    assert found.pixels.shape == frames.pixels.shape
    assert psnr(found.pixels, frames.pixels) >= container.least_psnr
    if is_clip(container):
        expected = [time - frames.times[0] for time in frames.times]
        unit = container.file_type.unit or Fraction(1, 90000)
        errors = [abs(a - b) for a, b in zip(found.times, expected, strict=True)]
        assert max(errors) <= unit / 2
    with av.open(str(writer.path)) as opened:
        decoded = list(opened.decode(video=0))
        assert [frame.width for frame in decoded] == [WIDTH] * len(frames)
        rgb = torch.from_numpy(np.stack([frame.to_ndarray(format="rgb24") for frame in decoded]))
    # Swscale's own conversion is up to three levels off.
    assert (rgb.permute(0, 3, 1, 2) / 255 - frames.pixels).abs().mean() < 3 / 255


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda item: item.name)
def test_every_depth_comes_back(container: LayerContainer, tmp_path: Path) -> None:
    for bits in container.depths:
        (tmp_path / str(bits)).mkdir()
        writer, frames = layer_of(container, tmp_path / str(bits), bits=bits)
        found = back(writer.path)
        assert psnr(found.pixels, frames.pixels) >= container.least_psnr
        assert open_clip([writer.path]).info.bit_depth >= bits


@pytest.mark.parametrize(
    "container", [item for item in CONTAINERS if item.alpha], ids=lambda item: item.name
)
def test_alpha_comes_back(container: LayerContainer, tmp_path: Path) -> None:
    writer, frames = layer_of(container, tmp_path, alpha=True)
    decoder = {"libvpx-vp9": "libvpx-vp9"}.get(container.encoder)
    rgba = media.load(writer.path, HEIGHT, WIDTH, decoder, "rgba").astype(int)
    assert len(rgba) == len(frames)
    ramp = np.rint(np.linspace(0, 1, WIDTH) * 255)
    limit = 0 if container.least_psnr == float("inf") else 3
    assert np.abs(rgba[..., 3] - ramp).max() <= limit
    # Straight alpha: the colours are not multiplied, not even where the layer is transparent.
    colours = frames.pixels.permute(0, 2, 3, 1).numpy() * 255
    assert np.abs(rgba[..., :3] - colours).mean() <= 3


@pytest.mark.parametrize(
    "container", [item for item in CONTAINERS if not item.alpha], ids=lambda item: item.name
)
def test_alpha_is_refused_where_there_is_none(container: LayerContainer, tmp_path: Path) -> None:
    info, frames = clip_of(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8))
    encoding = container.encoding(info, 8, False)
    with (
        pytest.raises(ValueError, match="without alpha"),
        LayerWriter(tmp_path / "layer", info, encoding=encoding) as writer,
    ):
        writer.write(frames, torch.ones(1, 1, HEIGHT, WIDTH))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda item: item.name)
def test_colours_are_tagged(container: LayerContainer, tmp_path: Path) -> None:
    writer, _ = layer_of(container, tmp_path, color=P3)
    color = open_clip([writer.path]).info.color
    expected = P3
    if container.converts_colors:
        expected = ColorTags(BT709, BT709)
    assert (color.primaries, color.transfer) == (expected.primaries, expected.transfer)
    with av.open(str(writer.path)) as opened:
        frame = next(opened.decode(video=0))
        assert (frame.color_primaries, frame.color_trc) == (color.primaries, color.transfer)


@pytest.mark.parametrize(
    "container", [item for item in CONTAINERS if is_clip(item)], ids=lambda item: item.name
)
def test_what_the_file_type_holds_comes_back(container: LayerContainer, tmp_path: Path) -> None:
    aspect, start = Fraction(12, 11), "01:00:00:00"
    writer, _ = layer_of(container, tmp_path, pixel_aspect=aspect, timecode=start)
    info = open_clip([writer.path]).info
    file_type = container.file_type
    assert info.timecode == ("01:00:01:00" if file_type.timecode else "")
    assert info.pixel_aspect == (aspect if file_type.pixel_aspect else 1)
    # What a file does not hold is no secret.
    assert ("pixel aspect" in " ".join(writer.warnings)) == (not file_type.pixel_aspect)


@pytest.mark.parametrize(
    "container", [item for item in CONTAINERS if item.file_type.sound], ids=lambda item: item.name
)
def test_sound_is_written_beside_the_picture(container: LayerContainer, tmp_path: Path) -> None:
    source = tmp_path / "tone.wav"
    with av.open(str(source), "w") as out:
        track = out.add_stream("pcm_s16le", rate=48000)
        track.layout = "mono"
        tone = (9000 * np.sin(np.arange(48000) / 20)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], "s16", "mono")
        frame.sample_rate = 48000
        out.mux(track.encode(frame))
        out.mux(track.encode(None))
    info, frames = clip_of(media.moving(10))
    encoding = container.encoding(info, 8, False)
    audio = AudioSpan(source, Fraction(0), Fraction(2, 5))
    with LayerWriter(tmp_path / "layer", info, encoding=encoding, audio=audio) as writer:
        writer.write(frames)
    assert writer.warnings == []
    with av.open(str(writer.path)) as opened:
        heard = np.concatenate(
            [np.abs(part.to_ndarray()).ravel() for part in opened.decode(audio=0)]
        )
    assert len(heard) >= 0.35 * 48000 and heard.max() > 0


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda item: item.name)
def test_an_interrupted_write_leaves_no_file(container: LayerContainer, tmp_path: Path) -> None:
    older = tmp_path / f"layer{container.file_type.suffix}"
    older.write_bytes(b"the one from before")
    info, frames = clip_of(media.moving(1))
    with (
        pytest.raises(KeyboardInterrupt),
        LayerWriter(
            tmp_path / "layer", info, encoding=container.encoding(info, 8, False)
        ) as writer,
    ):
        writer.write(frames)
        # Until the end, the layer's name belongs to what was there before.
        assert older.read_bytes() == b"the one from before"
        raise KeyboardInterrupt
    assert leftovers(tmp_path) == [older.name]
    assert older.read_bytes() == b"the one from before"


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda item: item.name)
@pytest.mark.parametrize("size", [(1, 1), (33, 47), (2, 300), (300, 1)])
def test_any_size_is_written(
    container: LayerContainer, size: tuple[int, int], tmp_path: Path
) -> None:
    info, frames = clip_of(np.full((1, *size, 3), 120, np.uint8))
    encoding = container.encoding(info, 8, False)
    with LayerWriter(tmp_path / "layer", info, encoding=encoding) as writer:
        writer.write(frames)
    found: ClipInfo = open_clip([writer.path]).info
    assert (found.height, found.width) == size
    assert (back(writer.path).pixels - frames.pixels).abs().max() < 4 / 255
