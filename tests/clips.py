"""Make small scenes with known layers, mix them, and stand in for their separation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from stages.media.clip import Frames
from stages.mixing.mixture import Mixture
from stages.mixing.psnr import mean_psnr
from stages.mixing.psnr import psnr as one_psnr
from stages.shots import Transition
from stages.transition.plan import LARGEST_WORK_PIXELS
from stages.transition.separate import TransitionResult, open_mixture, separate_transition
from stages.transition.separated_frame import PutFrame, SeparatedFrame
from stages.transition.window import Window

Stack = NDArray[np.uint8]
OWN = ("losses.json", "manifest.json", "report", "report.html")
"""Names in every finished run's folder besides its layers and sheets."""


def moving(seed: int, frames: int, size: tuple[int, int] = (48, 64)) -> Stack:
    """Make a scene ``(frames, H, W, 3)``: a smooth pattern that drifts, and a crossing square."""
    height, width = size
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, (3, 3))
    right, down = rng.uniform(-0.15, 0.15, 2)
    color = rng.uniform(0.1, 0.9, 3)
    y, x = np.mgrid[0:height, 0:width] / 8
    stack = np.empty((frames, height, width, 3))
    for t in range(frames):
        # All channels move together, as in any real picture.
        u, v = x + right * t, y + down * t
        for c in range(3):
            stack[t, ..., c] = (
                0.5
                + 0.2 * np.sin(u + phase[c, 0]) * np.cos(v + phase[c, 1])
                + 0.15 * np.sin(2 * u + 1.5 * v + phase[c, 2])
            )
        left = int(0.8 * t + 10 * seed) % (width - 10)
        stack[t, height // 3 : height // 3 + 10, left : left + 10] = color
    return np.round(stack * 255).clip(0, 255).astype(np.uint8)


def through_camera(
    scene: NDArray[np.float32], size: tuple[int, int], time: int, pan: Sequence[float], zoom: float
) -> NDArray[np.float32]:
    """Return what a panning and zooming camera sees of a still scene.

    scene: larger than the picture. size: ``(H, W)`` of the picture. time: the frame's number.
    pan: pixels (x, y) a frame. zoom: magnification a frame, minus 1.
    """
    height, width = size
    scale = 1 / (1 + zoom) ** time
    view = np.array(
        [[scale, 0, width / 2 + pan[0] * time], [0, scale, height / 2 + pan[1] * time]], np.float32
    )
    seen = cv2.warpAffine(
        scene,
        view,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(seen, np.float32)


def grainy(seed: int, frames: int, size: tuple[int, int]) -> Stack:
    """Make a scene ``(frames, H, W, 3)`` that does not compress well.

    It is one picture of random pixels, with new grain in each frame.
    """
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (1, *size, 3))
    grain = rng.integers(-6, 7, (frames, *size, 3))
    return np.asarray(np.clip(picture + grain, 0, 255), np.uint8)


def dissolve(a: Stack, b: Stack, pre: int, steps: int) -> tuple[Stack, NDArray[np.float64]]:
    """Dissolve ``a`` linearly into ``b`` and return the mixed frames and the weights of ``b``.

    a, b: ``(T, H, W, 3)`` of the same length. pre: clean frames before. steps: mixed frames.
    """
    weight = np.clip((np.arange(len(a)) - pre + 1) / (steps + 1), 0, 1)
    mixed = (1 - weight)[:, None, None, None] * a + weight[:, None, None, None] * b
    return np.round(mixed).astype(np.uint8), weight


def drifting(
    seed: int, frames: int, velocity: tuple[float, float], size: tuple[int, int] = (48, 64)
) -> Tensor:
    """Make a coloured texture ``(frames, 3, H, W)`` in [0, 1] that moves.

    velocity: pixels (x, y) a frame.
    """
    height, width = size
    noise = torch.rand(
        1, 3, height // 4 + 24, width // 4 + 24, generator=torch.Generator().manual_seed(seed)
    )
    wide = functional.interpolate(noise, scale_factor=4, mode="bicubic", align_corners=False).clamp(
        0, 1
    )
    x, y = torch.arange(width) + 0.5, torch.arange(height)[:, None] + 0.5
    across, down = wide.shape[-1] / 2, wide.shape[-2] / 2
    stack = []
    for t in range(frames):
        right = (x - width / 2 - velocity[0] * t) / across
        below = (y - height / 2 - velocity[1] * t) / down
        grid = torch.stack([right.expand(size), below.expand(size)], -1)[None].float()
        stack.append(
            functional.grid_sample(wide, grid, mode="bicubic", align_corners=False).clamp(0, 1)
        )
    return torch.cat(stack)


def pixels(stack: Stack) -> Tensor:
    """Return 8-bit frames ``(T, H, W, 3)`` as ``(T, 3, H, W)`` in [0, 1]."""
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 255


def psnr(estimate: Tensor, truth: Tensor) -> float:
    """Return the mean PSNR in dB over frames ``(T, 3, H, W)``, each capped at 60 dB.

    The project's scoring uses the same measure.
    """
    return mean_psnr(estimate, truth, 60.0)


def psnr_of_all(estimate: Tensor, truth: Tensor) -> float:
    """Return the PSNR in dB over all values together, of any shape; at most 99."""
    return one_psnr(estimate, truth)


def read_clip(path: Path) -> Stack:
    """Return all frames of a video as ``(T, H, W, 3)``."""
    with av.open(str(path)) as box:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in box.decode(video=0)])


