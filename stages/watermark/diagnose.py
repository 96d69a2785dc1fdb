"""Say whether a mark stays in place: where it is, from when to when, and how opaque."""

from __future__ import annotations

from torch import Tensor

from stages.diagnosis import (
    NOT_THERE,
    PERHAPS,
    THERE,
    ClipSample,
    Diagnosis,
    verdict_of,
)
from stages.motion.flow import resize
from stages.optim.losses import gradients
from stages.watermark.effort import EFFORTS, SEARCHED
from stages.watermark.find import Mark
from stages.watermark.layers import LEAST_INDEPENDENT
from stages.watermark.pictures import (
    distinct,
    independent,
    motion_weight,
    shrunk_to,
    spread_indices,
)
from stages.watermark.quick import everywhere, quick_search
from stages.watermark.search import (
    SHARED_GAIN,
    find_mark,
    is_clear,
    outline_length,
    refined_mark,
    shared_gain,
)
from stages.watermark.standing import (
    CERTAIN,
    LEAST_SIDE,
    LIKELY,
    find_standing_mark,
    standing_pixels,
)
from stages.watermark.stays import error_beside_motion
from stages.watermark.tiled import find_tiled_mark

DOUBTFUL_GAIN = 9.0
"""Nats per outline pixel above which a mark may be there. Scenes without one have at most so many,
see :data:`stages.watermark.search.SHARED_GAIN`."""
MOST_MISSED = 1.0
"""Error along the outline of a mark, beside that along the scene's motion, above which it is a part
of the scene (:func:`stages.watermark.stays.error_beside_motion`)."""
SHOWN = 0.5
"""Part of the outline's contrast that the mark has to explain in a frame to count as seen."""


def diagnose(sample: ClipSample) -> Diagnosis:
    """Return the verdict on a mark that all frames or pictures share.

    Pictures of different scenes share nothing else. In a clip, a mark stands still while the scene
    moves past it. Where its outline is too short for that, or the scene stands still, too, it stays
    while what is around it changes.
    """
    if min(sample.frames.shape[-2:]) < LEAST_SIDE:
        return Diagnosis("mark", NOT_THERE, "the picture is too small to tell a mark")
    if sample.picture is not None:
        return _in_one_picture(sample, sample.picture)
    if sample.unordered:
        return _in_pictures(sample)
    return _by_standing(sample) or _by_change(sample)


def _in_one_picture(sample: ClipSample, picture: Tensor) -> Diagnosis:
    """Return the verdict on a mark that repeats over ``picture`` (3, H, W).

    The evidence is that of a run: the lattice, and the law of colours from tile to tile.
    """
    found = find_tiled_mark(picture, EFFORTS["fast"])
    if found is None:
        account = "one picture does not tell a mark from the scene, unless the mark repeats over it"
        return Diagnosis("mark", NOT_THERE, account, {"independent_frames": 1})
    law, count = found.law, found.repetitions()
    evidence: dict[str, object] = {
        "repetitions": count,
        "repetition_strength": round(found.lattice.strength, 1),
        "nats_per_outline_pixel": round(found.gain, 1),
        "opacity": round(1 - law.through, 2),
        "opacity_error": round(law.error, 3),
    }
    account = (
        f"it repeats {count} times over the picture, {100 * (1 - law.through):.0f} % opaque: the "
        "same part of what lies behind shows through everywhere"
    )
    return Diagnosis("mark", THERE, account, evidence)


def _in_pictures(sample: ClipSample) -> Diagnosis:
    """Return the verdict on a mark that separate pictures share."""
    pictures = distinct(sample.frames)
    if len(pictures) < 2:
        account = "the pictures are copies of each other, so they do not tell a mark"
        if len(sample.frames) == 1:
            account = "one picture does not tell a mark from the scene; a hint marks its place"
        return Diagnosis("mark", NOT_THERE, account, {"independent_frames": len(pictures)})
    effort = EFFORTS["fast"]
    small = shrunk_to(pictures[spread_indices(len(pictures), SEARCHED)], effort.search_pixels)
    allowed, weight = everywhere(small, motion_weight(pictures))
    turns = effort.turns
    mark = find_mark(small, allowed, weight, turns=turns, least_gain=DOUBTFUL_GAIN, separate=True)
    if mark is None:
        return _nothing_stays(len(pictures))
    size = small.shape[-2:]
    limit = shared_gain(small, weight, mark, separate=True)
    return _found(mark, resize(sample.frames, (size[0], size[1])), sample, limit)


