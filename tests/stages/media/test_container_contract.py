"""The contract of an output container: the same tests for every file of the registry."""

from __future__ import annotations

import contextlib
import inspect
import struct
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import media
import numpy as np
import pytest
import torch
from container_forms import CLIPS, FORMS, VIDEOS, WITH_ALPHA, Form, named
from writing import back, clip_of, leftovers

from pipeline.codecs import ALPHA_CODECS, CODECS, LOSSLESS_CODECS, PICTURE_CODECS
from stages.media.clip import Frames, SourceSpan
from stages.media.color_tags import BT709, BT2020, LINEAR, PQ, ColorTags
from stages.media.containers import LAYER_CONTAINERS
from stages.media.containers.base import LayerContainer
from stages.media.formats import ALPHA_CONTAINERS, LayerFormat, container_for
from stages.media.read import open_clip
from stages.media.tone import to_light
from stages.media.write import LayerWriter
from stages.mixing.psnr import psnr_of

TICKS = [90000, 93600, 97200, 104400, 108000]  # 1/90000 s; one frame lasts twice as long
EVEN = [90000, 93600, 97200, 100800, 104400]
FIRST = 25  # the input's frame that a layer begins with
# A display of 1000 cd/m2 with the primaries of BT.2020, as 24 bytes of an mdcv box.
MASTERING = struct.pack(
    ">8H2I", 8500, 39850, 6550, 2300, 35400, 14600, 15635, 16450, 10_000_000, 50
)
HDR = ColorTags(BT2020, PQ, BT2020, MASTERING, (1000, 400))
INFINITE = float("inf")


def smooth(count: int, height: int, width: int) -> torch.Tensor:
    """Return frames ``(T, 3, H, W)`` of colour ramps that brighten from frame to frame."""
    y = torch.linspace(0.1, 0.9, height)[:, None].expand(height, width)
    x = torch.linspace(0.1, 0.9, width).expand(height, width)
    return torch.stack(
        [torch.stack([x, y, torch.full_like(x, 0.3 + 0.1 * number)]) for number in range(count)]
    )


def layer_of(
    form: Form, path: Path, *, bits: int = 8, alpha: bool = False, **changes: Any
) -> tuple[LayerWriter, Frames]:
    """Write a layer of known frames into ``path``; return its writer and the frames."""
    count = 1 if form.single else len(TICKS)
    height, width = form.size
    ticks = EVEN if form.sequence else TICKS
    info, empty = clip_of(np.zeros((count, height, width, 3), np.uint8), ticks[:count], **changes)
    top = 2 ** min(bits, 16) - 1
    pixels = (smooth(count, height, width) * top).round() / top
    if form.container.gray:
        pixels = pixels[:, :1].repeat(1, 3, 1, 1)
    frames = Frames(pixels, empty.times)
    ramp = torch.linspace(0, 1, width).expand(count, 1, height, width) if alpha else None
    encoding = form.encoding(info, bits, alpha)
    with LayerWriter(path / "layer", info, encoding=encoding, first_frame=FIRST) as writer:
        writer.write(frames, ramp)
    return writer, frames


