"""Checkpoints are loaded as they were saved, belong to one run, and are complete or absent.

They are never unpickled.
"""

from __future__ import annotations

import math
import os
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from stages.errors import UnlayerError
from stages.storage.checkpoint import Checkpoints, NoCheckpoints, run_resumable


class Place(NamedTuple):
    """A tuple with names, which no checkpoint holds."""

    one: int
    other: int


@dataclass(frozen=True)
class Pair:
    one: Tensor
    other: tuple[Tensor, ...]
    name: str = ""


def fail() -> Any:
    raise AssertionError("computed again")


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Pair):
        return isinstance(other, Pair) and all(
            same(getattr(one, name), getattr(other, name)) for name in ("one", "other", "name")
        )
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and list(one) == list(other)
            and all(same(one[key], other[key]) for key in one)
        )
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and bool(one == other)


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
VALUES = st.recursive(
    st.one_of(
        PLAIN,
        st.sampled_from(
            [
                torch.zeros(0),
                torch.arange(6).view(2, 3),
                torch.rand(2, 1),
                torch.tensor(0.1).double(),
            ]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner, inner), st.dictionaries(st.integers() | st.text(), inner)
    ),
    max_leaves=8,
)


@given(value=VALUES)
def test_any_result_is_loaded_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    store = Checkpoints(tmp_path_factory.mktemp("keep"), "f", every=0)
    assert same(store.get_or_compute("a", lambda: value), value)
    assert same(store.get_or_compute("a", fail), value)


def test_dataclasses_are_loaded_where_they_are_expected(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, "f", every=0)
    whole = torch.rand(4, 3)
    made = Pair(whole[:2], (whole[2:], whole.t()), "x")  # views of one memory
    store.get_or_compute("pair", lambda: made, Pair)
    assert same(store.get_or_compute("pair", fail, Pair), made)
    with pytest.raises(UnlayerError, match="is not one of our checkpoints"):
        store.get_or_compute("pair", fail)


def test_quick_results_are_saved_only_when_enough_time_has_passed(tmp_path: Path) -> None:
    now = [0.0]
    store = Checkpoints(tmp_path, "f", every=5, clock=lambda: now[0])

    def work(seconds: float) -> Callable[[], float]:
        def make() -> float:
            now[0] += seconds
            return seconds

        return make

    for name, seconds in (("a", 2.0), ("b", 2.0), ("c", 2.0), ("d", 2.0), ("e", 6.0)):
        store.get_or_compute(name, work(seconds))
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["c", "e"]


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "one", every=0).get_or_compute("a", lambda: 1)
    with pytest.raises(UnlayerError, match="another input or other settings") as caught:
        Checkpoints(tmp_path, "other").get_or_compute("a", fail)
    assert caught.value.settings == ("overwrite",)


class PickleBomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "kind",
    ["pickle", "torch", "empty", "text", "cut", "nothing known", "no value", "unknown class"],
)
def test_a_file_that_is_not_a_checkpoint_is_refused_and_nothing_runs(
    tmp_path: Path, kind: str
) -> None:
    store = Checkpoints(tmp_path / "keep", "f", every=0)
    path = tmp_path / "keep" / "a.safetensors"
    trap = tmp_path / "trap"
    store.get_or_compute("a", lambda: torch.rand(100))
    if kind == "pickle":
        path.write_bytes(pickle.dumps(PickleBomb(trap)))
    elif kind == "torch":
        torch.save({"a": PickleBomb(trap)}, path)
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-7])
    elif kind in ("empty", "text"):
        path.write_bytes(b"" if kind == "empty" else b"not a checkpoint at all, only words")
    else:
        about = {
            "nothing known": {},
            "no value": {"fingerprint": "f"},
            "unknown class": {"fingerprint": "f", "value": '{"Popen": {"args": "x"}}'},
        }
        save_file({"0": torch.zeros(1)}, path, metadata=about[kind])
    with pytest.raises(
        UnlayerError,
        match=r"a\.safetensors: is not one of our checkpoints, or is damaged; start the run again",
    ) as caught:
        store.get_or_compute("a", fail)
    assert caught.value.settings == ("overwrite",)
    assert not trap.exists()


def test_a_kill_between_writing_and_renaming_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Checkpoints(tmp_path, "f", every=0)
    store.save("a", torch.ones(3))

    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.save("a", torch.zeros(3))
    monkeypatch.undo()
    assert same(Checkpoints(tmp_path, "f").newest("a"), torch.ones(3))


def test_a_full_disk_is_one_line_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*words: object, **named: object) -> None:
        Path(str(words[1])).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stages.storage.checkpoint.save_file", full)
    with pytest.raises(UnlayerError, match="could not be written .*No space left"):
        Checkpoints(tmp_path / "keep", "f", every=0).get_or_compute("a", lambda: 1)
    assert not list((tmp_path / "keep").iterdir())


