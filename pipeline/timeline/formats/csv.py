"""Write the shot list: a table of shots, plain colours and transitions, for any spreadsheet.

``run --shots`` reads such a list again; :mod:`pipeline.timeline.shot_list` says what may be edited.
"""

from __future__ import annotations

import csv
import io

from pipeline.timeline.model import EditTimeline, TimelineFormat, TimelineRow

COLUMNS = (
    "kind",
    "name",
    "first_frame",
    "last_frame",
    "first_timecode",
    "last_timecode",
    "frames",
    "effect",
    "color",
    "found",
)
"""The columns of a shot list.

``found`` has the frames as they were found, in a form that no spreadsheet takes for a date:
with it, the list's reader knows which cells were edited.
"""
LAYER_COLUMNS = ("file", "file_first_frame", "file_last_frame")
"""More columns, of a run's list: the layer that shows a shot, and the frames that it holds."""


def render(timeline: EditTimeline) -> str:
    """Return the text of a ``.csv`` file with a line of headings."""
    has_layers = any(row.file for row in timeline.rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(LAYER_COLUMNS if has_layers else ())])
    for row in timeline.rows:
        layer = [row.file, row.file_first, row.file_last] if has_layers else []
        writer.writerow([*_cells(row, timeline), *layer])
    return text.getvalue()


FORMAT = TimelineFormat("csv", "shots.csv", render)


def _cells(row: TimelineRow, timeline: EditTimeline) -> list[object]:
    """Return the cells of a row. A cut, and a shot without a frame of its own, has no last one."""
    is_empty = row.last < row.first
    return [
        row.kind,
        row.name,
        row.first,
        "" if is_empty else row.last,
        timeline.label(row.first),
        "" if is_empty else timeline.label(row.last),
        row.last - row.first + 1,
        row.effect,
        row.color,
        f"{row.first}..{row.last}",
    ]
