"""Separate one transition: choose the method, run it, and finish the frames at full size.

Transitions that need no fit are undone directly, at full size. All others are separated at a
working size of bounded area: by :mod:`stages.transition.by_matte` where there is a hard matte, else
by :mod:`stages.transition.alternate`, or by networks alone. Their layers are then enlarged and made
to mix to the input, frame by frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor

from stages.context import FitSettings
from stages.kinds import DISSOLVE, TRANSITION_KINDS, kind_of_filter
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture, Side, project
from stages.mixing.psnr import psnr_of
from stages.motion.carry import CarriedLayers, carried_layers
from stages.optim.fit import FitPlan
from stages.optim.loss_curves import Curves, Trace, thinned
from stages.optim.timing import clocked
from stages.published.transition import fit_transition
from stages.shots import Space, Transition
from stages.storage.checkpoint import CheckpointStore, NoCheckpoints
from stages.transition.alternate import Reporting, alternate
from stages.transition.bars import between_bars, put_with_bars, shared_bars
from stages.transition.by_matte import separate_by_matte
from stages.transition.confidence import expected_psnr, expected_psnr_of_hidden
from stages.transition.direct import DirectSeparation, PutLayers
from stages.transition.filtered import filter_in, separate_filtered
from stages.transition.finish import finish, squared_error
from stages.transition.fitted_transition import FittedTransition, no_motion
from stages.transition.held import hold_scenes
from stages.transition.networks import fit_layers
from stages.transition.placed import separate_placed
from stages.transition.plan import LARGEST_WORK_PIXELS, Plan, plan_for
from stages.transition.rearranged import compare_pieces, separate_rearranged
from stages.transition.separated_frame import PutFrame, SeparatedFrame
from stages.transition.still import (
    Pictures,
    explain_mixed_frames,
    separate_still,
    still_pictures,
    still_side,
)
from stages.transition.window import Window, plain_color

FIT_END = 0.98
"""Progress of a transition, 0 to 1, when the fit at the working size is done."""


Progress = Callable[[float, str], None]
"""Takes the fraction done and a note."""

DirectMethod = Callable[[PutLayers], DirectSeparation]
"""Separates a transition without a fit and passes each frame's layers on."""


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
    filter: the name of a filter over both scenes that only showed at full size; None where there is
        none, or where the search had found it already.
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
    progress: Progress,
    put: PutFrame,
    plan: Plan | None = None,
    checkpoints: CheckpointStore | None = None,
) -> TransitionResult:
    """Separate ``transition`` and pass its layers to ``put``, one frame at a time.

    The simplest method that explains the transition does it: placements, filters, still scenes, or
    else a fit. Dark bars that all frames share are left out of all but filters, and are as in the
    input in all scenes. If its kind is not known, both scenes hold their clean frames.

    window: the mixed frames with clean ones at both sides. Few are held at full size at a time.
    settings: preset or budget, seed and device. progress: takes the fraction done and a note.
    plan: the work to do, chosen by ``settings`` unless given.
    checkpoints: where an interruptible run saves what is done.

    Raises FitError where a fit diverges and UsageError where the clip lacks frames of the window.
    """
    if transition.is_held:
        hold_scenes(window, transition, progress, put)
        return TransitionResult(transition.mix, False, transition.space)
    # The blocks of a filter count from the corner of the whole frame, bars included.
    if transition.kind == DISSOLVE and (name := filter_in(window, transition)) is not None:
        filtered = replace(transition, kind=kind_of_filter(name), effect=name)
        method = _filter_method(window, filtered, progress)
        return replace(_separate_directly(filtered, put, method), filter=name)
    if TRANSITION_KINDS[transition.kind].undo == "filter":
        return _separate_directly(transition, put, _filter_method(window, transition, progress))
    bars = shared_bars(window)
    if bars:
        put = put_with_bars(put, window, transition, bars)
        window = between_bars(window, bars)
    alone = plan.networks_alone if plan else settings.networks_alone
    pictures = (None, None) if alone else still_pictures(window, transition)
    direct_method = _direct_method(window, transition, pictures, progress)
    if direct_method is not None:
        return _separate_directly(transition, put, direct_method)
    reporting = Reporting(progress, defaultdict(float), checkpoints or NoCheckpoints())
    plan = plan or _planned(window, transition, settings, reporting)
    return _separate_by_fit(window, transition, plan, pictures, settings, reporting, put)


