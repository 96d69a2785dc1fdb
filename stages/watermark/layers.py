"""Undo a watermark in every frame: the layers ``clean``, ``watermark`` and ``matte``.

The model is ``I = (1 - m) C + m W``. :mod:`stages.watermark.survey` found the matte m and the mark
W before, once for the whole clip. Where the mark is opaque, a generator fills the picture.

Frames ``(T, 3, H, W)`` in [0, 1]; matte ``(1, H, W)``, colour ``(3, H, W)``, maps ``(H, W)``.
"""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor

from stages.context import FORCED, Note, Separation, SeparationContext, confidence_name
from stages.mixing.psnr import psnr_of
from stages.mixing.watermark_composite import WatermarkComposite
from stages.watermark.fill import fill
from stages.watermark.jpeg_rounding import jpeg_quality, without_rounding
from stages.watermark.mark_file import MarkPlacement
from stages.watermark.networks_alone import separate_coupled, separate_published
from stages.watermark.notes import DOUBTFUL, mark_notes
from stages.watermark.outline_correction import UndoneMark, with_likely_outline
from stages.watermark.presence import shown_frames
from stages.watermark.survey import WatermarkSurvey


def separate(frames: Tensor, survey: WatermarkSurvey, context: SeparationContext) -> Separation:
    """Return the layers ``clean``, ``watermark`` and ``matte`` of one window.

    survey: what was found in the whole clip.
    ``clean`` is (T, 3, H, W). All frames share ``watermark`` (1, 3, H, W) and ``matte``
    (1, 1, H, W), unless some frames of the clip do not show the mark: then ``matte`` is (T, 1, H,
    W) and 0 in these frames.
    """
    if context.settings.networks_alone:
        return _separate_by_networks(frames, survey, context)
    shown = torch.ones(len(frames), dtype=torch.bool)
    if survey.at_times:
        shown = shown_frames(frames, survey.matte, survey.color)
    clean, seconds = _undo_mark(frames, shown, survey, context)
    matte = survey.matte
    if survey.at_times:
        is_shown = shown.view(-1, 1, 1, 1)
        clean = torch.where(is_shown, clean, frames)
        matte = matte * is_shown
    report = _report(frames, clean, matte, shown, survey)
    report |= _placement_report(survey, context)
    context.progress(1.0, "clean")
    layers = {
        "clean": clean,
        "watermark": survey.color[None].clamp(0, 1),
        "matte": matte.view(-1, 1, *matte.shape[-2:]).clamp(0, 1),
    }
    if context.confidence:
        layers[confidence_name("clean")] = _confidence(layers["matte"], survey.lost)
    shared = {"watermark"} if survey.at_times else set(layers) - {"clean"}
    return Separation(
        layers,
        frozenset(shared),
        report,
        seconds,
        notes=_notes(len(frames), survey, context),
        shown=tuple(shown.tolist()) if survey.at_times else (),
    )


def _separate_by_networks(
    frames: Tensor, survey: WatermarkSurvey, context: SeparationContext
) -> Separation:
    """Return the layers that networks alone find in the box."""
    separate_alone = separate_published if context.settings.is_published else separate_coupled
    made = separate_alone(frames, survey.box, context)
    notes = mark_notes(made.layers["matte"], survey.box, len(frames), context)
    return replace(made, notes=(*notes, *made.notes))


