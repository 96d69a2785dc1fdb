"""Answer the command ``probe``: what the search finds in a clip, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.run.input_guard import states_of
from pipeline.run.manifest import checksums
from pipeline.runtime.progress import Step
from pipeline.settings import Settings
from pipeline.tasks.transition.describe import described
from pipeline.tasks.transition.search import search
from pipeline.tasks.transition.search_cache import SearchCache, cache_folder
from stages.media.read import Clip
from stages.media.timecode import is_variable_rate


def probe(clip: Clip, settings: Settings, step: Step) -> Mapping[str, Any]:
    """Search the clip, or take what an earlier search found, and return it as JSON values."""
    wants_cache = cache_folder() is not None and not settings.no_cache
    before = states_of(settings.inputs)
    sums = checksums(settings.inputs, clip) if wants_cache else []
    if states_of(settings.inputs) != before:
        sums = []
    cache = SearchCache(clip, settings, sums)
    searched = cache.recall()
    if searched is None:
        searched = search(clip, settings, step)
        cache.keep(searched)
    found = dict(described(searched.analysis))
    if searched.source != "search":
        found["search"] = searched.source
    if is_variable_rate(searched.times, clip.info.rate):
        found["variable_rate"] = True
    return found
