"""From cuts and gradual transitions to a clip's shots, transitions and plain colours.

Every frame ends up in exactly one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stages.kinds import CUT, TRANSITION_KINDS
from stages.plain_colors import rgb_of
from stages.shots import Analysis, ColorGap, Shot, Space, Transition

SAME_LEVELS = 4  # of 255: how far a frame may be from its gap's colour; coding moves it by 1 or 2
# How much less plain a frame may be than the plainest frame of its gap, in [0, 1]; the structure of
# a dark picture is 0.01 or more.
SAME_SPREAD = 0.004
TAIL = 3  # frames between a fade and its colour that are taken for the fade's own faintest ones
SHORT_GAP = 3  # frames of a colour that always belong to the two transitions beside it
PLAIN_TAIL = 12  # the same where these frames are plain, too, in colours on the way


@dataclass(frozen=True)
class TransitionEvent:
    """A transition before its sides are known.

    out_color, in_color: the colours ``#rrggbb`` of the clean frames beside it, None where these
    are not plain. The other fields are as of :class:`stages.shots.Transition`.
    """

    first_frame: int
    last_frame: int
    kind: str
    space: Space = "gamma"
    mix: tuple[float, ...] = ()
    out_color: str | None = None
    in_color: str | None = None
    effect: str | None = None
    doubtful: bool = False


@dataclass(frozen=True)
class PlainFrame:
    """A frame of one colour.

    color: ``#rrggbb``. spread: mean absolute difference of its pixels from it, in [0, 1].
    """

    color: str
    spread: float


@dataclass(frozen=True)
class TimelinePiece:
    """Frames between two events that are one shot (``color`` is None) or one plain colour.

    It may be empty: then ``last`` is one less than ``first``.
    """

    first: int
    last: int
    color: str | None = None


def gap_colors(events: Sequence[TransitionEvent]) -> list[str | None]:
    """Return the plain colour of each gap before, between and after the events.

    It is None where the gap is a shot. A plain gap that a gradual transition leads to or from is a
    colour, not a shot. But no transition leads from colour to colour: of two plain pictures the
    darker one is the colour, unless it was already a shot to the transition before.
    """
    gaps: list[str | None] = [None] * (len(events) + 1)
    for place, event in enumerate(events):
        gaps[place] = gaps[place] or event.out_color
        gaps[place + 1] = event.in_color
    for place in range(len(events)):
        left, right = gaps[place], gaps[place + 1]
        if left and right:
            left_is_shot = place == 0 and sum(rgb_of(right)) < sum(rgb_of(left))
            gaps[place if left_is_shot else place + 1] = None
    return gaps


def ordered(events: Iterable[TransitionEvent]) -> list[TransitionEvent]:
    """Sort the events by time and drop those that overlap an earlier one.

    A frame is mixed once, and a cut lies between two frames.
    """
    kept: list[TransitionEvent] = []
    for event in sorted(events, key=_span):
        is_mixed = event.last_frame >= event.first_frame
        if event.first_frame <= 0 and not is_mixed:
            continue
        overlaps = bool(kept) and event.first_frame <= kept[-1].last_frame
        repeats = bool(kept) and _span(event) == _span(kept[-1])
        if not (overlaps or repeats):
            kept.append(event)
    return kept


def _span(event: TransitionEvent) -> tuple[int, int]:
    return event.first_frame, event.last_frame


def is_color(plain: PlainFrame | None, color: str, spread: float) -> bool:
    """Return whether a frame is the plain ``color``, nearly as plain as ``spread``."""
    if plain is None or plain.spread > spread + SAME_SPREAD:
        return False
    pairs = zip(rgb_of(plain.color), rgb_of(color), strict=True)
    return max(abs(one - other) for one, other in pairs) <= SAME_LEVELS


def split_gap(
    first: int, last: int, color: str | None, plain: Mapping[int, PlainFrame]
) -> list[TimelinePiece]:
    """Divide the gap ``first..last`` into what has its ``color`` and what is a shot, in order.

    plain: the clip's plain frames, by number. A gap without a colour, or none of whose frames has
    it, is one shot.
    """
    if color is None:
        return [TimelinePiece(first, last)]
    colored = [
        plain[frame] for frame in range(first, last + 1) if is_color(plain.get(frame), color, 1.0)
    ]
    if last >= first and not colored:
        return [TimelinePiece(first, last)]
    spread = min((one.spread for one in colored), default=0.0)
    pieces: list[TimelinePiece] = []
    for frame in range(first, last + 1):
        frame_color = color if is_color(plain.get(frame), color, spread) else None
        if pieces and pieces[-1].color == frame_color:
            pieces[-1] = replace(pieces[-1], last=frame)
        else:
            pieces.append(TimelinePiece(frame, frame, frame_color))
    return pieces or [TimelinePiece(first, last, color)]


def _is_faint(piece: TimelinePiece, plain: Mapping[int, PlainFrame]) -> bool:
    """Return whether a piece between a fade and its colour is the fade's faintest frames."""
    frames = range(piece.first, piece.last + 1)
    if piece.color is not None or len(frames) > PLAIN_TAIL:
        return False
    return len(frames) <= TAIL or all(frame in plain for frame in frames)


