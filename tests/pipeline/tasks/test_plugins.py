"""Tasks of installed packages: entry points, the plug-in module, and what goes wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from clips import moving, read_clip
from media import save

from pipeline import plugin
from pipeline.cli.main import main
from pipeline.tasks import built_in, check_name, find_task, names, shadowed_task_warning
from stages.errors import UnlayerError, UsageError

RAIN = """
from pipeline.plugin import Output, Recipe, Separation, Task, run_layered

def survey(sample, context):
    return None

def separate(frames, facts, context):
    return Separation({"clean": frames, "streaks": frames})

STREAKS = Output("streaks", sound=False, data=True)
RECIPE = Recipe((Output("clean"), STREAKS), survey, separate)
ROLES = ("clean", "streaks")
TASK = Task("rain", "take out rain", roles=ROLES, run=lambda job: run_layered(job, RECIPE))
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return what installs a package that offers tasks."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def made(package: str, code: str, *points: str) -> None:
        (site / f"{package}.py").write_text(code)
        about = site / f"{package}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text("\n".join(["[unlayer.tasks]", *points]))

    yield made
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(site) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def test_a_task_from_outside_is_a_task(install: Install) -> None:
    install("rainy", RAIN, "rain = rainy:TASK")
    assert "rain" in names() and find_task("rain").help == "take out rain"
    frames = moving(1, 5, (24, 32))
    save(Path("in.mkv"), frames)
    assert main(["run", "in.mkv", "--task", "rain", "--lossless", "--no-progress"]) == 0
    whole = json.loads(Path("in-rain/manifest.json").read_text())
    assert whole["task"] == "rain" and [layer["role"] for layer in whole["layers"]] == [
        "clean",
        "streaks",
    ]
    assert np.array_equal(read_clip(Path("in-rain/clean.mkv")), frames)
    with pytest.raises(UsageError, match="did you mean rain"):
        check_name("rian")


OLD_PATHS = """
from pipeline.framewise.run import Output, Recipe, layered_task, run_layered
from pipeline.tasks import Budget, Fit, Job, Layer, Parts, Result, Task
from stages.context import Note, Separation, SeparationContext
from stages.motion.flow import flows, warp
"""


def test_packages_that_import_from_the_earlier_places_still_load(install: Install) -> None:
    install("rainy", OLD_PATHS + RAIN, "rain = rainy:TASK")
    assert find_task("rain").name == "rain"


def test_the_plug_in_module_offers_what_it_lists_and_the_page_names_all_of_it() -> None:
    page = (Path(__file__).parents[3] / "docs/adding-a-task.md").read_text()
    for name in plugin.__all__:
        assert getattr(plugin, name) is not None
        assert f"`{name}" in page or f".{name}`" in page, f"{name} is not in docs/adding-a-task.md"


def test_a_package_for_another_version_is_refused_in_one_line(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin.require_api(plugin.API_VERSION)
    code = f"from pipeline.plugin import require_api\nrequire_api({plugin.API_VERSION + 1})\n"
    install("rainy", code + RAIN, "rain = rainy:TASK")
    assert main(["run", "none.mp4", "--task", "rain"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "rainy" in line and f"is written for version {plugin.API_VERSION + 1}" in line


def test_a_task_of_our_own_wins_and_says_so(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("rainy", RAIN, "dehaze = rainy:TASK")
    assert find_task("dehaze").help.startswith("take off haze")
    assert "rainy (rainy:TASK) is not used" in str(shadowed_task_warning("dehaze"))
    main(["run", "none.mp4", "--task", "dehaze"])
    first = capsys.readouterr().err.splitlines()[0]
    assert (
        first == "unlayer: warning: the task dehaze of rainy (rainy:TASK) is not used: "
        "the built-in task of that name comes first"
    )
    assert shadowed_task_warning("segment") is None and shadowed_task_warning("nothing") is None


def test_two_packages_of_one_task_are_refused(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("rainy", RAIN, "rain = rainy:TASK")
    install("wet", RAIN, "rain = wet:TASK")
    assert main(["run", "none.mp4", "--task", "rain"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "rainy (rainy:TASK)" in line and "wet (wet:TASK)" in line and "uninstall" in line


@pytest.mark.parametrize(
    ("code", "point", "why"),
    [
        ("raise RuntimeError('first\\nsecond')", "broken:TASK", "first second"),
        ("import nothing_of_this_name", "broken:TASK", "No module named 'nothing_of_this_name'"),
        ("x = 1", "broken:TASK", "TASK"),
        ("TASK = 3", "broken:TASK", "it is of type int, not an unlayer.plugin.Task"),
        ("TASK = (", "broken:TASK", "was never closed"),
        ("raise SystemError", "broken:TASK", "SystemError"),
        ("", "not_there:TASK", "not_there"),
    ],
    ids=["raises", "imports", "lacks", "no task", "no Python", "says nothing", "no module"],
)
def test_a_broken_task_is_one_line_that_names_it(
    install: Install, capsys: pytest.CaptureFixture[str], code: str, point: str, why: str
) -> None:
    install("broken", code, f"rain = {point}")
    assert main(["run", "none.mp4", "--task", "rain"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line.startswith(f"unlayer: --task rain: {point} of broken cannot be loaded (")
        and why in line
    )
    # The other tasks still work.
    assert find_task("segment").name == "segment"
    with pytest.raises(UnlayerError, match="update or uninstall"):
        find_task("rain")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (
            'Separation({"claen": frames, "streaks": frames})',
            "separate() returned the layers claen, streaks; clean is missing",
        ),
        (
            'Separation({"clean": frames * float("nan"), "streaks": frames})',
            "the layer clean holds values that are not finite (NaN or infinite)",
        ),
        (
            'Separation({"clean": frames[:, :, 1:], "streaks": frames})',
            "the layer clean is (5, 3, 23, 32) for a window of (5, 3, 24, 32)",
        ),
        (
            'Separation({"clean": frames[:, :2], "streaks": frames})',
            "layer clean must be (T, 3 or 1, H, W), one frame where it is shared",
        ),
        ("frames", "separate() returned a Tensor, not a Separation"),
        ("frames.nothing", "AttributeError: 'Tensor' object has no attribute 'nothing'"),
    ],
    ids=["names", "no numbers", "size", "channels", "type", "raises"],
)
def test_what_a_task_from_outside_does_wrong_is_said_in_one_line(
    install: Install, capsys: pytest.CaptureFixture[str], wrong: str, why: str
) -> None:
    install(
        "rainy",
        RAIN.replace('Separation({"clean": frames, "streaks": frames})', wrong),
        "rain = rainy:TASK",
    )
    save(Path("in.mkv"), moving(1, 5, (24, 32)))
    for more in ([], ["--dry-run"]):
        assert main(["run", "in.mkv", "--task", "rain", "--no-progress", *more]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("unlayer: --task rain: rainy:TASK of rainy failed (") and why in line
    assert not Path("in-rain").exists()


def test_a_task_under_another_name_is_refused(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("rainy", RAIN, "snow = rainy:TASK")
    assert main(["run", "in.mkv", "--task", "snow"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        "rainy:TASK of rainy cannot be loaded (its name is 'rain', and its entry point's is 'snow')"
        in line
    )


def test_names_that_could_lead_out_of_a_folder_are_no_tasks(install: Install) -> None:
    install("evil", RAIN, "../../rain = evil:TASK", "Rain drops = evil:TASK", "-rf = evil:TASK")
    assert set(names()) == built_in()
