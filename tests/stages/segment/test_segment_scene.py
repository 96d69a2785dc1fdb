"""Test trajectories, parallax, outlines and the comparison with other frames.

The motion is synthetic.
"""

from __future__ import annotations

import torch
from clips import drifting
from torch import Tensor

from stages.segment.motion import WindowMotion
from stages.segment.odds_by_other_frames import odds_by_other_frames
from stages.segment.outline_jumps import mean_outline_jump
from stages.segment.parallax import distance_from_scene, follow, scene_covariance, trajectories

SIZE = (48, 64)
COUNT = 9


def moving(flow: Tensor) -> WindowMotion:
    """Return a window of :data:`COUNT` frames with the flow ``(2, h, w)`` and a resting camera."""
    forward = flow.expand(COUNT - 1, -1, -1, -1).clone()
    still, trust = torch.zeros_like(forward), torch.ones_like(forward[:, :1])
    return WindowMotion(
        forward, -forward, still, still, trust, trust, torch.zeros(COUNT, *flow.shape)
    )


def scene() -> tuple[WindowMotion, Tensor]:
    """Return the motion of a receding ground and a wall behind a rising disc, and the disc's mask.

    The camera travels to the side.
    """
    x, y = (
        torch.arange(SIZE[1]).float().expand(SIZE),
        torch.arange(SIZE[0]).float()[:, None].expand(SIZE),
    )
    across = 0.5 + torch.where(
        y > 36, 1.5 + 0.5 * torch.sin(x / 9), 0.4 * torch.sin(x / 7) + y / 72
    )
    disc = (x - 32) ** 2 + (y - 20) ** 2 < 64
    flow = torch.stack([torch.where(disc, 0.9, across), torch.where(disc, -0.6, 0.0)])
    return moving(flow), disc


def test_steps_add_up_along_a_trajectory() -> None:
    motion = moving(torch.tensor([0.5, -0.25]).view(2, 1, 1).expand(2, *SIZE))
    moved, trust = follow(motion, 2, 4)
    torch.testing.assert_close(
        moved[:, :, 20, 30], torch.tensor([[0.5, -0.25], [1.0, -0.5], [1.5, -0.75], [2.0, -1.0]])
    )
    assert float(trust[:, :, 20, 30].min()) == 1 and float(trust[3, 0, 20, 63]) == 0, (
        "this one has left the picture"
    )
    back, _ = follow(motion, 2, -2)
    torch.testing.assert_close(back[1, :, 20, 30], torch.tensor([-1.0, 0.5]))
    assert len(follow(motion, 0, 0)[0]) == 0


def test_a_pixel_is_followed_to_as_many_frames_at_the_ends() -> None:
    motion = moving(torch.zeros(2, *SIZE))
    assert [len(trajectories(motion, t, 3)[0]) for t in range(COUNT)] == [6] * COUNT
    assert len(trajectories(motion, 0, 20)[0]) == COUNT - 1


def test_what_moves_by_itself_does_not_widen_the_scene() -> None:
    generator = torch.Generator().manual_seed(0)
    rest = 0.1 * torch.randn(1000, 4, generator=generator, dtype=torch.float64)
    rest[:, 0] *= 50  # the parallax of many depths
    rest[:150] = torch.tensor([0.0, 6.0, 6.0, 0.0])
    covariance = scene_covariance(rest, torch.ones(1000, dtype=torch.float64))
    assert float(covariance[0, 0]) > 20 * float(covariance[1, 1])
    squared = (rest * torch.linalg.solve(covariance, rest.T).T).sum(1)
    assert float(squared[:150].min()) > 5 * float(squared[150:].quantile(0.9))


def test_parallax_is_no_object() -> None:
    motion, disc = scene()
    far = distance_from_scene(motion)[COUNT // 2]
    inner = torch.zeros_like(disc)
    inner[4:-4, 4:-4] = True
    assert float(far[disc].median()) > 2 * float(far[~disc & inner].quantile(0.9))


def test_an_objects_outline_is_where_motion_jumps() -> None:
    motion, disc = scene()
    x = torch.arange(SIZE[1]).expand(SIZE)
    strip = (x > 20) & (x < 40)
    mattes = [
        matte.expand(COUNT, -1, -1)
        for matte in (disc, strip, torch.zeros_like(disc), torch.ones_like(disc))
    ]
    found, strips, nothing, everything = (mean_outline_jump(motion, matte) for matte in mattes)
    assert found > 2 * strips
    assert nothing == everything == 0


def test_what_rests_differs_from_the_background_that_other_frames_show() -> None:
    count, size = 17, (72, 96)
    frames = drifting(1, count, (-1.0, 0.0), size)
    flow = torch.tensor([-1.0, 0.0]).view(1, 2, 1, 1).expand(count - 1, 2, *size).clone()
    trust = torch.ones(count - 1, 1, *size)
    motion = WindowMotion(flow, -flow, flow, -flow, trust, trust, torch.zeros(count, 2, *size))
    # The matte has the body, but not the leg below it, which stands in the middle frames alone.
    matte = torch.zeros(count, 1, *size)
    matte[:, :, 20:36, 40:56] = 1
    painted = torch.where(matte > 0, 0.9, frames)
    leg = slice(39, 46), slice(46, 50)
    painted[7:10, :, *leg] = torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1)
    odds, known = odds_by_other_frames(painted, motion, matte)
    assert bool(known[8][leg].all()) and float(odds[8][leg].median()) > 1
    beside = known[8] & (matte[8, 0] == 0)
    beside[34:48, 44:52] = False
    assert float(odds[8][beside].median()) < 0
    assert not bool(known[:, 0].any()), "far from the foreground nothing is compared"
    assert not bool(odds_by_other_frames(frames, motion, torch.ones_like(matte))[1].any())
