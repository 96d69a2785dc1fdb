"""``doctor`` tries out what works; what does not work is a plain line and exit status 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.cli import doctor as module
from pipeline.cli.doctor import CheckResult
from pipeline.cli.main import main
from pipeline.tasks import names
from stages.errors import UnlayerError
from stages.media import selftest as machine
from stages.media.read import open_clip
from stages.media.selftest import FORMATS, check_formats


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def asked(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the findings of ``doctor --json``."""
    status = main(["doctor", "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_a_machine_where_all_is_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "LEAST_DISK", 1)
    monkeypatch.setattr(module, "LEAST_MEMORY", 1)
    status, facts = asked(capsys)
    assert status == 0 and facts["ok"] and facts["versions"]["torch"] == torch.__version__
    found = {(item["group"], item["name"]): item for item in facts["findings"]}
    assert {name for group, name in found if group == "formats"} == set(FORMATS)
    assert {name for group, name in found if group == "tasks"} == set(names())
    assert {
        ("devices", "cpu"),
        ("speed", "cpu"),
        ("room", "memory"),
        ("room", "disk here"),
        ("extras", "decord"),
    } <= set(found)
    assert "GFLOP/s" in found["speed", "cpu"]["found"] and not any(
        item["state"] == "bad" for item in found.values()
    )
    assert list(tmp_path.iterdir()) == []


def test_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "check_speed", lambda: [])
    monkeypatch.setattr(
        module,
        "check_formats",
        lambda: [CheckResult("formats", "H.264 in MP4", "bad", "no encoder", "install PyAV again")],
    )
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert (
        "H.264 in MP4: no encoder; install PyAV again" in out
        and "fix these first" in out
        and "cpu" in out
    )


def test_formats_are_really_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [tried.fault for tried in check_formats(tmp_path)] == [""] * len(FORMATS)

    def broken(*words: object, **more: object) -> None:
        raise UnlayerError("x.mp4 cannot be written\n(no encoder)")

    monkeypatch.setattr(machine, "LayerWriter", broken)
    assert {tried.fault for tried in check_formats(tmp_path)} == {
        "x.mp4 cannot be written (no encoder)"
    }


def test_a_picture_that_comes_back_wrong_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "LEAST_PSNR", 200.0)
    assert all("another picture" in tried.fault for tried in check_formats(tmp_path))

    class Short:
        def __init__(self, path: list[Path]) -> None:
            self.clip = open_clip(path)
            self.info = self.clip.info

        def blocks(self) -> Any:
            return (self.clip.frames(0, 0) for _ in range(2))

    monkeypatch.setattr(machine, "open_clip", Short)
    assert "2 of 3 frames come back" in check_formats(tmp_path)[0].fault


def test_little_room_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_DISK", 2**60)
    monkeypatch.setattr(module, "LEAST_MEMORY", 2**60)
    memory, disk = module.check_space()
    assert (
        memory.state == disk.state == "bad"
        and "close other programs" in memory.todo
        and "free some" in disk.todo
    )


def test_a_folder_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert module.check_space()[1] == CheckResult(
        "room",
        "disk here",
        "bad",
        "cannot be written (Permission denied)",
        "go to another folder, or give --out",
    )
