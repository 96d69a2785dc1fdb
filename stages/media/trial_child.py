"""The child that :mod:`stages.media.trial` starts: opens files and decodes their first frames, so that it dies where the library dies.

It is run as a script and imports PyAV alone, which takes less than a tenth of a second. Standard input: a JSON object with
``files`` (a list of pairs: an address, a demuxer or null), ``options`` of opening, ``stream`` (an index or null),
``memory`` in bytes and ``seconds``, two of processor time: for opening a file, and for its first frames. Standard output:
a line after each file. What merely cannot be read counts as tried: who started this says it better.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any

OUT_OF_MEMORY = 3
"""The exit status where a file needs more memory than allowed."""
FRAMES = 3  # that are decoded of each file
_ENOUGH = 1.5  # seconds of processor time, after which further files of many are left out


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
            # The library goes on without what it had no memory for, and fails over it later.
            if _peak() > job["memory"] // 2:
                sys.exit(OUT_OF_MEMORY)
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        print(url, flush=True)
        if time.process_time() - began > _ENOUGH:
            return


def _peak() -> int:
    """The largest memory of this process in bytes; 0 where it cannot be told.

    Linux counts the process that started this one into ``ru_maxrss``, so its own table is asked first.
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
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def _allow(seconds: int) -> None:
    """End this process when it has used so many more seconds of processor time."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds, hard))


def _try(av: Any, url: str, kind: str | None, job: dict[str, Any]) -> None:
    """Open a file as the reader does, walk its index and decode its first frames."""
    options, wanted = job["options"], job["stream"]
    to_open, to_decode = job["seconds"]
    _allow(to_open)
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
        _allow(to_decode)
        stream.codec_context.options = {"max_pixels": options["max_pixels"]}
        stream.codec_context.thread_count = 1
        for count, frame in enumerate(container.decode(stream), 1):
            if count == 1:
                frame.reformat(format="rgb24")
            if count == FRAMES:
                return


if __name__ == "__main__":
    main()
