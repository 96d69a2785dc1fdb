"""Take single small pictures out of videos.

decord does this in a child process with a deadline. Where it is missing, fails or hangs, the reader
takes over. Use this only for files that we wrote ourselves: decord has none of the reader's guards
against hostile files.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from stages.errors import UnlayerError
from stages.media.read import open_clip

Picture = NDArray[np.uint8]
"""``(H, W, 3)`` RGB."""

# Without -P, the child would import our modules in place of others of the same name (trace).
CHILD = (sys.executable, "-P", str(Path(__file__).with_name("thumbnails_child.py")))
DEADLINE = 20.0
"""Seconds that the child may take."""
MIN_CHILD_PIXELS = 2_000_000
"""Pixels, all frames of all files together, from which starting a child pays off.

In the time that a child takes to start, fewer pixels are decoded from end to end.
"""


@dataclass(frozen=True)
class ThumbnailRequest:
    """Frames that are wanted of one file.

    indices: of the frames in the file, from 0. size: ``(H, W)`` of the pictures.
    total_pixels: of the file, all frames together, roughly.
    """

    path: Path
    indices: tuple[int, ...]
    size: tuple[int, int]
    total_pixels: int = 0


def read_thumbnails(
    requests: Sequence[ThumbnailRequest], *, deadline: float = DEADLINE
) -> list[dict[int, Picture]]:
    """Return the pictures by frame index, one mapping for each request.

    Frames that cannot be decoded are missing from it. deadline: seconds after which the child is
    killed; the reader then takes what is missing.
    """
    pictures_of_requests: list[dict[int, Picture]] = [{} for _ in requests]
    if sum(each.total_pixels for each in requests) >= MIN_CHILD_PIXELS:
        _by_child(requests, pictures_of_requests, deadline)
    for each, pictures in zip(requests, pictures_of_requests, strict=True):
        if missing := sorted(set(each.indices) - set(pictures)):
            with contextlib.suppress(UnlayerError):
                pictures |= _by_reader(each, missing)
    return pictures_of_requests


def _by_child(
    requests: Sequence[ThumbnailRequest], found: Sequence[dict[int, Picture]], deadline: float
) -> None:
    """Add the pictures that the child delivers before it ends or the deadline passes.

    It reads each file once, at the largest size that is wanted of it.
    """
    groups: dict[Path, list[int]] = {}
    for number, each in enumerate(requests):
        groups.setdefault(each.path.absolute(), []).append(number)
    sizes = [
        max((requests[number].size for number in group), key=math.prod) for group in groups.values()
    ]
    jobs = [
        (
            str(path),
            sorted({index for number in group for index in requests[number].indices}),
            *size,
        )
        for (path, group), size in zip(groups.items(), sizes, strict=True)
    ]
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    try:
        # The child is killed at the deadline; what it wrote before counts.
        output = subprocess.run(
            (*CHILD, str(os.getpid())),
            input=json.dumps(jobs).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=deadline,
            check=False,
            env={**os.environ, **one_thread},
        ).stdout
    except subprocess.TimeoutExpired as late:
        output = late.stdout or b""
    except OSError:
        return
    members = list(groups.values())
    for job, index, picture in _pictures_in(output, sizes):
        for number in members[job]:
            if index in requests[number].indices:
                found[number][index] = scaled_picture(picture, requests[number].size)


def _pictures_in(
    output: bytes, sizes: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int, Picture]]:
    """Yield the number of the job, the frame's index and the picture, as the child wrote them.

    output: for each picture a line with both numbers, and then its bytes. It may be cut off
    anywhere, or damaged; then the rest is left out. sizes: ``(H, W)`` of each job's pictures.
    """
    at = 0
    while (end := output.find(b"\n", at)) >= 0:
        words = output[at:end].split()
        if (
            len(words) != 2
            or not all(word.isdigit() for word in words)
            or int(words[0]) >= len(sizes)
        ):
            return
        job, index = map(int, words)
        height, width = sizes[job]
        at = end + 1 + height * width * 3
        if at > len(output):
            return
        picture = np.frombuffer(output, np.uint8, height * width * 3, end + 1)
        yield job, index, picture.reshape(height, width, 3)


def scaled_picture(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return a picture at a smaller ``size`` ``(H, W)``; itself where it has that size."""
    if picture.shape[:2] == size:
        return picture
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _by_reader(request: ThumbnailRequest, missing: Sequence[int]) -> Mapping[int, Picture]:
    """Return the missing pictures from one pass over the file, up to the last of them."""
    pictures: dict[int, Picture] = {}
    chosen = set(missing)
    clip = open_clip([request.path], interlaced="keep")
    for block in clip.blocks(0, missing[-1], request.size):
        for index, pixels in enumerate(block.pixels, block.first):
            if index in chosen:
                pictures[index] = levels(pixels)
    return pictures


def levels(pixels: torch.Tensor) -> Picture:
    """Return a picture ``(3, H, W)`` in [0, 1] as ``(H, W, 3)`` of 8 bits."""
    array: Picture = np.ascontiguousarray(
        (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    )
    return array
