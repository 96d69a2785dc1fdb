"""What a search found is kept in the user's cache: taken again, bounded, and never trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import media
import pytest
from clips import moving, plain_answer

from pipeline.cli.main import main
from pipeline.tasks.transition import probe as probing
from pipeline.tasks.transition import run as running
from pipeline.tasks.transition import search_cache, separate
from pipeline.tasks.transition.search import search

calls: list[object] = []


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Count the searches, use a cache of the test's own, and return its folder."""

    def counting(*words: Any, **more: Any) -> Any:
        calls.append(words)
        return search(*words, **more)

    calls.clear()
    monkeypatch.setattr(running, "search", counting)
    monkeypatch.setattr(probing, "search", counting)
    monkeypatch.setattr(separate, "separate_transition", plain_answer)
    monkeypatch.setenv("UNLAYER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def run(*words: object, out: str = "out") -> dict[str, Any]:
    options = ["--task", "transition", "--out", out, "--no-progress", "--lossless"]
    assert main(["run", *map(str, words), *options]) == 0
    found = json.loads(Path(out, "manifest.json").read_text())
    assert isinstance(found, dict)
    return found


def probe(*words: object) -> None:
    assert main(["probe", *map(str, words), "--json"]) == 0


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def test_a_run_after_probe_searches_nothing_and_makes_the_same_bytes(
    mixed_clip: Callable[..., Path], counted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = mixed_clip(), "--transition", "8:15"
    fresh = run(*words, "--no-cache", out="fresh")
    assert len(calls) == 1 and "search" not in fresh["report"] and not entries(counted)
    probe(*words)
    assert len(calls) == 2 and len(entries(counted)) == 1
    taken = run(*words, out="taken")
    assert len(calls) == 2 and taken["report"]["search"] == "cache"
    for layer in fresh["layers"]:
        one, other = (Path(out, layer["path"]).read_bytes() for out in ("fresh", "taken"))
        assert one == other
    assert taken["layers"] == fresh["layers"] and taken["transitions"] == fresh["transitions"]
    capsys.readouterr()
    probe(*words)
    assert len(calls) == 2 and json.loads(capsys.readouterr().out)["search"] == "cache"


def test_another_input_or_setting_is_searched_again(
    mixed_clip: Callable[..., Path], tmp_path: Path
) -> None:
    clip = mixed_clip()
    for words in ([], ["--start", "0.1"], ["--transition", "8:15"], ["--interlaced", "keep"]):
        probe(clip, *words)
    assert len(calls) == 4
    media.save(clip, moving(3, 24))
    probe(clip)
    assert len(calls) == 5
    # The same bytes under another name are the same input.
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    probe(copy)
    assert len(calls) == 5


def test_another_version_searches_again(
    mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = mixed_clip()
    probe(clip)
    monkeypatch.setattr(search_cache, "search_fingerprint", lambda: "another")
    probe(clip)
    assert len(calls) == 2


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "link", "folder"])
def test_a_damaged_entry_is_searched_again(
    mixed_clip: Callable[..., Path], counted: Path, damage: str, tmp_path: Path
) -> None:
    clip = mixed_clip()
    probe(clip)
    (entry,) = entries(counted)
    data = entry.read_bytes()
    entry.unlink()
    if damage == "link":
        (tmp_path / "mine").write_bytes(data)
        entry.symlink_to(tmp_path / "mine")
    elif damage == "folder":
        entry.mkdir()
    else:
        changed = {"cut": data[:-9], "changed": data[:-1] + b"x", "empty": b""}[damage]
        entry.write_bytes(changed)
    probe(clip)
    assert len(calls) == 2
    probe(clip)
    assert len(calls) == 2
    assert damage != "link" or (tmp_path / "mine").read_bytes() == data


def test_no_cache_is_no_harm(
    mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clip = mixed_clip()
    (tmp_path / "file").touch()
    for place in ("", str(tmp_path / "file"), str(tmp_path / "file" / "inside")):
        monkeypatch.setenv("UNLAYER_CACHE", place)
        probe(clip)
    assert len(calls) == 3


def test_the_folder_is_that_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UNLAYER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert search_cache.cache_folder() == tmp_path / "unlayer" / "searches"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert search_cache.cache_folder() == tmp_path / "home" / ".cache" / "unlayer" / "searches"


def test_the_cache_is_bounded(counted: Path) -> None:
    counted.mkdir()
    for number in range(5):
        path = counted / f"{number}.safetensors"
        path.write_bytes(bytes(100))
        os.utime(path, (number + 1, number + 1))
    (counted / "mine.txt").write_bytes(bytes(1000))
    old = counted / ".new-killed"
    old.mkdir()
    os.utime(old, (1, 1))
    search_cache.prune(counted, 250)
    assert [path.name for path in entries(counted)] == [
        "3.safetensors",
        "4.safetensors",
        "mine.txt",
    ]


def test_many_at_once_leave_one_whole_entry(mixed_clip: Callable[..., Path], counted: Path) -> None:
    from pipeline.settings import Settings
    from stages.media.read import open_clip

    settings = Settings(inputs=(mixed_clip(),), transition=((8, 15),))
    clip = open_clip(settings.inputs)
    found = search(clip, settings, lambda fraction, note: None)
    caches = [search_cache.SearchCache(clip, settings, ["ab"]) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda cache: cache.save(found), caches))
    assert len(entries(counted)) == 1
    taken = caches[0].load()
    assert taken is not None
    assert (taken.analysis, taken.times) == (found.analysis, found.times)
    assert taken.frame_index == found.frame_index
