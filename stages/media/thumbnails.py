"""Single small pictures out of videos: decord in a child with a deadline, and the reader where that is missing, fails or hangs.

Only for files that we wrote ourselves: decord has none of the reader's guards against what a file may claim to be.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stages.errors import UnlayerError
from stages.media.read import open_clip

Picture = NDArray[np.uint8]
"""``(H, W, 3)`` RGB."""

CHILD = (sys.executable, "-P", str(Path(__file__).with_name("thumbnails_child.py")))
# Without -P it would find our modules under the names of others (trace).
DEADLINE = 20.0
WORTH = 2_000_000
"""Pixels, all frames of all files together, from which a child is worth its start: less is decoded from end to end in that time."""


@dataclass(frozen=True)
class Wanted:
    """Frames of one file, counted in it from 0, at a size ``(H, W)``. about: the file's pixels, all frames together."""

    path: Path
    indices: tuple[int, ...]
    size: tuple[int, int]
    about: int = 0


def sample(wanted: Sequence[Wanted], *, deadline: float = DEADLINE) -> list[dict[int, Picture]]:
    """The pictures by index, one mapping for each of ``wanted``. What no decoder here gives is missing in it.

    deadline: seconds after which the child is killed and the reader goes on with what is missing.
    """
    found: list[dict[int, Picture]] = [{} for _ in wanted]
    if sum(each.about for each in wanted) >= WORTH:
        _by_child(wanted, found, deadline)
    for each, pictures in zip(wanted, found, strict=True):
        if missing := sorted(set(each.indices) - set(pictures)):
            with contextlib.suppress(UnlayerError):
                pictures |= _by_reader(each, missing)
    return found


def _by_child(
    wanted: Sequence[Wanted], found: Sequence[dict[int, Picture]], deadline: float
) -> None:
    """What the child gives until its end or the deadline."""
    jobs = [(str(each.path.absolute()), sorted(set(each.indices)), *each.size) for each in wanted]
    single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    try:
        # It is killed at its deadline, and what it has said until then counts.
        said = subprocess.run(
            (*CHILD, str(os.getpid())),
            input=json.dumps(jobs).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=deadline,
            check=False,
            env={**os.environ, **single},
        ).stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    except OSError:
        return
    at = 0
    while (end := said.find(b"\n", at)) >= 0:
        words = said[at:end].split()
        if (
            len(words) != 2
            or not all(word.isdigit() for word in words)
            or int(words[0]) >= len(wanted)
        ):
            return
        number, index = map(int, words)
        height, width = wanted[number].size
        at = end + 1 + height * width * 3
        if at > len(said):
            return
        found[number][index] = np.frombuffer(said, np.uint8, height * width * 3, end + 1).reshape(
            height, width, 3
        )


def _by_reader(wanted: Wanted, missing: Sequence[int]) -> Mapping[int, Picture]:
    """The same by one pass over the file, as far as the last of them."""
    pictures: dict[int, Picture] = {}
    chosen = set(missing)
    for block in open_clip([wanted.path], interlaced="keep").blocks(0, missing[-1], wanted.size):
        for index, pixels in enumerate(block.pixels, block.first):
            if index in chosen:
                pictures[index] = levels(pixels)
    return pictures


def levels(pixels: torch.Tensor) -> Picture:
    """One picture ``(3, H, W)`` in [0, 1] as ``(H, W, 3)`` of 8 bits."""
    array: Picture = np.ascontiguousarray(
        (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    )
    return array
