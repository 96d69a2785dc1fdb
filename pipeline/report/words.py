"""What the report says in words: verdicts of the self-checks, settings and seconds as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.contents import SeamFact
from pipeline.report.facts import Facts
from pipeline.runtime.memory import amount

GOOD, FAIR = 40.0, 30.0
"""PSNR in dB from which nobody sees that layers were mixed again, and from which most do not."""
SHARES = {
    "explained": "follows from what the input shows",
    "invented": "inferred or filled in",
    "untouched": "left as it was",
}
"""Parts of the main layer, by the names that :class:`stages.context.Separation` gives them."""


@dataclass(frozen=True)
class Check:
    """One self-check. verdict: ``good``, ``fair``, ``bad`` or ``none`` where it could not be made."""

    what: str
    verdict: str
    word: str
    why: str
    frame: int | None = None


def checks(facts: Facts, seams: Sequence[SeamFact]) -> list[Check]:
    """All of a run's self-checks."""
    made = []
    psnr = facts.report.get("reconstruction_psnr")
    if isinstance(psnr, int | float) and not isinstance(psnr, bool):
        # Wrong layers mix back as well as right ones, so that a good figure is no praise.
        verdict = "none" if psnr >= GOOD else "fair" if psnr >= FAIR else "bad"
        word = {"none": "yes", "fair": "nearly", "bad": "no"}[verdict]
        tail = {
            "none": "nothing is lost, but this does not say that each part is in the right layer",
            "fair": "a small difference is left",
            "bad": "something is lost or made up",
        }[verdict]
        made.append(
            Check("Do the layers mix back to the input?", verdict, word, f"{psnr:.1f} dB: {tail}")
        )
    else:
        made.append(
            Check(
                "Do the layers mix back to the input?",
                "none",
                "not known",
                "nothing was taken apart in this run",
            )
        )
    for fact in seams:
        what = f"Does {fact.layer} flow {'out of its' if fact.side == 'outgoing' else 'into its'} clean frames at frame {fact.frame}?"
        if fact.seam is None:
            made.append(
                Check(
                    what,
                    "none",
                    "cannot tell",
                    "there are too few clean frames beside it",
                    fact.frame,
                )
            )
            continue
        numbers = f"{fact.seam.seam:.1f} dB along its motion there, {fact.seam.clean:.1f} dB between clean frames"
        steady = fact.seam.steady
        made.append(
            Check(
                what,
                "good" if steady else "bad",
                "steady" if steady else "jumps",
                numbers,
                fact.frame,
            )
        )
    return made


def rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A mapping's entries as words; what is not set is left out."""
    return [
        (str(name).replace("_", " "), spoken(value))
        for name, value in values.items()
        if value is not False and value not in (None, [], "")
    ]


def counted(count: int, what: str) -> str:
    """``1 layer``, ``2 layers``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def spoken(value: Any) -> str:
    """A value as people write it."""
    if value is True:
        return "yes"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and value >= 2**26:
        return amount(value)
    if isinstance(value, list):
        return ", ".join(
            ":".join(map(str, item)) if isinstance(item, list) else str(item) for item in value[:50]
        )
    return str(value)[:2000]


def shares(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return which parts of the main layer are known, invented and untouched, in words, where the report says so."""
    told = []
    for name, what in SHARES.items():
        part = report.get(name)
        if isinstance(part, int | float) and not isinstance(part, bool) and 0 < part <= 1:
            told.append((f"{100 * part:.0f} %" if part >= 0.005 else "under 1 %", what))
    return told


def bars(stages: Any) -> list[tuple[str, float, float]]:
    """Seconds by stage with each one's part of the longest, 0 to 100."""
    if not isinstance(stages, dict):
        return []
    numbers = {
        str(name): float(spent)
        for name, spent in stages.items()
        if isinstance(spent, int | float) and spent >= 0
    }
    most = max(numbers.values(), default=0.0) or 1.0
    return [(name, spent, round(100 * spent / most, 2)) for name, spent in numbers.items()]


def figures(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The report's own numbers that have no place of their own on the page."""
    own = (
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
    return rows(
        {
            name: value
            for name, value in report.items()
            if name not in own and isinstance(value, int | float | str)
        }
    )
