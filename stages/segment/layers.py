"""Separate every frame into foreground, background and matte: ``I = m F + (1 - m) B``.

The steps, in order:

1. Motion: optical flow minus the camera's motion. A single picture has its contrast instead.
2. Votes: pixels that look and move like the foreground join it.
3. Networks: generators of the three layers are fitted to the frames.
4. Cut: the matte is drawn onto the edges in the picture.
5. Background: what the foreground hides is taken from frames that show it.

Steps 1 to 4 work at a bounded size. The matte and the layers are finished at full size.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.context import Separation, SeparationContext
from stages.mixing.matte_composite import MatteComposite
from stages.mixing.psnr import psnr_of
from stages.motion.flow import resize, shrunk
from stages.occlusion import Occlusion
from stages.optim.timing import clocked
from stages.segment.account import EMPTY, OPAQUE, background_shares, hinted_side, matte_notes
from stages.segment.alone import HintMasks, separate_alone
from stages.segment.background import Plate, complete, dilate, find_plate, margin_of, push_pull
from stages.segment.behind import behind_odds
from stages.segment.certainty import confidence_layers
from stages.segment.correction import Correction, find_correction
from stages.segment.cut import SOFT, SURE_MOVING, SURE_STILL, cut, refine
from stages.segment.hinted import (
    Marked,
    box_notes,
    marked_frames,
    pinned,
    with_certain,
    with_cuts,
    with_marked,
)
from stages.segment.identity import matte_log_odds, with_previous_matte
from stages.segment.motion import WindowMotion, camera_rests, find_motion, shown_motion
from stages.segment.networks import fit_networks, moved_odds
from stages.segment.parallax import outline_motion, unexplained
from stages.segment.soften import soften
from stages.segment.still import (
    difference_odds,
    hint_odds,
    mark_odds,
    saliency_odds,
    shown_odds,
    speed_odds,
)
from stages.segment.thing_layers import as_one_thing, divided
from stages.segment.votes import EDGE, EDGE_RADIUS, SURE, TURNS, guided_filter, local_vote, vote

WORK_PIXELS = 424 * 240
"""Most pixels of a frame for the flow and the cut."""
VOTE_PIXELS = WORK_PIXELS // 4  # for the votes
FIT_PIXELS = 6400  # for the networks

STILL = 2 / 255  # mean difference in [0, 1] below which frames count as one picture
STILL_TURNS = 5
MAYBE = 0.25  # probability of foreground above which a pixel is not used as background
RESTED = 1.0  # most log-odds of a pixel that is foreground only in other frames
APART = 0.3  # least RGB distance of foreground and background that reveals the matte
LEAST_FRAMES = 4  # frames a window needs for trajectories to say more than pairs of frames
COMPARED_TURNS = 2  # turns of votes after the comparison with the background
FAR = 2.0  # distance from the rigid scene's motion, in its own spread, of a possible foreground
JUMPS = 0.3  # least motion contrast along such a foreground's outline, in [0, 1]
PLAINLY = 1.5  # and the least ratio of it to the contrast along the other candidate's outline


@dataclass(frozen=True)
class SegmentSurvey:
    """Hold what is true of the whole clip.

    plate: the background seen by a fixed camera; ``None`` if the camera moves or nothing does.
    still: nothing moves, so that every frame is treated as a separate picture.
    """

    plate: Plate | None
    still: bool


def survey(sample: Tensor, context: SeparationContext) -> SegmentSurvey:
    """Find out whether anything moves, and the background if the camera stands still.

    sample: evenly spread frames of the clip, ``(S, 3, H, W)`` in [0, 1].
    """
    if context.settings.preset == "coupled":
        return SegmentSurvey(None, still=True)
    context.progress(0.0, "looking for a still background")
    still = (
        len(sample) == 1
        or context.unordered
        or max(float((frame - sample[0]).abs().mean()) for frame in sample) < STILL
    )
    # Smooth pictures agree with their median even under a moving camera, so check its motion.
    fixed = not still and camera_rests(shrunk(sample, VOTE_PIXELS))
    return SegmentSurvey(find_plate(sample) if fixed else None, still)


def separate(frames: Tensor, facts: SegmentSurvey, context: SeparationContext) -> Separation:
    """Return the layers ``foreground``, ``background`` and ``matte`` of one window.

    frames: ``(T, 3, H, W)`` in [0, 1]. facts: what :func:`survey` found in the whole clip.
    """
    began = time.monotonic()
    seconds: dict[str, float] = defaultdict(float)
    size = (frames.shape[-2], frames.shape[-1])
    work = shrunk(frames, context.working_pixels(WORK_PIXELS))
    with clocked(seconds, "motion"):
        context.progress(0.0, "motion")
        motion = None if facts.still or len(frames) < 2 else find_motion(work)
    correction: Correction | None = None
    with clocked(seconds, "votes"):
        context.progress(0.2, "votes")
        small = shrunk(work, context.working_pixels(VOTE_PIXELS))
        if context.earlier_matte is None:
            marked = marked_frames(work, context, moving=motion is not None)
            odds = matte_odds(small, motion, facts, context, marked)
        else:
            correction = find_correction(work, motion, context)
            marked = correction.marked
            corrected = correction.drawn(work, frames)
            odds = matte_log_odds(resize(corrected, _size_of(small)))
    if context.settings.preset in ("paper", "coupled"):
        alone = separate_alone(frames, odds, HintMasks.drawn(context, len(frames)), context)
        return alone if context.most_things == 1 else as_one_thing(alone)
    with clocked(seconds, "networks"):
        found, steps = fit_networks(
            shrunk(work, context.working_pixels(FIT_PIXELS)),
            odds,
            motion,
            facts.plate,
            context,
            began,
        )
    with clocked(seconds, "cut"):
        context.progress(0.8, "edges")
        if correction is None:
            odds = moved_odds(odds, found.matte)
            odds = resize(odds[:, None], _size_of(work))[:, 0]
            if motion is not None:
                odds = local_vote(work, odds)
            matte = _cut_matte(odds, work, frames, motion, facts, marked)
        else:
            matte = corrected
    with clocked(seconds, "background"):
        context.progress(0.9, "background")
        plate = None if facts.plate is None else facts.plate.without(frames, matte)
        # The cut may drop a blurred leg or the tip of a tail. It must not become background.
        maybe = torch.cat(
            [resize((torch.sigmoid(each) > MAYBE).float()[None, None], size) for each in odds]
        )
        background, missing = complete(frames, torch.maximum(matte, maybe), motion, plate)
        if plate is not None:
            matte = torch.maximum(matte, matched_matte(frames, background, matte))
        matte = soften(matte, frames, background, missing)
        if correction is not None:
            matte = correction.merged(matte)
        matte = with_certain(matte, marked)
    with clocked(seconds, "finish"):
        foreground = torch.empty_like(frames)
        for t in range(len(frames)):
            if bool(missing[t].any()):
                background[t] = _filled(background[t], found.background[t], ~missing[t])
            foreground[t] = _filled(frames[t], found.foreground[t], matte[t] > OPAQUE)
        layers = {"foreground": foreground, "background": background, "matte": matte}
        occlusions: tuple[Occlusion, ...] = ()
        if context.most_things != 1:
            layers["things"], occlusions = divided(matte, small, motion, context)
            layers["matte"] = matte = matte * (layers["things"] > 0)
        # Without a foreground a frame hides nothing, and its background is the frame itself.
        missing = missing & (matte.amax((1, 2, 3), keepdim=True) > 0)
        layers = settle(frames, layers, facts)
        if context.confidence:
            layers |= confidence_layers(odds, layers["matte"], missing, marked)
    report = {
        "reconstruction_psnr": _reconstruction_psnr(frames, layers),
        "fit_steps": float(steps),
        "matte_mean": float(matte.mean()),
        "background_unseen": float(missing.float().mean()),
        **background_shares(layers["matte"], missing),
    }
    hinted = hinted_side(context)
    # Things are told apart by their motion alone, so a clip at rest lacks what moves, too.
    by_motion = motion is not None or context.most_things == 0
    about = matte_notes(layers["matte"], moving=by_motion, hinted=hinted)
    notes = (*box_notes(marked, len(frames)), *about)
    return Separation(
        layers, report=report, seconds=dict(seconds), notes=notes, occlusions=occlusions
    )


def settle(frames: Tensor, layers: dict[str, Tensor], facts: object = None) -> dict[str, Tensor]:
    """Return the nearest layers that mix to ``frames``; the matte stays as it is.

    frames and the layers: ``(T, C, H, W)`` in [0, 1].
    """
    del facts
    foreground, background, matte = (
        layers["foreground"].clamp(0, 1),
        layers["background"].clamp(0, 1),
        layers["matte"],
    )
    for t in range(len(frames)):
        model = MatteComposite(matte[t])
        background[t], foreground[t] = model.reconcile(frames[t], background[t], foreground[t])
    return {**layers, "foreground": foreground, "background": background}


def _filled(picture: Tensor, drawn: Tensor, known: Tensor) -> Tensor:
    """Return ``picture`` ``(3, H, W)`` where it is known, and what networks drew elsewhere.

    The difference of the two is continued from what is known, so that no seam shows.

    drawn: ``(3, h, w)`` at any size. known: ``(1, H, W)`` of bool.
    """
    resized = resize(drawn[None], _size_of(picture))
    return (resized + push_pull(picture[None] - resized, known[None]))[0]


def _size_of(frames: Tensor) -> tuple[int, int]:
    """Return the height and width of ``frames`` ``(..., H, W)``."""
    return frames.shape[-2], frames.shape[-1]


def _cut_matte(
    odds: Tensor,
    work: Tensor,
    frames: Tensor,
    motion: WindowMotion | None,
    facts: SegmentSurvey,
    marked: Marked,
) -> Tensor:
    """Return the matte ``(T, 1, H, W)``, cut along the picture's edges.

    odds: log-odds ``(T, h, w)`` at the size of ``work``. work, frames: at both sizes.
    """
    moving_camera = motion is not None and facts.plate is None
    sure = SURE_MOVING if moving_camera else SURE_STILL
    hard = cut(work, pinned(odds, marked), sure)
    return refine(with_cuts(hard, marked) if motion is None else hard, work, frames)


def matte_odds(
    frames: Tensor,
    motion: WindowMotion | None,
    facts: SegmentSurvey,
    context: SeparationContext,
    marked: Marked,
) -> Tensor:
    """Return the foreground's log-odds ``(T, h, w)``.

    frames: ``(T, 3, h, w)`` in [0, 1], at most :data:`VOTE_PIXELS` large.
    motion: of these frames at any size; ``None`` treats every frame as a separate picture.
    marked: what was found in the frames that the user marked.
    """
    size = (frames.shape[-2], frames.shape[-1])
    marks = (
        None
        if context.hint is None
        else hint_odds(resize(context.hint.float(), size), size).expand(len(frames), -1, -1)
    )
    if motion is None:
        # The pictures are unrelated, so each one votes by itself.
        start = saliency_odds(frames) if marks is None else marks
        return torch.cat(
            [
                resize(marked[place].odds[None, None], size)[0]
                if place in marked
                else vote(one[None], odds[None], None, frames.new_ones(1), turns=STILL_TURNS)
                for place, (one, odds) in enumerate(zip(frames, start, strict=True))
            ]
        )
    motion = motion.resized(size)
    before = context.before.get("matte")
    odds, unit = speed_odds(motion.speed)
    odds = shown_odds(odds, shown_motion(frames, motion), motion.speed)
    odds = _with_rested(with_previous_matte(odds, before, motion), motion)

    def voted(odds: Tensor, turns: int = TURNS) -> Tensor:
        if context.hint is not None and marks is not None and not marked:
            odds = mark_odds(odds, marks, one=len(context.hint) == 1)
        odds = with_marked(odds, marked, motion)
        return vote(frames, odds, motion, unit, turns=turns)

    if facts.plate is None:
        found = voted(odds)
        if len(frames) < LEAST_FRAMES:
            return found
        # Parallax may be faster than the object. The object is what motion jumps around.
        far = with_previous_matte(speed_odds(unexplained(motion), FAR)[0], before, motion)
        other = voted(_with_rested(far, motion))
        plainly = outline_motion(motion, other > 0) > max(
            JUMPS, PLAINLY * outline_motion(motion, found > 0)
        )
        return _compared(frames, motion, other if plainly else found, voted)
    # Under a fixed camera, whatever differs from the background is foreground. The first votes
    # tell which pixels may complete the background for the second ones.
    plate = facts.plate.resized(size)
    first = voted(difference_odds(frames, plate, odds))
    return voted(
        difference_odds(frames, plate.completed(frames, torch.sigmoid(first)[:, None]), odds)
    )


def _with_rested(odds: Tensor, motion: WindowMotion) -> Tensor:
    """Raise the log-odds ``(T, h, w)`` of what rests but moves in other frames of its trajectory.

    It then counts as undecided up to :data:`RESTED`, and the votes decide.
    """
    rested = motion.carried(torch.sigmoid(odds)[:, None])[:, 0].clamp(1e-3, 0.999).logit()
    return torch.maximum(odds, rested.clamp(max=RESTED))


def _compared(
    frames: Tensor, motion: WindowMotion, odds: Tensor, voted: Callable[[Tensor, int], Tensor]
) -> Tensor:
    """Vote again after comparing each frame with the background that other frames show.

    odds and the result: log-odds ``(T, h, w)``. voted: runs a vote from log-odds for some turns.
    """

    def joined(odds: Tensor) -> Tensor:
        return torch.where(known, odds / 2 + behind, odds).clamp(-SURE, SURE)

    behind, known = behind_odds(frames, motion, torch.sigmoid(odds)[:, None])
    # A second vote without new evidence would only amplify the first one.
    if not bool(known.any()) or float((odds > 0).float().mean()) < EMPTY:
        return odds
    again = joined(voted(joined(odds), COMPARED_TURNS))
    return motion.along(guided_filter(again[:, None], frames, EDGE_RADIUS, EDGE), COMPARED_TURNS)[
        :, 0
    ]


def matched_matte(frames: Tensor, background: Tensor, matte: Tensor) -> Tensor:
    """Return the matte that best explains the colours around the foreground's edge.

    ``m = (I - B)·(F - B) / |F - B|²`` is the least-squares solution of ``I = m F + (1 - m) B``,
    where F is the nearest opaque foreground colour. The result is zero where F and B are too
    similar, and far from the edge.

    frames, background: ``(T, 3, H, W)`` in [0, 1]. matte and the result: ``(T, 1, H, W)``.
    """
    found = torch.zeros_like(matte)
    for t, (frame, behind) in enumerate(zip(frames, background, strict=True)):
        sure = matte[t][None] > OPAQUE
        if bool(sure.any()):
            apart = push_pull(frame[None], sure)[0] - behind
            squared = (apart**2).sum(0, keepdim=True)
            between = ((frame - behind) * apart).sum(0, keepdim=True) / squared.clamp_min(1e-6)
            near = dilate(matte[t][None] > 0, 2 * margin_of(matte))[0]
            found[t] = (
                (between.clamp(0, 1) - SOFT).clamp_min(0)
                / (1 - SOFT)
                * (near & (squared > APART**2))
            )
    return found


def _reconstruction_psnr(frames: Tensor, layers: dict[str, Tensor]) -> float:
    """Return the PSNR in dB of the layers mixed back, each rounded to 8 bits as in the files."""
    error = 0.0
    for frame, *rest in zip(
        frames, layers["foreground"], layers["background"], layers["matte"], strict=True
    ):
        foreground, background, matte = ((each * 255).round() / 255 for each in rest)
        error += float(((background + matte * (foreground - background) - frame) ** 2).sum())
    return psnr_of(error / frames.numel())
