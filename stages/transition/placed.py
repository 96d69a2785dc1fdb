"""Transitions in which scenes move as a whole, taken apart: each visible pixel goes back home.

A frame shows each scene at a known place (:class:`stages.kinds.base.Placement`). Where a scene is
visible its layer is the frame itself, moved back. Elsewhere the layer is the scene as it was last
seen there (the incoming one: as it is first seen), moved as the scene's camera moves
(:mod:`stages.transition.hidden`). The progress of the search is refined in full size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from stages.find.composed import place, progress_of, sample
from stages.find.track import Params
from stages.kinds import TRANSITION_KINDS
from stages.kinds.base import Placement, Placer, inside, pixel_places
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import SIDES
from stages.mixing.psnr import psnr_of
from stages.optim.timing import clocked
from stages.shots import Transition
from stages.transition.direct import DirectSeparation, PutLayers, mixed_frames
from stages.transition.fixed_overlay import FixedOverlay, fixed_overlay
from stages.transition.hidden import ShownScene, camera_motions, moved_on
from stages.transition.over_color import over_one_color
from stages.transition.placed_progress import progress_by_edge
from stages.transition.seen_scene import SeenScene
from stages.transition.still import Pictures, unless_moved
from stages.transition.window import Window, clean_beside, with_color

COARSE_PIXELS = 320 * 180  # size at which the progress is searched first
COARSE_REACH = 1 / 64  # how far the search's progress may be wrong
COARSE_STEPS = 11
FINE_STEPS = 9  # in full size, a step being half a pixel
MOST_SHRUNK = 3.0  # how much smaller a frame may show a scene: beyond, the clean frame is better
OWN_PART = 0.99  # part of a pixel that has to be the scene's own, so that it counts as shown
LEAST_CLEAN_FRAMES = (
    2  # clean frames of a scene from which the nearest one is looked at as a mixed one
)
MOTION_PIXELS = 160 * 90  # size at which the motion of the cameras is measured


@dataclass(frozen=True)
class PlacedFrame:
    """One mixed frame taken apart.

    layers: the outgoing and the incoming scene, ``(3, H, W)`` each.
    shown: where the frame shows them, ``(1, H, W)`` each.
    weight: the mean weight of the incoming scene.
    visible: the share of both scenes' pixels that the frame shows.
    error: mean squared error of the layers, placed again, against the frame.
    """

    layers: Pair
    shown: Pair
    weight: float
    visible: float
    error: float


def separate_placed(
    window: Window,
    transition: Transition,
    progress: Callable[[float, str], None],
    put: PutLayers,
    pictures: Pictures = (None, None),
) -> DirectSeparation:
    """Take a transition apart whose kind is undone by placements.

    window: its frames with clean ones at both sides.
    progress: called with the fraction done and a note.
    put: called for each frame.
    pictures: of the scenes that stand still, :func:`stages.transition.still.still_pictures`.
    """
    seconds: dict[str, float] = defaultdict(float)
    placer = TRANSITION_KINDS[transition.kind].effects[transition.effect or ""]
    wide = _widened(window, transition)
    lead = transition.first_frame - wide.first_frame
    own = range(lead, lead + len(transition))
    clean = clean_beside(window, wide)
    parts: list[PlacedFrame] = []
    with clocked(seconds, "motion"):
        guesses, motions = _progress_and_motions(window, wide, placer)
    with clocked(seconds, "finish"):
        blocks = window.blocks(transition.first_frame, transition.last_frame)
        overlay = fixed_overlay(clean, (block.pixels for block in blocks))
        scenes = _MovingScenes(clean, motions, overlay, own)
        frames = mixed_frames(window, wide, _half(progress, 0), "looking for places")
        placements, first_seen = _find_places(frames, placer, guesses, scenes)
        frames = mixed_frames(window, wide, _half(progress, 1), "moving pixels back")
        for number, frame, part in _take_frames_apart(frames, placements, scenes, first_seen):
            put(number - lead, frame.clone(), _without_noise(part.layers, pictures), None)
            parts.append(part)
    count = len(parts)
    return DirectSeparation(
        mix=tuple(part.weight for part in parts),
        visible=sum(part.visible for part in parts) / count,
        reconstruction_psnr=psnr_of(sum(part.error for part in parts) / count),
        seconds=dict(seconds),
    )


@dataclass(frozen=True)
class _MovingScenes:
    """Both scenes of a transition, as far as they are known before its frames are taken apart.

    clean: their nearest clean frames ``(3, H, W)``. motions: of their cameras since then, for each
    frame. overlay: what stays in its place. own: the numbers of the frames that are the
    transition's own; the others are clean frames beside it.
    """

    clean: Pair
    motions: tuple[list[Params], list[Params]]
    overlay: FixedOverlay
    own: range

    def moved_to(self, number: int) -> Pair:
        """Return the clean frames ``(3, H, W)`` as the cameras see them in a frame."""
        outgoing, incoming = self.motions
        return (
            moved_on(self.clean[0], outgoing[number]),
            moved_on(self.clean[1], incoming[number]),
        )


def _find_places(
    frames: Iterable[tuple[int, Tensor]],
    placer: Placer,
    guesses: Sequence[float],
    scenes: _MovingScenes,
) -> tuple[list[Placement], SeenScene]:
    """Return the placement of each frame, and the incoming scene as it is first seen.

    frames: their numbers, from 0, and pixels ``(3, H, W)``. guesses: the progress of each.
    """
    placements: list[Placement] = []
    first_seen = SeenScene(scenes.clean[1])
    for number, frame in frames:
        near = scenes.moved_to(number)
        placement = refined_placement(placer, guesses[number], frame, near, scenes.overlay)
        placements.append(placement)
        if number in scenes.own:
            layer, shown = _moved_back(frame, placement, "incoming", near[1], scenes.overlay)
            first_seen = first_seen.with_new(layer, shown, scenes.motions[1][number])
    return placements, first_seen


def _take_frames_apart(
    frames: Iterable[tuple[int, Tensor]],
    placements: Sequence[Placement],
    scenes: _MovingScenes,
    first_seen: SeenScene,
) -> Iterator[tuple[int, Tensor, PlacedFrame]]:
    """Yield the number, the pixels and the layers of each of the transition's own frames.

    frames: their numbers, from 0, and pixels ``(3, H, W)``. first_seen: the incoming scene. Where a
    frame does not show the outgoing scene, it is taken as the frames before have shown it last.
    """
    last_seen = SeenScene(scenes.clean[0])
    for number, frame in frames:
        if number not in scenes.own:
            continue
        outgoing_motion, incoming_motion = (motions[number] for motions in scenes.motions)
        seen = last_seen.at(outgoing_motion), first_seen.at(incoming_motion)
        near = scenes.moved_to(number)
        part = take_apart(frame, placements[number], near, seen, scenes.overlay)
        last_seen = last_seen.with_latest(part.layers[0], part.shown[0], outgoing_motion)
        yield number, frame, part


def _widened(window: Window, transition: Transition) -> Transition:
    """Return the transition with the clean frames beside it, as far as more of them remain.

    The search does not see a first step of a pixel, but a template that moved by it is blurred
    against all other frames.
    """
    first, last, mix = transition.first_frame, transition.last_frame, transition.mix
    if transition.outgoing is not None and first - window.first >= LEAST_CLEAN_FRAMES:
        first, mix = first - 1, (0.0, *mix)
    if transition.incoming is not None and window.last - last >= LEAST_CLEAN_FRAMES:
        last, mix = last + 1, (*mix, 1.0)
    return replace(transition, first_frame=first, last_frame=last, mix=mix)


def _without_noise(layers: Pair, pictures: Pictures) -> Pair:
    """Return the layers ``(3, H, W)`` with the pictures of still scenes where nothing moves."""
    outgoing, incoming = (
        layer if picture is None else unless_moved(layer, picture)
        for layer, picture in zip(layers, pictures, strict=True)
    )
    return outgoing, incoming


def _half(progress: Callable[[float, str], None], number: int) -> Callable[[float, str], None]:
    """Return the progress of the first (0) or the second (1) of two passes."""
    return lambda done, note: progress((number + done) / 2, note)


def _progress_and_motions(
    window: Window, transition: Transition, placer: Placer
) -> tuple[list[float], tuple[list[Params], list[Params]]]:
    """Return each mixed frame's progress, and both cameras' motion in it since the clean frames."""
    small = window.shrunk(MOTION_PIXELS)
    first, last = transition.first_frame - window.first, transition.last_frame - window.first
    before, after = max(0, first - 1), min(len(small) - 1, last + 1)
    clean = with_color((small[before], small[after]), transition)
    size = small.shape[-2], small.shape[-1]
    mixed = small[first : last + 1]
    overlay = fixed_overlay(clean, [mixed])
    beyond = (
        small[before - 1] if before > 0 else None,
        small[after + 1] if after + 1 < len(small) else None,
    )
    progress = [
        refined_progress(placer, progress_of(placer, weight, size), frame, clean, overlay)
        for frame, weight in zip(mixed, transition.mix, strict=True)
    ]
    motions = _motions_at(progress, placer, mixed, clean, beyond, overlay)
    counted = 1 - overlay.with_margin()
    # A second round gains nothing more.
    progress = [
        progress_by_edge(placer, value, frame, clean, (moves[0], moves[1]), counted)
        for value, frame, *moves in zip(progress, mixed, *motions, strict=True)
    ]
    motions = _motions_at(progress, placer, mixed, clean, beyond, overlay)
    return progress, motions


def _motions_at(
    progress: list[float],
    placer: Placer,
    mixed: Tensor,
    clean: Pair,
    beyond: tuple[Tensor | None, Tensor | None],
    overlay: FixedOverlay,
) -> tuple[list[Params], list[Params]]:
    """Return the motion of both cameras since the clean frames, for a progress of each frame.

    mixed: the frames, ``(n, 3, h, w)``. clean, beyond: the scenes' nearest clean frames and the
    ones beyond these, ``(3, h, w)``. overlay: what stays in its place.
    """
    aspect = mixed.shape[-2] / mixed.shape[-1]
    motions_of_sides: list[list[Pair]] = [[], []]
    for frame, value in zip(mixed, progress, strict=True):
        placement = placer(value, aspect)
        for pairs, side, own in zip(motions_of_sides, SIDES, clean, strict=True):
            pairs.append(_moved_back(frame, placement, side, own, overlay))
    scenes = [
        ShownScene(
            own,
            further,
            torch.stack([layer for layer, _ in pairs]),
            torch.stack([shown for _, shown in pairs]),
        )
        for own, further, pairs in zip(
            clean, beyond, (motions_of_sides[0], motions_of_sides[1][::-1]), strict=True
        )
    ]
    return camera_motions(scenes[0]), camera_motions(scenes[1])[::-1]


def refined_placement(
    placer: Placer, guess: float, frame: Tensor, clean: Pair, overlay: FixedOverlay | None = None
) -> Placement:
    """Return the placement at the progress that :func:`refined_progress` returns."""
    aspect = frame.shape[-2] / frame.shape[-1]
    return placer(refined_progress(placer, guess, frame, clean, overlay), aspect)


def refined_progress(
    placer: Placer, guess: float, frame: Tensor, clean: Pair, overlay: FixedOverlay | None = None
) -> float:
    """Return the progress near a guess that makes the two clean frames most like ``frame``.

    frame, clean: ``(3, H, W)``. overlay: what stays in its place, which does not count.
    """
    height, width = frame.shape[-2:]
    aspect = height / width
    scale = min(1.0, (COARSE_PIXELS / (height * width)) ** 0.5)
    counted = frame.new_ones(1, height, width) if overlay is None else 1 - overlay.with_margin()
    # A fourth channel says which pixels count. It moves with the scenes, as their overlay does.
    full = [torch.cat([part, counted]) for part in (frame, *clean)]
    small = [_shrunk(part, scale) for part in full]

    def error(progress: float, target: Tensor, scenes: Pair) -> float:
        placed = place(scenes, placer(progress, aspect))
        counted = placed[3:] * target[3:]
        wrong = (counted * (placed[:3] - target[:3]) ** 2).mean()
        return float(wrong / counted.mean().clamp_min(1e-6))

    def best(values: Tensor, target: Tensor, *scenes: Tensor) -> float:
        errors = [error(float(value), target, (scenes[0], scenes[1])) for value in values]
        return float(values[int(torch.tensor(errors).argmin())])

    reach = torch.linspace(-COARSE_REACH, COARSE_REACH, COARSE_STEPS)
    rough = best((guess + reach).clamp(0, 1), *small)
    # Steps are counted from whole pixels: editors move scenes by whole pixels, which blurs nothing.
    half_pixels = 2 * max(height, width)
    start = round(rough * half_pixels) - FINE_STEPS // 2
    fine = (start + torch.arange(FINE_STEPS)) / half_pixels
    return best(fine.clamp(0, 1), *full)


def _shrunk(picture: Tensor, scale: float) -> Tensor:
    """Return a picture ``(C, H, W)`` at ``scale`` times its size, by area averages."""
    return functional.interpolate(picture[None], scale_factor=scale, mode="area")[0]


def take_apart(
    frame: Tensor, placement: Placement, clean: Pair, seen: Pair, overlay: FixedOverlay
) -> PlacedFrame:
    """Return the two layers of a frame ``(3, H, W)`` whose placement is known.

    clean: the scenes' nearest clean frames ``(3, H, W)``, for detail.
    seen: the scenes ``(3, H, W)`` as other frames show them, for what this one does not.
    overlay: what stays in its place, in both scenes.
    """
    outgoing, shown_outgoing = _moved_back(frame, placement, "outgoing", clean[0], overlay)
    incoming, shown_incoming = _moved_back(frame, placement, "incoming", clean[1], overlay)
    if placement.incoming_weight:
        seen = seen[0], over_one_color(frame, seen[1], placement.incoming_weight)
    layers = (
        overlay.paste_on(torch.where(shown_outgoing, outgoing, seen[0])),
        overlay.paste_on(torch.where(shown_incoming, incoming, seen[1])),
    )
    weight = placement.mean_weight(*frame.shape[-2:])
    visible = (shown_outgoing.float().mean() + shown_incoming.float().mean()) / 2
    error = ((place(layers, placement) - frame) ** 2).mean()
    shown = shown_outgoing, shown_incoming
    return PlacedFrame(layers, shown, weight, float(visible), float(error))


def _moved_back(
    frame: Tensor, placement: Placement, side: str, clean: Tensor, overlay: FixedOverlay
) -> Pair:
    """Return one scene as far as a frame shows it, ``(3, H, W)``, and where it does, ``(1, H, W)``.

    clean: the scene's nearest clean frame ``(3, H, W)``. It adds the detail that is lost where the
    frame shows the scene smaller or between pixels. Where pixels of the other scene take part,
    the scene does not count as shown, nor where the overlay covers it.
    """
    height, width = frame.shape[-2:]
    aspect = height / width
    places = pixel_places(height, width, aspect)
    there = placement.outgoing if side == "outgoing" else placement.incoming
    back = there.inverse()(*places)
    weight = placement.weight(*places, aspect, 1 / width)[None]
    own = sample(weight if side == "incoming" else 1 - weight, *back)
    shown = (own > OWN_PART) & (inside(*back, aspect, 1 / width) > 0.5)[None]
    shown = shown & (sample(overlay.with_margin(), *back) < 1 - OWN_PART)
    if max(there.scale) > MOST_SHRUNK:
        shown = torch.zeros_like(shown)
    detail = clean - sample(sample(clean, *there(*places)), *back)
    return (sample(frame, *back) + detail).clamp(0, 1), shown