def _by_change(sample: ClipSample) -> Diagnosis:
    """Return the verdict on a mark that stays while the frames around it change.

    The evidence is the gain of :func:`stages.watermark.search.refined_mark` per outline pixel.
    """
    frames = sample.frames
    count = independent(frames)
    if count < LEAST_INDEPENDENT:
        account = "the frames are too alike to tell a mark from the scene"
        return Diagnosis("mark", NOT_THERE, account, {"independent_frames": round(count, 2)})
    searched = frames[spread_indices(len(frames), min(round(count), SEARCHED))]
    weight = motion_weight(frames)
    mark, small = quick_search(searched, weight)
    if mark is not None and not is_clear(mark, SHARED_GAIN):
        # Fine outlines gain less at the smaller size.
        mark, small = _search_again(searched, weight, mark)
    if mark is None:
        return _nothing_stays(count)
    missed = error_beside_motion(mark, sample.runs)
    if missed is not None and missed > MOST_MISSED:
        account = "what looks like a mark moves with the scene"
        evidence = {"independent_frames": round(count, 2), "error_beside_motion": round(missed, 2)}
        return Diagnosis("mark", NOT_THERE, account, evidence)
    size = small.shape[-2:]
    return _found(mark, resize(frames, (size[0], size[1])), sample, SHARED_GAIN)


def _nothing_stays(count: float) -> Diagnosis:
    """Return that no mark was found in pictures that are worth ``count`` independent ones."""
    account = "nothing stays in place while the picture changes"
    return Diagnosis("mark", NOT_THERE, account, {"independent_frames": round(count, 2)})


def _by_standing(sample: ClipSample) -> Diagnosis | None:
    """Return the verdict on a mark past which the scene moves, or None where none is likely.

    The evidence is the gain of the mark per outline pixel, and what of its outline stands still.
    """
    if not sample.runs:
        return None
    standing = standing_pixels(sample.runs)
    found = find_standing_mark(sample.frames, standing) if standing.are_enough else None
    if found is None or found.strength < LIKELY:
        return None
    size = found.mark.matte.shape[-2:]
    told = _found(found.mark, resize(sample.frames, (size[0], size[1])), sample, SHARED_GAIN)
    evidence = {**told.evidence, "outline_standing": round(found.caught, 2)}
    verdict, account = verdict_of(found.strength, LIKELY, CERTAIN), told.account
    if not found.is_translucent:
        verdict, account = PERHAPS, f"{account}; or a thing that stands still before the scene"
    return Diagnosis("mark", verdict, account, evidence)


def _search_again(pictures: Tensor, weight: Tensor, mark: Mark) -> tuple[Mark | None, Tensor]:
    """Return what becomes of ``mark`` in larger pictures, if anything, and these pictures.

    Their size is that of the preset ``fast``. pictures, weight: as in :func:`quick_search`.
    """
    effort = EFFORTS["fast"]
    small = shrunk_to(pictures, effort.search_pixels)
    mark = refined_mark(small, *everywhere(small, weight), mark, turns=2 * effort.turns)
    return (mark if is_clear(mark, DOUBTFUL_GAIN) else None), small


def _found(mark: Mark, frames: Tensor, sample: ClipSample, limit: float) -> Diagnosis:
    """Return the diagnosis of a mark that the search found in ``frames`` ``(S, 3, h, w)``.

    limit: nats per outline pixel above which the mark is there.
    """
    gain = mark.gain / max(1, outline_length(mark))
    chosen = mark.matte[0] > 0
    evidence: dict[str, object] = {
        "nats_per_outline_pixel": round(gain, 1),
        "opacity": round(mark.opacity, 2),
        "box": sample.box_of(chosen),
        "part": round(float(chosen.float().mean()), 4),
    }
    when = ""
    if not sample.unordered:
        shown = [
            number
            for number, frame in zip(sample.numbers, frames, strict=True)
            if explained_contrast(frame, mark) > SHOWN
        ]
        first, last = (shown[0], shown[-1]) if shown else (sample.numbers[0], sample.numbers[-1])
        evidence |= {"first_frame": first, "last_frame": last}
        when = f", seen in frames {first} to {last}"
    x, y, width, height = sample.box_of(chosen)
    account = f"{width}x{height} pixels at {x},{y}, {100 * mark.opacity:.0f} % opaque{when}"
    return Diagnosis("mark", verdict_of(gain, DOUBTFUL_GAIN, limit), account, evidence)


def explained_contrast(frame: Tensor, mark: Mark) -> float:
    """Return the part of a frame's contrast along the mark's outline that undoing it removes.

    frame: ``(3, h, w)`` in [0, 1], of the mark's size. The result is at most 1, near 0 or below
    where the mark is not in the frame.
    """
    chosen = (mark.matte[:1] > 0).float()
    outline = [edge.abs() > 0 for edge in gradients(chosen[None])]
    undone = ((frame - mark.ink) / (1 - mark.matte).clamp_min(0.05)).clamp(0, 1)
    ratio = []
    for edges in (gradients(frame[None]), gradients(undone[None])):
        total = sum(
            float((edge.abs().mean(1, keepdim=True) * where).sum())
            for edge, where in zip(edges, outline, strict=True)
        )
        ratio.append(total)
    return 1 - ratio[1] / max(ratio[0], 1e-6)
