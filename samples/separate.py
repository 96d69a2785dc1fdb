"""Take a clip apart from Python, and look at its layers as arrays.

python -m samples.separate [film.mp4]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import separate


def main(words: Sequence[str]) -> None:
    """Print the frames, the shape and the mean level of each scene."""
    clip = words[0] if words else Path(__file__).with_name("fade.mp4")

    def told(stage: str, fraction: float, note: str) -> None:
        print(f"\r{stage} {100 * fraction:3.0f} % {note:40}", end="", file=sys.stderr)

    with separate(clip, "transition", preset="fast", progress=told) as made:
        print(file=sys.stderr)
        for layer in made.layers.values():
            frames = layer.frames  # (T, H, W, 3), read from its file on first use
            print(
                f"{layer.name}: frames {layer.first_frame} to {layer.last_frame}, "
                f"{frames.shape}, mean level {frames.mean():.1f}"
            )
        for move in made.manifest["transitions"]:
            print(
                f"{move['kind']} from {move['from']} to {move['to']} "
                f"in frames {move['first_frame']} to {move['last_frame']}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
