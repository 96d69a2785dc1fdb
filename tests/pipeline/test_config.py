"""``--config``: TOML by the settings' names, a manifest as configuration, one line for errors."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from clips import plain_answer
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.main import main
from pipeline.cli.parser import settings_from
from pipeline.config import MAX_BYTES, read_config, settings_of
from pipeline.hint_arguments import HintArgument
from pipeline.settings import Settings, options
from stages.errors import UsageError
from stages.setting_values import PRESETS

TOML = """
task = "transition"
preset = "fast"
max_seconds = 60
start = "0:01:02"
end = 90.5
transition = ["48:71", [80, 90]]
lossless = true
out = "layers"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def with_config(text: str, *words: str, name: str = "my.toml", verb: str = "run") -> Settings:
    Path(name).write_text(text)
    return settings_from(verb, ["a.mp4", "--config", name, *words])


def test_a_configuration_is_read() -> None:
    assert with_config(TOML) == Settings(
        inputs=(Path("a.mp4"),),
        config=Path("my.toml"),
        task="transition",
        preset="fast",
        max_seconds=60.0,
        start=Fraction(62),
        end=Fraction(181, 2),
        transition=((48, 71), (80, 90)),
        lossless=True,
        out=Path("layers"),
    )


def test_the_command_line_stands_above_it() -> None:
    made = with_config(
        TOML, "--preset", "best", "--transition", "3:9", "--no-lossless", "--task", "dehaze"
    )
    assert (made.preset, made.transition, made.lossless, made.task) == (
        "best",
        ((3, 9),),
        False,
        "dehaze",
    )
    assert made.max_seconds == 60.0
    made = with_config("seed = 5\nstart = 3", "--seed", "0", "--start=0")
    assert (made.seed, made.start) == (0, Fraction(0))


def test_batch_takes_one_too() -> None:
    made = with_config('task = "dehaze"\njobs = 3\npattern = "*.mkv"', verb="batch")
    assert (made.task, made.jobs, made.pattern) == ("dehaze", 3, "*.mkv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('prest = "fast"', "'prest' is not a setting; did you mean preset?"),
        ("max-seconds = 3", "did you mean max_seconds?"),
        ("--seed = 3", "did you mean seed?"),
        (
            'preset = "fats"',
            "preset: 'fats' is not known; "
            "choose fast, balanced, best, paper, coupled; did you mean fast?",
        ),
        ("preset = 3", "preset: '3' is not known"),
        ('lossless = "yes"', "lossless: 'yes' is neither true nor false"),
        ("lossless = 1", "lossless: 1 is neither true nor false"),
        ("seed = true", "seed: a switch does not belong here"),
        ("seed = 1.5", "seed: '1.5' is not a whole number"),
        ("seed = -1", "seed: '-1' is not a whole number"),
        ("max_seconds = nan", "max_seconds: 'nan'"),
        ("max_seconds = [1]", "max_seconds: a list does not belong here"),
        ("start = 1979-05-27", "start: a date does not belong here"),
        ("transition = [48, 71, 80]", "transition: '48' is not FIRST:LAST"),
        ("transition = [48.0, 71.5]", "transition: '48' is not FIRST:LAST"),
        ('hint = ""', "hint: is empty"),
        ('task = " "', "task: is empty"),
        ('out = ""', "out: is empty"),
        ("max_memory = 2e5", "max_memory: '200000' is not an amount of memory"),
        ("transition = [[9, 3]]", "transition: '9:3' is not FIRST:LAST"),
        ("[run]\nseed = 1", "'run' is not a setting"),
        ('inputs = ["b"]', "'inputs' cannot be set here"),
        ('config = "other.toml"', "'config' cannot be set here"),
        ("jobs = 2", "'jobs' cannot be set here"),
        ('out = "a\\u0000b"', "out: contains a null character"),
        ("seed = 1\nseed = 2", "is not valid TOML"),
        ("x = " + "[" * 9999, "is not valid TOML"),
        ("seed = " + "9" * 9999, "is not valid TOML"),
        ("\udcff", "is not text in UTF-8"),
    ],
    ids=lambda text: text[:20],
)
def test_wrong_configurations_are_refused_in_one_line(text: str, says: str) -> None:
    Path("my.toml").write_text(text, errors="surrogateescape")
    with pytest.raises(UsageError) as caught:
        read_config(Path("my.toml"))
    message = str(caught.value)
    assert says in message and message.startswith("--config my.toml: ") and "\n" not in message


def test_numbers_as_people_write_them() -> None:
    made = settings_of(
        "transition = [48, 71]\nmax_memory = 2e9\nseed = 3.0\nmax_seconds = 1e2", "x"
    )
    assert made == {
        "transition": ((48, 71),),
        "max_memory": 2_000_000_000,
        "seed": 3,
        "max_seconds": 100.0,
    }


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    Path("large.toml").touch()
    os.truncate("large.toml", MAX_BYTES + 1)
    Path("of_another.json").write_text('{"settings": {}}')
    Path("list.json").write_text("[1]")
    for name, says in {
        "none.toml": "no such file",
        str(tmp_path): "is a folder; give a TOML file",
        "large.toml": "too large",
        "of_another.json": "not a manifest of this program",
        "list.json": "not a manifest of this program",
    }.items():
        with pytest.raises(UsageError, match=says):
            read_config(Path(name))


