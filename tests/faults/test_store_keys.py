"""Stores with hostile keys, and stores that keep nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from provoke import Run, film

from pipeline.runtime.remote_store import Store
from stages.errors import UsageError

TASK = ("--task", "transition", "--no-progress", "--lossless")


@pytest.mark.parametrize(
    "key", ["/abs/olute", "a//b.safetensors", "../up", "a/../b", "./a", "a/", "nul\0l"]
)
def test_keys_that_are_no_names(tmp_path: Path, key: str) -> None:
    """A key with an absolute, an empty or a dotted part is not fetched."""
    import fsspec

    memory = fsspec.filesystem("memory")
    store = Store("memory://hostile")
    memory.store[f"/hostile/.work/keep/{key}"] = memory.open("/hostile/x", "wb")
    found = {
        f"/hostile/.work/keep/{key}": {"type": "file"},
        f"/hostile//tmp/{key}": {"type": "file"},
    }
    store.files = _Files(found)
    store.fetch(tmp_path / "here")
    memory.store.clear()
    assert not [path for path in tmp_path.rglob("*") if not path.is_dir()]


class _Files:
    """A storage with such keys."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found

    def exists(self, path: str) -> bool:
        """Return that everything exists."""
        return True

    def find(self, root: str, detail: bool) -> dict[str, Any]:
        """Return all keys."""
        return self.found

    def get_file(self, source: str, target: str) -> None:
        """Write the file that is asked for."""
        Path(target).write_text("hostile")


@pytest.mark.parametrize(
    "url",
    [
        "memory://x",
        "simplecache::memory://x",
        "x://y",
        "memori://x",
        "data:,x",
        "data://x",
        "http:/x",
        "github://",
        "file://",
    ],
)
def test_stores_that_keep_nothing(run: Run, tmp_path: Path, url: str) -> None:
    """Such a store is refused before a clip is begun, in one line that names the option.

    No folder of that name is made.
    """
    (tmp_path / "clips").mkdir()
    film(tmp_path / "clips/a.mkv", (16, 24))
    answer = run("batch", "clips", *TASK, "--out", "out", "--store", url)
    assert (
        answer.status == 2
        and answer.err.count("\n") == 1
        and answer.err.startswith(f"unlayer: --store {url}")
    ), answer
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips"]
    with pytest.raises(UsageError):
        Store(url).check()
