"""Make ``samples/before-after.png`` from a run: a mixed frame, and its two scenes at that moment.

    python -m samples.picture fade-transition

The run may be of any clip with a transition. The input must still be where the manifest says.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np

from stages.media.read import open_clip


def picture(run: Path) -> np.ndarray:
    """Return a mixed frame of the run's first dissolve and the same frame of both scenes.

    The three pictures stand side by side, ``(H, W, 3)`` RGB with 8 bits.
    """
    manifest = json.loads((run / "manifest.json").read_text())
    move = next(
        item for item in manifest["transitions"] if item["from"] and item["to"] and item["mix"]
    )
    # Take the middle of the mixture, not of time: there both scenes have the same weight.
    frame = move["first_frame"] + int(np.argmin([abs(weight - 0.5) for weight in move["mix"]]))
    layers = {layer["name"]: layer for layer in manifest["layers"]}
    parts = [(Path(manifest["input"][0]["path"]), frame)]
    parts += [
        (run / layers[name]["path"], frame - layers[name]["first_frame"])
        for name in (move["from"], move["to"])
    ]
    images = [
        open_clip([path]).frames(index, index).pixels[0].permute(1, 2, 0).numpy()
        for path, index in parts
    ]
    gap = np.ones((images[0].shape[0], 8, 3))
    return np.round(255 * np.hstack([images[0], gap, images[1], gap, images[2]])).astype(np.uint8)


if __name__ == "__main__":
    made = picture(Path(sys.argv[1] if len(sys.argv) > 1 else "fade-transition"))
    cv2.imwrite(
        str(Path(__file__).with_name("before-after.png")), np.ascontiguousarray(made[..., ::-1])
    )
