"""Stores in memory, and runs to put into them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import media
import pytest
from clips import dissolve, moving

from pipeline.runtime.remote_store import store_at


@contextmanager
def empty_stores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Work in an empty folder, without any store that another test left."""
    monkeypatch.chdir(tmp_path)
    store_at.cache_clear()
    yield
    store_at.cache_clear()
    memory = fsspec.filesystem("memory")
    if memory.exists("/runs"):
        memory.rm("/runs", recursive=True)


def folder_of(path: str, **files: str) -> Path:
    """Make a folder with these files. In a name, ``__`` leads into a folder."""
    for name, text in files.items():
        target = Path(path, name.replace("__", "/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return Path(path)


def there(url: str = "memory://runs/a") -> dict[str, str]:
    """Return what lies in the store, by name."""
    files, root = fsspec.core.url_to_fs(url)
    return {
        path[len(root.rstrip("/")) + 1 :]: files.cat_file(path).decode()
        for path in files.find(root)
    }


def working(path: str) -> Path:
    """Make a run's folder in the middle of its work."""
    folder = folder_of(
        path,
        **{
            ".work/run.json": "run",
            ".work/keep/find.safetensors": "find",
            ".work/keep/t-1/outgoing.npy": "pixels",
        },
    )
    return folder_of(
        str(folder),
        **{".work/keep/t-1/parts.safetensors": "parts", ".work/scene-001.mp4": "half", ".lock": ""},
    )


def film(path: str = "in.mkv") -> Path:
    return media.save(
        Path(path), dissolve(moving(1, 12, (32, 48)), moving(2, 12, (32, 48)), 4, 4)[0]
    )
