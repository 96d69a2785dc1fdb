"""Separate one transition: at a working size of bounded area, then at full size, frame by frame.

The working size is :mod:`stages.transition.alternate`; this module opens the window before it and
finishes the frames after it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor

from stages.checkpoint import CheckpointStore, NoCheckpoints
from stages.context import FitSettings
from stages.kinds import DISSOLVE, TRANSITION_KINDS, kind_of_filter
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture, Side, project
from stages.mixing.pixel_matte import finer_weight
from stages.mixing.psnr import psnr_of
from stages.motion.carry import CarriedLayers, carried_layers
from stages.motion.flow import resize, resize_flow
from stages.optim.fit import FitPlan
from stages.optim.loss_curves import Curves, Trace, thinned
from stages.optim.timing import clocked
from stages.published.transition import fit_transition
from stages.shots import Space, Transition
from stages.transition.alternate import AlternationResult, Reporting, alternate, no_motion
from stages.transition.confidence import expected_psnr
from stages.transition.direct import DirectSeparation, PutLayers
from stages.transition.filtered import filter_in, separate_filtered
from stages.transition.networks import fit_layers
from stages.transition.placed import separate_placed
from stages.transition.plan import LARGEST, Plan, networks_alone, plan_for
from stages.transition.still import Known, separate_still, still_pictures, still_scenes, still_side
from stages.transition.window import Window, plain_color

BAND = 1 << 20
"""Pixels per band in which a frame is made to mix to the input: its temporaries need far more
memory than the band itself."""

WORK_END = 0.98
"""Progress of a transition when the work at the working size is done."""


@dataclass(frozen=True)
class SeparatedFrame:
    """One mixed frame and its layers at full size.

    frame, outgoing, incoming: ``(3, H, W)`` in [0, 1].
    matte: weight of the incoming scene, ``(1, H, W)``, where it varies over the picture.
    """

    frame: Tensor
    outgoing: Tensor
    incoming: Tensor
    matte: Tensor | None = None


PutFrame = Callable[[int, SeparatedFrame], None]
"""Takes the layers of one mixed frame; the first argument counts the mixed frames from 0."""


@dataclass(frozen=True)
class TransitionResult:
    """What was learnt about a transition, in addition to its layers.

    mix: weight of the incoming scene in each frame, its mean where there is a matte.
    has_matte: whether there is one. space: in which the scenes are mixed.
    seconds: by stage. report: figures for the manifest.
    plan: the work that was done, the fields of :class:`stages.transition.plan.Plan`.
    confidence: the PSNR in dB that each scene, outgoing and incoming, is expected to have in each
        frame; empty where nothing is known of it.
    trace: the losses.
    filter: the name of the filter over both scenes that showed in full size, where the search took
        the transition for a dissolve.
    """

    mix: tuple[float, ...]
    has_matte: bool
    space: Space
    seconds: dict[str, float] = field(default_factory=dict)
    report: dict[str, float] = field(default_factory=dict)
    plan: dict[str, object] = field(default_factory=dict)
    confidence: tuple[tuple[float, ...], ...] = ()
    trace: Curves = field(default_factory=dict)
    filter: str | None = None


def separate_transition(
    window: Window,
    transition: Transition,
    *,
    settings: FitSettings,
    progress: Callable[[float, str], None],
    put: PutFrame,
    plan: Plan | None = None,
    checkpoints: CheckpointStore | None = None,
) -> TransitionResult:
    """Separate ``transition`` and pass the layers of its frames to ``put``, one frame at a time.

    window: the mixed frames with clean ones at both sides; a few at a time are held at full size.
    settings: preset or budget, seed and device. progress: takes the fraction done and a note.
    plan: the work to do, chosen by ``settings`` unless given.
    checkpoints: where an interruptible run saves what is done.

    Raises FitError where a fit diverges and UsageError where the clip lacks frames of the window.
    """
    if TRANSITION_KINDS[transition.kind].undo == "placement":
        return _direct(
            transition, put, lambda take: separate_placed(window, transition, progress, take)
        )
    if TRANSITION_KINDS[transition.kind].undo == "filter":
        return _direct(
            transition, put, lambda take: separate_filtered(window, transition, progress, take)
        )
    if transition.kind == DISSOLVE and (name := filter_in(window, transition)) is not None:
        filtered = replace(transition, kind=kind_of_filter(name), effect=name)
        result = _direct(
            filtered, put, lambda take: separate_filtered(window, filtered, progress, take)
        )
        return replace(result, filter=name)
    alone = plan.networks_alone if plan else networks_alone(settings.preset)
    pictures = (None, None) if alone else still_pictures(window, transition)
    scenes = still_scenes(window, transition, pictures)
    if scenes is not None:
        still = scenes
        return _direct(
            transition, put, lambda take: separate_still(window, transition, still, progress, take)
        )
    seconds: dict[str, float] = defaultdict(float)
    if plan is None:
        with clocked(seconds, "plan"):
            progress(0.0, "measuring this machine" if settings.max_seconds else "planning")
            plan = plan_for(open_mixture(window, transition, LARGEST), settings)
    work = open_mixture(window, transition, plan.pixels)
    reporting = Reporting(progress, seconds, checkpoints or NoCheckpoints())
    if plan.paper_steps:
        done = _published(work, plan, settings, reporting)
    elif plan.coupled_steps:
        done = _coupled(work, transition.kind, plan, settings, reporting)
    else:
        done = alternate(work, transition.kind, plan, settings, reporting)
    known = still_side(pictures, done.mixture, done.layers)
    means: list[float] = []
    error = 0.0
    with clocked(seconds, "finish"):
        for place, (full, layers) in enumerate(finish(window, done, known, settings.device)):
            progress(WORK_END + (1 - WORK_END) * place / len(transition), "full size")
            frame = full.frames[1]
            weight = full.weight[1]
            error += _squared_error(full, layers)
            means.append(float(weight.mean()))
            matte = weight.cpu() if full.has_matte else None
            # A copy, because the next frame is read into the same place.
            put(place, SeparatedFrame(frame.clone().cpu(), layers[0].cpu(), layers[1].cpu(), matte))
    report = {
        "reconstruction_psnr": psnr_of(error / len(transition)),
        "trust": done.trust,
        "explained": done.trust,
        "invented": 1 - done.trust,
        "fit_steps": float(done.fit_steps),
        "turns": float(plan.turns * plan.rounds),
        "work_height": float(done.mixture.size[0]),
        "work_width": float(done.mixture.size[1]),
    }
    return TransitionResult(
        tuple(means),
        done.mixture.has_matte,
        done.mixture.space,
        dict(seconds),
        report,
        asdict(plan),
        _confidence(plan, done),
        thinned(done.trace),
    )


def _confidence(plan: Plan, done: AlternationResult) -> tuple[tuple[float, ...], ...]:
    """Return what is expected of both scenes; nothing where it was not fitted to such mixtures."""
    mixture = done.mixture
    if plan.paper_steps or plan.coupled_steps or mixture.has_matte or mixture.locked:
        return ()
    return expected_psnr(mixture, done.carried.layers, done.layers)


def _direct(
    transition: Transition, put: PutFrame, separate: Callable[[PutLayers], DirectSeparation]
) -> TransitionResult:
    """Return the result of a separation without a fit, which ``separate`` does."""

    def put_frame(number: int, frame: Tensor, layers: Pair, matte: Tensor | None) -> None:
        put(number, SeparatedFrame(frame, *layers, matte))

    done = separate(put_frame)
    report = {
        "reconstruction_psnr": done.reconstruction_psnr,
        "trust": done.visible,
        "explained": done.visible,
        "invented": 1 - done.visible,
    }
    has_matte = TRANSITION_KINDS[transition.kind].has_matte
    return TransitionResult(done.mix, has_matte, transition.space, done.seconds, report)


def _published(
    work: Mixture, plan: Plan, settings: FitSettings, reporting: Reporting
) -> AlternationResult:
    """Return the layers of the published method: networks alone, the residual distributed."""
    with clocked(reporting.seconds, "networks"):
        result = fit_transition(
            work,
            steps=plan.paper_steps,
            seed=settings.seed,
            device=settings.device,
            on_step=lambda done, _: reporting.progress(WORK_END * done, "published networks"),
            checkpoints=reporting.checkpoints,
        )
    return _unmoved(work, (result.outgoing, result.incoming), plan.paper_steps, result.trace)


def _coupled(
    work: Mixture, kind: str, plan: Plan, settings: FitSettings, reporting: Reporting
) -> AlternationResult:
    """Return the layers of the generators alone, the residual distributed.

    The weights are fitted with them: a curve, or a matte where the kind has one.
    """
    if TRANSITION_KINDS[kind].undo == "matte":
        work = replace(work, weight=work.weight.expand(-1, 1, *work.size).contiguous())
    trace = Trace()

    def note(done: float, losses: Mapping[str, float]) -> None:
        reporting.progress(WORK_END * done, "networks")
        trace.add("networks", done, losses)

    with clocked(reporting.seconds, "networks"):
        result = fit_layers(
            work,
            plan=FitPlan(plan.coupled_steps),
            seed=settings.seed,
            device=settings.device,
            on_step=note,
        )
    work = replace(work, weight=result.weight)
    return _unmoved(work, (result.outgoing, result.incoming), plan.coupled_steps, trace.curves())


def _unmoved(work: Mixture, layers: Pair, steps: int, trace: Curves) -> AlternationResult:
    """Return layers over the window that networks drew without motion, made to mix to the input."""
    flows = no_motion(work)
    carried = CarriedLayers(flows, (0, 0), carried_layers(work, flows))
    projected = project(work, *work.of_mixed(layers))
    return AlternationResult(projected, carried, work, 0.0, steps, trace)


def open_mixture(window: Window, transition: Transition, pixels: int) -> Mixture:
    """Return the window as a mixture with the weights that the search found.

    pixels: most pixels of a frame; larger ones are shrunk.

    Raises UsageError where the clip lacks frames of the window.
    """
    first = transition.first_frame - window.first
    last = transition.last_frame - window.first
    weight = torch.zeros(window.last - window.first + 1, 1, 1, 1)
    weight[first : last + 1, 0, 0, 0] = torch.tensor(transition.mix)
    weight[last + 1 :] = 1
    mixture = Mixture(window.shrunk(pixels), weight, first, last, transition.space)
    color = plain_color(transition)
    if color is None:
        return mixture
    locked: Side = "outgoing" if transition.outgoing is None else "incoming"
    return replace(mixture, locked=locked, color=color)


def finish(
    window: Window,
    done: AlternationResult,
    known: Known | None = None,
    device: torch.device | None = None,
) -> Iterator[tuple[Mixture, Pair]]:
    """Yield each mixed frame at full size with its layers ``(3, H, W)``.

    The frame comes as a window of three: between the two clean frames that its layers are carried
    from. The window is overwritten when the next frame is taken. known: the scene that stands
    still, if one does; its picture replaces its layer. device: where to work, the CPU
    unless given; the results stay there.
    """
    device = device or torch.device("cpu")
    done = done.to(device)
    if known is not None:
        known = replace(known, picture=known.picture.to(device))
    work = done.mixture
    outgoing, incoming = (window.first + index for index in done.carried.templates)
    # One buffer for all frames: the middle one changes from frame to frame.
    frames = window.frames([outgoing, outgoing, incoming]).to(device)
    finer = work.has_matte and work.size != window.size
    place = 0
    for block in window.blocks(window.first + work.first, window.first + work.last):
        for frame in block.pixels:
            weight = work.weight[work.first + place][None]
            weight = resize(weight, window.size) if work.has_matte else weight
            around = torch.cat([torch.zeros_like(weight), weight, torch.ones_like(weight)])
            frames[1] = frame
            one = replace(work, frames=frames, weight=around, first=1, last=1)
            layers = full_size_layers(one, done, place)
            if finer:
                around[1] = finer_weight(frames[1:2], layers, weight)[0]
            yield one, finish_frame(one, layers, known)
            place += 1


def finish_frame(one: Mixture, layers: Pair, known: Known | None = None) -> Pair:
    """Return the layers ``(3, H, W)`` of one mixed frame, made to mix to it.

    one: a window of three frames whose middle one it is. layers: of :func:`full_size_layers`; they
    are overwritten.
    known: a scene that stands still; in a dissolve the other one then gets the whole residual.
    """
    _mix_in_bands(one, layers)
    if known is not None:
        picture = known.picture.clone()
        layers = (picture, layers[1]) if known.side == "outgoing" else (layers[0], picture)
        # A small error of a matte at its edge would become a large one of the other scene.
        if not one.has_matte:
            _mix_in_bands(replace(one, locked=known.side), layers)
    return layers[0][0], layers[1][0]


def full_size_layers(one: Mixture, done: AlternationResult, place: int) -> Pair:
    """Return the layers ``(1, 3, H, W)`` of one mixed frame, before they are made to mix to it.

    The clean frames, carried at full size, give the detail; the layers of the working size give
    the rest.

    one: a window of three frames whose middle one it is. place: its number among the mixed frames.
    """
    at, size = slice(place, place + 1), one.size
    if done.layers[0].shape[-2:] == size:
        return done.layers[0][at].clone(), done.layers[1][at].clone()
    flows = done.carried.flows[0][at], done.carried.flows[1][at]
    sharp = carried_layers(one, (resize_flow(flows[0], size), resize_flow(flows[1], size)))
    outgoing, incoming = (
        carried + resize(layer[at] - blurred[at], size)
        for carried, layer, blurred in zip(sharp, done.layers, done.carried.layers, strict=True)
    )
    return outgoing, incoming


def _mix_in_bands(one: Mixture, layers: Pair) -> None:
    """Make the layers ``(1, 3, H, W)`` mix to the input, in place and a band at a time."""
    height = max(1, BAND // one.size[1])
    for top in range(0, one.size[0], height):
        _mix_again(one, layers, slice(top, top + height))


def _mix_again(one: Mixture, layers: Pair, rows: slice) -> None:
    """Make some rows of the layers ``(1, 3, H, W)`` mix to the input, in place.

    Pixels are independent of each other, so a band at a time is enough.
    """
    weight = one.weight[..., rows, :] if one.has_matte else one.weight
    band = replace(one, frames=one.frames[..., rows, :], weight=weight)
    outgoing = layers[0][..., rows, :]
    incoming = layers[1][..., rows, :]
    if one.locked:
        # The input's own error must not come into a faint scene before a known colour.
        outgoing, incoming = (layer.clamp(0, 1) for layer in project(band, outgoing, incoming))
    else:
        model = band.dissolve(band.weight[band.mixed])
        outgoing, incoming = model.reconcile(band.frames[band.mixed], outgoing, incoming)
    layers[0][..., rows, :] = outgoing
    layers[1][..., rows, :] = incoming


def _squared_error(full: Mixture, layers: Pair) -> float:
    """Return the mean squared error against the input of layers rounded to 8 bits, as in files.

    full: the window of three frames around the layers' frame.
    """
    rounded = [(layer * 255).round() / 255 for layer in layers]
    again = full.dissolve(full.weight[1]).mix(*rounded)
    return float(((again - full.frames[1]) ** 2).sum()) / full.frames[1].numel()
