"""Runs on shared storage: what is sent, and in which order, and what is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from stores import empty_stores, folder_of, there, working

from pipeline.runtime.remote_store import Store
from stages.errors import UnlayerError, UsageError


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with empty_stores(monkeypatch, tmp_path):
        yield


def test_what_is_kept_is_sent_and_fetched_elsewhere() -> None:
    store = Store("memory://runs/a")
    store.send_kept(working("here"))
    kept = {".work/run.json": "run", ".work/keep/find.safetensors": "find"}
    part = {".work/keep/t-1/outgoing.npy": "pixels", ".work/keep/t-1/parts.safetensors": "parts"}
    assert there() == kept | part
    Store("memory://runs/a/").fetch(Path("there"))
    assert {
        str(path.relative_to("there")): path.read_text()
        for path in Path("there").rglob("*")
        if path.is_file()
    } == kept | part
    Store("memory://runs/a").fetch(Path("few"), lambda name: "/" not in name)
    assert {
        str(path.relative_to("few")) for path in Path("few").rglob("*") if path.is_file()
    } == set(kept)


def test_nothing_is_sent_twice_and_checkpoints_go_last(monkeypatch: pytest.MonkeyPatch) -> None:
    store, sent = Store("memory://runs/a"), []
    send = Store.send

    def spy(self: Store, path: Path, name: str) -> None:
        sent.append(name)
        send(self, path, name)

    monkeypatch.setattr(Store, "send", spy)
    folder = working("here")
    store.send_kept(folder)
    assert (
        sent[0] == ".work/run.json"
        and sent[1].endswith(".npy")
        and all(name.endswith(".safetensors") for name in sent[2:])
    )
    sent.clear()
    store.send_kept(folder)
    assert sent == []
    (folder / ".work/keep/find.safetensors").write_text("found more")
    store.send_kept(folder)
    assert (
        sent == [".work/keep/find.safetensors"]
        and there()[".work/keep/find.safetensors"] == "found more"
    )


def test_neither_whole_layers_nor_a_search_that_is_over_travel() -> None:
    folder = folder_of(
        str(working("here")),
        **{".work/keep/search.safetensors": "so far", ".work/keep/written/scene-001.mp4": "large"},
    )
    folder_of(str(folder), **{".work/keep/written/scene-001.safetensors": "whole"})
    Store("memory://runs/a").send_kept(folder)
    assert ".work/keep/search.safetensors" in there() and not any(
        "written" in name for name in there()
    )
    Store("memory://runs/a").fetch(Path("there"))
    assert sorted(path.name for path in Path("there/.work/keep").glob("*.*")) == [
        "find.safetensors"
    ]
    fsspec.filesystem("memory").rm("/runs/a/.work/keep/find.safetensors")
    Store("memory://runs/a").fetch(Path("early"))
    assert sorted(path.name for path in Path("early/.work/keep").glob("*.*")) == [
        "search.safetensors"
    ]


def test_a_finished_run_is_sent_with_its_manifest_last(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("memory://runs/a")
    store.send_kept(working("here"))
    folder = folder_of(
        "done", **{"manifest.json": "{}", "scene-001.mp4": "one", "sheet.png": "sheet", ".lock": ""}
    )
    order: list[str] = []
    send = Store.send

    def noted(self: Store, path: Path, name: str) -> None:
        order.append(name)
        send(self, path, name)

    monkeypatch.setattr(Store, "send", noted)
    store.publish(folder)
    assert order == ["scene-001.mp4", "sheet.png", "manifest.json"]
    assert there() == {"manifest.json": "{}", "scene-001.mp4": "one", "sheet.png": "sheet"}


def test_names_that_lead_out_of_the_folder_are_not_fetched() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/runs/a/.work/keep/../../../../evil.safetensors", b"evil")
    memory.pipe_file("/runs/a/.work/keep/half.safetensors.part", b"half")
    Store("memory://runs/a").fetch(Path("in/here"))
    assert not list(Path(".").rglob("*evil*")) and not list(Path(".").rglob("*half*"))


@pytest.mark.parametrize("url", ["nothing://bucket/runs", "abfs-no-such://x"])
def test_an_address_that_nothing_here_knows(url: str) -> None:
    with pytest.raises(UsageError, match=f"--store {url}"):
        Store(url)


def test_storage_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("memory://runs/a")

    def refuse(*words: Any, **more: Any) -> None:
        raise RuntimeError("AccessDenied\nwith a long story")

    monkeypatch.setattr(store.files, "put_file", refuse)
    with pytest.raises(
        UnlayerError,
        match=r"^memory://runs/a: cannot be written \(AccessDenied\); check the address and your ",
    ):
        store.send_kept(working("here"))