def expected(form: Form, frames: Frames, color: ColorTags = ColorTags()) -> torch.Tensor:  # noqa: B008
    return to_light(frames.pixels, color) if form.container.linear else frames.pixels


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the PSNR in dB; infinite where both differ by rounding alone."""
    error = one.double() - other.double()
    return INFINITE if error.abs().max() < 1e-6 else psnr_of(float((error**2).mean()))


def decoded(path: Path) -> list[av.VideoFrame]:
    """Decode a layer with plain PyAV, the files of a sequence one by one."""
    frames = []
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with av.open(str(file)) as opened:
            frames += list(opened.decode(video=0))
    return frames


@pytest.mark.parametrize("container", LAYER_CONTAINERS.values(), ids=lambda item: item.name)
def test_a_container_is_one_file_with_its_name(container: LayerContainer) -> None:
    module = sys.modules[f"stages.media.containers.{container.name.replace('-', '_')}"]
    assert module.CONTAINER is container and inspect.getdoc(module)
    assert list(container.depths) == sorted(set(container.depths))
    # The encoder is in the libraries that the project requires.
    assert av.Codec(container.encoder, "w").type == "video"
    # What a container cannot hold goes into one that can.
    assert container.alpha or LAYER_CONTAINERS[container.for_alpha].alpha
    if container.for_data:
        assert LAYER_CONTAINERS[container.for_data].least_psnr == INFINITE


def test_every_word_of_an_option_leads_to_a_container() -> None:
    codecs = [LAYER_CONTAINERS[codec] for codec in CODECS]
    assert {item.name for item in codecs if item.is_pictures} == set(PICTURE_CODECS)
    assert {item.name for item in codecs if item.alpha} == set(ALPHA_CODECS)
    assert {item.name for item in codecs if item.least_psnr == INFINITE} == set(LOSSLESS_CODECS)
    for pictures in (False, True):
        for name in ("", *ALPHA_CONTAINERS):
            assert container_for(LayerFormat(alpha=name, pictures=pictures)).alpha
        for codec in CODECS:
            found = container_for(LayerFormat(codec=codec, pictures=pictures))
            assert found.is_pictures if pictures else found.name == codec
            alpha = container_for(LayerFormat(codec=codec, alpha="", pictures=pictures))
            assert alpha.alpha
            # Mattes are lossless, whatever their scenes are.
            matte = LayerFormat(codec=codec, data=True, gray=True, pictures=pictures)
            assert container_for(matte).least_psnr == INFINITE
            # Data of three different channels stay three.
            assert not container_for(replace(matte, gray=False)).gray
    assert container_for(LayerFormat(data=True, gray=True)).gray
    assert not container_for(LayerFormat(data=True)).gray


@pytest.mark.parametrize("form", FORMS, ids=named)
def test_frames_and_times_come_back(form: Form, tmp_path: Path) -> None:
    writer, frames = layer_of(form, tmp_path)
    assert writer.warnings == [] and leftovers(tmp_path) == [form.name]
    found = back(writer.path)
    assert found.pixels.shape == frames.pixels.shape
    assert psnr(found.pixels, expected(form, frames)) >= form.container.least_psnr
    if form in VIDEOS:
        times = [time - frames.times[0] for time in frames.times]
        unit = form.container.file_type.time_base or Fraction(1, 90000)
        errors = [abs(a - b) for a, b in zip(found.times, times, strict=True)]
        assert max(errors) <= unit / 2
    plain = decoded(writer.path)
    assert [(frame.height, frame.width) for frame in plain] == [form.size] * len(frames)
    rgb = torch.from_numpy(np.stack([frame.to_ndarray(format="rgb24") for frame in plain]))
    if not form.container.linear:
        # Swscale's own conversion is up to three levels off.
        assert (rgb.permute(0, 3, 1, 2) / 255 - frames.pixels).abs().mean() < 3 / 255


@pytest.mark.parametrize("form", [form for form in FORMS if form.sequence], ids=named)
def test_a_sequence_has_the_numbers_of_the_input(form: Form, tmp_path: Path) -> None:
    writer, frames = layer_of(form, tmp_path)
    suffix = form.container.file_type.suffix
    names = [f"{FIRST + number:06d}{suffix}" for number in range(len(frames))]
    assert leftovers(writer.path) == names


@pytest.mark.parametrize("form", FORMS, ids=named)
def test_every_depth_comes_back(form: Form, tmp_path: Path) -> None:
    for bits in form.container.depths:
        (tmp_path / str(bits)).mkdir()
        writer, frames = layer_of(form, tmp_path / str(bits), bits=bits)
        found = back(writer.path)
        assert psnr(found.pixels, expected(form, frames)) >= form.container.least_psnr
        assert open_clip([writer.path]).info.bit_depth >= min(bits, 16)


@pytest.mark.parametrize("form", FORMS, ids=named)
def test_colors_in_a_layer_of_numbers_are_an_error(form: Form, tmp_path: Path) -> None:
    info, frames = clip_of(media.moving(1, *form.size))
    with contextlib.ExitStack() as stack:
        if form.container.gray:
            stack.enter_context(pytest.raises(ValueError, match="channels differ"))
        layer = LayerWriter(tmp_path / "layer", info, encoding=form.encoding(info))
        stack.enter_context(layer).write(frames)


@pytest.mark.parametrize("form", WITH_ALPHA, ids=named)
def test_alpha_comes_back_straight(form: Form, tmp_path: Path) -> None:
    writer, frames = layer_of(form, tmp_path, alpha=True)
    height, width = form.size
    if form.container.encoder == "libvpx-vp9":
        rgba = media.load(writer.path, height, width, "libvpx-vp9", "rgba")
    else:
        rgba = np.stack([frame.to_ndarray(format="rgba") for frame in decoded(writer.path)])
    assert len(rgba) == len(frames)
    ramp = np.rint(np.linspace(0, 1, width) * 255)
    limit = 1 if form.container.least_psnr == INFINITE else 3
    assert np.abs(rgba[..., 3].astype(int) - ramp).max() <= limit
    # The colours are not multiplied by alpha, not even where the layer is transparent.
    colors = expected(form, frames).permute(0, 2, 3, 1).numpy() * 255
    assert np.abs(rgba[..., :3].astype(int) - colors).mean() <= 3


@pytest.mark.parametrize("form", [form for form in FORMS if form not in WITH_ALPHA], ids=named)
def test_alpha_is_refused_where_there_is_none(form: Form, tmp_path: Path) -> None:
    info, frames = clip_of(np.zeros((1, *form.size, 3), np.uint8))
    with (
        pytest.raises(ValueError, match="without alpha"),
        LayerWriter(tmp_path / "layer", info, encoding=form.encoding(info)) as writer,
    ):
        writer.write(frames, torch.ones(1, 1, *form.size))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("form", FORMS, ids=named)
def test_colors_travel_through(form: Form, tmp_path: Path) -> None:
    container = form.container
    writer, frames = layer_of(form, tmp_path, bits=10, color=HDR)
    color = open_clip([writer.path]).info.color
    plain = decoded(writer.path)[0]
    tags = (HDR.primaries, HDR.transfer)
    if container.linear:
        tags = (color.primaries, LINEAR)
        light = plain.to_ndarray(format="gbrpf32le")
        assert np.allclose(light[..., 0], to_light(frames.pixels, HDR)[0, 0].numpy(), rtol=1e-3)
        assert light.max() > 1
        # The primaries are numbers in the header.
        data = next(writer.path.parent.rglob("*.exr")).read_bytes()
        assert b"chromaticities\0chromaticities\0" in data
    elif not container.file_type.colors:
        assert "HDR" in writer.warnings[0]
        return
    elif container.converts_colors:
        tags = (BT709, BT709)
    assert writer.warnings == []
    assert (color.primaries, color.transfer) == tags
    if form in VIDEOS and not container.converts_colors:
        assert (color.mastering, color.light) == (HDR.mastering, HDR.light)
    assert (int(plain.color_primaries), int(plain.color_trc)) == tags
    assert psnr(back(writer.path).pixels, expected(form, frames, HDR).clamp(0, 1)) >= min(
        container.least_psnr, 45 if not container.converts_colors else 0
    )


@pytest.mark.parametrize("form", CLIPS, ids=named)
def test_what_the_file_type_holds_comes_back(form: Form, tmp_path: Path) -> None:
    aspect, start = Fraction(12, 11), "01:00:00:00"
    writer, _ = layer_of(form, tmp_path, pixel_aspect=aspect, timecode=start)
    info = open_clip([writer.path]).info
    file_type = form.container.file_type
    assert info.timecode == ("01:00:01:00" if file_type.timecode else "")
    assert info.pixel_aspect == (aspect if file_type.pixel_aspect else 1)
    # What a file does not hold is no secret.
    assert ("pixel aspect" in " ".join(writer.warnings)) == (not file_type.pixel_aspect)


@pytest.mark.parametrize("form", CLIPS, ids=named)
def test_audio_is_written_with_the_picture(form: Form, tmp_path: Path) -> None:
    source = tmp_path / "tone.mkv"
    rate = 48000
    with av.open(str(source), "w") as out:
        tracks = [out.add_stream("pcm_s16le", rate=rate) for _ in range(2)]
        for track in tracks:
            track.layout = "mono"
        # Silence for half a second, then a level.
        level = np.repeat(np.array([0, 9000], np.int16), rate // 2)
        for track in tracks:
            for begin in range(0, rate, 480):
                frame = av.AudioFrame.from_ndarray(level[None, begin : begin + 480], "s16", "mono")
                frame.sample_rate, frame.pts = rate, begin
                out.mux(track.encode(frame))
            out.mux(track.encode(None))
    info, frames = clip_of(np.zeros((10, *form.size, 3), np.uint8))
    audio = SourceSpan(source, Fraction(1, 4), Fraction(3, 4))
    encoding = form.encoding(info)
    with LayerWriter(tmp_path / "layer", info, encoding=encoding, source=audio) as writer:
        writer.write(frames)
    assert writer.warnings == []
    files = [writer.path]
    if form.sequence:
        files = writer.sounds
        assert [path.name for path in files] == ["layer.wav", "layer-2.wav"]
    for path in files:
        with av.open(str(path)) as opened:
            parts = [np.abs(part.to_ndarray()).ravel() for part in opened.decode(audio=0)]
        heard = np.concatenate(parts).astype(float)
        heard = heard > 0.1 * heard.max()
        assert len(heard) == pytest.approx(rate / 2, rel=0.1)
        # Codecs that smear in time are some milliseconds off.
        assert int(heard.argmax()) == pytest.approx(rate / 4, abs=0.03 * rate)


@pytest.mark.parametrize("form", FORMS, ids=named)
def test_an_interrupted_write_leaves_nothing(form: Form, tmp_path: Path) -> None:
    older = tmp_path / form.name
    if form.sequence:
        older.mkdir()
        (older / "000000.png").write_bytes(b"the one from before")
    else:
        older.write_bytes(b"the one from before")
    info, frames = clip_of(np.zeros((1, *form.size, 3), np.uint8))
    with (
        pytest.raises(KeyboardInterrupt),
        LayerWriter(tmp_path / "layer", info, encoding=form.encoding(info)) as writer,
    ):
        writer.write(frames)
        raise KeyboardInterrupt
    # Until the end, the layer's name belongs to what was there before.
    assert leftovers(tmp_path) == [older.name]
    kept = older / "000000.png" if form.sequence else older
    assert kept.read_bytes() == b"the one from before"
    with LayerWriter(tmp_path / "layer", info, encoding=form.encoding(info)) as writer:
        writer.write(frames)
    assert leftovers(tmp_path) == [older.name] and len(back(writer.path)) == 1


@pytest.mark.parametrize("form", FORMS, ids=named)
def test_equal_layers_are_equal_files(form: Form, tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        writer, _ = layer_of(form, tmp_path / name, alpha=form.container.alpha)
        files = sorted(writer.path.iterdir()) if form.sequence else [writer.path]
        contents.append([(file.name, file.read_bytes()) for file in files])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("form", FORMS, ids=named)
@pytest.mark.parametrize("size", [(1, 1), (33, 47), (2, 300), (300, 1), (121, 257)])
def test_any_size_is_written(form: Form, size: tuple[int, int], tmp_path: Path) -> None:
    least = form.container.least_size
    size = max(size[0], least[0]), max(size[1], least[1])
    info, frames = clip_of(np.full((1, *size, 3), 120, np.uint8))
    with LayerWriter(tmp_path / "layer", info, encoding=form.encoding(info)) as writer:
        writer.write(frames)
    found = open_clip([writer.path]).info
    assert (found.height, found.width) == size
    assert (back(writer.path).pixels - expected(form, frames)).abs().max() < 4 / 255


def test_a_sequence_says_that_times_are_lost(tmp_path: Path) -> None:
    info, frames = clip_of(np.zeros((5, 8, 8, 3), np.uint8), TICKS)
    with LayerWriter(tmp_path / "layer", info, LayerFormat(codec="png")) as writer:
        writer.write(frames)
    assert "not evenly spaced" in writer.warnings[0] and len(writer.warnings) == 1


def test_alpha_is_multiplied_in_on_request(tmp_path: Path) -> None:
    info, frames = clip_of(np.full((2, 8, 8, 3), 200, np.uint8))
    wanted = LayerFormat(codec="png", alpha="", premultiplied=True)
    with LayerWriter(tmp_path / "layer", info, wanted) as writer:
        writer.write(frames, torch.full((2, 1, 8, 8), 0.5))
    rgba = decoded(writer.path)[0].to_ndarray(format="rgba")
    assert rgba[0, 0].tolist() == [100, 100, 100, 128]


def test_a_tiff_keeps_the_profile(tmp_path: Path) -> None:
    profile = bytearray(200)
    profile[0:4] = (200).to_bytes(4, "big")
    profile[16:20], profile[36:40] = b"RGB ", b"acsp"
    info, frames = clip_of(np.full((1, 9, 7, 3), 200, np.uint8), icc=bytes(profile))
    with LayerWriter(tmp_path / "a", info, LayerFormat(codec="tiff", pictures=True)) as writer:
        writer.write(frames)
    assert open_clip([writer.path]).info.icc == bytes(profile)
    assert (back(writer.path).pixels - frames.pixels).abs().max() < 1e-5