def test_what_is_wrong_is_said_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.toml").write_text('prset = "fast"')
    assert main(["run", "a.mp4", "--config", "my.toml"]) == 2
    assert (
        capsys.readouterr().err
        == "unlayer: --config my.toml: 'prset' is not a setting; did you mean preset?\n"
    )


def test_a_manifest_gives_its_settings_back(
    mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", plain_answer)
    clip = str(mixed_clip())
    words = [
        "--task",
        "transition",
        "--transition",
        "8:15",
        "--seed",
        "7",
        "--start",
        "0:00:00.04",
        "--preset",
        "fast",
        "--lossless",
    ]
    assert main(["run", clip, *words, "--out", "one", "--no-progress"]) == 0
    assert (
        main(["run", clip, "--config", "one/manifest.json", "--out", "other", "--no-progress"]) == 0
    )
    one, other = (json.loads(Path(name, "manifest.json").read_text()) for name in ("one", "other"))
    assert (
        one["settings"] == other["settings"]
        and one["task"] == other["task"]
        and one["settings"]["start"] == "1/25"
    )
    for layer in one["layers"]:
        assert Path("one", layer["path"]).read_bytes() == Path("other", layer["path"]).read_bytes()


def test_settings_survive_the_manifest() -> None:
    made = Settings(
        inputs=(Path("a"),),
        task="segment",
        preset="best",
        max_seconds=12.5,
        max_memory=3 * 2**30,
        seed=3,
        start=Fraction(1, 3),
        end=Fraction(7),
        transition=((1, 2), (4, 9)),
        hint=(HintArgument(file=Path("h.png")), HintArgument(48, box=(1, 2, 3, 4))),
        hint_background=(HintArgument(point=(5, 6)),),
        lossless=True,
        alpha="vp9",
        stream=2,
        space="linear",
    )
    text = json.dumps({"schema": 1, "task": made.task, "settings": made.kept()})
    assert (
        Settings(inputs=(Path("a"),), **settings_of(text, "manifest.json", manifest=True)) == made
    )


def test_batch_and_bench_take_the_manifest_of_a_run() -> None:
    kept = Settings(inputs=(Path("a"),), task="segment", preset="best", seed=3).kept()
    text = json.dumps({"schema": 1, "task": "segment", "settings": kept})
    made = with_config(text, name="manifest.json", verb="batch")
    assert (made.task, made.preset, made.seed, made.transition) == ("segment", "best", 3, ())
    assert settings_of(text, "x", "bench", manifest=True) == {
        "task": "segment",
        "preset": "best",
        "seed": 3,
    }
    text = json.dumps(
        {"schema": 1, "task": "transition", "settings": {**kept, "transition": [[3, 9]]}}
    )
    with pytest.raises(UsageError, match="'transition' cannot be set here; leave it out"):
        settings_of(text, "x", "batch", manifest=True)


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(PRESETS)
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from([item.name for item in fields(Settings)]) | st.text(max_size=8)


def check_settings_or_refusal(text: str, *, manifest: bool) -> None:
    """Check that a text gives settings, or a UsageError of one line."""
    try:
        given: dict[str, Any] = settings_of(text, "x", manifest=manifest)
        made = Settings(**given)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert all(getattr(made, name) is not None for name in given)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_manifest_is_settings_or_refused(settings: dict[str, Any]) -> None:
    check_settings_or_refusal(
        json.dumps({"schema": 1, "task": "segment", "settings": settings}), manifest=True
    )


@given(st.text(max_size=60))
def test_any_text_is_settings_or_refused(text: str) -> None:
    check_settings_or_refusal(text, manifest=False)
    check_settings_or_refusal(text, manifest=True)


@given(
    st.lists(
        st.tuples(KEYS.filter(str.isidentifier), PLAIN.filter(lambda value: value is not None)),
        max_size=3,
    )
)
def test_any_toml_is_settings_or_refused(pairs: list[tuple[str, Any]]) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in pairs]
    check_settings_or_refusal(
        "\n".join(lines).replace("NaN", "nan").replace("Infinity", "inf"), manifest=False
    )


def test_every_setting_of_run_can_be_configured() -> None:
    words = {
        "task": "segment",
        "max_seconds": 5,
        "transition": "1:2",
        "space": "gamma",
        "alpha": "vp9",
        "codec": "h265",
        "preset": "fast",
        "device": "cpu",
    }
    words["max_memory"] = "3G"
    words["interlaced"] = "keep"
    words["timeline"] = "otio,edl"
    words["shots"] = "kind,first_frame\nshot,0\n"
    for item in options("run"):
        if item.name == "config":
            continue
        value = True if item.default is False else words.get(item.name, "1")
        assert item.name in settings_of(f"{item.name} = {json.dumps(value)}", "x")


def test_the_readmes_configuration_is_one() -> None:
    (text,) = re.findall(
        r"```toml\n(.*?)```", (Path(__file__).parents[2] / "README.md").read_text(), re.DOTALL
    )
    assert settings_of(text, "README.md")["transition"] == ((1600, 1624),)
