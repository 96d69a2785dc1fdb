"""Write ``docs/notebook.ipynb``: the Python interface on the sample, run from top to bottom.

    python -m samples.notebook

The cells stand here. They are run in this process, without Jupyter, and what each prints and shows
is kept in the notebook. The last cells compare with the true layers, which needs the extra ``dev``.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "notebook.ipynb"

CELLS: tuple[tuple[str, str], ...] = (
    (
        "markdown",
        """# Unlayer from Python

The sample is a dissolve between two shots. `separate` gives both shots, whole: each runs on through
the frames in which they are mixed. It needs no training data, only the clip.

Run this notebook in the folder `docs/` of the project, after `pip install .` in its root.""",
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
        """from samples.make import true_layers


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


def shown(value: Any) -> dict[str, Any]:
    """Return how a notebook shows a value, by MIME type."""
    # An address in memory is another one each time.
    data: dict[str, Any] = {"text/plain": re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(value))}
    for name, kind in (("_repr_html_", "text/html"), ("_repr_png_", "image/png")):
        make = getattr(value, name, None)
        found = make() if make is not None else None
        if found is not None:
            text = found if isinstance(found, str) else base64.b64encode(found).decode()
            data[kind] = text
    return data


def run_cell(code: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Run a cell and return its outputs as a notebook keeps them.

    code: of the cell. names: the notebook's variables, which the cell may change. number: the
    cell's, for its result.
    """
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": text})
    if value is not None:
        outputs.append(
            {
                "output_type": "execute_result",
                "execution_count": number,
                "metadata": {},
                "data": shown(value),
            }
        )
    return outputs


def notebook() -> dict[str, Any]:
    """Run all cells and return the notebook, format 4.5."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells: list[dict[str, Any]] = []
    number = 0
    for place, (kind, text) in enumerate(CELLS):
        cell: dict[str, Any] = {
            "cell_type": kind,
            "id": f"cell-{place:02d}",
            "metadata": {},
            "source": text.splitlines(keepends=True),
        }
        if kind == "code":
            number += 1
            outputs = run_cell(text, names, number)
            cell |= {"execution_count": number, "outputs": outputs}
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def main() -> None:
    """Write the notebook."""
    # As after an installation; the cells run where the notebook lies.
    sys.path[:0] = [str(ROOT), str(ROOT / "pipeline" / "distribution")]
    os.chdir(PAGE.parent)
    PAGE.write_text(json.dumps(notebook(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
