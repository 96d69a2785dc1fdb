"""Try untrusted files in a child process first, so that a hostile file kills the child and not us.

The media library is written in C and may be given any bytes. A crash, a decompression bomb that
fills the memory, and a file that never gives a frame all end in one error line here. The child
costs about a tenth of a second. A file is tried only once by the same process.
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

# Without -P, the child would import our modules in place of others of the same name.
CHILD = (sys.executable, "-P", str(Path(__file__).with_name("trial_child.py")))
MEMORY = 2 << 30
"""Bytes of memory that opening a file and decoding its first frames may take."""
BYTES_A_PIXEL = 32
"""The same for each allowed pixel, where that is more.

16 reference frames of 8-bit 4:2:0 video take 24 bytes a pixel; the rest is reserve.
"""
SECONDS = (15, 60)
"""Processor seconds for opening a file, and for its first frames.

No picture of an allowed size takes as long.
"""
_DEADLINE = 300.0  # seconds in all, enough for a slow disk or a busy machine
# Windows has neither signal, so no child ends with one there.
_SIGKILL, _SIGXCPU = getattr(signal, "SIGKILL", 9), getattr(signal, "SIGXCPU", 24)
_tried: set[tuple[object, ...]] = set()


def try_files(inputs: Sequence[Path], *, stream: int | None = None, max_pixels: int) -> None:
    """Open each file in a child process, decode its first frames, and return if the child survives.

    inputs: files, or folders of pictures. stream: index of the wanted video stream.
    max_pixels: larger frames are refused.

    Raises :class:`UnlayerError` naming the file that crashes the media library, needs more than
    :data:`MEMORY` or takes longer than :data:`SECONDS`. A file that cannot be read at all passes:
    opening it later gives a better message.
    """
    files = []
    for path, kind in _files_to_try(inputs, max_pixels):
        about = path.stat()
        key = (path.absolute(), about.st_ino, about.st_size, about.st_mtime_ns, stream, max_pixels)
        if key not in _tried:
            files.append((path, kind, key))
    if files:
        _try([(path, kind) for path, kind, _ in files], stream, max_pixels)
    _tried.update(key for _, _, key in files)


def _files_to_try(inputs: Sequence[Path], max_pixels: int) -> Iterator[tuple[Path, str | None]]:
    """Yield the files to try, each with its demuxer if it is a picture."""
    for input_path in inputs:
        try:
            paths = sorted(input_path.iterdir()) if input_path.is_dir() else [input_path]
        except OSError:
            continue
        for path in paths:
            try:
                kind = sniff.check_file(path, max_pixels)
                bombs.check_metadata(path)
                bombs.check_index(path)
            except UnlayerError:
                continue
            # Only pictures are read from a folder.
            if kind is not None or len(paths) == 1 and not input_path.is_dir():
                yield path, kind


def _try(files: Sequence[tuple[Path, str | None]], stream: int | None, max_pixels: int) -> None:
    """Run the child on these files and raise UnlayerError where it does not survive."""
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
        # No child can be started on this machine; the files are opened without a trial.
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
            f"takes more than {memory / 2**30:.3g} GiB of memory to open (the limit grows with "
            "the pixels that are allowed)",
            ("max_pixels",),
        )
    if code in (-_SIGXCPU, -_SIGKILL):
        raise _refusal(
            files, done.stdout, "takes too long, or all memory, to give its first frames"
        )
    if code < 0:
        raise _refusal(files, done.stdout, f"crashes the media library (signal {-code})")


def _refusal(
    files: Sequence[tuple[Path, str | None]],
    output: bytes | None,
    problem: str,
    settings: tuple[str, ...] = (),
) -> UnlayerError:
    """Return the error for the file that the child was trying.

    output: the child's, one line for each file that it finished.
    """
    path = files[min((output or b"").count(b"\n"), len(files) - 1)][0]
    return UnlayerError(
        f"{printable(path)}: {problem}; it is damaged or was made to do harm: convert it with "
        "FFmpeg, or leave it out",
        settings=settings,
    )