def test_namespaces_are_separate(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, "f", every=0)
    store.namespace("t1").get_or_compute("a", lambda: 1)
    store.namespace("t2").get_or_compute("a", lambda: 2)
    store.namespace("t1").delete("a")
    assert store.namespace("t2").get_or_compute("a", fail) == 2
    assert store.namespace("t1").get_or_compute("a", lambda: 3) == 3
    assert (
        NoCheckpoints().namespace("t1").get_or_compute("x", lambda: 5) == 5
        and NoCheckpoints().newest("x") is None
    )


@pytest.mark.parametrize("killed_in", range(5))
def test_a_chain_resumes_after_the_last_saved_step(tmp_path: Path, killed_in: int) -> None:
    done: list[int] = []

    def step(number: int) -> Callable[[Tensor], Tensor]:
        def work(state: Tensor) -> Tensor:
            if number == killed_in and len(done) == killed_in:
                done.append(-1)
                raise KeyboardInterrupt
            done.append(number)
            return state * 3 + number

        return work

    steps = [step(number) for number in range(4)]
    start = torch.rand(2)
    if killed_in < 4:
        with pytest.raises(KeyboardInterrupt):
            run_resumable(Checkpoints(tmp_path, "f", every=0), "chain", steps, start)
    result = run_resumable(Checkpoints(tmp_path, "f", every=0), "chain", steps, start)
    assert [number for number in done if number >= 0] == [0, 1, 2, 3]
    assert torch.equal(result, run_resumable(NoCheckpoints(), "chain", steps, start))


def test_values_that_cannot_be_saved_are_refused(tmp_path: Path) -> None:
    for value in ({1, 2}, range(2), Place(1, 2)):
        with pytest.raises(TypeError, match=f"{type(value).__name__} cannot be saved"):
            Checkpoints(tmp_path, "f").save("a", value)


def test_short_pieces_in_different_namespaces_add_up(tmp_path: Path) -> None:
    now = [0.0]
    kept = Checkpoints(tmp_path, "one", every=5.0, clock=lambda: now[0])
    for number in range(6):
        now[0] += 2.0
        kept.namespace(f"window-{number}").get_or_compute("layers", lambda: torch.zeros(1))
    assert [number for number in range(6) if (tmp_path / f"window-{number}").exists()] == [2, 5]


def test_the_times_of_a_long_film_fit(tmp_path: Path) -> None:
    """A file's header is limited to 100 MB, so long lists of numbers are saved as tensors."""
    kept = Checkpoints(tmp_path, "one", every=0.0)
    value = [
        [Fraction(number, 25) for number in range(5000)],
        list(range(2**32, 2**32 + 5000)),
        [1, None] * 1000,
        [True] * 2000,
    ]
    kept.save("find", (value,))
    found = kept.newest("find")[0]
    assert found == value
    assert all(type(item) is Fraction for item in found[0]) and type(found[3][0]) is bool
    assert (tmp_path / "find.safetensors").stat().st_size < 150_000


@pytest.mark.parametrize("fails", [False, True])
def test_a_chain_saves_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """States are saved in order while the next step goes on, and a fault reaches the caller."""
    saved: list[tuple[int, int]] = []
    save = Checkpoints.save
    torch.set_num_threads(2)

    def spy(self: Checkpoints, name: str, value: Any) -> None:
        saved.append((value[0], threading.get_ident()))
        if fails and value[0] == 2:
            raise UnlayerError("the disk is full")
        save(self, name, value)

    monkeypatch.setattr(Checkpoints, "save", spy)
    steps = [lambda state, number=number: 3 * state + number for number in range(4)]
    store = Checkpoints(tmp_path, "f", every=0)
    start = torch.rand(3)
    if fails:
        with pytest.raises(UnlayerError, match="full"):
            run_resumable(store, "chain", steps, start)
        assert store.newest("chain")[0] == 1
    else:
        result = run_resumable(store, "chain", steps, start)
        number, state = store.newest("chain")
        assert number == 4 and torch.equal(state, result)
    assert [number for number, _ in saved] == [1, 2, 3, 4][: 2 if fails else 4]
    assert threading.get_ident() not in {thread for _, thread in saved}
    assert not any(thread.name.startswith("work-queue") for thread in threading.enumerate())


def test_views_of_the_same_memory_are_saved_as_they_are(tmp_path: Path) -> None:
    whole = torch.rand(4, 6)
    parts = (whole, whole[1:3], whole[:, ::2], whole.T, whole[0], torch.zeros(0))
    store = Checkpoints(tmp_path, "f", every=0)
    store.save("views", parts)
    assert all(
        torch.equal(one, other) for one, other in zip(store.newest("views"), parts, strict=True)
    )