def _direct_method(
    window: Window, transition: Transition, pictures: Pictures, progress: Progress
) -> DirectMethod | None:
    """Return what separates a transition directly, or None where a fit is needed.

    pictures: as :func:`stages.transition.still.still_pictures` returns them.
    """
    outgoing, incoming = pictures
    if outgoing is not None and incoming is not None:
        still = _still_method(window, transition, (outgoing, incoming), progress)
        if still is not None:
            return still
    if TRANSITION_KINDS[transition.kind].undo == "placement":
        return lambda put: separate_placed(window, transition, progress, put, pictures)
    return None


def _still_method(
    window: Window, transition: Transition, scenes: Pair, progress: Progress
) -> DirectMethod | None:
    """Return what separates a transition between two still scenes; None where they move in it.

    scenes: their pictures, ``(1, 3, H, W)``.
    """
    kind = TRANSITION_KINDS[transition.kind]
    mixed = kind.undo != "placement" and explain_mixed_frames(window, transition, scenes)
    if not mixed and (kind.has_matte or kind.undo == "placement"):
        pieces = compare_pieces(window, transition, scenes)
        if pieces.are_rearranged:
            return lambda put: separate_rearranged(window, transition, scenes, progress, put)
        mixed = kind.has_matte and pieces.are_nearly_all_known
    if mixed:
        return lambda put: separate_still(window, transition, scenes, progress, put)
    return None


def _filter_method(window: Window, transition: Transition, progress: Progress) -> DirectMethod:
    """Return what separates a transition that filters both scenes."""
    return lambda put: separate_filtered(window, transition, progress, put)


def _planned(
    window: Window, transition: Transition, settings: FitSettings, reporting: Reporting
) -> Plan:
    """Return the plan that the preset or the time budget gives."""
    with clocked(reporting.seconds, "plan"):
        reporting.progress(0.0, "measuring this machine" if settings.max_seconds else "planning")
        return plan_for(open_mixture(window, transition, LARGEST_WORK_PIXELS), settings)


def _separate_by_fit(
    window: Window,
    transition: Transition,
    plan: Plan,
    pictures: Pictures,
    settings: FitSettings,
    reporting: Reporting,
    put: PutFrame,
) -> TransitionResult:
    """Separate a transition by a fit at the working size, and finish its frames at full size.

    pictures: the scenes that stand still, as :func:`stages.transition.still.still_pictures` returns
    them; at most one of them explains the mixed frames. Other arguments as in
    :func:`separate_transition`.
    """
    mixture = open_mixture(window, transition, plan.pixels)
    fitted = None
    if TRANSITION_KINDS[transition.kind].has_matte and not plan.networks_alone:
        fitted = _by_matte(mixture, transition, reporting)
    if fitted is not None:
        # The method with a hard matte has no steps that a plan could count.
        plan = Plan(plan.pixels, levels=(), turns=0)
    else:
        fitted = _by_plan(mixture, transition, plan, settings, reporting)
    still = still_side(pictures, fitted.mixture, fitted.layers)
    means: list[float] = []
    error = 0.0
    with clocked(reporting.seconds, "finish"):
        for place, (triplet, layers) in enumerate(finish(window, fitted, still, settings.device)):
            reporting.progress(FIT_END + (1 - FIT_END) * place / len(transition), "full size")
            error += squared_error(triplet, layers)
            means.append(float(triplet.weight[1].mean()))
            put(place, _separated_frame(triplet, layers))
    report = {
        "reconstruction_psnr": psnr_of(error / len(transition)),
        "trust": fitted.trust,
        "explained": fitted.trust,
        "invented": 1 - fitted.trust,
        "fit_steps": float(fitted.fit_steps),
        "turns": float(plan.turns * plan.rounds),
        "work_height": float(fitted.mixture.size[0]),
        "work_width": float(fitted.mixture.size[1]),
    }
    return TransitionResult(
        mix=tuple(means),
        has_matte=fitted.mixture.has_matte,
        space=fitted.mixture.space,
        seconds=dict(reporting.seconds),
        report=report,
        plan=asdict(plan),
        confidence=() if still is not None else _confidence(plan, fitted),
        trace=thinned(fitted.trace),
    )


def _by_plan(
    mixture: Mixture,
    transition: Transition,
    plan: Plan,
    settings: FitSettings,
    reporting: Reporting,
) -> FittedTransition:
    """Return the layers at the working size, by the method that the plan names."""
    if plan.paper_steps:
        return _published(mixture, plan, settings, reporting)
    if plan.coupled_steps:
        return _coupled(mixture, transition.kind, plan, settings, reporting)
    return alternate(mixture, transition.kind, plan, settings, reporting)


