"""Decide what a run does about its folder: a table of what is in it and what the user asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

Action = Literal["new", "go on", "leave", "again", "anew", "replace"]
"""What a run does about its folder:

- ``new``: begin in a folder without a run.
- ``go on``: continue an interrupted run.
- ``leave``: leave a finished run as it is.
- ``again``: do a finished run again, because layers are missing.
- ``anew``: discard an interrupted run and begin again.
- ``replace``: replace what is there.
"""


class Content(Enum):
    """What a run finds in its folder."""

    EMPTY = "no run"
    FINISHED = "this run, finished"
    INCOMPLETE = "this run, finished, but a layer is missing"
    FINISHED_OTHER = "another finished run"
    INTERRUPTED = "this run, interrupted"
    INTERRUPTED_OTHER = "an interrupted run that cannot be continued"
    INTERRUPTED_UNKNOWN = "an interrupted run that recorded nothing"


class Request(Enum):
    """What the user asked for."""

    BEGIN = "no option"
    RESUME = "--resume"
    RESUME_OR_RESTART = "--resume --anew"
    OVERWRITE = "--overwrite"

    @staticmethod
    def of(*, resume: bool = False, overwrite: bool = False, anew: bool = False) -> Request:
        """Return the request that these options make."""
        if overwrite:
            return Request.OVERWRITE
        if not resume:
            return Request.BEGIN
        return Request.RESUME_OR_RESTART if anew else Request.RESUME


@dataclass(frozen=True)
class Refusal:
    """The run is refused. text: the message after the folder's path.

    ``{missing}`` in it stands for the first layer that is missing.
    """

    text: str


_MISSING_LAYER = Refusal(
    "this run is finished, but its {missing} is missing; make it again with --resume or --overwrite"
)
_INTERRUPTED = Refusal(
    "holds an interrupted run; go on with it with --resume, or replace it with --overwrite"
)
_FINISHED_OTHER = Refusal(
    "holds a finished run of another input or with other options, "
    "which --resume cannot go on with; "
    "replace it with --overwrite, or choose another --out"
)
_INTERRUPTED_OTHER = Refusal(
    "holds an interrupted run of another version, of another input or with other options, "
    "which --resume cannot go on with; begin again with --resume --anew, "
    "replace it with --overwrite, or choose another --out"
)

_COLUMNS = (Request.BEGIN, Request.RESUME, Request.RESUME_OR_RESTART, Request.OVERWRITE)
_ROWS: Mapping[Content, tuple[Action | Refusal, ...]] = {
    Content.EMPTY: ("new", "new", "new", "new"),
    Content.FINISHED: ("leave", "leave", "leave", "replace"),
    Content.INCOMPLETE: (_MISSING_LAYER, "again", "again", "replace"),
    Content.FINISHED_OTHER: (_FINISHED_OTHER, _FINISHED_OTHER, _FINISHED_OTHER, "replace"),
    Content.INTERRUPTED: (_INTERRUPTED, "go on", "go on", "replace"),
    Content.INTERRUPTED_OTHER: (_INTERRUPTED_OTHER, _INTERRUPTED_OTHER, "anew", "replace"),
    Content.INTERRUPTED_UNKNOWN: (_INTERRUPTED, "new", "new", "replace"),
}

DECISIONS: Mapping[tuple[Content, Request], Action | Refusal] = {
    (content, request): row[column]
    for content, row in _ROWS.items()
    for column, request in enumerate(_COLUMNS)
}
"""What a run does for each content of its folder and each request."""
