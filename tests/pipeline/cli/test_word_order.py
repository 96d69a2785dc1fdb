"""The words: help that is made from the settings and fits a screen, completion, and inputs."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline.cli.help import show_help
from pipeline.cli.main import main
from pipeline.cli.parser import choices_of, settings_from
from pipeline.cli.verbs import VERBS, formatted_help
from pipeline.hint_arguments import HintArgument
from pipeline.option_fields import flag
from pipeline.settings import options
from pipeline.tasks import names
from stages.errors import UsageError
from stages.setting_values import PRESETS

ROOT = Path(__file__).parents[3]
SCREEN = 80, 24
"""Columns and lines of the smallest common terminal; the prompt takes the last line."""
MOST_LINES = 60
"""Lines of the list of all options, which need not fit a screen: each option has one."""


def shown(verb: str, width: int = SCREEN[0], *, everything: bool = False) -> str:
    """Return the help of a command on a terminal of this width."""
    text = io.StringIO()
    show_help(verb, Console(file=text, width=width), everything=everything)
    return text.getvalue()


@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_a_screen(verb: str) -> None:
    lines = shown(verb).splitlines()
    assert len(lines) < SCREEN[1] and max(map(len, lines)) <= SCREEN[0]
    lines = shown(verb, everything=True).splitlines()
    assert len(lines) < MOST_LINES and max(map(len, lines)) <= SCREEN[0]


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_made_from_the_settings_and_grouped(verb: str) -> None:
    lines = [" ".join(line.split()) for line in shown(verb, 200, everything=True).splitlines()]
    for item in options(verb):
        assert (
            " ".join(
                f"{flag(item)} {item.metadata['metavar']} {formatted_help(item, verb)}".split()
            )
            in lines
        )
    groups = list(dict.fromkeys(item.metadata["group"] for item in options(verb)))
    assert [line for line in lines if line in groups] == groups


@pytest.mark.parametrize("verb", VERBS)
def test_rare_options_are_left_out_and_counted(verb: str) -> None:
    rare = [item for item in options(verb) if verb in item.metadata["rare"]]
    text = shown(verb)
    assert not [item.name for item in rare if f"  {flag(item)} " in text]
    assert (
        (f"--help-all shows {len(rare)} options more" in text)
        is bool(rare)
        is (verb in ("run", "batch"))
    )


def test_help_says_what_an_option_is_to_this_verb() -> None:
    assert "bench" not in shown("run", everything=True) and "default: 600" in shown("bench")
    assert (
        "<stem>-<task>" in shown("run")
        and "<stem>" not in shown("batch")
        and "<folder>-<task>" in shown("batch")
    )
    assert "--transition" not in shown("batch", everything=True)


@pytest.mark.parametrize(
    ("words", "more"),
    [(["help", "run"], False), (["run", "--help-all"], True), (["help", "batch"], False)],
    ids=str,
)
def test_help_in_other_words(
    words: list[str], more: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0 and ("--max-pixels" in capsys.readouterr().out) is more


def test_help_for_no_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "rum"]) == 2 and "did you mean run" in capsys.readouterr().err
    assert main(["help"]) == 0 and "batch" in capsys.readouterr().out


def test_typer_shows_the_same_help(capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.cli.parser import command
    from pipeline.program import invocation

    command().main(["probe", "-h"], prog_name=invocation(), standalone_mode=False)
    through_typer = capsys.readouterr().out
    show_help("probe")
    assert through_typer.strip() == capsys.readouterr().out.strip() != ""


@pytest.mark.parametrize("words", [["-h"], ["a", "--help"], ["--task", "segment", "-h"]], ids=str)
def test_help_is_asked_for_anywhere(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        settings_from("run", words)
    assert stop.value.code == 0 and "--max-seconds S" in capsys.readouterr().out


def completed(*words: str) -> list[str]:
    """Return what the shell offers for the last of ``words``."""
    environment = {
        **os.environ,
        "COMP_WORDS": " ".join(["unlayer", *words]),
        "COMP_CWORD": str(len(words)),
    }
    environment["_UNLAYER_COMPLETE"] = "complete_bash"
    done = subprocess.run(
        [sys.executable, "-m", "pipeline"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stderr == ""
    return done.stdout.split()


def test_the_shell_completes_verbs_options_and_values() -> None:
    assert completed("do") == ["doctor"]
    assert completed("run", "--max-s") == ["--max-seconds"]
    assert completed("run", "--no-l") == ["--no-lossless"] and set(completed("run", "--help")) == {
        "--help",
        "--help-all",
    }
    assert "--no-no-progress" not in completed("run", "--no-")
    assert completed("run", "--task", "trans") == ["transition", "transparency"]
    assert completed("run", "film.mp4", "--preset", "") == list(PRESETS)


def test_choices_are_those_of_the_settings() -> None:
    found = {item.name: choices_of(item) for item in options("run")}
    assert (
        found["preset"] == PRESETS
        and found["task"] == names()
        and "auto" in found["device"]
        and found["out"] == ()
    )


def test_the_completion_script_is_shown() -> None:
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "--show-completion", "bash"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "_UNLAYER_COMPLETE=complete_bash" in done.stdout


def test_completion_is_installed(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        "HOME": str(tmp_path),
    }
    words = [sys.executable, "-m", "pipeline", "--install-completion", "bash"]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "bash completion installed" in done.stdout
    assert any(
        "_UNLAYER_COMPLETE" in path.read_text() for path in tmp_path.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize(
    ("words", "inputs"),
    [
        (["a", "b"], ["a", "b"]),
        (["-", "-5", "-my film.mp4"], ["-", "-5", "-my film.mp4"]),
        (["--", "--help", "-rf", "--"], ["--help", "-rf", "--"]),
        (["--seed", "3", "a", "--json", "b"], ["a", "b"]),
        (["\udcff.mp4", "new\nline"], ["\udcff.mp4", "new\nline"]),
    ],
    ids=str,
)
def test_what_is_an_input(words: list[str], inputs: list[str]) -> None:
    assert settings_from("run", words).inputs == tuple(map(Path, inputs))


def test_values_may_stand_behind_an_equals_sign_and_begin_with_a_dash() -> None:
    made = settings_from("run", ["a", "--out=-x=y", "--hint", "-5", "--seed=7"])
    assert (made.out, made.hint, made.seed) == (Path("-x=y"), (HintArgument(file=Path("-5")),), 7)


@pytest.mark.parametrize("verb", VERBS)
def test_an_option_of_one_value_that_is_given_twice_is_refused(verb: str) -> None:
    """Only one of two values could be used, and the user would not know which one."""
    inputs = ["a"] if VERBS[verb].inputs else []
    for item in options(verb):
        name = flag(item)
        if item.default is False:
            resume = ["--resume"] if name == "--anew" else []
            assert getattr(settings_from(verb, [*inputs, *resume, name, name]), item.name) is True
            with pytest.raises(
                UsageError,
                match=f"^{name} and --no-{name[2:]} contradict each other; give one of them$",
            ):
                settings_from(verb, [*inputs, name, f"--no-{name[2:]}"])
        elif not item.metadata["repeat"]:
            for words in ([name, "1", name, "2"], [f"{name}=1", *inputs, name, "1"]):
                with pytest.raises(
                    UsageError, match=f"^{name} is given twice, as 1 and as .; give it once$"
                ):
                    settings_from(verb, words)


def test_a_second_hint_does_not_replace_the_first() -> None:
    words = ["a.mp4", "--task", "segment", "--hint", "fg.png", "--hint", "48:box:1,2,3,4"]
    made = settings_from("run", [*words, "--hint-background", "point:7,8"])
    assert [str(hint) for hint in made.hint] == ["fg.png", "48:box:1,2,3,4"]
    assert [str(hint) for hint in made.hint_background] == ["point:7,8"]


# A busy machine draws slowly; that is no fault of what is drawn.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.text(max_size=8)
        | st.sampled_from(
            ["--seed", "--json", "--task", "--no-json", "--", "-", "=", "--out=", "-1"]
        ),
        max_size=5,
    )
)
def test_any_words_are_settings_or_refused(words: list[str]) -> None:
    words = [word for word in words if word not in ("-h", "--help")]
    try:
        made = settings_from("run", words)
    except UsageError as error:
        assert str(error)
    else:
        assert made.inputs
