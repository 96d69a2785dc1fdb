"""The reader: colours, orientation, times and sizes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import ffmpeg
import media
import numpy as np
import pytest
import torch
from reading import complaint, whole

from stages.errors import UnlayerError, UsageError
from stages.media.read import open_clip
from stages.media.sniff import sha256


def test_every_frame_comes_once_exact_and_in_order(film: tuple[Path, np.ndarray]) -> None:
    path, pictures = film
    blocks = list(open_clip([path]).blocks(length=7))
    assert [len(block) for block in blocks] == [7] * 8 + [4]
    assert [block.first for block in blocks] == list(range(0, 60, 7))
    assert [time for block in blocks for time in block.times] == [
        Fraction(index, 25) for index in range(60)
    ]
    pixels = torch.cat([block.pixels for block in blocks])
    assert pixels.dtype == torch.float32 and pixels.shape == (60, 3, 48, 64)
    assert np.array_equal(
        np.rint(pixels.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8), pictures
    )


def test_a_window_is_the_same_before_and_after_seeking_is_possible(
    film: tuple[Path, np.ndarray],
) -> None:
    path, _ = film
    clip = open_clip([path])
    before = clip.frames(41, 47)
    for _ in clip.blocks():
        pass
    after = clip.frames(41, 47)
    assert before.first == after.first == 41 and before.times == after.times
    assert torch.equal(before.pixels, after.pixels)
    assert torch.equal(clip.frames(59, 59).pixels, open_clip([path]).frames(59, 59).pixels)


def test_a_seek_that_lands_wrong_is_noticed(film: tuple[Path, np.ndarray]) -> None:
    path, _ = film
    clip = open_clip([path])
    for _ in clip.blocks():
        pass
    right = clip.frames(50, 55)
    # Pretend that the file gave other pixels there the first time.
    clip.frame_index.checksums[52] ^= 1
    assert torch.equal(clip.frames(50, 55).pixels, right.pixels)


def test_a_smaller_size_is_the_area_average(film: tuple[Path, np.ndarray]) -> None:
    path, pictures = film
    small = open_clip([path]).frames(3, 3, (12, 16)).pixels[0].permute(1, 2, 0).numpy() * 255
    large = pictures[3].astype(np.float32)
    expected = cv2.resize(large, (16, 12), interpolation=cv2.INTER_AREA)
    assert np.abs(small - expected).max() <= 2
    assert open_clip([path]).frames(3, 3, (96, 100)).pixels.shape == (1, 3, 96, 100)


def test_frames_outside_the_clip_are_refused(film: tuple[Path, np.ndarray]) -> None:
    with pytest.raises(UsageError, match="58 to 61"):
        open_clip([film[0]]).frames(58, 61)


def test_trim_keeps_the_indices_of_the_whole_clip(film: tuple[Path, np.ndarray]) -> None:
    clip = open_clip([film[0]], start=Fraction(1), end=Fraction(3, 2))
    blocks = list(clip.blocks())
    assert blocks[0].first == 25 and blocks[-1].last == 37
    assert blocks[0].times[0] == 1
    with pytest.raises(UsageError, match="no frame lies between the start and the end") as empty:
        list(open_clip([film[0]], start=Fraction(9)).blocks())
    with pytest.raises(UsageError, match="the end must be after the start") as reversed_range:
        open_clip([film[0]], start=Fraction(2), end=Fraction(1))
    assert empty.value.settings == reversed_range.value.settings == ("start", "end")


@pytest.mark.parametrize(
    "bits,pixels", [(8, "yuv420p"), (8, "yuv444p"), (10, "yuv420p10le"), (12, "yuv444p12le")]
)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
def test_colors_are_right_for_every_matrix_range_and_depth(
    tmp_path: Path, matrix: str, full: bool, bits: int, pixels: str
) -> None:
    colors = np.array(
        [
            [0, 0, 0],
            [1, 1, 1],
            [1, 0, 0],
            [0, 1, 0],
            [0, 0, 1],
            [200 / 255, 60 / 255, 30 / 255],
            [0.5, 0.5, 0.5],
            [0.1, 0.7, 0.6],
        ]
    )
    clip = open_clip([media.save_yuv(tmp_path / "tiles.mp4", colors, matrix, full, bits, pixels)])
    assert (clip.info.color_space, clip.info.full_range, clip.info.bit_depth) == (
        matrix,
        full,
        bits,
    )
    got = whole(clip)[0, 8, 8::16]
    # Eight-bit codes cannot express every colour: half a code of luma and of chroma is 1.4 levels.
    assert np.abs(got - 255 * colors).max() <= {8: 2, 10: 0.5, 12: 0.2}[bits]


@pytest.mark.parametrize("degrees,turns", [(90, -1), (180, 2), (270, 1)])
def test_a_rotated_clip_is_read_upright(tmp_path: Path, degrees: int, turns: int) -> None:
    pictures = media.moving(4, 32, 64)
    plain = media.save(
        tmp_path / "plain.mp4", pictures, aspect="3:1", **{"c:v": "libx264rgb", "qp": 0}
    )
    turned = tmp_path / "turned.mov"
    media.run(
        ffmpeg.output(ffmpeg.input(str(plain), display_rotation=-degrees), str(turned), c="copy")
    )
    clip = open_clip([turned])
    upright = np.rot90(pictures, turns, axes=(1, 2))
    assert (
        clip.info.rotation == degrees and (clip.info.height, clip.info.width) == upright.shape[1:3]
    )
    assert clip.info.pixel_aspect == (Fraction(3, 2) if degrees == 180 else Fraction(2, 3))
    assert np.array_equal(np.rint(whole(clip)).astype(np.uint8), upright)
    assert np.array_equal(media.load(turned, *upright.shape[1:3]), upright)


def test_variable_times_are_kept_to_the_tick(tmp_path: Path) -> None:
    ticks = [0, 3003, 3004, 9000, 9100, 30000, 90001]
    path = media.save_vfr(tmp_path / "vfr.mp4", media.moving(len(ticks)), ticks)
    assert open_clip([path]).frames(0, 6).times == tuple(Fraction(tick, 90000) for tick in ticks)


def test_a_raw_stream_without_times_gets_them_from_its_rate(tmp_path: Path) -> None:
    path = media.save(
        tmp_path / "raw.h264", media.moving(5), **{"c:v": "libx264", "pix_fmt": "yuv444p", "qp": 0}
    )
    clip = open_clip([path])
    assert clip.info.frames is None
    assert clip.frames(0, 4).times == tuple(index / clip.info.rate for index in range(5))


def test_deep_pictures_keep_their_depth(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (9, 7, 3), np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    clip = open_clip([tmp_path / "deep.png"])
    assert clip.info.bit_depth == 16 and clip.info.is_picture and clip.info.frames == 1
    assert np.array_equal(
        np.rint(clip.frames(0, 0).pixels[0].permute(1, 2, 0).numpy().astype(np.float64) * 65535),
        deep,
    )


def test_a_folder_is_read_in_natural_order_and_pictures_in_the_order_given(tmp_path: Path) -> None:
    pictures = media.moving(3, 6, 10)
    names = ["f2.png", "f10.png", "f1.png"]
    for name, picture in zip(names, pictures, strict=True):
        cv2.imwrite(str(tmp_path / name), picture[..., ::-1])
    (tmp_path / "notes.txt").write_text("no picture")
    folder = open_clip([tmp_path])
    assert [path.name for path in folder.paths] == [
        "f1.png",
        "f2.png",
        "f10.png",
    ] and not folder.info.is_picture
    assert np.array_equal(np.rint(whole(folder)).astype(np.uint8), pictures[[2, 0, 1]])
    given = open_clip([tmp_path / name for name in names])
    assert given.info.is_picture and given.info.frames == 3
    assert np.array_equal(np.rint(whole(given)).astype(np.uint8), pictures)
    cv2.imwrite(str(tmp_path / "f11.png"), pictures[0][:4])
    assert "f11.png: is 10x4" in complaint(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["a:b.mp4", "-rf.mp4", "new\nline.mp4", "%03d.mp4", "http:x.mp4", "concat:x.mp4", "ä ö.mp4"],
)
def test_strange_names_are_read_as_file_names(
    tmp_path: Path, film: tuple[Path, np.ndarray], name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(film[0].read_bytes())
    assert len(open_clip([path]).frames(0, 3)) == 4
    picture = tmp_path / name.replace(".mp4", ".png")
    picture.write_bytes(cv2.imencode(".png", np.zeros((3, 5, 3), np.uint8))[1].tobytes())
    assert open_clip([picture]).info.width == 5
    path.write_bytes(b"")
    assert complaint(path)


def test_relative_names_and_links_are_read(
    tmp_path: Path, film: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "-x.mp4").symlink_to(film[0])
    monkeypatch.chdir(tmp_path)
    assert open_clip([Path("-x.mp4")]).info.width == 64


def test_exif_orientation_is_applied_to_a_photograph(tmp_path: Path) -> None:
    picture = cv2.GaussianBlur(media.moving(1, 32, 48)[0], (0, 0), 3)
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    for orientation in range(1, 9):
        exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes(
            [orientation, 0, 0, 0, 0, 0, 0, 0]
        )
        path = tmp_path / f"{orientation}.jpg"
        path.write_bytes(
            data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
        )
        upright = cv2.imread(str(path))
        assert upright is not None
        expected = upright[..., ::-1]
        got = whole(open_clip([path]))[0]
        assert got.shape == expected.shape, orientation
        assert np.abs(got - expected).mean() < 3, orientation


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert (
        sha256(tmp_path / "abc")
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    with pytest.raises(UnlayerError):
        sha256(tmp_path / "none")
