"""Read a shot list: the table that ``probe --csv`` writes and that a person may have edited.

Every row is a shot, a plain colour or a transition. It has both frames and time codes. The column
``found`` has the frames as the search found them, so it shows which cells were edited:

- where only a frame or only its time code was edited, the edited one holds; where both were, they
  must agree;
- a shot whose ends were not edited begins and ends where its neighbours leave it;
- all other rows must follow each other without gaps.

Messages name the line of the file. They are about the list alone; the clip is not looked at here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.near_words import did_you_mean
from pipeline.timeline.clock import ListClock
from stages.errors import UsageError
from stages.find.listed import ListedTransition
from stages.find.timeline import TimelinePiece
from stages.kinds import TRANSITION_KINDS

SHOT = "shot"
COLOR = "color"
MAX_ROWS = 100_000
"""Rows of the longest list: one a second of a whole day."""
_SEPARATORS = ",;\t"
_COLOR = re.compile(r"#[0-9a-f]{6}", re.ASCII)
_EFFECT = re.compile(r"[a-z][a-z0-9]{0,39}")
_FOUND = re.compile(r"(\d{1,9})\.\.(-1|\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class ListRow:
    """A row as it stands, with its frames resolved.

    first, last: ``None`` where a shot's end is left to its neighbours.
    """

    line: int
    kind: str
    first: int | None
    last: int | None
    effect: str = ""
    color: str = ""

    @property
    def is_piece(self) -> bool:
        """Whether it is a shot or a plain colour, not a transition."""
        return self.kind in (SHOT, COLOR)


@dataclass(frozen=True)
class ShotList:
    """The shots and plain colours of a list, and the transitions between them.

    pieces: one more than transitions. is_open: whether the end of the last piece is left to the
    clip.
    """

    pieces: tuple[TimelinePiece, ...]
    transitions: tuple[ListedTransition, ...]
    is_open: bool

    def timeline(self, end: int) -> list[TimelinePiece]:
        """Return the pieces of a clip whose last frame is ``end``. Raises UsageError."""
        last = self.pieces[-1]
        if self.is_open:
            last = replace(last, last=end)
        if last.last != end or last.last < last.first - 1:
            raise UsageError(f"the list ends at frame {last.last}, and the clip at frame {end}")
        return [*self.pieces[:-1], last]


def read_shot_list(text: str, clock: ListClock, begin: int = 0) -> ShotList:
    """Return the list in the text of a CSV file.

    clock: the clip's time codes. begin: the clip's first frame. Raises UsageError, which names the
    line.
    """
    rows = [_row(line, cells, clock) for line, cells in _cells(text)]
    return _arranged(_fitted(rows, begin))


def _cells(text: str) -> list[tuple[int, Mapping[str, str]]]:
    """Return the cells of each row by their headings, with the row's line in the file."""
    lines = text.removeprefix("\ufeff").splitlines()
    head = lines[0] if lines else ""
    separator = max(_SEPARATORS, key=head.count)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    rows: list[tuple[int, Mapping[str, str]]] = []
    headings: list[str] = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if not headings:
                headings = _headings(cells)
                continue
            if len(cells) > len(headings) and any(cells[len(headings) :]):
                raise _wrong(
                    reader.line_num, f"has {len(cells)} cells under {len(headings)} headings"
                )
            if len(rows) == MAX_ROWS:
                raise UsageError(f"has more than {MAX_ROWS} rows")
            rows.append((reader.line_num, dict(zip(headings, cells, strict=False))))
    except csv.Error as error:
        raise _wrong(reader.line_num, f"is not CSV ({error})") from error
    if not rows:
        raise UsageError("has no row; probe --csv writes a list to begin with")
    return rows


def _headings(cells: Sequence[str]) -> list[str]:
    """Return the headings, in lower case; raise UsageError where a necessary one is missing."""
    headings = [cell.lower() for cell in cells]
    if "kind" not in headings or not {"first_frame", "first_timecode"} & set(headings):
        raise UsageError(
            "line 1: has no headings; it must have kind, and first_frame and last_frame or "
            "first_timecode and last_timecode"
        )
    named = [name for name in headings if name]
    twice = [name for name in named if named.count(name) > 1]
    if twice:
        raise UsageError(f"line 1: has the heading {twice[0]} twice")
    return headings


def _wrong(line: int, what: str) -> UsageError:
    return UsageError(f"line {line}: {what}")


