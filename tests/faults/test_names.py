"""Names that look like something else are only names.

Nothing is written outside the run's folder.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import OWN
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from provoke import Run, refused, still

TASK = ("--task", "transition", "--no-progress")
PIECES = (
    *"a .. . : - -- -rf ~ * ? % %03d \\ ' \" $(touch) | ; & { } [b] é".split(),
    *"http: file: concat: subfile, pipe: C:".split(),
    *("\n", "\t", "\x1b[2J", "\u202e", "\udcff", " "),
)
NAMES = (
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=5)
    .map("".join)
    .filter(lambda name: name.strip("."))
)
PICTURE = cv2.imencode(".png", np.arange(45, dtype=np.uint8).reshape(3, 5, 3))[1].tobytes()


def tree(folder: Path) -> set[str]:
    """Return every file and folder below."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=NAMES, way=st.sampled_from(["absolute", "up", "here", "link", "through a link"]))
@example(name="a:b", way="here")
@example(name="-rf", way="here")
@example(name="--out", way="here")
@example(name="new\nline", way="up")
@example(name="..\\..\\x", way="link")
@example(name="...", way="here")
def test_hostile_names(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str
) -> None:
    """Row 23: ``../``, ``a:b``, a leading ``-``, a line break and a link are read as plain files.

    Whatever is written stays in the run's folder.
    """
    box = tmp_path / "box"
    shutil.rmtree(box, ignore_errors=True)
    for folder in ("in", "deep/here"):
        (box / folder).mkdir(parents=True)
    here, name = box / "deep/here", f"{name}.png"
    real = (here if way == "here" else box / "in") / name
    real.write_bytes(PICTURE)
    (box / "door").symlink_to(box / "in")
    given_as = {
        "absolute": str(real),
        "up": f"../../in/{name}",
        "here": name,
        "link": name,
        "through a link": f"../../door/../in/{name}",
    }[way]
    if way == "link":
        (here / name).symlink_to(real)
    monkeypatch.chdir(here)
    before = tree(box)
    answer = run("run", *TASK, "--", given_as)
    assert answer.status == 0, answer.err
    made = tree(box) - before
    (folder,) = {Path(path).parts[2] for path in made}
    assert folder.endswith("-transition") and {Path(path).parts[:2] for path in made} == {
        ("deep", "here")
    }
    assert sorted(os.listdir(here / folder)) == sorted([*OWN, "scene-001.png"])
    assert real.read_bytes() == PICTURE
    assert json.loads((here / folder / "manifest.json").read_text())["input"][0]["path"] == given_as
    answer = run("probe", "--json", "--", given_as)
    assert answer.status == 0 and json.loads(answer.out)["width"] == 5


@pytest.mark.parametrize(
    "name",
    [
        "a:b.mp4",
        "-rf.mp4",
        "new\nline.mp4",
        "%03d.mp4",
        "http:x.mp4",
        "concat:x.mp4",
        "ä \x1b[31m.mp4",
    ],
)
def test_hostile_names_of_films(run: Run, tmp_path: Path, name: str) -> None:
    """Row 23: the same holds for films and for the run's folder itself.

    A file that is not there is named in one line.
    """
    still(tmp_path / "in.mp4")
    os.rename(tmp_path / "in.mp4", tmp_path / name)
    (tmp_path / "deep").mkdir()
    assert run("run", *TASK, "--out", f"deep/{name}", "--", name).status == 0
    assert sorted(os.listdir(tmp_path / "deep" / name)) == sorted([*OWN, "scene-001.mp4"])
    assert sorted(os.listdir(tmp_path)) == sorted([name, "deep"])
    (tmp_path / name).write_bytes(b"")
    refused(run("run", *TASK, "--", name), 1, "is empty", name.split("\n")[0].split("\x1b")[0])


def test_links_in_the_runs_folder(run: Run, tmp_path: Path) -> None:
    """Row 23: a link in the place of a layer is not written through, whatever the options."""
    (tmp_path / "in.png").write_bytes(PICTURE)
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/scene-001.png").symlink_to(tmp_path / "precious")
    for option in ((), ("--overwrite",), ("--resume",)):
        refused(
            run("run", "in.png", *TASK, "--out", "out", *option),
            2,
            "scene-001.png",
            "in the way",
            "--out",
        )
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_manifest_that_names_other_folders(run: Run, tmp_path: Path) -> None:
    """Row 23: replacing a run removes nothing outside its folder. Its manifest may name ``../``."""
    (tmp_path / "in.png").write_bytes(PICTURE)
    (tmp_path / "precious").write_text("mine")
    assert run("run", "in.png", *TASK, "--out", "out").status == 0
    path = tmp_path / "out/manifest.json"
    whole = json.loads(path.read_text())
    whole["layers"] += [
        {"name": "x", "path": name}
        for name in ("../precious", str(tmp_path / "precious"), "..", "")
    ]
    path.write_text(json.dumps(whole))
    assert run("run", "in.png", *TASK, "--out", "out", "--overwrite", "--seed", "1").status == 0
    assert (tmp_path / "precious").read_text() == "mine"
