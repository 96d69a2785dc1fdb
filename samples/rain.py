"""Takes rain or snow out of a clip: an example of a task of your own, ``docs/adding-a-task.md`` explains it."""

import torch

from pipeline.framewise.run import Output, Recipe, layered_task
from stages.context import Separation, SeparationContext
from stages.motion.flow import flows, warp

BRIGHTER = 0.04  # a streak is at least so much brighter than what is usual at its place


def survey(sample: torch.Tensor, brief: SeparationContext) -> None:
    """Nothing holds for the whole clip."""


def separate(frames: torch.Tensor, facts: None, brief: SeparationContext) -> Separation:
    """I = clean + streaks, per window ``(T, 3, H, W)``: what is brighter than the same spot two frames around, along the motion."""
    clean = frames.clone()
    for t in range(len(frames)):
        others = [u for u in range(t - 2, t + 3) if 0 <= u < len(frames) and u != t]
        found = flows(frames, [(t, u) for u in others])
        brought = [warp(frames[u][None], found[t, u][None])[0] for u in others]
        usual = torch.stack([*brought, frames[t]]).median(0).values
        streak = (frames[t] - usual).amin(
            0, keepdim=True
        ) > BRIGHTER  # white: brighter in every channel
        clean[t] = torch.where(streak, usual, frames[t])
        brief.progress((t + 1) / len(frames), f"frame {t + 1}")
    return Separation({"clean": clean, "streaks": frames - clean})


RECIPE = Recipe((Output("clean"), Output("streaks", sound=False)), survey, separate)
TASK = layered_task("rain", "take out rain or snow: the clean clip, and the streaks", RECIPE)
