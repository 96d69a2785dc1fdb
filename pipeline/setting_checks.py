"""Refuse settings that contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.codecs import check_codec
from pipeline.values import check_order, check_spans
from stages.errors import UsageError
from stages.setting_values import NETWORKS_ALONE

if TYPE_CHECKING:
    from pipeline.settings import Settings


def check_settings(settings: Settings) -> None:
    """Raise UsageError where two settings contradict each other, or one needs another."""
    check_order(settings.start, settings.end)
    check_spans(settings.transition)
    check_codec(settings.codec, settings.timeline, lossless=settings.lossless, alpha=settings.alpha)
    if settings.shots is not None and settings.transition:
        raise UsageError(
            "--shots and --transition contradict each other; write the transition into the list"
        )
    for one, other in (("resume", "overwrite"), ("quiet", "json")):
        if getattr(settings, one) and getattr(settings, other):
            raise UsageError(f"--{one} and --{other} contradict each other; give one of them")
    if settings.anew and not settings.resume:
        raise UsageError("--anew has a meaning only together with --resume; give both")
    if settings.confidence and settings.preset in NETWORKS_ALONE:
        raise UsageError(
            f"--confidence and --preset {settings.preset} contradict each other: its networks do "
            "not say how sure they are; choose another preset"
        )
    if settings.confidence and settings.refine is not None:
        raise UsageError(
            "--confidence and --refine contradict each other: a corrected matte does not say how "
            "sure it is; leave one out"
        )
    if settings.mark is not None and settings.preset in NETWORKS_ALONE:
        raise UsageError(
            f"--mark and --preset {settings.preset} contradict each other: its networks find the "
            "mark themselves; choose another preset"
        )
    if settings.refine is not None and settings.preset in NETWORKS_ALONE:
        raise UsageError(
            f"--refine and --preset {settings.preset} contradict each other: its networks do not "
            "know an earlier matte; choose another preset"
        )
