"""``probe`` answers on every messy file of ``../shared/data``, with facts or one line.

It looks for transitions within a minute, and in a few files for all things.
"""

from __future__ import annotations

import json
from pathlib import Path

import media
import pytest
from provoke import GIB, Zygote, refused

MESSY = media.SHARED / "messy"
pytestmark = pytest.mark.skipif(not MESSY.is_dir(), reason=f"{MESSY} is missing")
FILES = sorted(path.name for path in MESSY.iterdir()) if MESSY.is_dir() else []
NO_USE = {
    "corrupt_truncated_decord.mp4": ("is damaged at frame 28", "--salvage"),
    "sizechange_raw.h264": ("changes its size at frame", "--end"),
    "webp_anim_iss634.webp": ("cannot be decoded", "convert it"),
}
MINUTE = 60
EVERYTHING = {
    "corrupt_unordered_50x50.mov",
    "no_duration_vp9.webm",
    "one_by_one_pixel_dash_name.mp4",
    "rot90_tiny.mov",
}
"""Files that are looked at for all things: short ones, with odd sizes, times and turns."""

LONG = {
    "mjpeg_canon_dashcam.avi",
    "no_duration_vp9.webm",
    "rot180_phone_10fps.mp4",
    "vfr_flir_thermal_portrait.mp4",
    "vfr_phone_h263.3gp",
    "yuv444_cockatoo_720p.mp4",
}
"""Files that are looked at for ten seconds and more; the reader's tests read them all."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in FILES]
)
def test_probe_answers(zygote: Zygote, tmp_path: Path, name: str) -> None:
    only = () if name in EVERYTHING else ("--task", "transition")
    answer = zygote.run(tmp_path, "probe", MESSY / name, "--json", *only, seconds=MINUTE)
    assert answer.status is not None, f"no answer in {MINUTE} s"
    assert answer.memory < GIB
    if name in NO_USE:
        refused(answer, 1, name, *NO_USE[name])
    else:
        facts = json.loads(answer.out)
        assert (
            answer.status == 0 and facts["frames"] >= 1 and facts["shots"] and facts["width"] >= 1
        )
