"""The command line: words to :class:`pipeline.settings.Settings`, errors to one line and an exit status.

Options are made from the settings' fields. Nothing heavy is imported before the words are known to be right, so that a mistyped
option is answered at once.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from pipeline import __version__
from pipeline.settings import Settings, flag, nearest, options
from stages.errors import UnlayerError, UsageError

VERBS = {
    "run": "take one clip apart",
    "probe": "show what is in a clip: streams, shots, cuts and transitions",
    "batch": "the same for every clip of a folder",
    "report": "write a run's report.html again",
}
INPUTS = {"batch": ("FOLDER", "where the clips lie"), "report": ("RUN", "the folder that a run wrote")}
EXAMPLES = "example: python -m pipeline run samples/fade.mp4 --task transition"


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: treated like Ctrl-C, with its own exit status."""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are our errors: one line, no usage dump."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument "))


def parser(verb: str) -> argparse.ArgumentParser:
    """The options of a verb, each made from its field in :class:`Settings`."""
    from pipeline.tasks import names

    made = _Parser(prog=f"python -m pipeline {verb}", description=VERBS[verb], allow_abbrev=False)
    made.epilog = f"tasks: {', '.join(names())}. {EXAMPLES}"
    name, help = INPUTS.get(verb, ("INPUT", "a clip, a picture, or a folder of numbered pictures"))
    made.add_argument("inputs", nargs="*", type=Path, metavar=name, help=help)
    groups: dict[str, argparse._ArgumentGroup] = {}
    for item in options(verb):
        known = item.metadata
        if known["group"] not in groups:
            groups[known["group"]] = made.add_argument_group(known["group"])
        group = groups[known["group"]]
        told = f" (default: {item.default})" if item.default or type(item.default) is int else ""
        if item.default is False:
            group.add_argument(flag(item), action="store_true", help=known["help"])
        else:
            action = "append" if known["repeat"] else "store"
            # The default stays in the dataclass: what is not given is left out of the answer.
            group.add_argument(
                flag(item),
                action=action,
                type=known["parse"],
                metavar=known["metavar"],
                help=known["help"] + told,
                default=argparse.SUPPRESS,
            )
    return made


def parse(verb: str, words: Sequence[str]) -> Settings:
    """The settings that ``words`` (without the verb) ask for. Raises UsageError; ``--help`` exits with 0."""
    made = parser(verb)
    cut = list(words).index("--") if "--" in words else len(words)
    answer, unknown = made.parse_known_intermixed_args(list(words[:cut]))
    for word in unknown:
        known = [flag(item) for item in options(verb)]
        raise UsageError(f"{word} is not an option of {verb}{nearest(word.split('=')[0], known) or '; see --help'}")
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in vars(answer).items()}
    # Behind "--" everything is a file's name, whatever it begins with.
    given["inputs"] = (*given["inputs"], *map(Path, words[cut + 1 :]))
    if not given["inputs"]:
        name, help = INPUTS.get(verb, ("INPUT", "a clip, a picture, or a folder of numbered pictures"))
        raise UsageError(f"{verb} needs {name}: {help}")
    return Settings(**given)


def dispatch(words: Sequence[str]) -> int:
    """Does what ``words`` ask for. Returns the exit status; raises UnlayerError."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(f"unlayer {__version__}: takes mixed video apart\n\nusage: python -m pipeline VERB ...; VERB --help shows its options\n")
        print("\n".join(f"  {verb:<8}{help}" for verb, help in VERBS.items()), EXAMPLES, sep="\n\n")
        return 0 if words else 2
    if words[0] == "--version":
        print(f"unlayer {__version__}")
        return 0
    verb = words[0]
    if verb not in VERBS:
        raise UsageError(f"{verb!r} is not a verb; choose {', '.join(VERBS)}{nearest(verb, list(VERBS))}")
    settings = parse(verb, words[1:])
    if verb == "probe":
        from pipeline.probe import probe

        return probe(settings)
    if verb == "batch":
        from pipeline.batch import batch

        return batch(settings)
    if verb == "report":
        from pipeline.report import report

        return report(settings)
    from pipeline.run import run

    return run(settings)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM becomes an exception for as long as this lasts, so that what has to be tidied is tidied."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say(text: object) -> None:
    """One line on standard error, whatever the text holds: a file's name may contain line breaks and control characters."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(str(text).split("\n")))
    print(f"unlayer: {line}", file=sys.stderr)


def explain(error: Exception) -> str:
    """One line that says what an error that is not ours means for the user."""
    if isinstance(error, MemoryError):
        return "out of memory; close other programs, choose --preset fast, or take a part with --start and --end"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}; check the disk and the folder's permissions"
    return f"unexpected {type(error).__name__}: {error}; --debug shows where"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv`` (``sys.argv`` unless told) and returns its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Files may have names that are no text; they are shown escaped rather than ending the run.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _sigterm_raises():
            return dispatch(words)
    except BrokenPipeError:  # the reader of our output has gone (probe | head): nobody is left to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as stop:
        say(stop.args[0] if stop.args else "stopped")
        return 143 if isinstance(stop, Terminated) else 130
    except Exception as error:
        if "--debug" in words:
            traceback.print_exc()
        say(error if isinstance(error, UnlayerError) else explain(error))
        return error.exit_status if isinstance(error, UnlayerError) else 1