def _undo_mark(
    frames: Tensor, shown: Tensor, survey: WatermarkSurvey, context: SeparationContext
) -> tuple[Tensor, dict[str, float]]:
    """Return the frames without the mark, and the seconds of each step.

    shown: the frames that show the mark, ``(T,)``, boolean.
    """
    began = time.monotonic()
    # Unlike pictures, the frames of a clip are compressed in ways that leave no known steps.
    are_pictures = context.unordered or len(frames) == 1
    qualities: list[int | None] = [None for _ in frames]
    if are_pictures and _is_anything_undone(survey):
        qualities = [jpeg_quality(frame) for frame in frames]
    clean = _inverted(frames, survey, qualities)
    seconds = {"invert": time.monotonic() - began}
    if bool(survey.lost.any()) and bool(shown.any()):
        # Frames without the mark are left out: undoing it there leaves a ghost.
        clean[shown] = fill(clean[shown], survey.lost, context, survey.effort.fill_steps)
        seconds["fill"] = time.monotonic() - began - seconds["invert"]
    # A clip has too many frames for the time that their outlines take.
    if are_pictures:
        is_told_by_one = len(frames) == 1 and not survey.placement
        mark = UndoneMark(_transparent_matte(survey), survey.color, is_told_by_one)
        is_compressed = [quality is not None for quality in qualities]
        clean = with_likely_outline(clean, frames, mark, is_compressed)
    return clean, seconds


def _transparent_matte(survey: WatermarkSurvey) -> Tensor:
    """Return the matte of what is undone; what the mark hides is filled instead."""
    return torch.where(survey.lost, torch.zeros(()), survey.matte)


def _is_anything_undone(survey: WatermarkSurvey) -> bool:
    """Return whether something shows through the mark anywhere."""
    return bool(((survey.matte > 0) & ~survey.lost).any())


def _inverted(frames: Tensor, survey: WatermarkSurvey, qualities: list[int | None]) -> Tensor:
    """Return the frames with the mark undone, and without the rounding that this amplifies.

    Pixels without a mark stay the same to the bit.
    """
    clean = WatermarkComposite(survey.matte).reconcile(frames, frames, survey.color)[0]
    if _is_anything_undone(survey):
        clean = without_rounding(clean, _transparent_matte(survey), qualities)
    return clean


def _report(
    frames: Tensor, clean: Tensor, matte: Tensor, shown: Tensor, survey: WatermarkSurvey
) -> dict[str, float]:
    """Return the figures for the manifest.

    matte: of each frame, or of all. shown: the frames that show the mark, ``(T,)``, boolean.
    """
    is_marked, part_shown = survey.matte > 0, float(shown.float().mean())

    def part(where: Tensor) -> float:
        return part_shown * float(where.float().mean())

    residual = WatermarkComposite(matte).residual(frames, clean, survey.color)
    return {
        "opacity": survey.opacity,
        "marked_part": part(is_marked),
        "lost_part": part(survey.lost),
        "explained": part(is_marked & ~survey.lost),
        "invented": part(survey.lost),
        "untouched": 1 - part(is_marked | survey.lost),
        "reconstruction_psnr": psnr_of(float(residual.square().mean())),
    }


def _placement_report(survey: WatermarkSurvey, context: SeparationContext) -> dict[str, float]:
    """Return where a known mark lies in the input, or how often a tiled one repeats."""
    report: dict[str, float] = {}
    if survey.placement:
        place = MarkPlacement(*survey.placement)
        place = place._replace(
            top=place.top + context.origin[0], left=place.left + context.origin[1]
        )
        report |= {f"mark_{name}": value for name, value in place._asdict().items()}
    if survey.repeats:
        report |= dict(zip(("repetitions", "repetition_strength"), survey.repeats, strict=True))
    return report


def _confidence(matte: Tensor, lost: Tensor) -> Tensor:
    """Return how sure each clean pixel is: the part of its light that passes the mark.

    matte: ``(T or 1, 1, H, W)``. lost: ``(H, W)``; what is filled in is invented, so 0.
    """
    is_lost = lost & (matte > 0)
    return 1 - torch.where(is_lost, torch.ones(()), matte)


def _notes(count: int, survey: WatermarkSurvey, context: SeparationContext) -> tuple[Note, ...]:
    """Return what the user has to know about a window of ``count`` frames."""
    notes = mark_notes(survey.matte, survey.box, count, context)
    places = tuple(range(count))
    if survey.forced:
        return (*notes, Note(FORCED, places))
    if survey.doubtful and context.hint is not None:
        return (*notes, Note(DOUBTFUL, places))
    return notes
