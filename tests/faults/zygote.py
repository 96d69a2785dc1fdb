"""A process that has imported the program and forks for every run.

A fork takes milliseconds, so that many runs can be killed, starved or stopped. A request is a line
of JSON on standard input, its answer one on standard output; :class:`provoke.Zygote` is the other
end.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]


def begin(request: dict[str, Any], ends: dict[int, list[int]]) -> int:
    """Fork a child that runs the request's words in its folder, and return its number.

    Its limits and faults are the request's.
    """
    readers, writers = zip(os.pipe(), os.pipe(), strict=True)
    if number := os.fork():
        for end in writers:
            os.close(end)
        for end in readers:
            os.set_blocking(end, False)
        ends[number] = list(readers)
        return number
    status = 70
    try:
        os.chdir(request["folder"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for place, end in enumerate(writers, 1):
            os.dup2(end, place)
        # Whoever started this process in the background may have ignored Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # As the program does before and after its work: signals also come when main has returned.
        importlib.import_module("pipeline.runtime.signals").guard_start()
        sys.setrecursionlimit(1000)
        status = work(request)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def work(request: dict[str, Any]) -> int:
    """Set up the faults and limits in the child, and run the words."""
    import pytest

    from pipeline.cli.main import main

    provoke = importlib.import_module("provoke")
    for name, *given in request["faults"]:
        getattr(provoke, name)(pytest.MonkeyPatch(), *given)
    if (more := request.get("memory")) is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if (size := request.get("file_size")) is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if (user := request.get("user")) is not None:
        os.setuid(user)
    return main(request["words"])


def wait(request: dict[str, Any], ends: dict[int, list[int]]) -> dict[str, Any]:
    """Wait for a child's end.

    Returns its status (``None`` where it was killed at its deadline), its output and its peak
    memory.
    """
    number, until = request["number"], time.monotonic() + request["seconds"]
    said, late = [b"", b""], False
    while True:
        done, code, used = os.wait4(number, os.WNOHANG)
        for place, end in enumerate(ends[number]):
            try:
                while block := os.read(end, 1 << 16):
                    said[place] += block
            except BlockingIOError:
                pass
        if done:
            break
        if time.monotonic() > until and not late:
            late = True
            os.kill(number, signal.SIGKILL)
        time.sleep(0.005)
    for end in ends.pop(number):
        os.close(end)
    out, err = (text.decode("utf-8", "backslashreplace") for text in said)
    return {
        "status": None if late else os.waitstatus_to_exitcode(code),
        "out": out,
        "err": err,
        "memory": used.ru_maxrss * 1024,
    }


def serve() -> None:
    """Answer requests until there are no more."""
    # Threads do not survive a fork, so nothing is computed in this process.
    for name in (
        "pipeline.run.execute",
        "pipeline.cli.probe",
        "pipeline.tasks.transition.run",
        # These hold the diagnoses of all tasks.
        "pipeline.tasks.dehaze",
        "pipeline.tasks.segment",
        "pipeline.tasks.transparency",
        "pipeline.tasks.watermark",
        "clips",
        "provoke",
        "pytest",
    ):
        importlib.import_module(name)
    # The first words build the parser, which every fork then has.
    importlib.import_module("pipeline.cli.parser").settings_from("run", ["film.mp4"])
    ends: dict[int, list[int]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer = wait(request, ends) if request["do"] == "wait" else begin(request, ends)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