def _row(line: int, cells: Mapping[str, str], clock: ListClock) -> ListRow:
    """Return a row with its frames, as far as it says them. Raises UsageError."""
    kind = cells.get("kind", "").lower()
    known = [SHOT, COLOR, *TRANSITION_KINDS]
    if kind not in known:
        raise _wrong(
            line, f"{kind!r} is no kind; choose {', '.join(known)}{did_you_mean(kind, known)}"
        )
    match = _FOUND.fullmatch(cells.get("found", ""))
    frames = (None, None) if match is None else (int(match[1]), int(match[2]))
    first, first_edited = _frame(line, cells, "first", frames[0], clock)
    last, last_edited = _frame(line, cells, "last", frames[1], clock)
    effect, color = _effect_and_color(line, cells, kind)
    row = ListRow(line=line, kind=kind, first=first, last=last, effect=effect, color=color)
    if kind == SHOT:
        # The neighbours say where a shot ends that was not edited.
        return replace(
            row,
            first=first if first_edited else None,
            last=last if last_edited else None,
        )
    return _with_whole_span(row)


def _effect_and_color(line: int, cells: Mapping[str, str], kind: str) -> tuple[str, str]:
    """Return the cells ``effect`` and ``color`` of a row. Raises UsageError where one is wrong."""
    color = cells.get("color", "").lower()
    if color and not _COLOR.fullmatch(color):
        raise _wrong(line, f"{color!r} is no colour; write #rrggbb")
    effect = cells.get("effect", "")
    if effect and not _EFFECT.fullmatch(effect):
        raise _wrong(line, f"{effect!r} is no effect; write a name such as wipeleft, or nothing")
    filters = TRANSITION_KINDS[kind].filters if kind in TRANSITION_KINDS else {}
    if filters and effect not in filters:
        raise _wrong(line, f"{effect!r} is no effect of a {kind}; write {' or '.join(filters)}")
    return effect, color


def _with_whole_span(row: ListRow) -> ListRow:
    """Return the row of a colour or a transition, which has to say itself where it lies.

    Raises UsageError where it does not.
    """
    line, kind, first, last = row.line, row.kind, row.first, row.last
    if first is None:
        raise _wrong(line, f"a {kind} needs its first frame")
    if kind == "cut":
        if last not in (None, first - 1):
            raise _wrong(line, "a cut has no last frame: the new shot begins at its first frame")
        return replace(row, last=first - 1)
    if last is None:
        raise _wrong(line, f"a {kind} needs its last frame")
    if last < first:
        raise _wrong(line, f"ends at frame {last}, before it begins at frame {first}")
    if kind == COLOR and not row.color:
        raise _wrong(line, "a plain colour needs its color, as #000000")
    return row


def _frame(
    line: int, cells: Mapping[str, str], end: str, found: int | None, clock: ListClock
) -> tuple[int | None, bool]:
    """Return the frame at one end (``first`` or ``last``) of a row, and whether it was edited.

    found: the frame that the search found there, where the list says it. A row says each frame
    twice, as ``number`` and as time code. Where the two disagree, the edited one holds.
    """
    word, label = cells.get(f"{end}_frame", ""), cells.get(f"{end}_timecode", "")
    number = coded = None
    if word:
        if not re.fullmatch(r"\d{1,9}", word, re.ASCII):
            raise _wrong(line, f"{end}_frame is {word!r}; write a frame's number, from 0")
        number = int(word)
    if label:
        coded = clock.frame(label)
        if coded is None:
            raise _wrong(
                line,
                f"{end}_timecode is {label!r}, which is no time code at "
                f"{float(clock.rate):g} frames a second; write it as {clock.label(0)}",
            )
    if number is not None and coded is not None and number != coded:
        if found is not None and number == found:
            return coded, True
        if found is None or coded != found:
            raise _wrong(
                line,
                f"{end}_frame {number} and {end}_timecode {label} (frame {coded}) disagree; "
                "correct one of them, or leave it empty",
            )
        return number, True
    frame = number if number is not None else coded
    return frame, frame is not None and frame != found


