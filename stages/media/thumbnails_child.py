"""The child that :mod:`stages.media.thumbnails` starts: decord takes single frames out of files.

It is run as a script and imports decord alone: with some other libraries its import order crashed the process. Standard input: a
JSON list of ``[path, [index, ...], height, width]``. Standard output: a line ``job index`` for each picture and its
``height * width * 3`` bytes of RGB. One index at a time, as decord's batches can loop for ever; who started this kills it at a deadline,
and it ends by itself when that process, whose number is its argument, is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from typing import BinaryIO


def main() -> None:
    """Does the jobs in order; one that fails is left out."""
    # Whatever libraries print must not get between the pictures.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    for number, (path, indices, height, width) in enumerate(json.load(sys.stdin)):
        with contextlib.suppress(Exception):
            _take(
                decord.VideoReader(
                    path, ctx=decord.cpu(0), width=width, height=height, num_threads=1
                ),
                number,
                indices,
                out,
            )


def _end_with(parent: int) -> None:
    """Ends this process once ``parent``, the process that started it, is gone."""
    # Where a process keeps its parent's number after that one's end, this waits for ever.
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _take(film: object, number: int, indices: list[int], out: BinaryIO) -> None:
    for index in indices:
        pixels = film[index].asnumpy().tobytes()  # type: ignore[index]
        out.write(f"{number} {index}\n".encode() + pixels)
        out.flush()


if __name__ == "__main__":
    main()
