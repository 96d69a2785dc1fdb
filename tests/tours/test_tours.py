"""The tours of an editor, an artist, a researcher and someone with photographs.

Each types what its page in the documentation says, and ends with other software opening what was
brought home: OpenTimelineIO, FFmpeg, Pillow, Chromium.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import ffmpeg
import media
import numpy as np
import pytest
from browser import click, screenshot
from clips import dissolve
from other_readers import read
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from tour_tools import (
    MAKER,
    SIZE,
    check_page,
    decoded,
    has_sound,
    hazy_photograph,
    psnr,
    shots,
)

from pipeline import separate
from pipeline.cli.main import main
from samples import notebook

ROOT = Path(__file__).parents[2]

FIRST, COUNT = 8, 8
"""The first mixed frame of the editor's dissolve, and how many there are."""
FAST = ("--preset", "fast", "--quiet")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def browser(request: pytest.FixtureRequest) -> Callable[[], webdriver.Chrome]:
    """Return a function that starts Chromium, or skips the rest of the tour without one."""

    def started() -> webdriver.Chrome:
        found = request.getfixturevalue("chromium")
        assert isinstance(found, webdriver.Chrome)
        return found

    return started


def film() -> tuple[np.ndarray, np.ndarray]:
    """Save ``film.mp4``, two shots with a dissolve and a tone; return the shots."""
    one, two = shots()
    media.save(Path("silent.mkv"), dissolve(one, two, FIRST, COUNT)[0])
    tone = ffmpeg.input("sine=frequency=330:duration=0.96", f="lavfi")
    picture = ffmpeg.input("silent.mkv")
    options = {"c:v": "libx264", "crf": 10, "pix_fmt": "yuv420p", "c:a": "aac"}
    media.run(ffmpeg.output(picture.video, tone.audio, "film.mp4", **options))
    return one, two


def test_an_editor_takes_the_cut_apart(browser: Callable[[], webdriver.Chrome]) -> None:
    one, two = film()
    assert main(["probe", "film.mp4", "--csv", "shots.csv", "--transition", "8:15"]) == 0
    rows = list(csv.DictReader(Path("shots.csv").read_text().splitlines()))
    assert [row["kind"] for row in rows] == ["shot", "dissolve", "shot"]
    # The editor moves the dissolve's first frame, as a person would in a spreadsheet.
    text = Path("shots.csv").read_text()
    Path("shots.csv").write_text(text.replace(rows[1]["first_frame"], str(FIRST)))
    words = ["run", "film.mp4", "--task", "transition", "--shots", "shots.csv", *FAST]
    assert main([*words, "--timeline", "otio,edl,fcpxml,csv", "--out", "made"]) == 0
    # FFmpeg decodes every scene, with its sound; each is whole, and nearer to the truth than to
    # the mixture.
    scenes = [decoded(Path("made", f"scene-00{number}.mp4")) for number in (1, 2)]
    assert [len(scene) for scene in scenes] == [FIRST + COUNT, 24 - FIRST]
    assert all(has_sound(Path("made", f"scene-00{number}.mp4")) for number in (1, 2))
    mixed = dissolve(one, two, FIRST, COUNT)[0]
    middle = FIRST + COUNT // 2
    assert psnr(scenes[0][middle], one[middle]) > psnr(mixed[middle], one[middle]) + 3
    assert psnr(scenes[1][middle - FIRST], two[middle]) > psnr(mixed[middle], two[middle]) + 3
    # OpenTimelineIO shows the cut rebuilt: two clips with handles, and the dissolve between them.
    items = read("otio", Path("made/timeline.otio"))["tracks"][0]["items"]
    assert [item["type"] for item in items] == ["Clip", "Transition", "Clip"]
    assert [item["available"][1] for item in items if "available" in item] == [16, 16]
    # The browser comes last: without one, the rest of the tour is skipped.
    page = check_page(browser, Path("made/report.html"))
    click(page, "#sound")
    muted = "return [...document.querySelectorAll('video')].map(video => video.muted)"
    assert page.execute_script(muted) == [False, True, True]
    table = page.find_element(By.CLASS_NAME, "shots").text
    assert "scene-002" in table and "00:00:00:16" in table


