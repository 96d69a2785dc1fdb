"""The child process of :mod:`stages.media.thumbnails`: it takes single frames with decord.

It runs as a script and imports no other library, because some import orders crash the process. It
reads a JSON list of ``[path, [index, ...], height, width]`` from standard input. For each picture,
it writes a line ``job index`` and then ``height * width * 3`` bytes of RGB to standard output.

It reads one index at a time, as decord's batches can loop forever. The parent kills it at a
deadline. Its argument is the parent's process number, and it exits when that process is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time

_POLL_SECONDS = 0.5  # between two looks at whether the parent is still there


def main() -> None:
    """Do the jobs in order and skip those that fail."""
    # Output that libraries print must not get between the pictures.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    for number, (path, indices, height, width) in enumerate(json.load(sys.stdin)):
        with contextlib.suppress(Exception):
            film = decord.VideoReader(
                path, ctx=decord.cpu(0), width=width, height=height, num_threads=0
            )
            for index in indices:
                # Rows that decord pads to whole channels, as those of 24, 48 and 72 pixels, keep
                # their padding.
                rows = film[index].asnumpy().reshape(height, -1)[:, : 3 * width]
                out.write(f"{number} {index}\n".encode() + rows.tobytes())
                out.flush()


def _end_with(parent: int) -> None:
    """Exit once ``parent``, the process that started this one, is gone.

    On systems where a process keeps its parent's number after the parent ended, this never happens.
    """
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
