"""Test that nothing on the report's page can do harm, whatever its folder contains."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_pages import film, manifest_of, page_of, run

from pipeline.cli.main import main
from pipeline.report.facts import read_facts
from stages.errors import UnlayerError

pytestmark = pytest.mark.usefixtures("quick")


HOSTILE = [
    '"><img src=x onerror=alert(1)>.mp4',
    "</script><script>alert(1)</script>.mp4",
    "';alert(1);'.mp4",
    "{{ 7 * 7 }}&amp;%3C.mp4",
]


def test_the_page_needs_no_network() -> None:
    page = page_of(run(film()))
    (policy,) = [
        each["content"]
        for each in page.all("meta")
        if each.get("http-equiv") == "Content-Security-Policy"
    ]
    assert (
        policy is not None
        and "default-src 'none'" in policy
        and "unsafe" not in policy
        and "http" not in policy
    )
    for _, about in page.elements:
        for name in ("src", "href", "poster"):
            assert ":" not in (about.get(name) or "") and not (about.get(name) or "").startswith(
                "//"
            )
        assert not [name for name in about if name.startswith("on") or name == "style"]


@pytest.mark.usually(2)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name: str) -> None:
    name = name.replace("/", "\u2215") if "/" in name else name
    os.rename(film("plain.mp4"), name)
    made = run("--", name)
    plain = page_of(run(film("tame.mp4"), out="other"))
    page = page_of(made)
    assert name in page.text
    # It has the same elements as with a harmless name.
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements] and len(
        page.scripts
    ) == 2
    assert json.loads(page.scripts[0])["tracks"][0]["name"] == name


def test_names_that_are_not_valid_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.mp4")
    os.rename(film("plain.mp4"), name)
    assert "\\udcff" in page_of(run("--", name)).text


def test_a_foreign_manifest_is_shown_as_text() -> None:
    made = run(film())
    whole = manifest_of(made)
    evil = "</p><script>alert(1)</script>"
    whole["warnings"] = [evil]
    whole["settings"]["preset"] = evil
    whole["report"]["versions"]["torch"] = evil
    whole["layers"][0]["role"] = evil
    whole["transitions"][0]["kind"] = evil
    whole["transitions"][0]["color"] = evil
    whole["report"]["stages"][evil] = 1.0
    curves = {evil: {evil: [[0, 1], [1, 2]]}}
    fit = {"name": evil, "first_frame": 0, "last_frame": 1, "curves": curves}
    (made / "losses.json").write_text(json.dumps({"fits": [fit]}))
    (made / "manifest.json").write_text(json.dumps(whole))
    assert main(["report", "out", "--no-progress"]) == 0
    page = page_of(made)
    assert len(page.scripts) == 2 and page.text.count(evil) >= 5


@pytest.mark.usually(3)
@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole["layers"][0].update(path="../plain.mkv"),
        lambda whole: whole["layers"][0].update(path="/etc/passwd"),
        lambda whole: whole["layers"][0].update(first_frame=-1),
        lambda whole: whole["layers"][0].update(last_frame=10**30),
        lambda whole: whole.update(layers=[]),
        lambda whole: whole.update(input=3),
        lambda whole: whole.update(schema=2),
        lambda whole: whole["transitions"][0].update(mix=[float("nan")] * 6),
        lambda whole: whole["input"][0].update(rate="25/0"),
    ],
)
def test_a_damaged_manifest_is_one_line(
    change: Callable[[dict[str, Any]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(film())
    before = (made / "report.html").read_bytes()
    whole = manifest_of(made)
    change(whole)
    (made / "manifest.json").write_text(json.dumps(whole))
    capsys.readouterr()
    assert main(["report", "out", "--no-progress"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("unlayer: out: ")
    assert (made / "report.html").read_bytes() == before


@pytest.mark.parametrize(
    "name", ["report.html", "losses.json", "report/preview-input.mp4", "report"]
)
def test_foreign_files_are_not_replaced(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = Path("out") / name
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    run(film(), status=2)
    assert (
        name in capsys.readouterr().err
        and place.read_text() == "mine"
        and not Path("out/manifest.json").exists()
    )


def test_what_is_no_manifest_is_refused() -> None:
    for value in ({}, {"schema": 1}, {"schema": 1, "task": "x", "input": [], "layers": []}):
        with pytest.raises(UnlayerError, match="manifest"):
            read_facts(value)
