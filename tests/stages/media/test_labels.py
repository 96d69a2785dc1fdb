"""Tags, chapters and subtitles of an input go into each layer that can hold them."""

from __future__ import annotations

import struct
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import media
import numpy as np
import pytest
from container_forms import CLIPS, Form, named
from writing import clip_of

from stages.media.clip import SourceSpan
from stages.media.formats import LayerFormat
from stages.media.read import open_clip
from stages.media.subtitles import SubtitleTracks
from stages.media.write import LayerWriter

TAGS = {"title": "Holidays", "comment": "rain" * 5000, "artist": "A. Nobody", "mood": "grey"}


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a film of two seconds with tags, two chapters, and a track of three subtitles."""
    folder = tmp_path_factory.mktemp("labeled")
    path = folder / "film.mkv"
    titles, texts = folder / "titles.srt", folder / "about.txt"
    titles.write_text(
        "1\n00:00:00,100 --> 00:00:00,700\nearly\n\n2\n00:00:00,900 --> 00:00:01,300\nlate\n\n"
        "3\n00:00:01,800 --> 00:00:01,900\nafter\n\n"
    )
    chapters = "".join(
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={begin}\nEND={begin + 1000}\ntitle={title}\n"
        for begin, title in ((0, "One"), (1000, "Two"))
    )
    tags = "".join(f"{name}={text}\n" for name, text in TAGS.items())
    texts.write_text(f";FFMETADATA1\n{tags}{chapters}")
    picture = media.save(folder / "picture.mp4", media.moving(50))
    inputs = [word for each in (picture, titles, texts) for word in ("-i", str(each))]
    labels = "-map 0 -map 1 -map_metadata 2 -map_chapters 2 -c:v copy -c:s srt".split()
    labels += "-metadata:s:s:0 language=fra -metadata:s:v:0 language=ita".split()
    subprocess.run(
        [media.FFMPEG, "-v", "error", *inputs, *labels, str(path)], check=True, capture_output=True
    )
    return path


@pytest.mark.parametrize("form", CLIPS, ids=named)
def test_tags_chapters_and_subtitles_go_with_the_picture(
    form: Form, labeled: Path, tmp_path: Path
) -> None:
    info, frames = clip_of(np.zeros((25, *form.size, 3), np.uint8))
    clip = open_clip([labeled])
    assert clip.info.tags == tuple(sorted(TAGS))
    source = clip.source_span(Fraction(1, 2), Fraction(3, 2))
    with LayerWriter(
        tmp_path / "layer", info, encoding=form.encoding(info), source=source
    ) as writer:
        writer.write(frames)
    if form.sequence:
        (warning,) = writer.warnings
        assert all(word in warning for word in ("subtitles", "title", "chapters"))
        return
    with av.open(str(writer.path)) as written:
        tags = {name.lower(): text for name, text in written.metadata.items()}
        kept = {name: text for name, text in tags.items() if name in TAGS}
        # A layer has all the tags, or says which it lacks.
        lost = {name for name in TAGS if any(name in text for text in writer.warnings)}
        assert kept == {name: text for name, text in TAGS.items() if name not in lost}
        assert lost == ({"mood"} if written.format.name.startswith("mov") else set())
        assert len(writer.warnings) == len(lost)
        chapters: list[Any] = list(written.chapters())
        unit = 1000 * chapters[0]["time_base"]
        assert [round(item["start"] * unit) for item in chapters] == [0, 500]
        assert [item["metadata"]["title"] for item in chapters] == ["One", "Two"]
        shown_length = written.streams.video[0].metadata.get("DURATION", "00:00:01.000000000")
        assert shown_length == "00:00:01.000000000"
        (track,) = written.streams.subtitles
        assert track.metadata["language"] == "fra"
        assert written.streams.video[0].metadata["language"] == "ita"
        shown: list[Any] = [packet for packet in written.demux(track) if packet.size > 2]
        times = [round(1000 * packet.pts * packet.time_base) for packet in shown]
        lengths = [round(1000 * packet.duration * packet.time_base) for packet in shown]
        assert times == [0, 400] and lengths == [200, 400]
        assert [b"early" in bytes(shown[0]), b"late" in bytes(shown[1])] == [True, True]


@pytest.mark.parametrize("lossless", [False, True])  # in MP4 or in Matroska
@pytest.mark.parametrize("begin", ["00:00:00,400", "00:00:00,700"])
def test_subtitles_that_overlap_are_told_where_they_are_shifted(
    begin: str, lossless: bool, labeled: Path, tmp_path: Path
) -> None:
    titles, film = tmp_path / "titles.srt", tmp_path / "film.mkv"
    titles.write_text(
        f"1\n00:00:00,100 --> 00:00:00,700\none\n\n2\n{begin} --> 00:00:01,300\ntwo\n\n"
    )
    command = [media.FFMPEG, "-v", "error", "-i", str(labeled), "-i", str(titles)]
    command += "-map 0:v -map 1 -map_metadata -1 -map_chapters -1 -c copy".split()
    subprocess.run([*command, str(film)], check=True, capture_output=True)
    clip = open_clip([film])
    span = clip.source_span(Fraction(0), Fraction(2))
    with LayerWriter(
        tmp_path / "layer", clip.info, LayerFormat(lossless=lossless), source=span
    ) as writer:
        writer.write(clip.frames(0, 49))
    told = [text for text in writer.warnings if "subtitles that overlap" in text]
    assert len(told) == (not lossless and begin.endswith("400"))


def display_set(number: int) -> bytes:
    """Return a subtitle of PGS that clears the screen: FFmpeg has no encoder for pictures."""
    composition = struct.pack(">HHBHBBBB", 64, 48, 16, number, 0x80, 0, 0, 0)
    return b"\x16" + struct.pack(">H", len(composition)) + composition + b"\x80\0\0"


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """Return a film of a second with a subtitle without duration at 0, 200, 520 and 800 ms."""
    path = tmp_path / "disc.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "bgr0"
        subtitles = out.add_mux_stream("hdmv_pgs_subtitle")
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
            frame.pts = number
            if 40 * number in (0, 200, 520, 800):
                packet = av.Packet(display_set(number))
                packet.stream, packet.time_base = subtitles, Fraction(1, 25)
                packet.pts = packet.dts = number
                out.mux(packet)
            out.mux(video.encode(frame.reformat(format="bgr0")))
        out.mux(video.encode(None))
    return path


def test_subtitles_that_are_pictures_are_kept_or_named(disc: Path, tmp_path: Path) -> None:
    clip = open_clip([disc])
    frames = clip.frames(8, 15)
    for lossless in (True, False):
        span = clip.source_span(Fraction(8, 25), Fraction(16, 25))
        name = "kept" if lossless else "lost"
        with LayerWriter(
            tmp_path / name, clip.info, LayerFormat(lossless=lossless), source=span
        ) as writer:
            writer.write(frames)
        with av.open(str(writer.path)) as written:
            tracks = written.streams.subtitles
            assert len(tracks) == lossless
            shown: list[Any] = [item for item in written.demux(*tracks) if tracks and item.size]
            # What was shown before the span is shown from its start.
            times = [round(1000 * item.pts * item.time_base) for item in shown]
            assert times == ([0, 200] if lossless else [])
            sets = [bytes(item) for item in shown]
            assert sets == ([display_set(5), display_set(13)] if lossless else [])
        assert [("hdmv_pgs" in text) for text in writer.warnings] == [True] * (not lossless)


def test_a_layer_is_written_without_subtitles_that_the_file_refuses(
    labeled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = SubtitleTracks.add

    def add_and_fail(tracks: SubtitleTracks, span: SourceSpan) -> None:
        add(tracks, span)
        raise ValueError("the header is refused")

    monkeypatch.setattr(SubtitleTracks, "add", add_and_fail)
    clip = open_clip([labeled])
    span = clip.source_span(Fraction(0), Fraction(1, 5))
    with LayerWriter(tmp_path / "layer", clip.info, source=span) as writer:
        writer.write(clip.frames(0, 4))
    with av.open(str(writer.path)) as written:
        assert not written.streams.subtitles
        assert written.metadata["title"] == "Holidays"
    (warning,) = writer.warnings
    assert "subtitles" in warning and warning.endswith("they are left out")
