"""The reader: colours, turns, times, sizes, and what it says about files that are no use."""

from __future__ import annotations

import os
import socket
import threading
from fractions import Fraction
from pathlib import Path

import cv2
import ffmpeg
import media
import numpy as np
import pytest
import torch

from stages.errors import UnlayerError, UsageError
from stages.media.read import Clip, open_clip, sha256


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    pictures = media.moving(60)
    return media.save(tmp_path_factory.mktemp("film") / "film.mp4", pictures), pictures


def whole(clip: Clip) -> np.ndarray:
    """``(T, H, W, 3)`` in levels of 255."""
    return (
        np.concatenate([block.pixels.permute(0, 2, 3, 1).numpy() for block in clip.blocks()]) * 255
    )


def complaint(path: Path | list[Path], **options: object) -> str:
    with pytest.raises(UnlayerError) as caught:
        for _ in open_clip(path if isinstance(path, list) else [path], **options).blocks():  # type: ignore[arg-type]
            pass
    text = str(caught.value)
    assert "\n" not in text and text.isprintable()
    return text


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
    # As if the file had given other pixels there the first time.
    clip.seen.prints[52] ^= 1
    assert torch.equal(clip.frames(50, 55).pixels, right.pixels)


def test_a_smaller_size_is_the_area_average(film: tuple[Path, np.ndarray]) -> None:
    path, pictures = film
    small = open_clip([path]).frames(3, 3, (12, 16)).pixels[0].permute(1, 2, 0).numpy() * 255
    assert (
        np.abs(
            small
            - cv2.resize(pictures[3].astype(np.float32), (16, 12), interpolation=cv2.INTER_AREA)
        ).max()
        <= 2
    )
    assert open_clip([path]).frames(3, 3, (96, 100)).pixels.shape == (1, 3, 96, 100)


def test_frames_outside_the_clip_are_refused(film: tuple[Path, np.ndarray]) -> None:
    with pytest.raises(UsageError, match="58 to 61"):
        open_clip([film[0]]).frames(58, 61)


def test_trim_keeps_the_indices_of_the_whole_clip(film: tuple[Path, np.ndarray]) -> None:
    clip = open_clip([film[0]], start=Fraction(1), end=Fraction(3, 2))
    blocks = list(clip.blocks())
    assert blocks[0].first == 25 and blocks[-1].last == 37
    assert blocks[0].times[0] == 1
    with pytest.raises(UsageError, match="--start"):
        list(open_clip([film[0]], start=Fraction(9)).blocks())
    with pytest.raises(UsageError, match="--end"):
        open_clip([film[0]], start=Fraction(2), end=Fraction(1))


@pytest.mark.parametrize(
    "bits,pixels", [(8, "yuv420p"), (8, "yuv444p"), (10, "yuv420p10le"), (12, "yuv444p12le")]
)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
def test_colours_are_right_for_every_matrix_range_and_depth(
    tmp_path: Path, matrix: str, full: bool, bits: int, pixels: str
) -> None:
    colours = np.array(
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
    clip = open_clip([media.save_yuv(tmp_path / "tiles.mp4", colours, matrix, full, bits, pixels)])
    assert (clip.info.color_space, clip.info.full_range, clip.info.bit_depth) == (
        matrix,
        full,
        bits,
    )
    got = whole(clip)[0, 8, 8::16]
    # Eight-bit codes cannot say every colour: half a code of luma and of chroma is already 1.4 levels.
    assert np.abs(got - 255 * colours).max() <= (2 if bits == 8 else 0.5 if bits == 10 else 0.2)


@pytest.mark.parametrize("degrees,turns", [(90, -1), (180, 2), (270, 1)])
def test_a_turned_clip_comes_upright(tmp_path: Path, degrees: int, turns: int) -> None:
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
def test_strange_names_are_names(tmp_path: Path, film: tuple[Path, np.ndarray], name: str) -> None:
    path = tmp_path / name
    path.write_bytes(film[0].read_bytes())
    assert len(open_clip([path]).frames(0, 3)) == 4
    picture = tmp_path / name.replace(".mp4", ".png")
    picture.write_bytes(cv2.imencode(".png", np.zeros((3, 5, 3), np.uint8))[1].tobytes())
    assert open_clip([picture]).info.width == 5
    path.write_bytes(b"")
    complaint(path)


def test_relative_names_and_links_are_read(
    tmp_path: Path, film: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "-x.mp4").symlink_to(film[0])
    monkeypatch.chdir(tmp_path)
    assert open_clip([Path("-x.mp4")]).info.width == 64


def test_what_is_no_video_is_said_in_one_line(
    tmp_path: Path, film: tuple[Path, np.ndarray]
) -> None:
    assert "no such file" in complaint(tmp_path / "missing.mp4")
    (tmp_path / "empty.mp4").touch()
    assert "empty" in complaint(tmp_path / "empty.mp4")
    (tmp_path / "notes.mp4").write_text("dear diary\n" * 100)
    assert "text" in complaint(tmp_path / "notes.mp4")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "noise.mp4" in complaint(tmp_path / "noise.mp4")
    tone = tmp_path / "tone.wav"
    media.run(ffmpeg.output(ffmpeg.input("sine=duration=0.2", f="lavfi"), str(tone)))
    assert "only sound" in complaint(tone)
    (tmp_path / "none").mkdir()
    assert "no numbered pictures" in complaint(tmp_path / "none")
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((4, 4, 3), np.uint8))
    assert "is a folder" in complaint([tmp_path / "one.png", tmp_path / "none"])
    assert "no picture" in complaint([tmp_path / "one.png", film[0]])
    assert "stream 7" in complaint(film[0], stream=7)
    assert "is a video" in complaint([film[0], film[0]])
    assert complaint([])
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "no regular file" in complaint(tmp_path / "pipe.mp4")
    locked = tmp_path / "locked.mp4"
    locked.write_bytes(b"x")
    locked.chmod(0)
    complaint(locked)


