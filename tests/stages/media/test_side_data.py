"""Side data: the orientation is found among it, and none of it crashes or fills the memory."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import corpus
import media
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from stages.media.read import open_clip

ROOT = Path(__file__).parents[3]
PUBLIC = media.SHARED / "public"
# Decode a file and print the peak memory in MiB. The garbage collector is off, so cycles stay.
DECODE = """
import gc, sys
from pathlib import Path
from stages.media.read import open_clip
gc.disable()
count = sum(len(block) for block in open_clip([Path(sys.argv[1])]).blocks(size=(32, 32)))
# getrusage would count the parent's memory too, so read the process's own peak.
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(count, peak >> 10)
"""


def corner(size: tuple[int, int] = (32, 48)) -> np.ndarray:
    """Return a picture in which every rotation and mirroring is visible."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([x * 5, y * 7, np.full(size, 90)], axis=2).astype(np.uint8)


def shown(path: Path) -> np.ndarray:
    """Return the first frame as we read it, ``(H, W, 3)`` from 0 to 255."""
    return open_clip([path]).frames(0, 0).pixels[0].permute(1, 2, 0).numpy() * 255


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp", "avif"])
def test_pictures_are_upright_as_pillow_shows_them(tmp_path: Path, kind: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for orientation in range(1, 9):
        path = tmp_path / f"{orientation}.{kind}"
        exif = Image.Exif()
        exif[0x0112] = orientation
        about = (
            {"tiffinfo": {0x0112: orientation}}
            if kind == "tif"
            else {"exif": exif.tobytes(), "quality": 95}
        )
        Image.fromarray(corner()).save(path, icc_profile=profile, **about)
        with Image.open(path) as stored:
            expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"), np.float32)
        got = shown(path)
        assert got.shape == expected.shape and np.abs(got - expected).mean() < 2, (
            kind,
            orientation,
        )


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("angle", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", [None, "h", "v"])
def test_films_are_upright_as_the_other_ffmpeg_shows_them(
    tmp_path: Path, container: str, angle: int, flip: str | None
) -> None:
    plain = media.save(tmp_path / "plain.mkv", corner()[None].repeat(2, 0))
    turned = tmp_path / f"turned.{container}"
    options = ["-display_rotation", str(angle), *([f"-display_{flip}flip"] if flip else [])]
    words = [
        media.FFMPEG,
        "-v",
        "error",
        "-y",
        *options,
        "-i",
        str(plain),
        "-c",
        "copy",
        str(turned),
    ]
    subprocess.run(words, check=True, capture_output=True)
    got = shown(turned)
    expected = media.load(turned, *got.shape[:2])[0].astype(np.float32)
    assert np.abs(got - expected).mean() < 2, (container, angle, flip)


def test_every_frame_of_a_rotated_film_is_upright(tmp_path: Path) -> None:
    plain = media.save(tmp_path / "plain.mkv", corner()[None].repeat(40, 0))
    turned = tmp_path / "turned.mp4"
    words = [
        media.FFMPEG,
        "-v",
        "error",
        "-display_rotation",
        "90",
        "-i",
        str(plain),
        "-c",
        "copy",
        str(turned),
    ]
    subprocess.run(words, check=True, capture_output=True)
    frames = open_clip([turned]).frames(0, 39).pixels
    assert bool((frames == frames[:1]).all()) and frames.shape[2:] == (48, 32)


def test_damaged_display_matrices_are_harmless(tmp_path: Path) -> None:
    data = bytearray(media.save(tmp_path / "plain.mp4", corner()[None].repeat(2, 0)).read_bytes())
    place = data.find(b"tkhd") + 44
    for seed in range(12):
        rng = np.random.default_rng(seed)
        matrix = rng.choice([b"\0", b"\x7f", b"\xff", b"\x80"], 36).tobytes()
        data[place : place + 36] = matrix if seed else bytes(36)
        (tmp_path / "strange.mp4").write_bytes(data)
        clip = open_clip([tmp_path / "strange.mp4"])
        assert {clip.info.height, clip.info.width} == {32, 48}
        assert clip.info.rotation in (0, 90, 180, 270)


@pytest.mark.parametrize("seed", range(6))
def test_side_data_of_every_kind_is_skipped(tmp_path: Path, seed: int) -> None:
    """Cover captions, HDR10+, HDR Vivid and stereo in a video, profiles and texts in a picture."""
    film, picture = tmp_path / "plain.h264", tmp_path / "plain.png"
    media.save(
        film,
        media.moving(3),
        **{
            "c:v": "libx264",
            "bsf:v": "h264_metadata=sei_user_data=086f3693-b7b3-4f2c-9653-21492feee5b8+text",
        },
    )
    Image.fromarray(corner()).save(picture)
    film.write_bytes(corpus.with_sei(film.read_bytes(), seed, turned=False))
    picture.write_bytes(corpus.with_png_chunks(picture.read_bytes(), seed))
    assert len(open_clip([film]).frames(0, 2)) == 3
    with Image.open(picture) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"), np.float32)
    assert np.abs(shown(picture) - expected).max() < 1


@pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"{PUBLIC} is missing")
@pytest.mark.parametrize("name", ["metadata_icc", "mixtures4"])
def test_pictures_of_bug_reports_are_read(name: str) -> None:
    for path in sorted((PUBLIC / name).iterdir()):
        with Image.open(path) as stored:
            expected = np.asarray(stored.convert("RGB"), np.float32)
        assert np.abs(shown(path) - expected).mean() < 1.5, path.name


@pytest.mark.usually(1)
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs Linux's account of memory"
)
@pytest.mark.parametrize("name", ["large.gif", "turned.mp4"])
def test_frames_do_not_pile_up(tmp_path: Path, name: str) -> None:
    """Together the frames take 0.5 or 1.3 GB, so the peak shows whether something holds them."""
    path = tmp_path / name
    turn = ["-display_rotation", "90"] if name.startswith("turned") else []
    source = ["-f", "lavfi", "-i", "color=red:s=2000x2000:r=10"]
    fast = ["-c:v", "mpeg4"] if name.endswith("mp4") else []
    first = tmp_path / f"first{path.suffix}"
    subprocess.run(
        [media.FFMPEG, "-v", "error", *source, "-frames:v", "80", *fast, str(first)],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [media.FFMPEG, "-v", "error", *turn, "-i", str(first), "-c", "copy", str(path)],
        check=True,
        capture_output=True,
    )
    words = [sys.executable, "-c", DECODE, str(path)]
    done = subprocess.run(
        words,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={"OMP_NUM_THREADS": "1", "PATH": ""},
    )
    count, memory = map(int, done.stdout.split())
    assert count == 80 and memory < 500, done.stdout


def test_no_frame_is_in_a_cycle(tmp_path: Path) -> None:
    from av.video.frame import VideoFrame

    path = media.save(tmp_path / "in.mp4", media.moving(30))
    gc.collect()
    gc.disable()
    try:
        assert len(open_clip([path]).frames(0, 29)) == 30
        assert not any(type(item) is VideoFrame and item.width == 64 for item in gc.get_objects())
    finally:
        gc.enable()
