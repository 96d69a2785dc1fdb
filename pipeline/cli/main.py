"""Run the command line: do what its words ask for, and turn errors into one line and a status.

A verb (``run``, ``probe`` and so on) is the word that says what to do. Nothing heavy is imported
before the words are known to be right, so that a mistyped option is answered at once.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from typing import NoReturn

from pipeline import PACKAGE
from pipeline.cli.parser import command, refuse_address, settings_from
from pipeline.cli.verbs import EXAMPLE, VERBS
from pipeline.near_words import did_you_mean
from pipeline.option_fields import flag
from pipeline.option_names import OUT_OF_MEMORY, with_options
from pipeline.program import SCRIPT, invocation
from pipeline.runtime.signals import Stopping, status_of, stopping
from pipeline.settings import AUTO_TASK, Settings, options
from stages.errors import UnlayerError, UsageError

COMPLETING = f"_{SCRIPT.upper()}_COMPLETE"
"""The variable that the shell sets when it asks for the words that may come next."""
ALONE = ("-h", "--help", "--version", "--install-completion", "--show-completion")
"""Options that stand without a verb."""
DRY_RUN = {
    "run": "estimate.dry_chain:dry_run",
    "batch": "estimate.dry_batch:dry_batch",
}
"""The functions that do ``--dry-run`` of a verb, as ``module:name`` in :mod:`pipeline`."""

LEADING = ("--quiet", "--json", "--no-progress", "--debug")
"""Switches that may stand before the verb."""

_SUFFIX = re.compile(r"[^.]\.\w{1,5}$", re.ASCII)
"""The end of a file's name, such as ``.mp4``."""


@dataclass
class _ErrorStyle:
    """How errors are shown, once the settings are known.

    debug: whether with a traceback. json: whether also as JSON lines.
    """

    debug: bool = False
    json: bool = False


