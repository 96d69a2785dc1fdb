"""The manifest: its schema, and that what it says is true."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import media
import pytest
import torch
from clips import moving

from pipeline.hint_arguments import HintArgument
from pipeline.run import manifest
from pipeline.runtime.run_record import identity_of
from pipeline.settings import Settings
from pipeline.task import Result, WrittenLayer
from pipeline.tasks.transition.describe import describe_transition
from stages.media.clip import ClipInfo
from stages.media.read import open_clip
from stages.shots import Transition
from stages.transition.confidence import USABLE

INFO = ClipInfo(Path("fade.mp4"), 640, 360, 119, Fraction(30000, 1001), Fraction(1, 30000))


def built(result: Result, settings: Settings | None = None, **more: Any) -> dict[str, object]:
    settings = settings or Settings(
        inputs=(Path("in/fade.mp4"),), task="transition", start=Fraction(1, 2)
    )
    facts = manifest.RunOutcome(
        device=torch.device("cpu"),
        seconds=63.00049,
        stages={"find": 1.23456, "fit": 60.0},
        warnings=["careful"],
        **more,
    )
    return manifest.build(settings, ["ab"] * len(settings.inputs), INFO, result, facts)


def test_tags_that_no_layer_keeps_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    labeled = replace(INFO, tags=("artist", "creation_time", "title"))
    monkeypatch.setitem(globals(), "INFO", labeled)
    video = WrittenLayer("scene-001", "scene", Path("scene-001.mp4"), 0, 49)
    pictures = replace(video, path=Path("matte"), pattern="%06d.png")

    def not_kept(*layers: WrittenLayer) -> object:
        entries: Any = built(Result(layers))["input"]
        return entries[0].get("not_kept")

    assert not_kept(video, pictures) is None
    assert not_kept(pictures) == ["date", "title"]
    monkeypatch.setitem(globals(), "INFO", replace(labeled, is_picture=True))
    assert not_kept(replace(video, path=Path("clear.png"))) == ["date", "title"]


def test_a_transition_as_the_contract_has_it() -> None:
    move = Transition(48, 49, "dissolve", (0.25, 0.75), "gamma", 0, 1)
    assert describe_transition(move) == {
        "from": "scene-001",
        "to": "scene-002",
        "first_frame": 48,
        "last_frame": 49,
        "kind": "dissolve",
        "mix": [0.25, 0.75],
        "space": "gamma",
        "matte": None,
    }
    fitted = describe_transition(move, mix=(0.3, 0.7000001), space="linear", matte="matte")
    assert (fitted["mix"], fitted["space"], fitted["matte"]) == ([0.3, 0.7], "linear", "matte")


def test_a_fade_has_its_color_and_a_cut_mixes_nothing() -> None:
    fade = describe_transition(Transition(3, 3, "fade", (0.5,), "gamma", 4, None, "#000000"))
    assert (fade["from"], fade["to"], fade["color"]) == ("scene-005", None, "#000000")
    cut = describe_transition(Transition(30, 29, "cut", (), "gamma", 0, 1))
    assert (cut["first_frame"], cut["last_frame"], cut["mix"]) == (30, 29, [])
    assert not {"color", "effect", "event"} & set(cut)


def test_a_transition_with_a_known_name_has_it_beside_its_kind() -> None:
    push = Transition(3, 3, "push", (0.5,), "gamma", 0, 1, effect="slideleft")
    assert describe_transition(push)["effect"] == "slideleft"
    half = Transition(
        3, 3, "fade", (0.5,), "gamma", 0, None, "#000000", effect="fadeblack", event=(3, 9)
    )
    entry = describe_transition(half)
    assert (entry["effect"], entry["event"]) == ("fadeblack", [3, 9])


def test_the_whole_manifest() -> None:
    layers = (
        WrittenLayer("scene-002", "scene", Path("/w/scene-002.mkv"), 48, 119),
        WrittenLayer("scene-001", "scene", Path("/w/scene-001.mkv"), 0, 71),
    )
    whole = json.loads(
        json.dumps(
            built(
                Result(
                    layers,
                    120,
                    ({"kind": "dissolve"},),
                    (Path("/w/sheet.png"),),
                    {"reconstruction_psnr": 41.2},
                )
            )
        )
    )
    assert whole["schema"] == 1 and whole["task"] == "transition"
    assert whole["input"] == [
        {
            "path": "in/fade.mp4",
            "sha256": "ab",
            "width": 640,
            "height": 360,
            "frames": 120,
            "rate": "30000/1001",
        }
    ]
    assert whole["settings"]["preset"] == "balanced" and whole["settings"]["start"] == "1/2"
    # Layers are in the order of their first frames, and paths are relative to the folder.
    assert [(layer["name"], layer["path"]) for layer in whole["layers"]] == [
        ("scene-001", "scene-001.mkv"),
        ("scene-002", "scene-002.mkv"),
    ]
    assert whole["layers"][0] == {
        "name": "scene-001",
        "role": "scene",
        "path": "scene-001.mkv",
        "first_frame": 0,
        "last_frame": 71,
    }
    assert (
        whole["transitions"] == [{"kind": "dissolve"}]
        and whole["sheets"] == ["sheet.png"]
        and whole["warnings"] == ["careful"]
    )
    report = whole["report"]
    assert (
        report["reconstruction_psnr"] == 41.2
        and report["seconds"] == 63.0
        and report["device"] == "cpu"
    )
    assert report["stages"] == {"find": 1.235, "fit": 60.0}
    assert report["versions"]["torch"] == torch.__version__


def test_frames_are_the_headers_where_only_a_part_was_read() -> None:
    whole = built(Result((), None))
    assert isinstance(whole["input"], list) and whole["input"][0]["frames"] == 119


def test_several_pictures_have_one_frame_each() -> None:
    whole = built(Result((), 2), Settings(inputs=(Path("a.png"), Path("b.png")), task="watermark"))
    assert isinstance(whole["input"], list) and [item["frames"] for item in whole["input"]] == [
        1,
        1,
    ]


def test_identity_reads_back(tmp_path: Path) -> None:
    hint = media.save(tmp_path / "hint.png", moving(1, 1), **{"c:v": "png"})
    settings = Settings(
        inputs=(Path("a"),), task="transition", transition=((3, 9),), end=Fraction(7, 3)
    )
    assert identity_of(json.loads(json.dumps(built(Result((), 1), settings)))) == manifest.identity(
        settings, ["ab"]
    )
    known = manifest.identity(replace(settings, hint=(HintArgument(file=hint),)), ["ab"])
    whole = json.loads(
        json.dumps(
            built(
                Result((), 1),
                replace(settings, hint=(HintArgument(file=hint),)),
                hint_sha256=known["hint_sha256"],
            )
        )
    )
    assert (
        identity_of(whole) == known
        and known["hint_sha256"] == hashlib.sha256(hint.read_bytes()).hexdigest()
    )
    # A hint that is redrawn under the same name makes another run.
    media.save(hint, moving(2, 1), **{"c:v": "png"})
    assert identity_of(whole) != manifest.identity(
        replace(settings, hint=(HintArgument(file=hint),)), ["ab"]
    )


def test_checksums(tmp_path: Path) -> None:
    clip = media.save(tmp_path / "a.mp4", moving(1, 3))
    assert manifest.checksums([clip], open_clip([clip])) == [
        hashlib.sha256(clip.read_bytes()).hexdigest()
    ]


def test_the_checksum_of_a_folder_is_that_of_its_pictures(
    tmp_path: Path, mixed_clip: Callable[..., Path]
) -> None:
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(moving(1, 3)):
        cv2.imwrite(str(folder / f"{number:03d}.png"), frame)
    first = manifest.checksums([folder], open_clip([folder]))
    assert first == manifest.checksums([folder], open_clip([folder])) and len(first) == 1
    cv2.imwrite(str(folder / "001.png"), moving(2, 1)[0])
    assert manifest.checksums([folder], open_clip([folder])) != first


@pytest.mark.parametrize("seed", range(20))
def test_an_entry_says_which_frames_are_usable(seed: int) -> None:
    """Drawn qualities: all frames on the clean side of the one that is named are good enough."""
    draw = random.Random(seed)
    count = draw.randint(1, 12)
    move = Transition(40, 39 + count, "dissolve", (0.5,) * count, "gamma", 0, 1)
    sides = [[draw.uniform(USABLE - 4, USABLE + 12) for _ in range(count)] for _ in range(2)]
    entry = describe_transition(move, expected_psnr=sides)
    assert entry["confidence"] == {
        name: [round(value, 2) for value in side]
        for name, side in zip(("from", "to"), sides, strict=True)
    }
    usable = entry["usable"]
    assert isinstance(usable, dict)
    before = 39 if usable["from"] is None else usable["from"]
    after = 40 + count if usable["to"] is None else usable["to"]
    assert all(value >= USABLE for value in sides[0][: before - 39])
    assert all(value >= USABLE for value in sides[1][after - 40 :])
    assert before == 39 + count or sides[0][before - 39] < USABLE
    assert after == 40 or sides[1][after - 41] < USABLE
    assert "confidence" not in describe_transition(move)
