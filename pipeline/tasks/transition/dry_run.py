"""Answer ``--dry-run`` for the task ``transition``: search the clip, measure a step, scale up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from pipeline.estimate.estimate import decode_and_encode
from pipeline.runtime.layer_format import layer_format
from pipeline.runtime.memory import BASE_BYTES, planned_bytes
from pipeline.task import DryRun, Estimate, Job
from pipeline.tasks.transition.confidence import SCENE_CONFIDENCE
from pipeline.tasks.transition.describe import (
    MIXED,
    describe_colors,
    describe_transition,
    numbered,
    scene_name,
)
from pipeline.tasks.transition.search import search
from pipeline.tasks.transition.separate import window_of
from pipeline.tasks.transition.transition_warnings import (
    anchor_warnings,
    unseparated_warnings,
)
from stages.context import FitSettings, confidence_name
from stages.kinds import TRANSITION_KINDS
from stages.media.formats import encoding_for
from stages.shots import Analysis, Transition
from stages.transition.plan import (
    LARGEST_WORK_PIXELS,
    Costs,
    Plan,
    bytes_of,
    plans_for,
    within_memory,
)
from stages.transition.separate import open_mixture

SEARCH_SECONDS = 30.0
"""Seconds after which the search stops; what it found until then stands for the rest."""


def dry_run(job: Job) -> DryRun:
    """Return what the search finds and what its separation would cost.

    A search that is stopped after :data:`SEARCH_SECONDS` is taken to stand for the whole clip.
    """
    began = time.monotonic()
    stopped_early = False

    def enough() -> bool:
        nonlocal stopped_early
        # Transitions that the user gave must be seen, wherever they are.
        is_late = time.monotonic() - began > SEARCH_SECONDS
        stopped_early = stopped_early or (is_late and not job.settings.names_transitions)
        return stopped_early

    with job.stages.stage("find") as step:
        analysis = search(job.clip, job.settings, step, enough=enough).analysis
    search_seconds = time.monotonic() - began
    with job.stages.stage("measure"):
        estimate = estimate_transitions(job, analysis)
    estimate = replace(estimate, seconds={"find": search_seconds, **estimate.seconds})
    notes = unseparated_warnings(analysis, listed=job.settings.shots is not None)
    frames = analysis.frames
    if stopped_early:
        note = (
            f"only {analysis.frames} frames were searched, in {SEARCH_SECONDS:g} s; "
            "the rest of the clip is assumed to be alike"
        )
        notes = [note, *notes]
        frames = job.clip.info.frames or analysis.frames
        estimate = _scaled(estimate, frames / analysis.frames)
    return DryRun(
        frames=frames,
        estimate=estimate,
        layers=_layers(job, analysis),
        found={
            "transitions": [describe_transition(item) for item in analysis.transitions],
            "colors": describe_colors(analysis),
        },
        warnings=tuple(anchor_warnings(analysis, is_given=job.settings.names_transitions)),
        notes=tuple(notes),
    )


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    """Return the estimate with its seconds multiplied by ``factor``, but never fewer."""
    factor = max(1.0, factor)
    return replace(
        estimate,
        seconds={name: value * factor for name, value in estimate.seconds.items()},
        more=estimate.more * factor,
    )


def estimate_transitions(job: Job, analysis: Analysis) -> Estimate:
    """Return what separating the transitions of ``analysis`` would cost.

    One step of each kind is measured, and counted as often as the plans of the transitions have it.
    """
    mixed = [item for item in analysis.transitions if item.separable]
    seconds: dict[str, float] = {}
    plans: list[Plan] = []
    memory = 0
    more = 0.0
    if mixed:
        mixture = open_mixture(window_of(job, analysis, mixed[0]), mixed[0], LARGEST_WORK_PIXELS)
        settings = FitSettings(
            job.settings.preset, job.settings.seed, job.device, job.settings.max_seconds
        )
        alone = settings.networks_alone
        costs = Costs(mixture, settings, alone=alone)
        plans = plans_for(mixture, [len(item) for item in mixed], settings, costs)
        plans, memory = _within_memory(job, analysis, mixed, plans)
        if alone:
            steps = sum(plan.paper_steps + plan.coupled_steps for plan in plans)
            seconds["networks"] = steps * costs.alone_step
        else:
            seconds["separate"] = sum(
                costs.of(replace(plan, fit_steps=0), len(item))
                for plan, item in zip(plans, mixed, strict=True)
            )
            more = sum(plan.fit_steps * costs.fit_step for plan in plans)
    decode, encode = decode_and_encode(job)
    covered = [analysis.covered(shot) for shot in range(len(analysis.shots))]
    layer_frames = sum(last - first + 1 for first, last in covered)
    if job.settings.confidence:
        layer_frames *= 2
    seconds["write"] = analysis.frames * decode + layer_frames * encode
    return Estimate(seconds, BASE_BYTES + memory, more, tuple(asdict(plan) for plan in plans))


def _within_memory(
    job: Job, analysis: Analysis, mixed: Sequence[Transition], plans: Sequence[Plan]
) -> tuple[list[Plan], int]:
    """Return the plans as far as memory has room for them, and the bytes that the largest takes."""
    pixels = job.clip.info.width * job.clip.info.height
    bounded: list[Plan] = []
    largest = 0
    for plan, item in zip(plans, mixed, strict=True):
        window = window_of(job, analysis, item)
        clean = window.last - window.first + 1 - len(item)
        smaller = within_memory(plan, planned_bytes(job.settings), len(item), clean, pixels)
        bounded.append(smaller)
        largest = max(largest, bytes_of(smaller.pixels, len(item), clean, pixels))
    return bounded, largest


def _layers(job: Job, analysis: Analysis) -> list[dict[str, object]]:
    """Return the layers that the run would write: scenes, mattes, and mixed frames as they are."""
    settings, info = job.settings, job.clip.info
    layers: list[dict[str, object]] = []

    def add(name: str, role: str, first: int, last: int) -> None:
        is_data = role not in ("scene", MIXED)
        picture = info.is_picture and first == last
        wanted = layer_format(settings, info, picture=picture, data=is_data, gray=is_data)
        suffix = encoding_for(info, wanted).suffix
        span = {"first_frame": first, "last_frame": last}
        layers.append({"name": name, "role": role, "path": name + suffix, **span})

    for shot in range(len(analysis.shots)):
        covered = analysis.covered(shot)
        add(scene_name(shot), "scene", *covered)
        if settings.confidence:
            add(confidence_name(scene_name(shot)), SCENE_CONFIDENCE, *covered)
    extending = [item for item in analysis.transitions if item.extends_shots]
    for number, item in enumerate(extending):
        role = MIXED if item.is_held else "matte"
        if item.is_held or TRANSITION_KINDS[item.kind].has_matte:
            name = numbered(role, number, len(extending))
            add(name, role, item.first_frame, item.last_frame)
    return layers