def _fitted(rows: Sequence[ListRow], begin: int) -> list[ListRow]:
    """Return the rows with the open ends of shots filled in; check that they follow each other.

    The last row's end stays ``None`` where the list leaves it open.
    """
    fitted: list[ListRow] = []
    expected: int | None = begin
    for index, row in enumerate(rows):
        following = rows[index + 1] if index + 1 < len(rows) else None
        if row.kind == SHOT:
            row = _fitted_shot(row, following, expected)
        first = row.first
        assert first is not None
        if expected is not None and first != expected:
            raise _out_of_order(row, fitted[-1] if fitted else None, expected)
        fitted.append(row)
        expected = None if row.last is None else row.last + 1
    return fitted


def _fitted_shot(row: ListRow, following: ListRow | None, expected: int | None) -> ListRow:
    """Return a shot with its ends where its neighbours leave them."""
    first = row.first if row.first is not None else expected
    last = row.last
    if last is None and following is not None:
        if following.first is None:
            raise _wrong(
                following.line,
                f"there is no transition between this shot and that of line {row.line}; add a row "
                "with the kind cut or another, or write where both shots begin and end",
            )
        last = following.first - 1
    if first is None:
        raise _wrong(row.line, "needs its first frame")
    if last is not None and last < first - 1:
        raise _wrong(row.line, f"the rows around this shot leave it no frame ({first} to {last})")
    return replace(row, first=first, last=last)


def _out_of_order(row: ListRow, before: ListRow | None, expected: int) -> UsageError:
    """Return the error about a row that does not begin where the one before it ends."""
    first = row.first
    assert first is not None
    if before is None:
        return _wrong(row.line, f"begins at frame {first}, and the clip at frame {expected}")
    if first < expected:
        return _wrong(
            row.line, f"begins at frame {first}, but line {before.line} ends at {expected - 1}"
        )
    missing = (
        f"frame {expected} is"
        if first == expected + 1
        else (f"frames {expected} to {first - 1} are")
    )
    return _wrong(row.line, f"begins at frame {first}: {missing} in no row")


def _arranged(rows: Sequence[ListRow]) -> ShotList:
    """Return the rows as pieces and the transitions between them."""
    pieces: list[TimelinePiece] = []
    transitions: list[ListedTransition] = []
    for index, row in enumerate(rows):
        first = row.first
        assert first is not None
        if row.is_piece:
            if len(pieces) > len(transitions):
                # Two pieces that touch: there is a cut between them.
                transitions.append(ListedTransition(first, first - 1, "cut", line=row.line))
            last = first - 1 if row.last is None else row.last
            pieces.append(TimelinePiece(first, last, row.color if row.kind == COLOR else None))
            continue
        assert row.last is not None
        if len(pieces) == len(transitions):
            color = _color_before(row, rows, index, pieces)
            pieces.append(TimelinePiece(first, first - 1, color))
        transitions.append(
            ListedTransition(first, row.last, row.kind, row.effect or None, row.line)
        )
    if len(pieces) == len(transitions):
        end = rows[-1]
        assert end.last is not None
        color = end.color if end.color and pieces[-1].color is None else None
        pieces.append(TimelinePiece(end.last + 1, end.last, color))
    _check_colors(pieces, transitions)
    if all(piece.color is not None for piece in pieces):
        raise _wrong(rows[0].line, "the list has plain colours alone; it needs a shot")
    return ShotList(tuple(pieces), tuple(transitions), rows[-1].last is None)


def _color_before(
    row: ListRow, rows: Sequence[ListRow], index: int, pieces: Sequence[TimelinePiece]
) -> str | None:
    """Return the colour of the empty piece before a transition, ``None`` where it is a shot.

    Before the first row, it is the colour that this row names, unless a colour follows. Between
    two transitions, it is a colour if the first one led from a shot and both name it.
    """
    if not row.color:
        return None
    follows = index + 1 < len(rows) and rows[index + 1].kind == COLOR
    if not index:
        return None if follows else row.color
    leads = pieces[-1].color is None and bool(rows[index - 1].color)
    return row.color if leads else None


def _check_colors(pieces: Sequence[TimelinePiece], transitions: Sequence[ListedTransition]) -> None:
    """Raise UsageError for a fade without a colour and for a transition between two colours."""
    for index, item in enumerate(transitions):
        colors = [piece.color for piece in pieces[index : index + 2] if piece.color]
        if len(colors) == 2:
            raise _wrong(item.line, "leads from one plain colour to another; one must be a shot")
        if item.kind == "fade" and not colors:
            raise _wrong(
                item.line, "a fade leads to or from a plain colour; write it as #000000 under color"
            )
