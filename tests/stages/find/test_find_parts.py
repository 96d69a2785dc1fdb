"""The search's parts, one equation at a time, compared with numbers computed by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from find_clips import mixed, shot, texture, weights

from stages.find import fit as find_fit
from stages.find.correlation import motion_compensated_ncc
from stages.find.curve import estimates, products
from stages.find.curve_prior import family, rising
from stages.find.cuts import is_gradual, prominence
from stages.find.dense import FlowWarp
from stages.find.features import contrast_ratio, plain_color
from stages.find.search import search_size
from stages.find.timeline import PlainFrame, TransitionEvent, build_timeline
from stages.find.track import STILL, CameraWarp, Grid, MotionProblem, fit_motion
from stages.find.window_scores import change_and_crookedness
from stages.find.wipes import step_times
from stages.shots import ColorGap, Shot


def test_search_size() -> None:
    assert search_size(1920, 1080) == (54, 96)
    assert search_size(1080, 1920) == (96, 54)
    assert search_size(64, 48) == (48, 64)
    assert search_size(1, 1) == (1, 1)
    assert search_size(4000, 10) == (1, 96)


def test_every_estimate_for_an_exact_mixture_is_right() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 5, 7, 40, 3)).astype(np.float32)
    w = np.linspace(0.1, 0.9, 5, dtype=np.float32)[:, None]
    mixture = (1 - w)[..., None, None] * a + w[..., None, None] * b
    for estimate in estimates(*products(mixture, a, b), 40):
        np.testing.assert_allclose(estimate.value, np.broadcast_to(w, (5, 7)), atol=3e-3)


def test_an_exact_mixture_leaves_no_residual() -> None:
    a, b = np.random.default_rng(0).random((2, 1, 2, 30, 3)).astype(np.float32)
    whole, fine = products(0.25 * a + 0.75 * b, b, a)
    for part in (whole, fine):
        assert np.all(part.residual_power(np.float32(0.25)) < 1e-5)
    np.testing.assert_allclose(
        whole.residual_power(np.float32(0)), ((0.25 * (a - b)) ** 2).mean((2, 3)), rtol=1e-3
    )


def test_straight_and_crooked_paths() -> None:
    """A straight line leaves no rest; a path by a corner of height 1 leaves its height squared."""
    line = np.linspace(0, 1, 11)
    for height, expected in ((0.0, 0.0), (1.0, 1.0)):
        points = np.stack([line, np.where((line > 0) & (line < 1), height, 0)], 1)
        pairs = ((points[:, None] - points[None]) ** 2).sum(2)[..., None].astype(np.float32)
        change, crooked = change_and_crookedness(pairs, 10)
        np.testing.assert_allclose([change[0], crooked[0]], [1.0, expected], atol=1e-6)


def test_rising_averages_values_that_fall() -> None:
    np.testing.assert_allclose(
        rising(np.array([0.1, 0.5, 0.3, 0.9])), [0.1, 0.4, 0.4, 0.9], atol=1e-3
    )
    answer = rising(np.array([-1.0, -1.0, 2.0, 2.0]))
    assert np.all(np.diff(answer) > 0) and answer[0] > 0 and answer[-1] < 1


def test_family_holds_the_usual_curves() -> None:
    curves = family(0, 21, np.arange(1.0, 21.0))
    for kind in ("linear", "ease", "late", "early"):
        assert np.abs(curves - weights(kind, 20)).max(1).min() < 1e-3


def test_prominence_of_a_step() -> None:
    assert prominence([0.1, 0.1, 0.9, 0.1, 0.1], 2) > 8
    assert prominence([0.1, 0.9, 0.9, 0.1], 1) < 1


def test_step_times() -> None:
    weight = np.array([[0.0, 0.2, 1.0], [0.1, 0.9, 0.8], [0.9, 1.0, 1.0]])
    assert step_times(weight).tolist() == [2, 1, 0]


def test_camera_motion_is_measured_in_a_mixture() -> None:
    gray = cv2.cvtColor(texture(3, 80, 120), cv2.COLOR_RGB2GRAY)
    scene = np.asarray(cv2.GaussianBlur(gray, (0, 0), 1), np.float32)
    # The picture moves one pixel up and two to the left: d = (2, 1).
    reference, moved = scene[20:47, 20:68], scene[21:48, 22:70]
    other = np.asarray(cv2.cvtColor(texture(4, 27, 48), cv2.COLOR_RGB2GRAY), np.float32)
    problem = MotionProblem(reference, 0.6 * moved + 0.4 * other, 0.6, 0.4 * other)
    motion = fit_motion(Grid.of(27, 48), problem, STILL + [0.06, 0, 0, 0.02, 0, 0])
    np.testing.assert_allclose(motion[[0, 3]] * 24, [2, 1], atol=0.25)


def test_ncc_does_not_depend_on_motion_and_brightness() -> None:
    one, moved, other = (
        shot(1, 1, thing=False)[0],
        shot(1, 4, pan=(1.0, 0.5), thing=False)[3],
        shot(2, 1)[0],
    )
    assert motion_compensated_ncc(one, moved * 0.5 + 0.2) > 0.8
    assert motion_compensated_ncc(one, other) < 0.35


def test_plain_color() -> None:
    frame = np.zeros((20, 30, 3), np.float32)
    frame[..., 0] = 1
    assert plain_color(frame) == "#ff0000"
    frame[18, 20:26] = 0.7  # a caption
    assert plain_color(frame) == "#ff0000"
    assert plain_color(texture(1, 20, 30)) is None


def test_no_transition_leads_from_color_to_color() -> None:
    black, white, mix = "#000000", "#ffffff", (0.1,) * 5
    ramps = [
        TransitionEvent(5, 9, "dissolve", mix=mix, out_color=black, in_color=white),
        TransitionEvent(15, 19, "dissolve", mix=mix, out_color=white, in_color=black),
    ]
    colors = (
        dict.fromkeys(range(5), "#000000")
        | dict.fromkeys(range(10, 15), "#ffffff")
        | dict.fromkeys(range(20, 30), "#000000")
    )
    plain = {frame: PlainFrame(color, 0.0) for frame, color in colors.items()}
    found = build_timeline(30, ramps, plain)
    assert found.colors == (ColorGap(0, 4, "#000000"), ColorGap(20, 29, "#000000"))
    assert found.shots == (Shot(10, 14),)
    assert [(one.kind, one.outgoing, one.incoming, one.color) for one in found.transitions] == [
        ("fade", None, 0, "#000000"),
        ("fade", 0, None, "#000000"),
    ]


@pytest.mark.parametrize(
    ("color", "hold", "expected"),
    [
        ("#000000", 2, "fadeblack"),
        ("#fafafa", 2, "fadewhite"),
        ("#803020", 2, "fadethrough"),
        ("#000000", 40, None),
    ],
)
def test_two_fades_around_a_short_color_are_one_event(
    color: str, hold: int, expected: str | None
) -> None:
    mix, second = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95), 12 + hold
    fades = [
        TransitionEvent(5, 11, "dissolve", mix=mix, in_color=color),
        TransitionEvent(second, second + 6, "dissolve", mix=mix, out_color=color),
    ]
    plain = {frame: PlainFrame(color, 0.0) for frame in range(12, second)}
    found = build_timeline(second + 20, fades, plain)
    event = (5, second + 6) if expected else None
    named = [(one.kind, one.effect, one.event) for one in found.transitions]
    assert named == [("fade", expected, event)] * 2


def test_a_step_goes_on_if_the_one_beside_it_has_the_same_direction_in_light() -> None:
    def at(light: float) -> np.ndarray:
        return np.full((2, 3), light ** (1 / 2.2), np.float32)

    assert is_gradual([at(0), at(0), at(0.1), at(0.2)])  # the first steps of a mixture
    assert is_gradual([at(0.3), at(0.2), at(0.1), at(0.1)])  # its last ones
    assert not is_gradual([at(0), at(0), at(0.1), at(0.1)])  # a cut
    assert not is_gradual([at(0), at(0), at(0.1), at(0.0)])  # a flash
    assert not is_gradual([at(0), at(0), at(0.1), at(0.13)])  # a cut to a shot that moves


@pytest.mark.parametrize("plain, expected", [(True, "gamma"), (False, "linear")])
def test_a_fade_needs_more_to_be_in_linear_light(
    plain: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gain = (find_fit.LINEAR_GAIN + find_fit.LINEAR_GAIN_FADE) / 2
    monkeypatch.setattr(find_fit, "_light_gain", lambda *words: gain)
    other = np.zeros((30, 54, 96, 3), np.float32) if plain else shot(4, 30)
    clip = mixed(shot(3, 30), other, 10, weights("linear", 8))
    found = find_fit.fit_between(clip, (10, 17), (9, 18), (0, 29))
    assert found.space == expected


def test_a_mixture_loses_contrast_and_one_picture_that_moves_does_not() -> None:
    wide = texture(1, 54, 160)
    pan = np.stack([wide[:, 8 * time : 8 * time + 96] for time in range(9)])
    mix = np.linspace(0, 1, 9)[1:-1]
    assert contrast_ratio(pan, mix) > 0.7
    weight = np.linspace(0, 1, 9, dtype=np.float32)[:, None, None, None]
    mixture = (1 - weight) * texture(1, 54, 96) + weight * texture(2, 54, 96)
    assert abs(contrast_ratio(mixture, mix)) < 0.25


def test_dense_flows_follow_what_no_camera_motion_explains() -> None:
    """Two halves that move apart, mixed with a still picture.

    The flows leave less than half of what the camera motion leaves.
    """
    wide, other = texture(3, 48, 120), texture(4, 48, 64)
    frames = []
    for time in range(14):
        picture = np.concatenate(
            [wide[:24, 20 + 2 * time : 84 + 2 * time], wide[24:, 50 - 2 * time : 114 - 2 * time]]
        )
        weight = min(max((time - 3) / 7, 0), 1)
        frames.append((1 - weight) * picture + weight * other)
    clip = np.stack(frames).astype(np.float32)
    affine = CameraWarp(clip, (3, 10), (0, 13), lambda time, grid: (time - 3) / 7)
    times = np.asarray(np.arange(1, 7) / 7, np.float32)
    dense = FlowWarp(clip, affine, 0, 13, times)
    wrong = []
    for layers in (affine, dense):
        left = [
            (1 - w) * layers.outgoing_at(3 + n) + w * layers.incoming_at(3 + n) - clip[3 + n]
            for n, w in ((n, n / 7) for n in range(1, 7))
        ]
        wrong.append(float(np.abs(np.stack(left)).mean()))
    assert wrong[1] < 0.5 * wrong[0]
    np.testing.assert_array_equal(dense.outgoing_at(2), affine.outgoing_at(2))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_the_smallest_pictures_have_a_contrast_ratio(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(1).random((5, *size, 3)).astype(np.float32)
    assert np.isfinite(contrast_ratio(frames, np.linspace(0.25, 0.75, 3)))