def plain_answer(
    window: Window,
    transition: Transition,
    *,
    settings: object,
    progress: Callable[[float, str], None],
    put: PutFrame,
    **more: object,
) -> TransitionResult:
    """Stand in for the separation.

    The outgoing side is plain red, the incoming one plain green, and the matte of a wipe is grey.
    """
    progress(0.5, "half")
    count = len(transition)
    size = window.size
    red, green = torch.zeros(2, 3, *size)
    red[0] = green[1] = 1
    matte = torch.full((1, *size), 0.5) if transition.kind == "wipe" else None
    for place in range(count):
        put(
            place,
            SeparatedFrame(window.frame(transition.first_frame + place)[0], red, green, matte),
        )
    mix = tuple((index + 1) / (count + 1) for index in range(count))
    return TransitionResult(
        mix, matte is not None, "gamma", {"fit": 0.25}, {"reconstruction_psnr": 40.0}
    )


@dataclass
class Apart:
    """A transition that was taken apart in memory.

    frames: the mixed frames. outgoing, incoming: their layers, ``(n, 3, H, W)``. matte: if the
    transition has one. done: the report of the separation; its fields are this object's, too.
    """

    frames: Tensor
    outgoing: Tensor
    incoming: Tensor
    matte: Tensor | None
    done: TransitionResult

    def __getattr__(self, name: str) -> Any:
        return getattr(self.done, name)


def apart(frames: Frames, transition: Transition, **more: Any) -> Apart:
    """Take a transition apart whose frames are in memory."""
    kept: list[SeparatedFrame] = []
    more = {"progress": lambda done, note: None, **more}
    done = separate_transition(
        Window.of(frames), transition, put=lambda place, frame: kept.append(frame), **more
    )
    mattes = [frame.matte for frame in kept if frame.matte is not None]
    layers = (
        torch.stack([frame.outgoing for frame in kept]),
        torch.stack([frame.incoming for frame in kept]),
    )
    return Apart(
        torch.stack([frame.frame for frame in kept]),
        *layers,
        torch.stack(mattes) if mattes else None,
        done,
    )


def opened(frames: Frames, transition: Transition) -> Mixture:
    """Open the mixture of a transition whose frames are in memory."""
    return open_mixture(Window.of(frames), transition, LARGEST_WORK_PIXELS)
