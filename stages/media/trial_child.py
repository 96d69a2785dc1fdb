"""The child process of :mod:`stages.media.trial`: it opens files and decodes their first frames.

Where the media library crashes, only this process dies. It runs as a script and imports only PyAV,
which takes less than a tenth of a second.

It reads a JSON object from standard input: ``files`` (a list of pairs: a URL, and a demuxer or
null), ``options`` for opening, ``stream`` (an index or null), ``memory`` in bytes, and ``seconds``
(two numbers of processor seconds: for opening a file, and for its first frames). It writes a line
to standard output after each file. A file that merely cannot be read counts as tried, because the
parent gives a better message.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any

OUT_OF_MEMORY = 3
"""The exit status where a file needs more memory than allowed."""
FRAMES = 3  # decoded of each file
_ENOUGH_SECONDS = 1.5  # processor seconds after which the rest of many files is not tried


def main() -> None:
    """Try the files in order."""
    job = json.load(sys.stdin)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (job["memory"], job["memory"]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import av

    began = time.process_time()
    for url, kind in job["files"]:
        try:
            _try(av, url, kind, job)
        except MemoryError:
            sys.exit(OUT_OF_MEMORY)
        except Exception as error:
            # The library may go on after it ran out of memory, and fail for another reason later.
            if _peak() > job["memory"] // 2:
                sys.exit(OUT_OF_MEMORY)
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        print(url, flush=True)
        if time.process_time() - began > _ENOUGH_SECONDS:
            return


def _peak() -> int:
    """Return the peak memory of this process in bytes; 0 where it is not known.

    Linux includes the parent's memory in ``ru_maxrss``, so ``/proc`` is read first.
    """
    with (
        contextlib.suppress(OSError, ValueError, StopIteration),
        open("/proc/self/status", encoding="ascii") as table,
    ):
        return int(next(line for line in table if line.startswith("VmHWM:")).split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return 0
    # macOS counts in bytes, other systems in KiB.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _limit_processor_seconds(seconds: int) -> None:
    """Limit this process to ``seconds`` more of processor time."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds, hard))


def _try(av: Any, url: str, kind: str | None, job: dict[str, Any]) -> None:
    """Open a file as the reader does, walk its index and decode its first frames."""
    options = job["options"]
    wanted = job["stream"]
    to_open, to_decode = job["seconds"]
    _limit_processor_seconds(to_open)
    with av.open(url, "r", format=kind, options=options, metadata_errors="ignore") as container:
        attached = int(av.stream.Disposition.attached_pic)
        videos = [
            video for video in container.streams.video if not int(video.disposition) & attached
        ]
        stream = next(
            (video for video in container.streams.video if video.index == wanted),
            videos[0] if videos else None,
        )
        if stream is None:
            return
        for _ in stream.index_entries:
            pass
        _limit_processor_seconds(to_decode)
        stream.codec_context.options = {"max_pixels": options["max_pixels"]}
        stream.codec_context.thread_count = 1
        for count, frame in enumerate(container.decode(stream), 1):
            if count == 1:
                frame.reformat(format="rgb24")
            if count == FRAMES:
                return


if __name__ == "__main__":
    main()
