"""From cuts and blends to shots, transitions and plain colours, so that every frame is in exactly one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stages.shots import Analysis, ColorGap, Kind, Shot, Space, Transition

SAME_LEVELS = 4  # of 255: how far a frame of a plain gap may be from the gap's colour, which coding moves by 1 or 2
SAME_SPREAD = 0.004  # how much less plain it may be than the plainest frame of the gap; a dark picture's structure is 0.01 or more
TAIL = 3  # frames between a fade and its plain colour that are taken for the fade's own: its faintest ones
PLAIN_TAIL = 12  # the same where they are plain, too, in colours on the way


@dataclass(frozen=True)
class Event:
    """A transition before its sides are known. The colours are those of its neighbouring clean frames, where these are plain."""

    first_frame: int
    last_frame: int
    kind: Kind
    space: Space = "gamma"
    mix: tuple[float, ...] = ()
    out_colour: str | None = None
    in_colour: str | None = None


@dataclass(frozen=True)
class Plain:
    """A frame of one colour, ``#rrggbb``. spread: mean absolute difference of its pixels from that colour, in [0, 1]."""

    colour: str
    spread: float


@dataclass(frozen=True)
class Piece:
    """Frames between two events that are one shot (``colour`` is None) or one colour. It may be empty: last = first - 1."""

    first: int
    last: int
    colour: str | None = None


