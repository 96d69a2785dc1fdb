"""Takes every frame apart into foreground, background and matte: ``I = m F + (1 - m) B``.

    flow --camera--> what moves against it (a picture: what stands out; or the user's marks)
         --votes--> who looks and moves like that
         --networks--> layers that explain the input
         --cut--> the matte, on the picture's edges
         --look up--> the background behind it, from frames that show it

Everything up to the cut works on pictures of bounded size; the matte, the background and the layers are finished at full size.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.context import SAFE, Brief, Note, Separation, notes_where
from stages.mixing.mixing import psnr_of
from stages.motion.flow import resize, shrunk
from stages.optim.fit import FitPlan, OnStep
from stages.optim.timing import clocked, seconds_a_step
from stages.segment.background import Plate, complete, find_plate, grown, margin_of, spread
from stages.segment.behind import behind_odds
from stages.segment.cut import SOFT, cut, refine
from stages.segment.fit import Known, Segments, fit_paper_segments, fit_segments
from stages.segment.motion import Motion, camera_rests, find_motion, shown_motion
from stages.segment.parallax import outline_motion, unexplained
from stages.segment.still import difference_odds, hint_odds, mark_odds, saliency_odds, shown_odds, speed_odds
from stages.segment.votes import EDGE, EDGE_RADIUS, SURE, TURNS, guided_filter, local_vote, vote

WORK_PIXELS = 424 * 240  # of the pictures that flow and cut see
VOTE_PIXELS = WORK_PIXELS // 4
FIT_PIXELS = 6400
STEPS = {"fast": 100, "balanced": 250, "best": 600, "paper": 4000}
"""Steps of the networks by preset."""

STILL = 2 / 255  # frames that differ less than this are one picture
STILL_TURNS = 5
CLAMPED = 4  # times that layers are made to mix to the input and brought back into [0, 1]
MOVED_EDGE = 0.02  # mattes nearer to 0 and 1 than this count alike: their log-odds say nothing more
MAYBE = 0.25  # odds, as a matte, above which a pixel is not taken for background
RESTED = 1.0  # most log-odds of what rests
APART = 0.3  # distance of two colours that can tell a matte
LEAST_FRAMES = 4  # of a window in which a trajectory says more than the flow of a pair
COMPARED_TURNS = 2
FAR = 2.0  # times as far from a rigid scene as the scene's own places, from which on a trajectory may be a foreground's
JUMPS = 0.3  # least motion along the outline of such a foreground
PLAINLY = 1.5  # times as much motion along its outline as the camera's foreground has makes another foreground the likelier one
GUESSED = 0.1  # trust in layers that are only filled in from around
OPAQUE = 0.95  # matte above which a pixel shows the foreground alone

EMPTY, FULL = 1e-4, 0.999
"""Parts of a frame's pixels: with fewer in the foreground nothing can be seen in it, with more there is no background to be seen."""


@dataclass(frozen=True)
class Facts:
    """What holds for the whole clip. plate: its background under a fixed camera. still: nothing moves, each frame is a picture."""

    plate: Plate | None
    still: bool


def survey(sample: Tensor, brief: Brief) -> Facts:
    """Whether anything moves, and the background where the camera does not. ``sample``: evenly spread frames ``(S, 3, H, W)``."""
    brief.progress(0.0, "looking for a still background")
    still = len(sample) == 1 or brief.unordered or max(float((frame - sample[0]).abs().mean()) for frame in sample) < STILL
    # A smooth picture agrees with its median though the camera moves.
    fixed = not still and camera_rests(shrunk(sample, VOTE_PIXELS))
    return Facts(find_plate(sample) if fixed else None, still)