@pytest.mark.usefixtures("short_fits")
def test_an_artist_cuts_a_thing_out(browser: Callable[[], webdriver.Chrome]) -> None:
    scene, _ = shots()
    scene = scene[8:16]
    media.save(Path("cat.mkv"), scene)
    words = ["run", "cat.mkv", "--task", "segment", "--hint", "0:box:12,24,36,36", *FAST]
    assert main([*words, "--codec", "png", "--out", "made"]) == 0
    whole = json.loads(Path("made/manifest.json").read_text())
    layers = {layer["role"]: Path("made", layer["path"]) for layer in whole["layers"]}
    # Pillow lays the foreground, whose alpha is straight, over the background.
    for number in (0, 7):
        front = Image.open(layers["foreground"] / f"{number:06d}.png")
        back = Image.open(layers["background"] / f"{number:06d}.png").convert("RGBA")
        assert front.mode == "RGBA" and front.size == SIZE[::-1]
        again = np.asarray(Image.alpha_composite(back, front).convert("RGB"))
        assert psnr(again, scene[number]) > 38
    assert 0.01 < np.asarray(front)[..., 3].mean() / 255 < 0.9
    # FFmpeg reads the numbered pictures as a clip.
    pattern = str(layers["foreground"] / "%06d.png")
    source = ffmpeg.input(pattern, framerate=25)
    raw = media.run(ffmpeg.output(source, "pipe:", format="rawvideo", pix_fmt="rgba"))
    assert len(raw) == 8 * SIZE[0] * SIZE[1] * 4
    page = check_page(browser, Path("made/report.html"))
    click(page, "button[data-view=cutout]")
    assert page.find_element(By.ID, "tag-left").text == "foreground on #00b140"
    # The upper right corner is background, so it has the colour alone.
    corner = screenshot(page, "compare")[8:30, -40:-8].reshape(-1, 3)
    assert np.abs(np.median(corner, 0) - (0x00, 0xB1, 0x40)).max() < 12


def test_a_researcher_measures_layers() -> None:
    one, two = shots()
    mixed, _ = dissolve(one, two, FIRST, COUNT)
    seen: list[str] = []
    with separate(
        mixed,
        "transition",
        preset="fast",
        transition=[(FIRST, FIRST + COUNT - 1)],
        progress=lambda stage, fraction, note: seen.append(stage),
    ) as made:
        scene = made.layers["scene-002"]
        frames = scene.frames
        shown = made._repr_html_()
    assert frames.shape == (24 - FIRST, *SIZE, 3) and frames.dtype == np.uint8
    inside = slice(0, COUNT)
    true, held = two[FIRST : FIRST + COUNT], np.repeat(two[FIRST + COUNT][None], COUNT, 0)
    assert psnr(frames[inside], true) > psnr(held, true)
    assert "report" in seen and "scene-001" in shown and "<script" not in shown


@pytest.mark.slow
def test_a_researcher_runs_the_notebook() -> None:
    """Needs the extra ``notebook``: a Jupyter kernel, which CI does not install."""
    missing = [name for name in ("nbclient", "ipykernel") if find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)} (pip install '.[notebook]')")
    for name in ("docs", "samples"):
        shutil.copytree(ROOT / name, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "pipeline" / "distribution"))
        whole = notebook.executed(Path("docs"))
    page = json.loads(notebook.PAGE.read_text(encoding="utf-8"))
    code = [
        [cell for cell in each["cells"] if cell["cell_type"] == "code"] for each in (whole, page)
    ]
    for found, shown in zip(*code, strict=True):
        kinds = [[out["output_type"] for out in cell["outputs"]] for cell in (found, shown)]
        assert kinds[0] == kinds[1], "".join(found["source"])
    printed = "".join(line for out in code[0][-2]["outputs"] for line in out["text"])
    ours, held = (float(value) for value in re.findall(r"([\d.]+) dB", printed))
    assert ours > held + 5, printed


def test_someone_with_photographs_clears_a_folder(
    browser: Callable[[], webdriver.Chrome],
) -> None:
    Path("photos").mkdir()
    truth = hazy_photograph(Path("photos/IMG_7.jpg"), 0)
    words = ["batch", "photos", "--task", "dehaze", "--strength", "1.5", "--codec", "jpeg"]
    assert main([*words, *FAST, "--out", "made", "--jobs", "1"]) == 0
    found = Path("made/IMG_7-dehaze/clear.jpg")
    with Image.open(found) as picture, Image.open("photos/IMG_7.jpg") as before:
        assert picture.size == before.size and picture.format == "JPEG"
        assert picture.getexif()[MAKER] == before.getexif()[MAKER]
        assert picture.info["dpi"] == pytest.approx((240, 240), abs=1)
        pixels, hazy = np.asarray(picture), np.asarray(before)
    assert psnr(pixels, truth) > psnr(hazy, truth)
    page = check_page(browser, Path("made/index.html"))
    captions = [each.text for each in page.find_elements(By.CSS_SELECTOR, ".thumbs figcaption")]
    assert captions == ["before", "clear"]