def _lengthened(event: TransitionEvent, first: int, last: int) -> TransitionEvent:
    """Return the event with the frames ``first..last`` next to it as its own.

    Their weights go on evenly to 0 or 1.
    """
    count = last - first + 1
    if last < event.first_frame:
        more = tuple(event.mix[0] * (place + 1) / (count + 1) for place in range(count))
        return replace(event, first_frame=first, mix=more + event.mix)
    more = tuple(
        event.mix[-1] + (1 - event.mix[-1]) * (place + 1) / (count + 1) for place in range(count)
    )
    return replace(event, last_frame=last, mix=event.mix + more)


def pieces_between(
    frames: int, events: Sequence[TransitionEvent], plain: Mapping[int, PlainFrame]
) -> tuple[list[list[TimelinePiece]], list[TransitionEvent]]:
    """Return the pieces of each gap before, between and after the events, and the events.

    frames: how many the clip has. The fades that are returned are longer by their faintest frames.
    """
    longer = list(events)
    gaps: list[list[TimelinePiece]] = []
    for place, color in enumerate(gap_colors(events)):
        first = longer[place - 1].last_frame + 1 if place else 0
        last = longer[place].first_frame - 1 if place < len(events) else frames - 1
        pieces = split_gap(first, last, color, plain)
        if len(pieces) > 1 and place:
            before = longer[place - 1]
            if before.in_color and before.mix and _is_faint(pieces[0], plain):
                longer[place - 1] = _lengthened(before, pieces[0].first, pieces[0].last)
                del pieces[0]
        if len(pieces) > 1 and place < len(events):
            behind = longer[place]
            if behind.out_color and behind.mix and _is_faint(pieces[-1], plain):
                longer[place] = _lengthened(behind, pieces[-1].first, pieces[-1].last)
                del pieces[-1]
        gaps.append(pieces)
    return gaps, longer


def build_timeline(
    frames: int,
    events: Iterable[TransitionEvent],
    plain: Mapping[int, PlainFrame] | None = None,
) -> Analysis:
    """Return the shots, transitions and plain colours of a clip.

    frames: how many the clip has.
    events: its cuts and transitions, in any order.
    plain: its frames of one colour, by number. Where a fade takes a gap for a colour, only its
    plain frames are that colour; the others are a shot, which ends or begins with a cut.
    """
    if not frames:
        return Analysis(0, (), ())
    plain = plain or {}
    gaps, found = pieces_between(frames, ordered(events), plain)
    pieces: list[TimelinePiece] = []
    boundaries: list[TransitionEvent] = []
    for place, gap in enumerate(gaps):
        for number, piece in enumerate(gap):
            if number:
                boundaries.append(TransitionEvent(piece.first, piece.first - 1, CUT))
            pieces.append(piece)
        boundaries += found[place : place + 1]
    return analysis_of(frames, pieces, boundaries)


def analysis_of(
    frames: int, pieces: Sequence[TimelinePiece], events: Sequence[TransitionEvent]
) -> Analysis:
    """Return the analysis of a clip that consists of pieces with events between them.

    frames: how many the clip has. pieces: shots and plain colours before, between and after the
    events, so one more than these. Raises ValueError where a frame is in no part or in two.
    """
    numbers: list[int | None] = []
    shots: list[Shot] = []
    for piece in pieces:
        numbers.append(None if piece.color else len(shots))
        if piece.color is None:
            shots.append(Shot(piece.first, piece.last))
    transitions = tuple(
        _transition(event, pieces[place : place + 2], numbers[place : place + 2])
        for place, event in enumerate(events)
    )
    colors = tuple(
        ColorGap(piece.first, piece.last, piece.color)
        for piece in pieces
        if piece.color and piece.last >= piece.first
    )
    return Analysis(frames, tuple(shots), name_halves(transitions), colors)


def name_halves(transitions: Sequence[Transition]) -> tuple[Transition, ...]:
    """Return the transitions, of which two that lead through a colour are named as one event.

    Both get the event's name as their effect, and its first and last frame.
    """
    named = list(transitions)
    for place, (one, other) in enumerate(zip(named, named[1:], strict=False)):
        lead_through = one.incoming is None and other.outgoing is None
        gap = other.first_frame - one.last_frame - 1
        if not lead_through or one.kind != other.kind or one.color is None:
            continue
        if gap > max(SHORT_GAP, min(len(one), len(other)) // 2):
            continue
        halves = one.effect, other.effect
        effect = TRANSITION_KINDS[one.kind].through_color(one.color, halves)
        if effect and None not in (one.outgoing, other.incoming) and len(one) and len(other):
            event = one.first_frame, other.last_frame
            named[place] = replace(one, effect=effect, event=event)
            named[place + 1] = replace(other, effect=effect, event=event)
    return tuple(named)


def _transition(
    event: TransitionEvent, sides: Sequence[TimelinePiece], shots: Sequence[int | None]
) -> Transition:
    """Return the transition of an event, given the pieces beside it and these pieces' shots."""
    color = sides[0].color or sides[1].color
    kind = TRANSITION_KINDS[event.kind]
    return Transition(
        event.first_frame,
        event.last_frame,
        kind.beside_color() if color else kind.name,
        event.mix,
        event.space,
        outgoing=shots[0],
        incoming=shots[1],
        color=color,
        effect=event.effect,
        doubtful=event.doubtful,
    )
