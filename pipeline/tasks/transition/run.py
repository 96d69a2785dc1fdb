"""Undo the transitions of a clip: each shot becomes one whole scene.

A run finds the transitions, separates one after another, and writes all scenes in one last pass
over the clip. Memory is bounded by one transition's window, whatever the clip's length, because
separated frames wait on disk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from pipeline.framewise.statistics import weighted_mean
from pipeline.runtime.memory import check_disk, uncompressed_bytes
from pipeline.runtime.progress import Step
from pipeline.task import FitRecord, Job, Result
from pipeline.tasks.transition.describe import (
    account,
    describe_colors,
    describe_transition,
)
from pipeline.tasks.transition.search import SearchResult, search
from pipeline.tasks.transition.search_cache import SearchCache
from pipeline.tasks.transition.separate import (
    SeparatedTransition,
    TransitionWork,
    checkpoint_folder,
    separate,
    window_of,
)
from pipeline.tasks.transition.transition_warnings import (
    anchor_warnings,
    search_warnings,
    shortened_warning,
)
from pipeline.tasks.transition.write import write_layers
from stages.context import FitSettings
from stages.media.clip import FrameIndex
from stages.media.timecode import is_variable_rate
from stages.shots import Analysis, ColorGap, Shot, Transition
from stages.transition.plan import LARGEST_WORK_PIXELS, PLANS, Plan, plans_for
from stages.transition.separate import open_mixture

WRITING_SHARE = 0.2
"""The part of what is left of a time budget that is kept for writing, at most, 0 to 1."""

WRITING_COST = 4
"""How many times as long writing takes as the search, which decodes the same frames small."""


def run(job: Job) -> Result:
    """Run the task ``transition``; see :class:`pipeline.task.Task`."""
    searched, mixed = _find(job)
    analysis = searched.analysis
    for text in search_warnings(analysis, listed=job.settings.shots is not None):
        job.stages.warn(text)
    results: dict[Transition, SeparatedTransition] = {}
    seconds: dict[str, float] = defaultdict(float)
    if mixed:
        _check_disk(job, range(len(mixed)), mixed)
        with job.stages.stage("separate", within=lambda: seconds) as step:
            plans = _plans(job, analysis, mixed, step)
            if (shortened := shortened_warning(plans)) is not None:
                job.stages.warn(shortened)
            for number, transition in enumerate(mixed):
                work = TransitionWork(job, analysis, transition, number, len(mixed), plans[number])
                result = separate(work, step)
                results[transition] = result
                # What an earlier process separated took no time of this one.
                if result.fresh:
                    for name, spent in result.seconds.items():
                        seconds[name] += spent
    separated = list(results.values())
    entries = [
        results[item].entry if item in results else describe_transition(item)
        for item in analysis.transitions
    ]
    with job.stages.stage("write") as step:
        layers = write_layers(job, separated, searched, entries, step)
    return Result(
        layers=tuple(layers),
        frames=None if job.settings.is_trimmed else analysis.frames,
        transitions=tuple(entries),
        sheets=tuple(job.work / item.sheet for item in separated),
        report=_report(separated, searched.source),
        fits=tuple(_fit_record(item) for item in separated if not item.transition.is_held),
        colors=tuple(describe_colors(analysis)),
        variable_rate=is_variable_rate(searched.times, job.clip.info.rate),
    )


def count_parts(job: Job) -> int:
    """Return how many transitions there are to separate; see :class:`pipeline.task.RunParts`."""
    searched, mixed = _find(job)
    _plans(job, searched.analysis, mixed, lambda fraction, note: None)
    return len(mixed)


def separate_part(job: Job, number: int) -> None:
    """Separate transition ``number``, from 0, and keep its layers in the checkpoints."""
    searched, mixed = _find(job)
    _check_disk(job, [number], mixed)
    with job.stages.stage("separate") as step:
        plans = _plans(job, searched.analysis, mixed, step)
        analysis, transition = searched.analysis, mixed[number]
        work = TransitionWork(job, analysis, transition, number, len(mixed), plans[number])
        separate(work, step)


def _check_disk(job: Job, numbers: Iterable[int], mixed: Sequence[Transition]) -> None:
    """Raise UnlayerError where the disk has no room for the frames of these transitions.

    Frames wait on disk until the end. Those of an interrupted run need no more room.
    """
    frame_bytes = uncompressed_bytes(job.clip.info)
    needed = 0
    for number in numbers:
        scenes = 2 - (mixed[number].outgoing, mixed[number].incoming).count(None)
        folder = job.checkpoints.namespace(checkpoint_folder(number)).folder
        present = sum(path.stat().st_size for path in folder.glob("*.npy"))
        needed += max(0, scenes * frame_bytes * len(mixed[number]) - present)
    check_disk(job.work, needed)


def _find(job: Job) -> tuple[SearchResult, list[Transition]]:
    """Return what the search finds, and the transitions through which scenes go on."""
    with job.stages.stage("find") as step:
        searched = job.checkpoints.get_or_compute(
            "find",
            lambda: _search(job, step),
            SearchResult,
            Analysis,
            Shot,
            Transition,
            ColorGap,
            FrameIndex,
        )
    if job.checkpoints.has("find"):
        job.checkpoints.delete("search")
    job.clip.frame_index = searched.frame_index
    for text in anchor_warnings(searched.analysis, is_given=job.settings.names_transitions):
        job.stages.warn(text)
    return searched, [item for item in searched.analysis.transitions if item.extends_shots]


def _search(job: Job, step: Step) -> SearchResult:
    """Return what the search finds, or what an earlier search of this input found."""
    cache = SearchCache(job.clip, job.settings, job.sums)
    result = cache.load()
    if result is None:
        result = search(job.clip, job.settings, step, checkpoints=job.checkpoints)
        cache.save(result)
    return result


def _plans(job: Job, analysis: Analysis, mixed: Sequence[Transition], step: Step) -> list[Plan]:
    """Return the plan of each transition, all fixed before the first is separated.

    Plans for a time budget are kept, so that a resumed run uses the same. A transition through
    which scenes are only held takes none of the time, and its plan says nothing.
    """
    preset = PLANS[job.settings.preset]
    fitted = [item for item in mixed if item.separable]
    if job.settings.max_seconds is None or not fitted:
        return [preset] * len(mixed)

    def measured() -> list[Plan]:
        step(0.0, "measuring this machine")
        settings = FitSettings(
            job.settings.preset, job.settings.seed, job.device, _seconds_to_separate(job)
        )
        return plans_for(
            open_mixture(window_of(job, analysis, fitted[0]), fitted[0], LARGEST_WORK_PIXELS),
            [len(item) for item in fitted],
            settings,
        )

    plans = dict(
        zip(fitted, job.checkpoints.compute_and_save("plans", measured, Plan), strict=True)
    )
    return [plans.get(item, preset) for item in mixed]


def _seconds_to_separate(job: Job) -> float | None:
    """Return the seconds left for all transitions together; ``None`` without a budget."""
    seconds_left = job.budget.left()
    if seconds_left is None:
        return None
    # Writing decodes the clip again at full size and encodes it.
    writing = WRITING_COST * job.stages.seconds.get("find", 0.0)
    return seconds_left - min(WRITING_SHARE * seconds_left, writing)


def _fit_record(item: SeparatedTransition) -> FitRecord:
    """Return the losses of one transition for the report."""
    transition = item.transition
    return FitRecord(transition.kind, transition.first_frame, transition.last_frame, item.trace)


def _report(separated: Sequence[SeparatedTransition], source: str) -> dict[str, object]:
    """Return the figures of all transitions, as means weighted by frames, and of each one.

    source: where the transitions come from, see :class:`SearchResult`. It is a figure of its own
    unless it is ``search``.
    """
    figures: dict[str, object] = {"reconstruction_psnr": None}
    if source != "search":
        figures["search"] = source
    figures |= _means(separated)
    figures |= account(figures.get("explained"), [item.entry for item in separated])
    figures["transitions"] = [
        {
            "first_frame": item.transition.first_frame,
            **{name: round(value, 4) for name, value in item.report.items()},
            "seconds": {name: round(spent, 3) for name, spent in item.seconds.items()},
            "plan": item.plan,
            "reduced": item.reduced,
        }
        for item in separated
    ]
    return figures


def _means(separated: Sequence[SeparatedTransition]) -> dict[str, float]:
    """Return the mean of each figure over the transitions that have it, weighted by frames."""
    means = {}
    for name in sorted({name for item in separated for name in item.report}):
        pairs = [
            (item.report[name], len(item.transition)) for item in separated if name in item.report
        ]
        means[name] = round(weighted_mean(pairs), 4)
    return means
