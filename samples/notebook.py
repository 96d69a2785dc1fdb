"""Write ``docs/notebook.ipynb``: the Python interface on the sample, run from top to bottom.

    python -m samples.notebook

The cells stand here. A Jupyter kernel runs them, and what each prints and shows is kept in the
notebook. That needs the extra ``notebook``, and the last cells, which compare with the true layers,
the extra ``dev``: ``pip install -e '.[dev,notebook]'``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "notebook.ipynb"
CELL_SECONDS = 900
"""Seconds that one cell may take, on a busy machine too."""

CELLS: tuple[tuple[str, str], ...] = (
    (
        "markdown",
        """# Unlayer from Python

The sample is a dissolve between two shots. `separate` gives both shots, whole: each runs on through
the frames in which they are mixed. It needs no training data, only the clip.

Run this notebook in the folder `docs/` of the project, after `pip install '.[dev,notebook]'` in its
root.""",
    ),
    (
        "code",
        """from unlayer import separate

made = separate("../samples/fade.mp4", "transition", preset="fast")
made""",
    ),
    (
        "markdown",
        """The result shows its layers. With `progress=True`, `separate` shows a bar while it works.
The manifest says what was found: here one dissolve, with the weight of the incoming shot in each of
its frames.""",
    ),
    (
        "code",
        """move = made.manifest["transitions"][0]
print(move["kind"], "in the frames", move["first_frame"], "to", move["last_frame"])
print("weights:", *(f"{weight:.2f}" for weight in move["mix"]))""",
    ),
    (
        "markdown",
        """A layer's frames are an array of `(T, H, W, 3)`, RGB with 8 bits. They are read from the
layer's file when they are first asked for.""",
    ),
    (
        "code",
        """one, two = (made.layers[name] for name in ("scene-001", "scene-002"))
print(one.name, one.frames.shape, one.frames.dtype)
print(two.name, two.frames.shape, "from frame", two.first_frame)""",
    ),
    (
        "markdown",
        """The middle of the dissolve: the mixed frame, and both shots at that moment.""",
    ),
    (
        "code",
        """import numpy as np
from PIL import Image

middle = (move["first_frame"] + move["last_frame"]) // 2
weight = move["mix"][middle - move["first_frame"]]
a = one.frames[middle - one.first_frame]
b = two.frames[middle - two.first_frame]
mixed = ((1 - weight) * a + weight * b).round().astype(np.uint8)
Image.fromarray(np.hstack([mixed, a, b])).reduce(2)""",
    ),
    (
        "markdown",
        """The sample was made from known shots, so the layers can be judged. A reconstruction that
matches the input says nothing, because wrong layers mix back as well. The baseline repeats the
nearest clean frame of each shot.""",
    ),
    (
        "code",
        """import sys

sys.path.insert(0, "..")  # the project's root, where samples/ lies
from samples.make import true_layers


def psnr(picture, truth):
    return 10 * np.log10(255**2 / np.mean((picture.astype(float) - truth) ** 2))


scene_a, scene_b, _ = true_layers()
frames = range(move["first_frame"], move["last_frame"] + 1)
ours = [
    (psnr(one.frames[t], scene_a[t]) + psnr(two.frames[t - two.first_frame], scene_b[t - 25])) / 2
    for t in frames
]
held = [
    (psnr(scene_a[frames[0] - 1], scene_a[t]) + psnr(scene_b[frames[-1] + 1 - 25], scene_b[t - 25]))
    / 2
    for t in frames
]
print(f"both shots, mean over {len(frames)} mixed frames: {np.mean(ours):.1f} dB")
print(f"nearest clean frames, held: {np.mean(held):.1f} dB")""",
    ),
    (
        "markdown",
        """An array goes in as well as a file, and a temporary folder goes away with the result.
[api.md](api.md) lists everything.""",
    ),
    (
        "code",
        """made.close()""",
    ),
)


def empty_notebook() -> dict[str, Any]:
    """Return the notebook before it is run, in format 4.5."""
    cells: list[dict[str, Any]] = []
    for place, (kind, text) in enumerate(CELLS):
        cell = {"cell_type": kind, "id": f"cell-{place:02d}", "metadata": {}, "source": text}
        cells.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def executed(folder: Path) -> dict[str, Any]:
    """Return the notebook with what a Jupyter kernel made of it in ``folder``.

    Raises ImportError without the extra ``notebook``, and nbclient's error where a cell fails.
    """
    import nbclient
    import nbformat

    notebook = nbformat.from_dict(empty_notebook())
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        resources=resources,
        record_timing=False,
        coalesce_streams=True,
    ).execute()
    whole: dict[str, Any] = json.loads(nbformat.writes(notebook))
    # The version of Python is that of whoever wrote the page.
    whole["metadata"] = empty_notebook()["metadata"]
    for cell in whole["cells"]:
        for output in cell.get("outputs", []):
            lines = output.get("data", {}).get("text/plain", [])
            # An address in memory is another one each time.
            lines[:] = [re.sub(r" at 0x[0-9A-Fa-f]+", "", line) for line in lines]
    return whole


def main() -> None:
    """Write the notebook."""
    # As after an installation.
    paths = [str(ROOT / "pipeline" / "distribution"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    PAGE.write_text(json.dumps(executed(PAGE.parent), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