def parts_of(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of a colour ``#rrggbb``."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue


def gap_colours(events: Sequence[Event]) -> list[str | None]:
    """For each gap before, between and after the events the colour that its fades take it for, or None where it is a shot.

    A plain gap that a blend leads to or from is a colour, not a shot. But no transition leads from colour to colour: between two plain
    pictures the darker one is the colour, unless it was already a shot to the transition before.
    """
    gaps: list[str | None] = [None] * (len(events) + 1)
    for place, event in enumerate(events):
        gaps[place] = gaps[place] or event.out_colour
        gaps[place + 1] = event.in_colour
    for place in range(len(events)):
        left, right = gaps[place], gaps[place + 1]
        if left and right:
            darker_last = place == 0 and sum(parts_of(right)) < sum(parts_of(left))
            gaps[place if darker_last else place + 1] = None
    return gaps


def ordered(events: Iterable[Event]) -> list[Event]:
    """Sort the events by time and drop those that overlap an earlier one: a frame is mixed once, and a cut lies between two frames."""
    kept: list[Event] = []
    for event in sorted(events, key=lambda event: (event.first_frame, event.last_frame)):
        twice = bool(kept) and (
            event.first_frame <= kept[-1].last_frame
            or (event.first_frame, event.last_frame) == _span(kept[-1])
        )
        if event.first_frame > 0 or event.last_frame >= event.first_frame:
            kept += [] if twice else [event]
    return kept


def _span(event: Event) -> tuple[int, int]:
    return event.first_frame, event.last_frame


def is_colour(plain: Plain | None, colour: str, spread: float) -> bool:
    """Return whether a frame is the plain ``colour``, and as plain as frames whose pixels differ from it by ``spread``."""
    if plain is None or plain.spread > spread + SAME_SPREAD:
        return False
    return (
        max(
            abs(one - other)
            for one, other in zip(parts_of(plain.colour), parts_of(colour), strict=True)
        )
        <= SAME_LEVELS
    )


def split_gap(first: int, last: int, colour: str | None, plain: Mapping[int, Plain]) -> list[Piece]:
    """Divide the gap ``first..last`` into what is its ``colour`` and what is a shot, in order of time.

    plain: the clip's plain frames. A gap without a colour, or none of whose frames has it, is one shot.
    """
    if colour is None:
        return [Piece(first, last)]
    alike = [
        plain[frame] for frame in range(first, last + 1) if is_colour(plain.get(frame), colour, 1.0)
    ]
    if last >= first and not alike:
        return [Piece(first, last)]
    spread = min((one.spread for one in alike), default=0.0)
    pieces: list[Piece] = []
    for frame in range(first, last + 1):
        own = colour if is_colour(plain.get(frame), colour, spread) else None
        if pieces and pieces[-1].colour == own:
            pieces[-1] = replace(pieces[-1], last=frame)
        else:
            pieces.append(Piece(frame, frame, own))
    return pieces or [Piece(first, last, colour)]


def _faint(piece: Piece, plain: Mapping[int, Plain]) -> bool:
    """Whether a piece between a fade and its colour is the fade's faintest frames rather than a shot."""
    frames = range(piece.first, piece.last + 1)
    if piece.colour is not None or len(frames) > PLAIN_TAIL:
        return False
    return len(frames) <= TAIL or all(frame in plain for frame in frames)


def _lengthened(event: Event, first: int, last: int) -> Event:
    """The event with the frames ``first..last`` next to it as its own: their weights go on evenly to 0 or 1."""
    count = last - first + 1
    if last < event.first_frame:
        more = tuple(event.mix[0] * (place + 1) / (count + 1) for place in range(count))
        return replace(event, first_frame=first, mix=more + event.mix)
    more = tuple(
        event.mix[-1] + (1 - event.mix[-1]) * (place + 1) / (count + 1) for place in range(count)
    )
    return replace(event, last_frame=last, mix=event.mix + more)


def pieces_between(
    frames: int, events: list[Event], plain: Mapping[int, Plain]
) -> list[list[Piece]]:
    """The pieces of each gap before, between and after the events. Lengthens fades in ``events`` by their faintest frames."""
    gaps = gap_colours(events)
    found: list[list[Piece]] = []
    for place, colour in enumerate(gaps):
        first = events[place - 1].last_frame + 1 if place else 0
        last = events[place].first_frame - 1 if place < len(events) else frames - 1
        pieces = split_gap(first, last, colour, plain)
        if (
            len(pieces) > 1
            and place
            and events[place - 1].in_colour
            and events[place - 1].mix
            and _faint(pieces[0], plain)
        ):
            events[place - 1] = _lengthened(events[place - 1], pieces[0].first, pieces[0].last)
            del pieces[0]
        if (
            len(pieces) > 1
            and place < len(events)
            and events[place].out_colour
            and events[place].mix
            and _faint(pieces[-1], plain)
        ):
            events[place] = _lengthened(events[place], pieces[-1].first, pieces[-1].last)
            del pieces[-1]
        found.append(pieces)
    return found


def story(
    frames: int, events: Iterable[Event], plain: Mapping[int, Plain] | None = None
) -> Analysis:
    """Tell the shots, transitions and plain colours of a clip.

    frames: how many the clip has. events: what happens in it. plain: its frames of one colour, by number; a gap that a fade takes for a
    colour is one only where its frames are, and the others of the gap are a shot, which ends or begins with a cut.
    """
    if not frames:
        return Analysis(0, (), ())
    between = ordered(events)
    gaps = pieces_between(frames, between, plain or {})
    pieces: list[Piece] = []
    moves: list[Event] = []
    for place, gap in enumerate(gaps):
        for number, piece in enumerate(gap):
            if number:
                moves.append(Event(piece.first, piece.first - 1, "cut"))
            pieces.append(piece)
        moves += between[place : place + 1]
    numbers: list[int | None] = []
    shots: list[Shot] = []
    for piece in pieces:
        numbers.append(None if piece.colour else len(shots))
        if piece.colour is None:
            shots.append(Shot(piece.first, piece.last))
    transitions = []
    for place, event in enumerate(moves):
        colour = pieces[place].colour or pieces[place + 1].colour
        kind: Kind = "fade" if colour and event.kind == "dissolve" else event.kind
        sides = numbers[place], numbers[place + 1]
        transitions.append(
            Transition(
                event.first_frame, event.last_frame, kind, event.mix, event.space, *sides, colour
            )
        )
    colours = tuple(
        ColorGap(piece.first, piece.last, piece.colour)
        for piece in pieces
        if piece.colour and piece.last >= piece.first
    )
    return Analysis(frames, tuple(shots), tuple(transitions), colours)
