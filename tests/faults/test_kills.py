"""Runs that are killed at changes of their folders and at random moments lose nothing.

``kills.py`` does it hundreds of times.
"""

from __future__ import annotations

import os
from pathlib import Path

from kills import Kills

COUNT, SEED = int(os.environ.get("UNLAYER_KILLS", "10")), int(os.environ.get("UNLAYER_SEED", "0"))


def test_nothing_is_lost(tmp_path: Path) -> None:
    """Do ten kills by default; UNLAYER_KILLS asks for more."""
    kills, done = Kills(tmp_path, SEED, ("transition", "dehaze")), 0
    try:
        while done < COUNT:
            done += kills.chain(min(10, COUNT - done))
    finally:
        kills.close()
    assert sum(kills.done.values()) == done >= COUNT
