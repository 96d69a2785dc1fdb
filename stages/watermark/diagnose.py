"""Say whether a mark stays in place: where it is, from when to when, and how opaque."""

from __future__ import annotations

from torch import Tensor

from stages.diagnosis import NOT_THERE, PERHAPS, THERE, ClipSample, Diagnosis, verdict_of
from stages.motion.flow import resize
from stages.optim.losses import gradients
from stages.watermark.effort import EFFORTS, SEARCHED_PICTURES
from stages.watermark.gain import SHARED_GAIN, gain_per_pixel, is_clear, least_shared_gain
from stages.watermark.mark import Mark, MarkedPictures
from stages.watermark.pictures import (
    LEAST_INDEPENDENT,
    independent_count,
    motion_weight,
    shrunk_to,
    spread_indices,
    without_copies,
)
from stages.watermark.quick_search import quick_pictures, quick_search, refined_mark
from stages.watermark.scene_motion import error_beside_motion
from stages.watermark.search import find_mark
from stages.watermark.standing_mark import (
    CERTAIN_NATS,
    LEAST_SIDE,
    LIKELY_NATS,
    find_standing_mark,
    standing_pixels,
)
from stages.watermark.tiled_mark import find_tiled_mark

DOUBTFUL_GAIN = 9.0
"""Nats per outline pixel above which a mark may be there. Scenes without one have at most so many,
see :data:`stages.watermark.gain.SHARED_GAIN`."""
MOST_ERROR_BESIDE_MOTION = 1.0
"""Error along the outline of a mark, beside that along the scene's motion, above which it is a part
of the scene (:func:`stages.watermark.scene_motion.error_beside_motion`)."""
LEAST_EXPLAINED_CONTRAST = 0.5
"""Part of the outline's contrast that the mark has to explain in a frame to count as seen."""

LEAST_TRANSMITTED = 0.05  # least part of the scene by which undoing a mark divides


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
        "opacity": round(law.opacity, 2),
        "opacity_error": round(law.error, 3),
    }
    account = (
        f"it repeats {count} times over the picture, {100 * law.opacity:.0f} % opaque: the "
        "same part of what lies behind shows through everywhere"
    )
    return Diagnosis("mark", THERE, account, evidence)


def _in_pictures(sample: ClipSample) -> Diagnosis:
    """Return the verdict on a mark that separate pictures share."""
    pictures = without_copies(sample.frames)
    if len(pictures) < 2:
        account = "the pictures are copies of each other, so they do not tell a mark"
        if len(sample.frames) == 1:
            account = "one picture does not tell a mark from the scene; a hint marks its place"
        return Diagnosis("mark", NOT_THERE, account, {"independent_frames": len(pictures)})
    effort = EFFORTS["fast"]
    searched = pictures[spread_indices(len(pictures), SEARCHED_PICTURES)]
    marked = MarkedPictures.with_mark_anywhere(
        shrunk_to(searched, effort.search_pixels), motion_weight(pictures)
    )
    mark = find_mark(marked, iterations=effort.turns, least_gain=DOUBTFUL_GAIN, unrelated=True)
    if mark is None:
        return _nothing_stays(len(pictures))
    return _found(mark, sample, least_shared_gain(marked, mark, unrelated=True))


