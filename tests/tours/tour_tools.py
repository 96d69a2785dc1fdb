"""Small inputs for the tours, and the other software that opens what they bring home."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import media
import numpy as np
from browser import wait
from PIL import Image
from selenium import webdriver

from samples.make import scene_a, scene_b

SIZE = 64, 112
"""Height and width of the tours' clips."""
MAKER = 0x010F
ALL_LOADED = """
  const images = [...document.images].every(image => image.complete && image.naturalWidth > 0);
  const videos = [...document.querySelectorAll("video")].every(video => video.readyState >= 2);
  return images && videos;
"""


def small(scene: np.ndarray, first: int, count: int) -> np.ndarray:
    """Return ``count`` frames of a scene of the sample, ``(T, H, W, 3)``, at :data:`SIZE`."""
    frames = scene[first : first + count]
    return np.stack(
        [cv2.resize(frame, SIZE[::-1], interpolation=cv2.INTER_AREA) for frame in frames]
    )


def shots() -> tuple[np.ndarray, np.ndarray]:
    """Return two scenes of 24 frames with a camera and a moving thing each."""
    return small(scene_a(), 10, 24), small(scene_b(), 10, 24)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Return the PSNR in dB of pictures with values 0 to 255."""
    error = float(((one.astype(float) - other.astype(float)) ** 2).mean())
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def decoded(path: Path) -> np.ndarray:
    """Return the frames of a video, ``(T, H, W, 3)``, as another FFmpeg decodes them."""
    return np.asarray(media.load(path, *SIZE))


def has_sound(path: Path) -> bool:
    """Return whether another FFmpeg finds audio in a file."""
    words = [media.FFMPEG, "-hide_banner", "-i", str(path)]
    return "Audio:" in subprocess.run(words, capture_output=True, text=True).stderr


def hazy_photograph(path: Path, seed: int) -> np.ndarray:
    """Save a hazy photograph with a camera's data as JPEG, and return the clear one."""
    clear = small(scene_b(), 20 + seed, 1)[0]
    depth = np.linspace(0.35, 0.75, SIZE[0])[:, None, None]
    hazy = depth * clear + (1 - depth) * 225
    exif = Image.Exif()
    exif[MAKER] = f"camera {seed}"
    picture = Image.fromarray(hazy.round().astype(np.uint8))
    picture.save(path, quality=95, exif=exif, dpi=(240, 240))
    return np.asarray(clear)


def check_page(chromium: Callable[[], webdriver.Chrome], page: Path) -> webdriver.Chrome:
    """Open a page in Chromium; everything on it must load, and nothing may complain."""
    browser = chromium()
    browser.get_log("browser")
    browser.get(page.resolve().as_uri())
    # Pictures further down are loaded when somebody scrolls to them.
    browser.execute_script("for (const image of document.images) image.loading = 'eager'")
    wait(lambda: browser.execute_script(ALL_LOADED))
    assert browser.execute_script("return document.body.dataset.ready") == "yes"
    assert browser.get_log("browser") == []
    return browser