_error_style = _ErrorStyle()
"""What the settings ask for. They may come from a file, so the words do not tell it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    argv: its words, without the program's name; those of ``sys.argv`` if ``None``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    words = with_verb(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files need not be valid text; they are shown escaped instead of ending the run.
        sys.stdout.reconfigure(errors="backslashreplace")
    with stopping() as stop:
        try:
            status = _dispatch_or_explain(words, stop)
            stop.over = True
        # A second signal may come while the first one is reported. After that, signals are only
        # counted.
        except KeyboardInterrupt as again:
            stop.over = True
            say("stopped")
            status = status_of(again)
        return status


def with_verb(words: list[str]) -> list[str]:
    """Return the words with their verb first.

    Switches that print less or more, such as ``--quiet``, may stand before it. The verb is ``run``
    where the words begin with a file, or with ``--`` and therefore a file after it.
    """
    switches = list(itertools.takewhile(LEADING.__contains__, words))
    rest = words[len(switches) :]
    first = rest[0] if rest else "-"
    if first in VERBS:
        return [first, *switches, *rest[1:]]
    if first in ALONE:
        return rest
    if first != "--" and (first.startswith("-") or first == "help" or not os.path.exists(first)):
        return [*rest, *switches]
    return ["run", *switches, *rest]


def _dispatch_or_explain(words: list[str], stop: Stopping) -> int:
    """Do what ``words`` ask for, print errors as one line, and return the exit status."""
    try:
        _error_style.debug = _error_style.json = False
        return dispatch(words)
    except BrokenPipeError:  # whoever read our output has ended, as in `probe | head`
        if _is_run(words):
            say("the reader of the output has gone, so this stopped; --resume goes on")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as asked:
        stop.telling = True
        return _failed(words, asked.args[0] if asked.args else "stopped", status_of(asked))
    except Exception as error:
        # Some libraries turn a Ctrl-C during their import into an error of their own.
        if (stopped := _interrupt_behind(error)) is not None:
            stop.telling = True
            text = stopped.args[0] if stopped.args else "stopped"
            return _failed(words, text, status_of(stopped))
        if "--debug" in words or _error_style.debug:
            traceback.print_exc()
        if isinstance(error, UnlayerError):
            return _failed(words, with_options(error), error.exit_status)
        return _failed(words, explain(error), 1)


def dispatch(words: Sequence[str]) -> int:
    """Do what ``words`` ask for and return the exit status. Raises UnlayerError."""
    if os.environ.get(COMPLETING):
        command().main(list(words), prog_name=SCRIPT, complete_var=COMPLETING)
    if words and words[0] == "help" and len(words) > 1:
        words = [words[1], "--help"]
    if not words or words[0] in (*ALONE, "help"):
        return _without_verb(words)
    if words[0] not in VERBS:
        _refuse_unknown_verb(words[0])
    settings = settings_from(words[0], words[1:])
    _error_style.debug, _error_style.json = settings.debug, settings.json
    verb, settings = _with_defaults_of_inputs(words[0], settings)
    if verb in ("run", "batch") or (verb == "probe" and settings.task):
        _check_task(verb, settings)
    function = DRY_RUN[verb] if settings.dry_run else VERBS[verb].function
    module, name = function.split(":")
    status = getattr(import_module(f"{PACKAGE}.{module}"), name)(settings)
    assert isinstance(status, int)
    return status


def _without_verb(words: Sequence[str]) -> int:
    """Do what options without a verb ask for. Without any words, show the help; the status is 2."""
    asks_for_help = not words or words[0] == "help"
    # Completion belongs to the installed program, however this process was started.
    name = SCRIPT if words and "completion" in words[0] else invocation()
    command().main(
        ["--help"] if asks_for_help else list(words), prog_name=name, standalone_mode=False
    )
    return 0 if words else 2


def _refuse_unknown_verb(word: str) -> NoReturn:
    """Raise the error for a first word that is no verb; it says what the user may have meant."""
    refuse_address(word)
    if looks_like_a_file(word):
        raise UnlayerError(f"{word}: there is no such file; check the name")
    if word.partition("=")[0] in _all_options():
        raise UsageError(f"{word} stands before its verb; write the verb first: {EXAMPLE}")
    known = [*VERBS, *ALONE] if word.startswith("-") else list(VERBS)
    choices = ", ".join(VERBS)
    raise UsageError(f"{word!r} is not a verb; choose {choices}{did_you_mean(word, known)}")


def _with_defaults_of_inputs(verb: str, settings: Settings) -> tuple[str, Settings]:
    """Return the verb and the settings, with what ``run`` does where it is not told otherwise.

    Without a task it takes :data:`pipeline.settings.AUTO_TASK`. A folder of single pictures becomes
    a batch.
    """
    if verb != "run" or not settings.inputs:
        return verb, settings
    if not settings.task:
        settings = replace(settings, task=AUTO_TASK)
    return _one_by_one(settings) if settings.inputs[0].is_dir() else (verb, settings)


def _one_by_one(settings: Settings) -> tuple[str, Settings]:
    """Return the verb and the settings for a folder: single pictures become a batch."""
    from pipeline.batch.single_pictures import as_batch, why_single

    why = why_single(settings.inputs)
    if not why:
        return "run", settings
    if not settings.quiet:
        say(f"{settings.inputs[0]}: {why}, so each of them is a run of its own, as with batch")
    return "batch", as_batch(settings)


def _check_task(verb: str, settings: Settings) -> None:
    """Raise UsageError where there is no such task; warn where a built-in one hides another."""
    from pipeline.tasks import check_names, shadowed_task_warning, task_names

    check_names(settings.task)
    # A run shows this warning among its own warnings.
    if verb == "batch" or settings.dry_run:
        for name in task_names(settings.task):
            warning = shadowed_task_warning(name)
            if warning is not None:
                say(f"warning: {warning}")


def _interrupt_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """Return the Ctrl-C that caused an error, or ``None`` where none did."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def _failed(words: Sequence[str], text: str, status: int) -> int:
    """Say why the program ends, also as a JSON line where those are wanted; return ``status``."""
    say(text)
    if _is_run(words) and ("--json" in words or _error_style.json):
        from pipeline.runtime.progress import print_event

        with suppress(OSError):
            print_event("failed", text=text, status=status)
    return status


def _is_run(words: Sequence[str]) -> bool:
    """Return whether the words take clips apart."""
    return words[:1] in (["run"], ["batch"])


def explain(error: Exception) -> str:
    """Return one line that says what an error of a library or the system means for the user."""
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}; check the disk and the folder's permissions"
    return f"unexpected {type(error).__name__}: {error}; --debug shows where"


def say(text: object) -> None:
    """Print one line on standard error.

    Names of files in it may contain line breaks and control characters; they are escaped.
    """
    joined = " ".join(str(text).split("\n"))
    line = "".join(char if char.isprintable() else repr(char)[1:-1] for char in joined)
    # After SIGHUP the terminal may be gone, and nobody can read the line.
    with suppress(OSError):
        print(f"unlayer: {line}", file=sys.stderr)


def looks_like_a_file(word: str) -> bool:
    """Return whether a word has a slash or a suffix, as names of files do and verbs do not."""
    return not word.startswith("-") and (os.sep in word or _SUFFIX.search(word) is not None)


def _all_options() -> set[str]:
    """Return the options of all verbs."""
    return {flag(item) for verb in VERBS for item in options(verb)}