def _by_change(sample: ClipSample) -> Diagnosis:
    """Return the verdict on a mark that stays while the frames around it change.

    The evidence is the gain per outline pixel (:func:`stages.watermark.quick_search.refined_mark`).
    """
    frames = sample.frames
    count = independent_count(frames)
    if count < LEAST_INDEPENDENT:
        account = "the frames are too alike to tell a mark from the scene"
        return Diagnosis("mark", NOT_THERE, account, {"independent_frames": round(count, 2)})
    searched = frames[spread_indices(len(frames), min(round(count), SEARCHED_PICTURES))]
    weight = motion_weight(frames)
    mark = quick_search(quick_pictures(searched, weight))
    if mark is not None and not is_clear(mark, SHARED_GAIN):
        # Fine outlines gain less at the smaller size.
        mark = _search_again(searched, weight, mark)
    if mark is None:
        return _nothing_stays(count)
    error = error_beside_motion(mark, sample.runs)
    if error is not None and error > MOST_ERROR_BESIDE_MOTION:
        account = "what looks like a mark moves with the scene"
        evidence = {"independent_frames": round(count, 2), "error_beside_motion": round(error, 2)}
        return Diagnosis("mark", NOT_THERE, account, evidence)
    return _found(mark, sample, SHARED_GAIN)


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
    if found is None or found.strength < LIKELY_NATS:
        return None
    diagnosis = _found(found.mark, sample, SHARED_GAIN)
    evidence = {**diagnosis.evidence, "outline_standing": round(found.part_on_outline, 2)}
    verdict, account = verdict_of(found.strength, LIKELY_NATS, CERTAIN_NATS), diagnosis.account
    if not found.is_translucent:
        verdict, account = PERHAPS, f"{account}; or a thing that stands still before the scene"
    return Diagnosis("mark", verdict, account, evidence)


def _search_again(pictures: Tensor, weight: Tensor, mark: Mark) -> Mark | None:
    """Return what becomes of ``mark`` in larger pictures, if anything.

    Their size is that of the preset ``fast``.

    weight: how much each pixel counts, of any size.
    """
    effort = EFFORTS["fast"]
    small = shrunk_to(pictures, effort.search_pixels)
    marked = MarkedPictures.with_mark_anywhere(small, weight)
    mark = refined_mark(marked, mark, 2 * effort.turns)
    return mark if is_clear(mark, DOUBTFUL_GAIN) else None


def _found(mark: Mark, sample: ClipSample, limit: float) -> Diagnosis:
    """Return the diagnosis of a mark that the search found in smaller frames of ``sample``.

    limit: nats per outline pixel above which the mark is there.
    """
    gain = gain_per_pixel(mark)
    evidence: dict[str, object] = {
        "nats_per_outline_pixel": round(gain, 1),
        "opacity": round(mark.opacity, 2),
        "box": sample.box_of(mark.chosen),
        "part": round(float(mark.chosen.float().mean()), 4),
    }
    when = ""
    if not sample.unordered:
        first, last = _first_and_last_shown(mark, sample)
        evidence |= {"first_frame": first, "last_frame": last}
        when = f", seen in frames {first} to {last}"
    x, y, width, height = sample.box_of(mark.chosen)
    account = f"{width}x{height} pixels at {x},{y}, {100 * mark.opacity:.0f} % opaque{when}"
    return Diagnosis("mark", verdict_of(gain, DOUBTFUL_GAIN, limit), account, evidence)


def _first_and_last_shown(mark: Mark, sample: ClipSample) -> tuple[int, int]:
    """Return the numbers of the first and the last frame that show ``mark``.

    They are those of the whole sample if no frame does.
    """
    frames = resize(sample.frames, (mark.chosen.shape[0], mark.chosen.shape[1]))
    shown = [
        number
        for number, frame in zip(sample.numbers, frames, strict=True)
        if explained_contrast(frame, mark) > LEAST_EXPLAINED_CONTRAST
    ]
    numbers = shown or sample.numbers
    return numbers[0], numbers[-1]


def explained_contrast(frame: Tensor, mark: Mark) -> float:
    """Return the part of a frame's contrast along the mark's outline that undoing it removes.

    frame: ``(3, h, w)`` in [0, 1], of the mark's size. The result is at most 1, near 0 or below
    where the mark is not in the frame.
    """
    outline = [edge.abs() > 0 for edge in gradients((mark.matte > 0).float()[None])]
    undone = ((frame - mark.ink) / (1 - mark.matte).clamp_min(LEAST_TRANSMITTED)).clamp(0, 1)
    before, after = (
        sum(
            float((edge.abs().mean(1, keepdim=True) * where).sum())
            for edge, where in zip(gradients(picture[None]), outline, strict=True)
        )
        for picture in (frame, undone)
    )
    return 1 - after / max(before, 1e-6)
