"""Answer the command ``probe``: what the search finds in a clip, as JSON values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.run.input_guard import states_of
from pipeline.run.manifest import checksums
from pipeline.runtime.progress import Step
from pipeline.settings import Settings
from pipeline.task import DiagnoseClip
from pipeline.tasks.transition.describe import describe_colors, describe_transition
from pipeline.tasks.transition.search import search
from pipeline.tasks.transition.search_cache import SearchCache, cache_folder
from pipeline.tasks.transition.transition_warnings import unseparated_warnings
from stages.diagnosis import NOT_THERE, THERE, ClipSample, Diagnosis
from stages.media.read import Clip
from stages.media.timecode import is_variable_rate
from stages.shots import Analysis


def probe(
    clip: Clip, settings: Settings, step: Step, diagnose_clip: DiagnoseClip
) -> Mapping[str, Any]:
    """Search the clip, or take what an earlier search found, and return it as JSON values.

    step: gets the progress. diagnose_clip: diagnoses the clip. Its answer is kept with the search,
    and returned as ``diagnosed``.
    """
    wants_cache = cache_folder() is not None and not settings.no_cache
    before = states_of(settings.inputs)
    sums = checksums(settings.inputs, clip) if wants_cache else []
    if states_of(settings.inputs) != before:
        # The input changed while it was read. Without checksums the cache keeps nothing.
        sums = []
    cache = SearchCache(clip, settings, sums)
    searched = cache.load()
    if searched is None:
        searched = search(clip, settings, step)
        cache.save(searched)
    clip.frame_index = searched.frame_index
    facts = _found(searched.analysis)
    diagnosed = diagnose_clip(facts, searched.diagnosed)
    if diagnosed is not None and diagnosed != searched.diagnosed:
        cache.save(replace(searched, diagnosed=diagnosed))
    if searched.source != "search":
        facts["search"] = searched.source
    if is_variable_rate(searched.times, clip.info.rate):
        facts["variable_rate"] = True
    return {**facts, "diagnosed": diagnosed}


def _found(analysis: Analysis) -> dict[str, Any]:
    """Return all that was found, as ``probe --json`` shows it."""
    return {
        "frames": analysis.frames,
        "shots": [
            {"first_frame": shot.first_frame, "last_frame": shot.last_frame}
            for shot in analysis.shots
        ],
        "transitions": [describe_transition(transition) for transition in analysis.transitions],
        "colors": describe_colors(analysis),
        "warnings": unseparated_warnings(analysis),
    }


def diagnose(sample: ClipSample) -> Diagnosis:
    """Return the verdict on cuts and transitions, which the search has found."""
    if sample.unordered:
        return Diagnosis("transitions", NOT_THERE, "separate pictures have no order in time")
    counts = Counter(entry["kind"] for entry in sample.search.get("transitions", ()))
    if not counts:
        return Diagnosis("transitions", NOT_THERE, "one shot, without a cut or a transition")
    kinds = [f"{count} {kind}" for kind, count in sorted(counts.items())]
    mixed = sum(count for kind, count in counts.items() if kind != "cut")
    return Diagnosis("transitions", THERE, ", ".join(kinds), {"mixed": mixed, **counts})