def _by_matte(
    mixture: Mixture, transition: Transition, reporting: Reporting
) -> FittedTransition | None:
    """Return the layers and a hard matte that are found in turn; None where the matte is soft."""
    with clocked(reporting.seconds, "matte"):
        return separate_by_matte(
            mixture,
            transition.kind,
            transition.effect,
            lambda fraction: reporting.progress(FIT_END * fraction, "matte and scenes"),
        )


def _separated_frame(triplet: Mixture, layers: Pair) -> SeparatedFrame:
    """Return a finished frame on the CPU.

    triplet: the window of three frames around it. layers: ``(3, H, W)`` each.
    """
    matte = triplet.weight[1].cpu() if triplet.has_matte else None
    # A copy, because the next frame is read into the same place.
    return SeparatedFrame(triplet.frames[1].clone().cpu(), layers[0].cpu(), layers[1].cpu(), matte)


def _confidence(plan: Plan, fitted: FittedTransition) -> tuple[tuple[float, ...], ...]:
    """Return the PSNR that is expected of both scenes, in dB, where neither stands still.

    Empty for transitions of other kinds than those whose PSNR the expectation was fitted to.
    """
    mixture = fitted.mixture
    if fitted.variance is not None:
        return expected_psnr_of_hidden(mixture, fitted.variance)
    if plan.paper_steps or plan.coupled_steps or mixture.has_matte or mixture.locked:
        return ()
    return expected_psnr(mixture, fitted.carried.layers, fitted.layers)


def _separate_directly(
    transition: Transition, put: PutFrame, separate: DirectMethod
) -> TransitionResult:
    """Run ``separate``, which needs no fit, and return its result in the form of all others."""
    has_matte = False

    def put_frame(number: int, frame: Tensor, layers: Pair, matte: Tensor | None) -> None:
        nonlocal has_matte
        has_matte = matte is not None
        put(number, SeparatedFrame(frame, *layers, matte))

    separation = separate(put_frame)
    report = {
        "reconstruction_psnr": separation.reconstruction_psnr,
        "trust": separation.visible,
        "explained": separation.visible,
        "invented": 1 - separation.visible,
    }
    return TransitionResult(
        mix=separation.mix,
        has_matte=has_matte,
        space=transition.space,
        seconds=separation.seconds,
        report=report,
    )


def _published(
    mixture: Mixture, plan: Plan, settings: FitSettings, reporting: Reporting
) -> FittedTransition:
    """Return the layers of the published method: networks alone, the residual distributed."""
    with clocked(reporting.seconds, "networks"):
        result = fit_transition(
            mixture,
            steps=plan.paper_steps,
            seed=settings.seed,
            device=settings.device,
            on_step=lambda fraction, _: reporting.progress(
                FIT_END * fraction, "published networks"
            ),
            checkpoints=reporting.checkpoints,
        )
    scenes = result.outgoing, result.incoming
    return _without_motion(mixture, scenes, plan.paper_steps, result.trace)


def _coupled(
    mixture: Mixture, kind: str, plan: Plan, settings: FitSettings, reporting: Reporting
) -> FittedTransition:
    """Return the layers of the generators alone, the residual distributed.

    The weights are fitted together with the layers: one curve over time, or a matte where the kind
    of transition has one.
    """
    if TRANSITION_KINDS[kind].undo == "matte":
        mixture = replace(mixture, weight=mixture.weight.expand(-1, 1, *mixture.size).contiguous())
    trace = Trace()

    def note(fraction: float, losses: Mapping[str, float]) -> None:
        reporting.progress(FIT_END * fraction, "networks")
        trace.add("networks", fraction, losses)

    with clocked(reporting.seconds, "networks"):
        result = fit_layers(
            mixture,
            plan=FitPlan(plan.coupled_steps),
            seed=settings.seed,
            device=settings.device,
            on_step=note,
        )
    mixture = replace(mixture, weight=result.weight)
    scenes = result.outgoing, result.incoming
    return _without_motion(mixture, scenes, plan.coupled_steps, trace.curves())


def _without_motion(mixture: Mixture, layers: Pair, steps: int, trace: Curves) -> FittedTransition:
    """Return the result of networks alone, whose layers are made to mix to the input.

    layers: both scenes over the window, ``(N, 3, H, W)``. steps: of the networks.
    """
    flows = no_motion(mixture)
    carried = CarriedLayers(flows, (0, 0), carried_layers(mixture, flows))
    projected = project(mixture, *mixture.of_mixed(layers))
    return FittedTransition(projected, carried, mixture, trust=0.0, fit_steps=steps, trace=trace)


def open_mixture(window: Window, transition: Transition, pixels: int) -> Mixture:
    """Return the window as a mixture with the weights that the search found.

    pixels: most pixels of a frame; larger frames are shrunk.

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