def separate(frames: Tensor, facts: Facts, brief: Brief) -> Separation:
    """The layers ``foreground``, ``background`` and ``matte`` of the window ``frames`` ``(T, 3, H, W)``."""
    began = time.monotonic()
    seconds: dict[str, float] = defaultdict(float)
    size = (frames.shape[-2], frames.shape[-1])
    work = shrunk(frames, brief.within(WORK_PIXELS))
    with clocked(seconds, "motion"):
        brief.progress(0.0, "motion")
        motion = None if facts.still or len(frames) < 2 else find_motion(work)
    with clocked(seconds, "votes"):
        brief.progress(0.2, "votes")
        odds = matte_odds(shrunk(work, brief.within(VOTE_PIXELS)), motion, facts, brief)
    with clocked(seconds, "networks"):
        found, steps = _networks(shrunk(work, brief.within(FIT_PIXELS)), odds, motion, facts, brief, began)
        odds = moved_odds(odds, found.matte)
    with clocked(seconds, "cut"):
        brief.progress(0.8, "edges")
        odds = resize(odds[:, None], (work.shape[-2], work.shape[-1]))[:, 0]
        if motion is not None:
            odds = local_vote(work, odds)
        matte = refine(cut(work, odds), work, frames)
    with clocked(seconds, "background"):
        brief.progress(0.9, "background")
        plate = None if facts.plate is None else facts.plate.without(frames, matte)
        # What the cut left out but may be foreground is no background either: the tip of a tail, a blurred leg.
        maybe = torch.cat([resize((torch.sigmoid(each) > MAYBE).float()[None, None], size) for each in odds])
        background, missing = complete(frames, torch.maximum(matte, maybe), motion, plate)
        if plate is not None:
            matte = torch.maximum(matte, matched_matte(frames, background, matte))
    with clocked(seconds, "finish"):
        foreground = torch.empty_like(frames)
        for t in range(len(frames)):
            drawn = resize(found.background[t][None], size)
            if bool(missing[t].any()):
                background[t] = (drawn + spread(background[t][None] - drawn, ~missing[t][None]))[0]
            drawn = resize(found.foreground[t][None], size)
            foreground[t] = (drawn + spread(frames[t][None] - drawn, matte[t][None] > OPAQUE))[0]
        layers = settle(frames, {"foreground": foreground, "background": background, "matte": matte}, facts)
    report = {
        "reconstruction_psnr": _reconstruction_psnr(frames, layers),
        "fit_steps": float(steps),
        "matte_mean": float(matte.mean()),
        "background_unseen": float(missing.float().mean()),
        **_shares(layers["matte"], missing),
    }
    notes = matte_notes(layers["matte"], moving=motion is not None, hinted=brief.hint is not None)
    return Separation(layers, report=report, seconds=dict(seconds), notes=notes)


def _shares(matte: Tensor, missing: Tensor) -> dict[str, float]:
    """Return what the background rests on, as parts of the picture.

    explained: hidden here and seen in other frames. invented: seen in none, and drawn. untouched: not hidden.

    matte: ``(T, 1, H, W)``; missing: ``(T, H, W)`` or ``(T, 1, H, W)``, true where no frame shows the background.
    """
    hidden = (matte[:, 0] > 1 - OPAQUE) | missing.reshape(matte[:, 0].shape)
    invented, covered = float(missing.float().mean()), float(hidden.float().mean())
    return {"explained": covered - invented, "invented": invented, "untouched": 1 - covered}


def matte_notes(matte: Tensor, *, moving: bool, hinted: bool) -> tuple[Note, ...]:
    """Return notes about the frames of a matte ``(T, 1, H, W)`` that have no foreground, and about those that have no background.

    moving: whether the foreground was sought by its motion. hinted: whether the user marked it.
    """
    if hinted:
        nothing, advice = "nothing that --hint marks was found", "draw the mark over the whole thing"
    else:
        nothing = "nothing that moves against the camera was found" if moving else "nothing that stands out was found"
        advice = "mark the thing in white on black and give that picture as --hint"
    part = (matte > 0.5).float().mean((1, 2, 3))
    empty = notes_where(f"{nothing} in {{frames}}, so the foreground is empty there; {advice}", part < EMPTY)
    full = "nearly the whole picture was taken for the foreground in {frames}, so the background is made up there; "
    return (*empty, *notes_where(f"{full}{advice}", part > FULL))


