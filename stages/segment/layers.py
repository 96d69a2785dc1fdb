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
from stages.segment.background import complete_background
from stages.segment.by_networks import separate_by_networks
from stages.segment.confidence import confidence_layers, expected_overlap
from stages.segment.cut import SURE_MOVING, SURE_STILL, cut, upsampled
from stages.segment.foreground_odds import foreground_odds
from stages.segment.generator_fit import Segments
from stages.segment.hints.correction import Correction, find_correction
from stages.segment.hints.in_window import with_certain_alpha, with_certain_odds, with_cuts
from stages.segment.hints.marked_frames import Marked, box_notes, marked_frames
from stages.segment.log_odds import matte_log_odds
from stages.segment.motion import WindowMotion, find_motion
from stages.segment.networks import FIT_PIXELS, evidence_of_votes, fit_networks, moved_odds
from stages.segment.notes import (
    OPAQUE,
    background_shares,
    guess_notes,
    hinted_side,
    matte_notes,
)
from stages.segment.soften import matched_matte, soften
from stages.segment.survey import SegmentSurvey
from stages.segment.thing_layers import as_one_thing, divided
from stages.segment.votes import VOTE_PIXELS, local_vote

WORK_PIXELS = 424 * 240
"""Most pixels of a frame for the flow and the cut."""
MAYBE = 0.25  # probability of foreground above which a pixel is not used as background


@dataclass(frozen=True)
class PreparedWindow:
    """A window of frames at the sizes of the steps, their motion, and what the steps are told.

    frames: at full size, ``(T, 3, H, W)`` in [0, 1]. work: for the flow and the cut. small: for the
    votes. motion: of ``work``; ``None`` for pictures and for a clip at rest. facts: of the whole
    clip.
    """

    frames: Tensor
    work: Tensor
    small: Tensor
    motion: WindowMotion | None
    facts: SegmentSurvey
    context: SeparationContext


@dataclass(frozen=True)
class FoundForeground:
    """Where the foreground is, before its edge is drawn.

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
    """The matte with its edges and the background, before the layers are finished.

    odds: the last log-odds of the foreground, ``(T, h, w)``. matte: ``(T, 1, H, W)`` in [0, 1].
    background: ``(T, 3, H, W)`` in [0, 1]. missing: where no frame shows the background,
    ``(T, 1, H, W)`` of bool.
    """

    odds: Tensor
    matte: Tensor
    background: Tensor
    missing: Tensor


@dataclass(frozen=True)
class FinishedWindow:
    """The layers of a window.

    layers: by name. missing: where the background is a guess, ``(T, 1, H, W)`` of bool.
    occlusions: what was seen of the order of things.
    """

    layers: dict[str, Tensor]
    missing: Tensor
    occlusions: tuple[Occlusion, ...]


def separate(frames: Tensor, facts: SegmentSurvey, context: SeparationContext) -> Separation:
    """Return the layers ``foreground``, ``background`` and ``matte`` of one window.

    frames: ``(T, 3, H, W)`` in [0, 1]. facts: what :func:`stages.segment.survey.survey` found in
    the whole clip.
    """
    began = time.monotonic()
    seconds: dict[str, float] = defaultdict(float)
    with clocked(seconds, "motion"):
        context.progress(0.0, "motion")
        window = _prepare(frames, facts, context)
    with clocked(seconds, "votes"):
        context.progress(0.2, "votes")
        found = _find_foreground(window)
    if context.settings.networks_alone:
        separation = separate_by_networks(frames, found.odds, context)
        return separation if context.most_things == 1 else as_one_thing(separation)
    with clocked(seconds, "networks"):
        small = shrunk(window.work, context.working_pixels(FIT_PIXELS))
        known = evidence_of_votes(small, found.odds, window.motion, facts.plate)
        generated, steps = fit_networks(known, context, began)
    with clocked(seconds, "cut"):
        context.progress(0.8, "edges")
        odds, matte = _with_edges(window, found, generated)
    with clocked(seconds, "background"):
        context.progress(0.9, "background")
        scene = _with_background(window, found, odds, matte)
    with clocked(seconds, "finish"):
        finished = _finish(window, found, scene, generated)
    layers = finished.layers
    expected = {}
    if window.motion is not None and context.earlier_matte is None:
        expected["matte"] = expected_overlap(window.motion, layers["matte"])
    return Separation(
        layers,
        report=_report(frames, finished, steps),
        seconds=dict(seconds),
        notes=_notes(window, found, layers["matte"]),
        occlusions=finished.occlusions,
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


def _prepare(frames: Tensor, facts: SegmentSurvey, context: SeparationContext) -> PreparedWindow:
    """Return the window's ``frames`` ``(T, 3, H, W)`` at all sizes, with their motion."""
    work = shrunk(frames, context.working_pixels(WORK_PIXELS))
    small = shrunk(work, context.working_pixels(VOTE_PIXELS))
    motion = None if facts.still or len(frames) < 2 else find_motion(work)
    return PreparedWindow(frames, work, small, motion, facts, context)


