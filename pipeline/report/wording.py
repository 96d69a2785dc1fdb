"""Put a run's results into words for the report: self-checks, settings, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.facts import RunFacts, number_of
from pipeline.report.pictures import SeamFact
from pipeline.runtime.memory import format_bytes

GOOD_PSNR = 40.0
"""PSNR in dB from which nobody sees a difference."""

FAIR_PSNR = 30.0
"""PSNR in dB from which most people see no difference."""

SHARES = {
    "explained": "follows from what the input shows",
    "invented": "inferred or filled in",
    "untouched": "left as it was",
}
"""Parts of the main layer, by their names in :class:`stages.context.Separation`."""

LEAST_PERCENT = 0.005
"""Shares below this, of 1, are shown as "under 1 %"."""

AS_BYTES = 2**26
"""Whole numbers from this on are shown as an amount of memory."""

MAX_ITEMS, MAX_CHARACTERS = 50, 2000
"""Items of a list and characters of a value that are shown, at most."""

OWN_PLACE = (
    "seconds",
    "stages",
    "versions",
    "device",
    "threads",
    "transitions",
    "reconstruction_psnr",
    "losses",
    "account",
    *SHARES,
)
"""Figures that have their own place on the page."""


@dataclass(frozen=True)
class SelfCheck:
    """One question that the run asks about its own result.

    verdict: ``good``, ``fair``, ``bad``, or ``none`` where there is no judgement.
    answer: the answer in a word or two.
    reason: why, in a phrase.
    frame: the frame that it is about, if there is one.
    """

    question: str
    verdict: str
    answer: str
    reason: str
    frame: int | None = None


def self_checks(facts: RunFacts, seams: Sequence[SeamFact]) -> list[SelfCheck]:
    """Return all self-checks of a run."""
    return [_reconstruction_check(facts), *map(_seam_check, seams)]


def _reconstruction_check(facts: RunFacts) -> SelfCheck:
    question = "Do the layers mix back to the input?"
    psnr = number_of(facts.report, "reconstruction_psnr")
    if psnr is None:
        return SelfCheck(question, "none", "not known", "nothing was separated in this run")
    # Wrong layers mix back as well as right ones, so a high PSNR is no praise.
    if psnr >= GOOD_PSNR:
        verdict, answer = "none", "yes"
        meaning = "nothing is lost, but this does not say that each part is in the right layer"
    elif psnr >= FAIR_PSNR:
        verdict, answer = "fair", "nearly"
        meaning = "a small difference is left"
    else:
        verdict, answer = "bad", "no"
        meaning = "something is lost or made up"
    return SelfCheck(question, verdict, answer, f"{psnr:.1f} dB: {meaning}")


def _seam_check(fact: SeamFact) -> SelfCheck:
    direction = "out of its" if fact.side == "outgoing" else "into its"
    question = f"Does {fact.layer} flow {direction} clean frames at frame {fact.frame}?"
    if fact.seam is None:
        reason = "there are too few clean frames beside it"
        return SelfCheck(question, "none", "cannot tell", reason, fact.frame)
    reason = (
        f"{fact.seam.seam_psnr:.1f} dB along its motion there, "
        f"{fact.seam.clean_psnr:.1f} dB between clean frames"
    )
    verdict, answer = ("good", "steady") if fact.seam.is_steady else ("bad", "jumps")
    return SelfCheck(question, verdict, answer, reason, fact.frame)


def rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a mapping's entries in words, without those that are not set."""
    return [
        (str(name).replace("_", " "), in_words(value))
        for name, value in values.items()
        if value is not False and value not in (None, [], "")
    ]


def counted(count: int, what: str) -> str:
    """Return a count with its noun: ``1 layer``, ``2 layers``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def in_words(value: Any) -> str:
    """Return a value as people write it."""
    if value is True:
        return "yes"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and value >= AS_BYTES:
        return format_bytes(value)
    if isinstance(value, list):
        return ", ".join(
            ":".join(map(str, item)) if isinstance(item, list) else str(item)
            for item in value[:MAX_ITEMS]
        )
    return str(value)[:MAX_CHARACTERS]


def shares(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return which parts of the main layer are known, invented and untouched, in words."""
    parts = []
    for name, meaning in SHARES.items():
        part = number_of(report, name)
        if part is not None and 0 < part <= 1:
            percent = f"{100 * part:.0f} %" if part >= LEAST_PERCENT else "under 1 %"
            parts.append((percent, meaning))
    return parts


def bars(stages: Any) -> list[tuple[str, float, float]]:
    """Return the seconds of each stage, and the length of its bar in percent of the longest."""
    if not isinstance(stages, dict):
        return []
    seconds = {
        str(name): float(spent)
        for name, spent in stages.items()
        if isinstance(spent, int | float) and spent >= 0
    }
    longest = max(seconds.values(), default=0.0) or 1.0
    return [(name, spent, round(100 * spent / longest, 2)) for name, spent in seconds.items()]


def figures(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the figures that have no place of their own on the page, in words."""
    return rows(
        {
            name: value
            for name, value in report.items()
            if name not in OWN_PLACE and isinstance(value, int | float | str)
        }
    )
