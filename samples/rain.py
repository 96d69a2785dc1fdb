"""Remove rain or snow from a clip: an example of a task of your own (docs/adding-a-task.md)."""

import torch

from unlayer.plugin import (
    Output,
    Recipe,
    Separation,
    SeparationContext,
    flows,
    layered_task,
    warp,
)

BRIGHTER = 0.04  # a streak is at least this much brighter than its surroundings in time


def survey(sample: torch.Tensor, context: SeparationContext) -> None:
    """Return nothing: this task needs no facts about the whole clip."""


def separate(frames: torch.Tensor, facts: None, context: SeparationContext) -> Separation:
    """Split a window ``(T, 3, H, W)`` by I = clean + streaks.

    A streak is what is brighter than the same spot in the two frames before and after.
    """
    clean = frames.clone()
    for t in range(len(frames)):
        others = [u for u in range(t - 2, t + 3) if 0 <= u < len(frames) and u != t]
        found = flows(frames, [(t, u) for u in others])
        aligned = [warp(frames[u][None], found[t, u][None])[0] for u in others]
        usual = torch.stack([*aligned, frames[t]]).median(0).values
        difference = frames[t] - usual
        streak = difference.amin(0, keepdim=True) > BRIGHTER  # white: brighter in every channel
        clean[t] = torch.where(streak, usual, frames[t])
        context.progress((t + 1) / len(frames), f"frame {t + 1}")
    return Separation({"clean": clean, "streaks": frames - clean})


RECIPE = Recipe((Output("clean"), Output("streaks", sound=False)), survey, separate)
TASK = layered_task("rain", "take out rain or snow: the clean clip, and the streaks", RECIPE)