def settle(frames: Tensor, layers: dict[str, Tensor], facts: object = None) -> dict[str, Tensor]:
    """Makes the layers mix to ``frames``: what is left over is shared out, ``F += m r / (m² + (1 - m)²)``, B likewise."""
    del facts
    foreground, background, matte = layers["foreground"].clamp(0, 1), layers["background"].clamp(0, 1), layers["matte"]
    for t in range(len(frames)):
        weight = matte[t]
        shares = weight / (weight**2 + (1 - weight) ** 2), (1 - weight) / (weight**2 + (1 - weight) ** 2)
        for _ in range(CLAMPED):
            rest = frames[t] - weight * foreground[t] - (1 - weight) * background[t]
            foreground[t] = (foreground[t] + shares[0] * rest).clamp(0, 1)
            background[t] = (background[t] + shares[1] * rest).clamp(0, 1)
    return {"foreground": foreground, "background": background, "matte": matte}


def matte_odds(frames: Tensor, motion: Motion | None, facts: Facts, brief: Brief) -> Tensor:
    """The foreground's log-odds ``(T, h, w)`` in ``frames`` of the votes' size."""
    size = (frames.shape[-2], frames.shape[-1])
    marks = None if brief.hint is None else hint_odds(resize(brief.hint.float(), size), size).expand(len(frames), -1, -1)
    if motion is None:
        # Pictures have nothing to do with each other: each votes for itself.
        start = saliency_odds(frames) if marks is None else marks
        return torch.cat(
            [vote(one[None], odds[None], None, frames.new_ones(1), turns=STILL_TURNS) for one, odds in zip(frames, start, strict=True)]
        )
    motion = motion.resized(size)
    odds, unit = speed_odds(motion.speed)
    odds = _with_rested(shown_odds(odds, shown_motion(frames, motion), motion.speed), motion)

    def voted(odds: Tensor, turns: int = TURNS) -> Tensor:
        if brief.hint is not None and marks is not None:
            odds = mark_odds(odds, marks, one=len(brief.hint) == 1)
        return vote(frames, odds, motion, unit, turns=turns)

    if facts.plate is None:
        found = voted(odds)
        if len(frames) < LEAST_FRAMES:
            return found
        # The depth of the scene may move more than the thing in it. Whichever outline is one of motion is an object's.
        other = voted(_with_rested(speed_odds(unexplained(motion), FAR)[0], motion))
        plainly = outline_motion(motion, other > 0) > max(JUMPS, PLAINLY * outline_motion(motion, found > 0))
        return _compared(frames, motion, other if plainly else found, voted)
    # Under a fixed camera all that differs from the background is foreground. Without what the first votes found, the background is whole.
    plate = facts.plate.resized(size)
    first = voted(difference_odds(frames, plate, odds))
    return voted(difference_odds(frames, plate.completed(frames, torch.sigmoid(first)[:, None]), odds))


def _with_rested(odds: Tensor, motion: Motion) -> Tensor:
    """Motion's log-odds ``(T, h, w)`` where what moved before or will move is not background while it rests: votes decide."""
    rested = motion.carried(torch.sigmoid(odds)[:, None])[:, 0].clamp(1e-3, 0.999).logit()
    return torch.maximum(odds, rested.clamp(max=RESTED))


def _compared(frames: Tensor, motion: Motion, odds: Tensor, voted: Callable[[Tensor, int], Tensor]) -> Tensor:
    """The votes' log-odds ``(T, h, w)`` after another vote with what other frames show behind the foreground."""

    def joined(odds: Tensor) -> Tensor:
        return torch.where(known, odds / 2 + behind, odds).clamp(-SURE, SURE)

    behind, known = behind_odds(frames, motion, torch.sigmoid(odds)[:, None])
    # Votes that are counted twice grow: where nothing was found, or nothing can be compared, they stand as they are.
    if not bool(known.any()) or float((odds > 0).float().mean()) < EMPTY:
        return odds
    again = joined(voted(joined(odds), COMPARED_TURNS))
    return motion.along(guided_filter(again[:, None], frames, EDGE_RADIUS, EDGE), COMPARED_TURNS)[:, 0]


