"""The commands: what each is for, where its function is, and how its options are described."""

from __future__ import annotations

from dataclasses import Field, dataclass
from typing import Any

from pipeline.program import SCRIPT, invocation

HELP_ALL = "--help-all"
_SAMPLE = "film.mp4" if invocation() == SCRIPT else "samples/fade.mp4"
EXAMPLE = f"{invocation()} run {_SAMPLE} --task transition"


@dataclass(frozen=True)
class Verb:
    """A command.

    help: one line. function: what does it, as ``module:name`` in :mod:`pipeline`; it takes Settings
    and returns an exit status. inputs: the name and meaning of its inputs, or ``None`` where it
    takes none.
    """

    help: str
    function: str
    inputs: tuple[str, str] | None = (
        "INPUT",
        "a clip, a picture, or a folder of numbered pictures",
    )


VERBS: dict[str, Verb] = {
    "run": Verb("take one clip apart", "run.chain:run"),
    "probe": Verb(
        "show what is in a clip: streams, shots, transitions, haze, marks and more",
        "cli.probe:probe",
    ),
    "batch": Verb(
        "do the same for every clip of a folder",
        "batch.batch:batch",
        ("FOLDER", "where the clips lie"),
    ),
    "doctor": Verb("say what this machine can do, and what it lacks", "cli.doctor:doctor", None),
    "bench": Verb(
        "measure what runs cost here: seconds, dB a second, memory, growth",
        "bench.bench:bench",
        None,
    ),
    "report": Verb(
        "write a run's report.html again",
        "report.again:report",
        ("RUN", "the folder that a run wrote"),
    ),
}


def help_of(item: Field[Any], verb: str) -> str:
    """Return a setting's help as an option of the command ``verb``."""
    return str(item.metadata["elsewhere"].get(verb, item.metadata["help"]))


def formatted_help(item: Field[Any], verb: str) -> str:
    """Return a setting's help with its default value, where there is one worth showing."""
    default = item.default
    shown = default not in ("", "*") and (default or type(default) is int)
    return help_of(item, verb) + (f" (default: {default})" if shown else "")
