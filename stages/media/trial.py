"""A trial of files from outside: a child opens them first, so that what would kill this process kills the child instead.

The media library is written in C and meets any bytes. A crash, a bomb that fills the memory and a file that never gives a frame
end here in one line. The child costs about a tenth of a second; what was tried is not tried again by the same process.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from stages.errors import UnlayerError
from stages.media import bombs, sniff
from stages.media.sniff import printable
from stages.media.trial_child import OUT_OF_MEMORY

# Without -P the child would find our modules under the names of others.
CHILD = (sys.executable, "-P", str(Path(__file__).with_name("trial_child.py")))
MEMORY = 2 << 30
"""Bytes that opening a file and decoding its first frames may take."""
BYTES_A_PIXEL = 32
"""The same for each pixel that is allowed, where that is more: 16 references of a 4:2:0 video of 8 bits, and a little."""
SECONDS = (15, 60)
"""Seconds of processor time for opening a file, and for its first frames; no picture of an allowed size takes as long."""
_DEADLINE = 300.0  # seconds in all, on a slow disk or beside other programs
# Windows has neither; nothing there ends a child with one.
_SIGKILL, _SIGXCPU = getattr(signal, "SIGKILL", 9), getattr(signal, "SIGXCPU", 24)
_tried: set[tuple[object, ...]] = set()


def try_files(inputs: Sequence[Path], *, stream: int | None = None, max_pixels: int) -> None:
    """Open each file in a child, decode its first frames there, and return if the child lives.

    inputs: files, or folders of pictures. stream: index of the video stream that is wanted. max_pixels: the most of a picture.
    Raises :class:`UnlayerError` naming the file that crashes the media library, needs more than :data:`MEMORY` or takes more
    than :data:`SECONDS`. Files that cannot be read at all pass: opening them says why.
    """
    files = []
    for path, kind in _known(inputs, max_pixels):
        about = path.stat()
        key = (path.absolute(), about.st_ino, about.st_size, about.st_mtime_ns, stream, max_pixels)
        if key not in _tried:
            files.append((path, kind, key))
    if files:
        _try([(path, kind) for path, kind, _ in files], stream, max_pixels)
    _tried.update(key for _, _, key in files)


def _known(inputs: Sequence[Path], max_pixels: int) -> Iterator[tuple[Path, str | None]]:
    """The files to try, with the demuxer of pictures."""
    for given in inputs:
        try:
            paths = sorted(given.iterdir()) if given.is_dir() else [given]
        except OSError:
            continue
        for path in paths:
            try:
                kind = sniff.check_file(path, max_pixels)
                bombs.check_metadata(path)
                bombs.check_index(path)
            except UnlayerError:
                continue
            # Of a folder only its pictures are read.
            if kind is not None or len(paths) == 1 and not given.is_dir():
                yield path, kind


def _try(files: Sequence[tuple[Path, str | None]], stream: int | None, max_pixels: int) -> None:
    memory = max(MEMORY, BYTES_A_PIXEL * max_pixels)
    job = {
        "files": [(f"file:{path.absolute()}", kind) for path, kind in files],
        "options": sniff.open_options(max_pixels),
        "stream": stream,
        "memory": memory,
        "seconds": SECONDS,
    }
    try:
        done = subprocess.run(
            CHILD,
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=_DEADLINE,
            check=False,
        )
    except OSError:
        # No child can be started here; the files are opened without a trial.
        return
    except subprocess.TimeoutExpired as late:
        raise _refusal(
            files, late.stdout, f"could not be opened within {_DEADLINE:.0f} s"
        ) from late
    code = done.returncode
    if code == OUT_OF_MEMORY:
        raise _refusal(
            files,
            done.stdout,
            f"takes more than {memory / 2**30:.3g} GiB of memory to open (a larger --max-pixels allows more)",
        )
    if code in (-_SIGXCPU, -_SIGKILL):
        raise _refusal(
            files, done.stdout, "takes too long, or all memory, to give its first frames"
        )
    if code < 0:
        raise _refusal(files, done.stdout, f"crashes the media library (signal {-code})")


def _refusal(
    files: Sequence[tuple[Path, str | None]], said: bytes | None, what: str
) -> UnlayerError:
    """The error that names the file after those of which the child said that they were tried."""
    path = files[min((said or b"").count(b"\n"), len(files) - 1)][0]
    return UnlayerError(
        f"{printable(path)}: {what}; it is damaged or made to do harm: convert it with FFmpeg, or leave it out"
    )
