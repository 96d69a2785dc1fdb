"""Which files of a folder belong to a layer of numbered pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.runtime.sequences import (
    SequenceFiles,
    foreign_entry,
    remove_sequence,
    sequences_of,
)

FILES = SequenceFiles(3, 5, ".png")


def folder_with(path: Path, *names: str) -> Path:
    folder = path / "scene-001"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def test_a_manifest_names_the_files_of_its_sequences() -> None:
    layers = [
        {"path": "scene-001", "pattern": "%06d.png", "first_frame": 3, "last_frame": 5},
        {"path": "scene-002.mp4", "first_frame": 0, "last_frame": 5},
        {"path": "odd", "pattern": "../%s.png", "first_frame": 0, "last_frame": 5},
        "nonsense",
    ]
    assert sequences_of({"layers": layers}) == {"scene-001": FILES}
    assert sequences_of({}) == {} == sequences_of({"layers": 3})


@pytest.mark.parametrize(
    "foreign", ["000002.png", "000006.png", "000200.png", "0000003.png", "000004.tif", "mine.txt"]
)
def test_other_numbers_and_types_are_foreign_and_stay(tmp_path: Path, foreign: str) -> None:
    folder = folder_with(tmp_path, "000003.png", "000004.png", "000005.png", foreign)
    assert foreign_entry(folder, FILES) == folder / foreign
    remove_sequence(folder, FILES)
    assert [entry.name for entry in folder.iterdir()] == [foreign]


def test_a_folder_with_the_sequence_alone_goes_with_it(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "000003.png", "000004.png", "000005.png")
    assert foreign_entry(folder, FILES) is None
    remove_sequence(folder, FILES)
    assert not folder.exists()


def test_without_a_manifest_all_numbered_pictures_belong(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "000003.png", "123456.exr")
    assert foreign_entry(folder) is None
    remove_sequence(folder)
    assert not folder.exists()
