"""The command line: a verb and its words (:mod:`pipeline.cli.parser`) to what they ask for, errors to one line and an exit status.

Nothing heavy is imported before the words are known to be right, so that a mistyped option is answered at once.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from pipeline.cli.parser import SCRIPT, VERBS, command, program, settings_from
from pipeline.option_hints import with_options
from pipeline.runtime.signals import Stopping, status_of, stopping
from pipeline.settings import Settings, nearest
from stages.errors import UnlayerError, UsageError

COMPLETING = f"_{SCRIPT.upper()}_COMPLETE"
"""The shell sets it where it asks for the words that may come next."""
ALONE = ("-h", "--help", "--version", "--install-completion", "--show-completion")
DRY_RUN = {
    "run": "pipeline.estimate.dry_run:dry_run",
    "batch": "pipeline.estimate.dry_batch:dry_batch",
}


_debugging = [False]
"""Whether the settings, which a file may hold, ask for where an error came from."""


def parse(verb: str, words: Sequence[str]) -> Settings:
    """The settings that ``words`` (without the verb) ask for. Raises UsageError; ``--help`` exits with 0."""
    return settings_from(verb, words)


def dispatch(words: Sequence[str]) -> int:
    """Does what ``words`` ask for. Returns the exit status; raises UnlayerError."""
    if os.environ.get(COMPLETING):
        command().main(list(words), prog_name=SCRIPT, complete_var=COMPLETING)
    if words and words[0] == "help" and len(words) > 1:
        words = [*words[1:2], "--help"]
    if not words or words[0] in (*ALONE, "help"):
        # Completion belongs to the installed program, however we were started.
        name = SCRIPT if words and "completion" in words[0] else program()
        command().main(
            ["--help"] if not words or words[0] == "help" else list(words),
            prog_name=name,
            standalone_mode=False,
        )
        return 0 if words else 2
    verb = words[0]
    if verb not in VERBS:
        known = [*VERBS, *ALONE] if verb.startswith("-") else list(VERBS)
        raise UsageError(f"{verb!r} is not a verb; choose {', '.join(VERBS)}{nearest(verb, known)}")
    if not VERBS[verb].built:
        raise UsageError(
            f"{verb} is not built yet; {', '.join(name for name, known in VERBS.items() if known.built)} are"
        )
    settings = parse(verb, words[1:])
    _debugging[0] = settings.debug
    if verb in ("run", "batch"):
        from pipeline.tasks import check_name, hidden

        check_name(settings.task)
        # A run says it among its own warnings.
        if (verb == "batch" or settings.dry_run) and (clash := hidden(settings.task)) is not None:
            say(f"warning: {clash}")
    module, name = (DRY_RUN[verb] if settings.dry_run else VERBS[verb].where).split(":")
    status = getattr(import_module(module), name)(settings)
    assert isinstance(status, int)
    return status


def say(text: object) -> None:
    """One line on standard error, whatever the text holds: a file's name may contain line breaks and control characters."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(str(text).split("\n")))
    # The terminal may be gone (SIGHUP): nobody is left to be told.
    with suppress(OSError):
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
    with stopping() as stop:
        try:
            status = _answered(words, stop)
            stop.over = True
        # A second signal may come while the first is being answered, at any place; after that they are only counted.
        except KeyboardInterrupt as again:
            stop.over = True
            if not stop.told:
                say("stopped")
            status = status_of(again)
        return status


def _answered(words: list[str], stop: Stopping) -> int:
    """Do what ``words`` ask for; errors become one line. Returns the exit status."""
    try:
        _debugging[0] = False
        return dispatch(words)
    except BrokenPipeError:  # the reader of our output has gone (probe | head)
        if words[:1] in (["run"], ["batch"]):
            say(
                "whoever read its output has gone, so it was stopped; the same command with --resume goes on"
            )
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as asked:
        say(asked.args[0] if asked.args else "stopped")
        stop.told = True
        return status_of(asked)
    except Exception as error:
        # Some libraries turn a Ctrl-C, while they are imported, into an error of their own.
        if (stopped := _stop_behind(error)) is not None:
            say(stopped.args[0] if stopped.args else "stopped")
            return status_of(stopped)
        if "--debug" in words or _debugging[0]:
            traceback.print_exc()
        if isinstance(error, UnlayerError):
            say(with_options(error))
            return error.exit_status
        say(explain(error))
        return 1


def _stop_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """Return the Ctrl-C that an error was made of; ``None`` where it was made of none."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error
