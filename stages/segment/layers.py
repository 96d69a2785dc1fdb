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
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.context import Note, Separation, SeparationContext
from stages.mixing.matte_composite import MatteComposite
from stages.mixing.psnr import psnr_of
from stages.motion.flow import resize, shrunk
from stages.occlusion import Occlusion
from stages.optim.timing import clocked
from stages.push_pull import push_pull
from stages.segment.account import (
    OPAQUE,
    background_shares,
    guess_notes,
    hinted_side,
    matte_notes,
)
from stages.segment.alone import HintMasks, separate_alone
from stages.segment.background import complete
from stages.segment.certainty import confidence_layers, expected_overlap
from stages.segment.cut import SURE_MOVING, SURE_STILL, cut, upsampled
from stages.segment.fit import Segments
from stages.segment.foreground_odds import foreground_odds
from stages.segment.hints.correction import Correction, find_correction
from stages.segment.hints.in_window import pinned, with_certain, with_cuts
from stages.segment.hints.marked_frames import Marked, box_notes, marked_frames
from stages.segment.identity import matte_log_odds
from stages.segment.motion import WindowMotion, find_motion
from stages.segment.networks import FIT_PIXELS, fit_networks, moved_odds
from stages.segment.soften import matched_matte, soften
from stages.segment.survey import SegmentSurvey
from stages.segment.thing_layers import as_one_thing, divided
from stages.segment.votes import VOTE_PIXELS, local_vote

WORK_PIXELS = 424 * 240
"""Most pixels of a frame for the flow and the cut."""
MAYBE = 0.25  # probability of foreground above which a pixel is not used as background


@dataclass(frozen=True)
class PreparedFrames:
    """Hold the frames of a window at the sizes of the steps, and their motion.

    frames: at full size, ``(T, 3, H, W)`` in [0, 1]. work: for the flow and the cut. small: for the
    votes. motion: of ``work``; ``None`` for pictures and for a clip at rest.
    """

    frames: Tensor
    work: Tensor
    small: Tensor
    motion: WindowMotion | None


@dataclass(frozen=True)
class FoundForeground:
    """Hold where the foreground is, before its edge is drawn.

    odds: log-odds of the foreground, ``(T, h, w)``. marked: what the user's hints say.
    correction: what they change in an earlier run's matte, and ``corrected``, that matte with the
    change, ``(T, 1, H, W)``; ``None`` without an earlier run.
    """

    odds: Tensor
    marked: Marked
    correction: Correction | None = None
    corrected: Tensor | None = None


@dataclass(frozen=True)
class FoundScene:
    """Hold the matte with its edges and the background, before the layers are finished.

    odds: the last log-odds of the foreground, ``(T, h, w)``. matte: ``(T, 1, H, W)`` in [0, 1].
    background: ``(T, 3, H, W)`` in [0, 1]. missing: where no frame shows the background,
    ``(T, 1, H, W)`` of bool.
    """

    odds: Tensor
    matte: Tensor
    background: Tensor
    missing: Tensor


def separate(frames: Tensor, facts: SegmentSurvey, context: SeparationContext) -> Separation:
    """Return the layers ``foreground``, ``background`` and ``matte`` of one window.

    frames: ``(T, 3, H, W)`` in [0, 1]. facts: what :func:`stages.segment.survey.survey` found in
    the whole clip.
    """
    began = time.monotonic()
    seconds: dict[str, float] = defaultdict(float)
    with clocked(seconds, "motion"):
        context.progress(0.0, "motion")
        prepared = _prepare(frames, facts, context)
    with clocked(seconds, "votes"):
        context.progress(0.2, "votes")
        found = _find_foreground(prepared, facts, context)
    if context.settings.networks_alone:
        masks = HintMasks.drawn(context, len(frames))
        alone = separate_alone(frames, found.odds, masks, context)
        return alone if context.most_things == 1 else as_one_thing(alone)
    with clocked(seconds, "networks"):
        small = shrunk(prepared.work, context.working_pixels(FIT_PIXELS))
        generated, steps = fit_networks(
            small, found.odds, prepared.motion, facts.plate, context, began
        )
    with clocked(seconds, "cut"):
        context.progress(0.8, "edges")
        odds, matte = _with_edges(prepared, found, generated, facts)
    with clocked(seconds, "background"):
        context.progress(0.9, "background")
        scene = _with_background(prepared, found, odds, matte, facts)
    with clocked(seconds, "finish"):
        layers, missing, occlusions = _finish(prepared, found, scene, generated, facts, context)
    expected = {}
    if prepared.motion is not None and context.earlier_matte is None:
        expected["matte"] = expected_overlap(prepared.motion, layers["matte"])
    return Separation(
        layers,
        report=_report(frames, layers, missing, steps),
        seconds=dict(seconds),
        notes=_notes(prepared, found, layers["matte"], context),
        occlusions=occlusions,
        expected=expected,
    )


