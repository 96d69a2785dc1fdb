"""Say how likely every pixel is foreground: by hints, motion, looks and the background elsewhere.

A picture has its hints or its contrast, a clip its motion against the camera. Votes then extend
what was found to pixels that look and move alike.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stages.context import SeparationContext
from stages.motion.flow import resize
from stages.segment.guided_filter import guided_filter
from stages.segment.hints.hint_picture import odds_by_hint, with_hint_odds
from stages.segment.hints.in_window import with_marked
from stages.segment.hints.marked_frames import Marked
from stages.segment.identity import with_previous_matte
from stages.segment.log_odds import MOST_ODDS
from stages.segment.motion import WindowMotion, shown_motion
from stages.segment.notes import EMPTY
from stages.segment.odds_by_background import odds_by_background
from stages.segment.odds_by_contrast import odds_by_contrast
from stages.segment.odds_by_other_frames import odds_by_other_frames
from stages.segment.odds_by_speed import limited_by_shown_motion, odds_by_speed
from stages.segment.outline_jumps import mean_outline_jump
from stages.segment.parallax import distance_from_scene
from stages.segment.plate import Plate
from stages.segment.small_movers import small_movers
from stages.segment.survey import SegmentSurvey
from stages.segment.votes import TURNS, vote

STILL_TURNS = 5  # turns of votes in a picture
MOST_RESTED = 1.0  # most log-odds of a pixel that is foreground only in other frames
LEAST_FRAMES = 4  # frames a window needs for trajectories to say more than pairs of frames
COMPARED_TURNS = 2  # turns of votes after the comparison with the background
LEAST_DISTANCE = 2.0  # distance from the rigid scene of a possible foreground, see parallax
LEAST_JUMP = 0.3  # least jump of the motion along another foreground's outline, in [0, 1]
CLEARLY_LARGER = 1.2  # least ratio of that jump to the one along the outline found first


def foreground_odds(
    frames: Tensor,
    motion: WindowMotion | None,
    facts: SegmentSurvey,
    context: SeparationContext,
    marked: Marked,
) -> Tensor:
    """Return the foreground's log-odds ``(T, h, w)``.

    frames: ``(T, 3, h, w)`` in [0, 1], at most :data:`stages.segment.votes.VOTE_PIXELS` large.
    motion: of these frames at any size; ``None`` treats every frame as a separate picture.
    marked: what was found in the frames that the user marked.
    """
    if motion is None:
        return _odds_of_pictures(frames, context, marked)
    size = (frames.shape[-2], frames.shape[-1])
    motion = motion.resized(size)
    by_speed = odds_by_speed(motion.speed)
    odds = limited_by_shown_motion(by_speed.odds, shown_motion(frames, motion), motion.speed)
    before = context.before.get("matte")
    odds = _with_rested(with_previous_matte(odds, before, motion), motion)
    hint_odds = None if marked else _hint_odds_of(context, len(frames), size)

    def voted(odds: Tensor, turns: int = TURNS) -> Tensor:
        if context.hint is not None and hint_odds is not None:
            odds = with_hint_odds(odds, hint_odds, one_picture=len(context.hint) == 1)
        odds = with_marked(odds, marked, motion)
        return vote(frames, odds, motion, by_speed.threshold, by_speed.outer_motion, turns=turns)

    if facts.plate is not None:
        return _odds_before_plate(frames, facts.plate.resized(size), odds, voted)
    found = voted(odds)
    if len(frames) < LEAST_FRAMES:
        return found

    def voted_by_parallax() -> Tensor:
        odds = odds_by_speed(distance_from_scene(motion), LEAST_DISTANCE).odds
        return voted(_with_rested(with_previous_matte(odds, before, motion), motion))

    return _compared(frames, motion, _clearer(found, voted_by_parallax, motion), voted)


def _clearer(found: Tensor, compute_other: Callable[[], Tensor], motion: WindowMotion) -> Tensor:
    """Return the log-odds ``(T, h, w)`` whose foreground has the clearer outline in the motion.

    Parallax may be faster than the object. The object is what motion jumps around.

    compute_other: computes log-odds that replace ``found`` if their jump is clearly larger. It is
        called only if that can be.
    """
    least_jump = max(LEAST_JUMP, CLEARLY_LARGER * mean_outline_jump(motion, found > 0))
    # Jumps are at most 1.
    if least_jump >= 1:
        return found
    other = compute_other()
    return other if mean_outline_jump(motion, other > 0) > least_jump else found


def _hint_odds_of(context: SeparationContext, count: int, size: tuple[int, int]) -> Tensor | None:
    """Return the log-odds ``(T, h, w)`` of the hint, at ``size``; ``None`` without a hint."""
    if context.hint is None:
        return None
    return odds_by_hint(resize(context.hint.float(), size), size).expand(count, -1, -1)


def _odds_of_pictures(frames: Tensor, context: SeparationContext, marked: Marked) -> Tensor:
    """Return the log-odds ``(T, h, w)`` of unrelated pictures, each of which votes by itself.

    A marked picture has what was cut out of it.
    """
    size = (frames.shape[-2], frames.shape[-1])
    hint_odds = _hint_odds_of(context, len(frames), size)
    start = odds_by_contrast(frames) if hint_odds is None else hint_odds
    found = []
    for place, picture in enumerate(frames):
        if place in marked:
            found.append(resize(marked[place].odds[None, None], size)[0])
        else:
            one = frames.new_ones(1)
            odds = start[place][None]
            found.append(
                vote(picture[None], odds, None, slow=one, outer_motion=one, turns=STILL_TURNS)
            )
    return torch.cat(found)


def _odds_before_plate(
    frames: Tensor, plate: Plate, odds: Tensor, voted: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the log-odds ``(T, h, w)`` under a fixed camera: what differs from the background.

    The first votes tell which pixels may complete the background for the second ones. These lose
    what is small, so that is followed by itself.

    plate: of this size. odds: of motion, ``(T, h, w)``. voted: runs a vote from log-odds.
    """
    first = voted(odds_by_background(frames, plate, odds))
    completed = plate.completed(frames, torch.sigmoid(first)[:, None])
    found = voted(odds_by_background(frames, completed, odds))
    small = small_movers(frames, completed, found > 0)
    return torch.where(small, found.clamp_min(MOST_ODDS), found)


