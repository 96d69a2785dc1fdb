"""The options that the command line adds to the messages of errors."""

from __future__ import annotations

import ast
import pickle
import re
from dataclasses import Field, fields
from pathlib import Path

import pytest

from pipeline.cli.main import main
from pipeline.option_names import python_names, with_named_options, with_options, with_setting_names
from pipeline.settings import Settings, options
from stages.errors import UnlayerError, UsageError

STAGES = Path(__file__).parents[2] / "stages"


def test_options_follow_the_message() -> None:
    assert with_options(UnlayerError("a.mkv: is large", settings=("max_pixels",))) == (
        "a.mkv: is large (--max-pixels)"
    )
    assert with_options(UsageError("no frame", settings=("start", "end"))) == (
        "no frame (--start, --end)"
    )
    assert with_options(UnlayerError("a.mkv: is empty")) == "a.mkv: is empty"


@pytest.mark.parametrize("item", options("run"), ids=lambda item: item.name)
def test_messages_for_python_name_no_option(item: Field[object]) -> None:
    option = "--" + item.name.replace("_", "-")
    assert with_setting_names(f"{option} 3: choose {option}, or leave {option} out") == (
        f"{item.name} 3: choose {item.name}, or leave {item.name} out"
    )
    # The command line's own words, and words that only begin in the same way, stay.
    for text in (f"probe {option} and {option}-more", f"film{option}.mp4", f"film-{option}"):
        assert with_setting_names(text) == text
    with (
        pytest.raises(UsageError, match=rf"^{item.name} is wrong \(start\)$") as caught,
        python_names(),
    ):
        raise UsageError(f"{option} is wrong", settings=("start",))
    assert caught.value.exit_status == 2


def test_settings_in_braces_become_options_in_notes() -> None:
    assert with_named_options("{strength} 2 removes it; {frames}") == (
        "--strength 2 removes it; {frames}"
    )
    assert with_named_options("shortened by {max_seconds}") == "shortened by --max-seconds"
    assert with_named_options("{unknown} and {} stay") == "{unknown} and {} stay"


def test_notes_of_the_stages_name_settings_that_exist() -> None:
    """Braces in literal texts of notes are settings, or what the run fills in."""
    known = {field.name for field in fields(Settings)} | {"frames", "percent"}
    named = set()
    for path in STAGES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and ("{frames}" in text or "{percent}" in text):
                named |= set(re.findall(r"\{([a-z_]+)\}", text))
    assert {"frames", "strength"} <= named <= known


def test_settings_survive_the_way_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(UnlayerError("a.mkv: is large", settings=("max_pixels",))))
    assert with_options(error) == "a.mkv: is large (--max-pixels)"


def test_stages_name_settings_that_exist() -> None:
    """Every literal ``settings=(...)`` of an error in the stages is a field of Settings."""
    known = {field.name for field in fields(Settings)}
    named = {
        name
        for path in STAGES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword)
        and node.arg == "settings"
        and isinstance(node.value, ast.Tuple)
        for name in ast.literal_eval(node.value)
    }
    assert {"salvage", "max_pixels", "end", "out", "resume", "overwrite"} <= named <= known


def test_the_command_line_prints_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "large.png"
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    picture.write_bytes(header + (20_000).to_bytes(4, "big") * 2 + bytes(9))
    assert main(["probe", str(picture)]) == 1
    assert capsys.readouterr().err.endswith("scale it down, or allow more (--max-pixels)\n")