def matched_matte(frames: Tensor, background: Tensor, matte: Tensor) -> Tensor:
    """The matte by which ``frames`` lie between a known background and the foreground's nearest colours, around the foreground.

    ``m = (I - B)·(F - B) / |F - B|²``: the least squares answer to ``I = m F + (1 - m) B``. Zero where the colours are too alike to
    tell, and away from the edge. Pictures ``(T, 3, H, W)``, matte and result ``(T, 1, H, W)``.
    """
    found = torch.zeros_like(matte)
    for t, (frame, behind) in enumerate(zip(frames, background, strict=True)):
        sure = matte[t][None] > OPAQUE
        if bool(sure.any()):
            apart = spread(frame[None], sure)[0] - behind
            squared = (apart**2).sum(0, keepdim=True)
            between = ((frame - behind) * apart).sum(0, keepdim=True) / squared.clamp_min(1e-6)
            near = grown(matte[t][None] > 0, 2 * margin_of(matte))[0]
            found[t] = (between.clamp(0, 1) - SOFT).clamp_min(0) / (1 - SOFT) * (near & (squared > APART**2))
    return found


def moved_odds(odds: Tensor, matte: Tensor) -> Tensor:
    """Log-odds ``(T, h, w)`` as the networks' ``matte`` ``(T, 1, H, W)`` has it, with what detail their size cannot show."""
    given = resize(torch.sigmoid(odds)[:, None], (matte.shape[-2], matte.shape[-1]))
    change = matte.clamp(MOVED_EDGE, 1 - MOVED_EDGE).logit() - given.clamp(MOVED_EDGE, 1 - MOVED_EDGE).logit()
    return odds + resize(change, (odds.shape[-2], odds.shape[-1]))[:, 0]


def _networks(frames: Tensor, odds: Tensor, motion: Motion | None, facts: Facts, brief: Brief, began: float) -> tuple[Segments, int]:
    """The generators' layers at the size of ``frames``, and the steps that were taken."""
    size = (frames.shape[-2], frames.shape[-1])
    matte = resize(torch.sigmoid(odds)[:, None], size)
    small = None if motion is None else motion.resized(size)
    background, missing = complete(frames, matte, small, None if facts.plate is None else facts.plate.resized(size))
    trust, sure = (2 * matte - 1).abs(), matte > OPAQUE
    foreground = torch.cat([spread(frame[None], where[None]) for frame, where in zip(frames, sure, strict=True)])
    shown, seen = torch.where(sure, trust, GUESSED), torch.where(missing, GUESSED, 1.0)
    known = Known(frames, matte, trust, foreground, shown, background, seen, small)
    settings = brief.settings
    fitting = fit_paper_segments if settings.preset == "paper" else fit_segments

    def fitted(steps: int, on_step: OnStep | None = None) -> Segments:
        return fitting(known, plan=FitPlan(steps), seed=settings.seed, device=settings.device, on_step=on_step)

    def note(done: float, losses: Mapping[str, float]) -> None:
        brief.progress(0.3 + 0.5 * done, "networks")
        brief.trace.add("networks", done, losses)

    steps = STEPS[settings.preset]
    if (budget := settings.max_seconds) is not None:

        def measured() -> int:
            fitted(1)  # the first call also probes the precision and allocates
            cost = seconds_a_step(fitted, 1, 6)
            # What comes after the networks takes about as long as what came before.
            left = SAFE * budget - 2 * (time.monotonic() - began)
            most = STEPS["paper"] if settings.preset == "paper" else STEPS["best"]
            return max(1, min(most, int(left / cost)))

        steps = brief.keeper.fixed("steps", measured)
    return fitted(steps, note), steps


def _reconstruction_psnr(frames: Tensor, layers: dict[str, Tensor]) -> float:
    """PSNR in dB of the layers, rounded to 8 bits as files hold them, mixed back, against the input."""
    error = 0.0
    for frame, *rest in zip(frames, layers["foreground"], layers["background"], layers["matte"], strict=True):
        foreground, background, matte = ((each * 255).round() / 255 for each in rest)
        error += float(((background + matte * (foreground - background) - frame) ** 2).sum())
    return psnr_of(error / frames.numel())