def _with_rested(odds: Tensor, motion: WindowMotion) -> Tensor:
    """Raise the log-odds ``(T, h, w)`` of what rests but moves in other frames of its trajectory.

    It then counts as undecided up to :data:`MOST_RESTED`, and the votes decide.
    """
    rested = (
        motion.largest_along_flow(torch.sigmoid(odds)[:, None])[:, 0].clamp(1e-3, 0.999).logit()
    )
    return torch.maximum(odds, rested.clamp(max=MOST_RESTED))


def _compared(
    frames: Tensor, motion: WindowMotion, odds: Tensor, voted: Callable[[Tensor, int], Tensor]
) -> Tensor:
    """Vote again after comparing each frame with the background that other frames show.

    odds and the result: log-odds ``(T, h, w)``. voted: runs a vote from log-odds for some turns.
    """

    def joined(odds: Tensor) -> Tensor:
        return torch.where(known, odds / 2 + by_others, odds).clamp(-MOST_ODDS, MOST_ODDS)

    by_others, known = odds_by_other_frames(frames, motion, torch.sigmoid(odds)[:, None])
    # A second vote without new evidence would only amplify the first one.
    if not bool(known.any()) or float((odds > 0).float().mean()) < EMPTY:
        return odds
    compared = joined(voted(joined(odds), COMPARED_TURNS))
    return motion.averaged_along_flow(guided_filter(compared[:, None], frames), COMPARED_TURNS)[
        :, 0
    ]