def test_playlists_urls_and_scripts_touch_nothing(
    tmp_path: Path, film: tuple[Path, np.ndarray]
) -> None:
    touched = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"

        def listen() -> None:
            try:
                server.accept()[0].close()
                touched.set()
            except TimeoutError:
                pass

        listener = threading.Thread(target=listen)
        listener.start()
        scripts = {
            "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
            "script.mp4": f"ffconcat version 1.0\nfile '{film[0]}'\n",
            "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
            "show.mpd": f"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period><BaseURL>{url}</BaseURL></Period></MPD>",
        }
        for name, text in scripts.items():
            (tmp_path / name).write_text(text)
            assert name in complaint(tmp_path / name)
        for name in (url, f"concat:{film[0]}", f"subfile,,start,0,end,0,,:{film[0]}"):
            assert "no such file" in complaint(Path(name))
        listener.join()
    assert not touched.is_set()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_a_picture_bomb_is_refused(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"bomb{suffix}"), np.zeros((1500, 1500, 3), np.uint8))
    complaint(tmp_path / f"bomb{suffix}", max_pixels=1_000_000)
    media.save(tmp_path / "bomb.mp4", np.zeros((2, 200, 200, 3), np.uint8))
    complaint(tmp_path / "bomb.mp4", max_pixels=10_000)


@pytest.mark.parametrize(
    "suffix,options",
    [
        (".mp4", {"movflags": "+faststart"}),
        (".mkv", {}),
        (".avi", {"c:v": "mpeg4", "q:v": 2}),
        (".gif", {"f": "gif"}),
        (".apng", {"f": "apng"}),
    ],
)
def test_a_cut_off_file_is_an_error_and_salvaged_on_request(
    tmp_path: Path, suffix: str, options: dict[str, object]
) -> None:
    options = (
        options if "c:v" in options or "f" in options else {"c:v": "libx264", "g": 10, **options}
    )
    path = media.save(tmp_path / f"film{suffix}", media.moving(40), **options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    assert "--salvage" in complaint(path)
    clip = open_clip([path], salvage=True)
    count = sum(len(block) for block in clip.blocks())
    assert 5 < count < 40
    assert clip.salvaged in (count, None)
    short = tmp_path / f"short{suffix}"
    short.write_bytes(data[:40])
    complaint(short)
    complaint(short, salvage=True)


def test_the_end_of_a_picture_must_be_there(tmp_path: Path) -> None:
    for suffix in (".jpg", ".png"):
        data = cv2.imencode(suffix, media.moving(1)[0])[1].tobytes()
        (tmp_path / f"cut{suffix}").write_bytes(data[: len(data) // 2])
        complaint(tmp_path / f"cut{suffix}")


def test_an_mp4_without_its_index_says_so(tmp_path: Path) -> None:
    path = media.save(tmp_path / "film.mp4", media.moving(20))
    path.write_bytes(path.read_bytes()[:-1500])
    assert "index" in complaint(path)


def test_salvage_goes_on_at_the_next_key_frame(tmp_path: Path) -> None:
    path = media.save(
        tmp_path / "film.mp4",
        media.moving(60, 96, 128),
        **{"c:v": "libx264", "g": 10, "bf": 0, "crf": 10},
    )
    sound = open_clip([path]).frames(0, 59).pixels
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    assert "damaged at frame" in complaint(path)
    clip = open_clip([path], salvage=True)
    got = torch.cat([block.pixels for block in clip.blocks()])
    assert clip.salvaged == len(got) and 40 <= len(got) < 60
    assert torch.equal(got[:10], sound[:10]) and torch.equal(got[-10:], sound[-10:])


def test_a_header_that_counts_wrong_is_not_believed(tmp_path: Path) -> None:
    path = media.save(tmp_path / "film.avi", media.moving(10), **{"c:v": "mjpeg", "q:v": 2})
    data = bytearray(path.read_bytes())
    place = data.index(b"strh") + 8 + 32
    data[place : place + 4] = (99).to_bytes(4, "little")
    path.write_bytes(data)
    clip = open_clip([path])
    assert clip.info.frames != 10 and sum(len(block) for block in clip.blocks()) == 10


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bits_end_in_frames_or_one_line(
    tmp_path: Path, film: tuple[Path, np.ndarray], seed: int
) -> None:
    data = bytearray(film[0].read_bytes())
    random = np.random.default_rng(seed)
    for place in random.integers(0, len(data), 8):
        data[place] ^= 1 << int(random.integers(8))
    (tmp_path / "flipped.mp4").write_bytes(data)
    for salvage in (False, True):
        try:
            clip = open_clip([tmp_path / "flipped.mp4"], salvage=salvage)
            if clip.info.width * clip.info.height <= 1 << 16:
                assert sum(len(block) for block in clip.blocks()) <= 400
        except UnlayerError as error:
            assert "\n" not in str(error)


def test_exif_turns_and_mirrors_a_photograph(tmp_path: Path) -> None:
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
        expected = cv2.imread(str(path))[..., ::-1]
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