def settle(frames: Tensor, layers: dict[str, Tensor], facts: object = None) -> dict[str, Tensor]:
    """Return the nearest layers that mix to ``frames``; the matte stays as it is.

    frames and the layers: ``(T, C, H, W)`` in [0, 1].
    """
    del facts
    foreground, background = (layers[name].clamp(0, 1) for name in ("foreground", "background"))
    matte = layers["matte"]
    for t in range(len(frames)):
        model = MatteComposite(matte[t])
        background[t], foreground[t] = model.reconcile(frames[t], background[t], foreground[t])
    return {**layers, "foreground": foreground, "background": background}


def cut_matte(
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
    return upsampled(with_cuts(hard, marked) if motion is None else hard, work, frames)


def _prepare(frames: Tensor, facts: SegmentSurvey, context: SeparationContext) -> PreparedFrames:
    """Return the window's ``frames`` ``(T, 3, H, W)`` at all sizes, with their motion."""
    work = shrunk(frames, context.working_pixels(WORK_PIXELS))
    small = shrunk(work, context.working_pixels(VOTE_PIXELS))
    motion = None if facts.still or len(frames) < 2 else find_motion(work)
    return PreparedFrames(frames, work, small, motion)


def _find_foreground(
    prepared: PreparedFrames, facts: SegmentSurvey, context: SeparationContext
) -> FoundForeground:
    """Find the foreground by hints, motion and votes, or correct an earlier run's matte."""
    work, small, motion = prepared.work, prepared.small, prepared.motion
    if context.earlier_matte is None:
        marked = marked_frames(work, context, moving=motion is not None)
        return FoundForeground(foreground_odds(small, motion, facts, context, marked), marked)
    correction = find_correction(work, motion, context)
    corrected = correction.drawn(work, prepared.frames)
    odds = matte_log_odds(resize(corrected, _size_of(small)))
    return FoundForeground(odds, correction.marked, correction, corrected)


def _with_edges(
    prepared: PreparedFrames, found: FoundForeground, generated: Segments, facts: SegmentSurvey
) -> tuple[Tensor, Tensor]:
    """Return the last log-odds ``(T, h, w)``, and the matte ``(T, 1, H, W)`` with its edges.

    generated: the networks' layers, which may move the matte a little.
    """
    if found.corrected is not None:
        return found.odds, found.corrected
    odds = moved_odds(found.odds, generated.matte)
    odds = resize(odds[:, None], _size_of(prepared.work))[:, 0]
    if prepared.motion is not None:
        odds = local_vote(prepared.work, odds)
    matte = cut_matte(odds, prepared.work, prepared.frames, prepared.motion, facts, found.marked)
    return odds, matte


def _with_background(
    prepared: PreparedFrames,
    found: FoundForeground,
    odds: Tensor,
    matte: Tensor,
    facts: SegmentSurvey,
) -> FoundScene:
    """Find the background behind the matte, and soften the matte's edge.

    odds: log-odds ``(T, h, w)``. matte: ``(T, 1, H, W)`` in [0, 1].
    """
    frames = prepared.frames
    plate = None if facts.plate is None else facts.plate.without(frames, matte)
    # The cut may drop a blurred leg or the tip of a tail. It must not become background.
    maybe = torch.cat(
        [
            resize((torch.sigmoid(each) > MAYBE).float()[None, None], _size_of(frames))
            for each in odds
        ]
    )
    background, missing = complete(frames, torch.maximum(matte, maybe), prepared.motion, plate)
    if plate is not None:
        matte = torch.maximum(matte, matched_matte(frames, background, matte))
    matte = soften(matte, frames, background, missing)
    if found.correction is not None:
        matte = found.correction.merged(matte)
    return FoundScene(odds, with_certain(matte, found.marked), background, missing)


def _finish(
    prepared: PreparedFrames,
    found: FoundForeground,
    scene: FoundScene,
    generated: Segments,
    facts: SegmentSurvey,
    context: SeparationContext,
) -> tuple[dict[str, Tensor], Tensor, tuple[Occlusion, ...]]:
    """Return the layers, where the background is a guess, and what was seen of the things' order.

    The guess is ``(T, 1, H, W)`` of bool. The foreground is divided where several things are asked
    for, and the layers of confidence are added where the user wants them.
    """
    frames, matte = prepared.frames, scene.matte
    layers = _painted(frames, scene, generated)
    occlusions: tuple[Occlusion, ...] = ()
    if context.most_things != 1:
        layers["things"], occlusions = divided(matte, prepared.small, prepared.motion, context)
        layers["matte"] = matte * (layers["things"] > 0)
    # Without a foreground a frame hides nothing, and its background is the frame itself.
    missing = scene.missing & (layers["matte"].amax((1, 2, 3), keepdim=True) > 0)
    layers = settle(frames, layers, facts)
    if context.confidence:
        layers |= confidence_layers(scene.odds, layers["matte"], missing, found.marked)
    return layers, missing, occlusions


def _report(
    frames: Tensor, layers: dict[str, Tensor], missing: Tensor, steps: int
) -> dict[str, float]:
    """Return the figures of a window.

    missing: where the background is a guess, ``(T, 1, H, W)`` of bool. steps: of the networks' fit.
    """
    return {
        "reconstruction_psnr": _reconstruction_psnr(frames, layers),
        "fit_steps": float(steps),
        "matte_mean": float(layers["matte"].mean()),
        "background_unseen": float(missing.float().mean()),
        **background_shares(layers["matte"], missing),
    }


def _painted(frames: Tensor, scene: FoundScene, generated: Segments) -> dict[str, Tensor]:
    """Return the layers, with the networks' colours where no frame shows a layer.

    frames: ``(T, 3, H, W)``. The scene's background is filled in place.
    """
    foreground, background = torch.empty_like(frames), scene.background
    for t in range(len(frames)):
        missing = scene.missing[t]
        if bool(missing.any()):
            background[t] = _filled(background[t], generated.background[t], ~missing)
        foreground[t] = _filled(frames[t], generated.foreground[t], scene.matte[t] > OPAQUE)
    return {"foreground": foreground, "background": background, "matte": scene.matte}


def _filled(picture: Tensor, generated: Tensor, known: Tensor) -> Tensor:
    """Return ``picture`` ``(3, H, W)`` where it is known, and what networks drew elsewhere.

    The difference of the two is continued from what is known, so that no seam shows.

    generated: ``(3, h, w)`` at any size. known: ``(1, H, W)`` of bool.
    """
    resized = resize(generated[None], _size_of(picture))
    return (resized + push_pull(picture[None] - resized, known[None]))[0]


def _size_of(frames: Tensor) -> tuple[int, int]:
    """Return the height and width of ``frames`` ``(..., H, W)``."""
    return frames.shape[-2], frames.shape[-1]


def _notes(
    prepared: PreparedFrames, found: FoundForeground, matte: Tensor, context: SeparationContext
) -> tuple[Note, ...]:
    """Return what the user has to know of the finished ``matte`` ``(T, 1, H, W)``."""
    # Things are told apart by their motion alone, so a clip at rest lacks what moves, too.
    by_motion = prepared.motion is not None or context.most_things == 0
    about = matte_notes(matte, moving=by_motion, hinted=hinted_side(context))
    return (*box_notes(found.marked, len(matte)), *about, *guess_notes(matte, context))


def _reconstruction_psnr(frames: Tensor, layers: dict[str, Tensor]) -> float:
    """Return the PSNR in dB of the layers mixed back, each rounded to 8 bits as in the files."""
    error = 0.0
    for frame, *rest in zip(
        frames, layers["foreground"], layers["background"], layers["matte"], strict=True
    ):
        foreground, background, matte = ((each * 255).round() / 255 for each in rest)
        error += float(((background + matte * (foreground - background) - frame) ** 2).sum())
    return psnr_of(error / frames.numel())
