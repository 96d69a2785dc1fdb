"""Draw the plots of a run's page: mixing curves, mean levels and losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report.contents import ReportContents
from pipeline.report.facts import RunFacts, TransitionFact
from pipeline.report.page_data import CurvesData, MixData, PlotsData
from pipeline.report.plots import Plot, frames_plot, losses_plot, read_fits
from pipeline.run.manifest import SPACE_NAMES

MOST_EXPECTED = 60.0
"""Top of the plot of the expected PSNR, in dB."""

MAX_MIXES, MAX_LOSSES = 60, 40
"""Transitions whose curves, and fits whose losses, are drawn, at most."""


def separated(facts: RunFacts) -> list[TransitionFact]:
    """Return the transitions whose frames were separated."""
    return [item for item in facts.transitions if item.is_separated]


def plots_data(facts: RunFacts, contents: ReportContents, losses: Mapping[str, Any]) -> PlotsData:
    """Return the mixing curves, the mean levels and the losses."""
    drawn = drawn_losses(losses)
    if len(drawn) == 1:
        # The losses of the only fit need no heading.
        drawn = [("", plot) for _, plot in drawn]
    return {
        "mixes": [_mix(item) for item in separated(facts)[:MAX_MIXES]],
        "means": _means(facts, contents),
        "losses": drawn[:MAX_LOSSES],
    }


def drawn_losses(losses: Mapping[str, Any]) -> list[tuple[str, Plot]]:
    """Return a heading and a plot for each fit that has losses."""
    return [
        (heading, plot)
        for heading, curves in read_fits(losses)
        if (plot := losses_plot(curves)) is not None
    ]


def _mix(transition: TransitionFact) -> MixData:
    """Return the mixing curve of one transition."""
    incoming = transition.sides[1] or transition.color or "the incoming scene"
    frames = f"frames {transition.first} to {transition.last}"
    title = f"{transition.kind.capitalize()}, {frames}"
    if transition.space in SPACE_NAMES:
        title += f", mixed in {SPACE_NAMES[transition.space]}"
    return {
        "title": title,
        "label": f"Mixing curve of the {transition.kind}, {frames}",
        "plot": frames_plot({f"weight of {incoming}": transition.mix}, transition.first),
        "first": transition.first,
        "count": len(transition.mix),
        "expected": _expected(transition),
    }


def _expected(transition: TransitionFact) -> Plot | None:
    """Return how good both scenes are expected to be, if that is known."""
    if not transition.expected_psnr:
        return None
    sides = zip(transition.sides, transition.expected_psnr, strict=True)
    curves = {f"expected PSNR of {side}, dB": values for side, values in sides}
    return frames_plot(curves, transition.first, MOST_EXPECTED)


def _means(facts: RunFacts, contents: ReportContents) -> CurvesData | None:
    """Return the mean levels of layers over time, if there are any."""
    if not contents.curves:
        return None
    curves = {f"mean of the {name}": curve for name, curve in contents.curves.items()}
    return {
        "title": f"The {' and '.join(contents.curves)} over time",
        "plot": frames_plot(curves, facts.first),
        "first": facts.first,
        "count": max(len(curve) for curve in curves.values()),
    }