def _find_foreground(window: PreparedWindow) -> FoundForeground:
    """Find the foreground by hints, motion and votes, or correct an earlier run's matte."""
    work, small, motion, context = window.work, window.small, window.motion, window.context
    if context.earlier_matte is None:
        marked = marked_frames(work, context, moving=motion is not None)
        odds = foreground_odds(small, motion, window.facts, context, marked)
        return FoundForeground(odds, marked)
    correction = find_correction(work, motion, context)
    corrected = correction.drawn(work, window.frames)
    odds = matte_log_odds(resize(corrected, _size_of(small)))
    return FoundForeground(odds, correction.marked, correction, corrected)


def _with_edges(
    window: PreparedWindow, found: FoundForeground, generated: Segments
) -> tuple[Tensor, Tensor]:
    """Return the last log-odds ``(T, h, w)``, and the matte ``(T, 1, H, W)`` with its edges.

    generated: the networks' layers, which may move the matte a little.
    """
    if found.corrected is not None:
        return found.odds, found.corrected
    work, motion = window.work, window.motion
    odds = moved_odds(found.odds, generated.matte)
    odds = resize(odds[:, None], _size_of(work))[:, 0]
    if motion is not None:
        odds = local_vote(work, odds)
    is_moving_camera = motion is not None and window.facts.plate is None
    sure = SURE_MOVING if is_moving_camera else SURE_STILL
    hard = cut(work, with_certain_odds(odds, found.marked), sure)
    if motion is None:
        hard = with_cuts(hard, found.marked)
    return odds, upsampled(hard, work, window.frames)


def _with_background(
    window: PreparedWindow, found: FoundForeground, odds: Tensor, matte: Tensor
) -> FoundScene:
    """Find the background behind the matte, and soften the matte's edge.

    odds: log-odds ``(T, h, w)``. matte: ``(T, 1, H, W)`` in [0, 1].
    """
    frames, plate = window.frames, window.facts.plate
    if plate is not None:
        plate = plate.without(frames, matte)
    # The cut may drop a blurred leg or the tip of a tail. It must not become background.
    maybe = torch.cat(
        [
            resize((torch.sigmoid(of_frame) > MAYBE).float()[None, None], _size_of(frames))
            for of_frame in odds
        ]
    )
    background, missing = complete_background(
        frames, torch.maximum(matte, maybe), window.motion, plate
    )
    if plate is not None:
        matte = torch.maximum(matte, matched_matte(frames, background, matte))
    matte = soften(matte, frames, background, missing)
    if found.correction is not None:
        matte = found.correction.merged(matte)
    return FoundScene(odds, with_certain_alpha(matte, found.marked), background, missing)


def _finish(
    window: PreparedWindow, found: FoundForeground, scene: FoundScene, generated: Segments
) -> FinishedWindow:
    """Return the layers, which mix to the frames.

    The foreground is divided where several things are asked for, and the layers of confidence are
    added where the user wants them.
    """
    frames, matte, context = window.frames, scene.matte, window.context
    layers = _painted(frames, scene, generated)
    occlusions: tuple[Occlusion, ...] = ()
    if context.most_things != 1:
        layers["things"], occlusions = divided(matte, window.small, window.motion, context)
        layers["matte"] = matte * (layers["things"] > 0)
    # Without a foreground a frame hides nothing, and its background is the frame itself.
    missing = scene.missing & (layers["matte"].amax((1, 2, 3), keepdim=True) > 0)
    layers = settle(frames, layers)
    if context.confidence:
        layers |= confidence_layers(scene.odds, layers["matte"], missing, found.marked)
    return FinishedWindow(layers, missing, occlusions)


def _report(frames: Tensor, finished: FinishedWindow, steps: int) -> dict[str, float]:
    """Return the figures of a window. steps: of the networks' fit."""
    matte, missing = finished.layers["matte"], finished.missing
    return {
        "reconstruction_psnr": _reconstruction_psnr(frames, finished.layers),
        "fit_steps": float(steps),
        "matte_mean": float(matte.mean()),
        "background_unseen": float(missing.float().mean()),
        **background_shares(matte, missing),
    }


def _notes(window: PreparedWindow, found: FoundForeground, matte: Tensor) -> tuple[Note, ...]:
    """Return what the user has to know of the finished ``matte`` ``(T, 1, H, W)``."""
    context = window.context
    # Things are told apart by their motion alone, so a clip at rest lacks what moves, too.
    by_motion = window.motion is not None or context.most_things == 0
    return (
        *box_notes(found.marked, len(matte)),
        *matte_notes(matte, moving=by_motion, hinted=hinted_side(context)),
        *guess_notes(matte, context),
    )


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


def _reconstruction_psnr(frames: Tensor, layers: dict[str, Tensor]) -> float:
    """Return the PSNR in dB of the layers mixed back, each rounded to 8 bits as in the files."""
    error = 0.0
    for t, frame in enumerate(frames):
        foreground, background, matte = (
            (layers[name][t] * 255).round() / 255 for name in ("foreground", "background", "matte")
        )
        error += float(((background + matte * (foreground - background) - frame) ** 2).sum())
    return psnr_of(error / frames.numel())
