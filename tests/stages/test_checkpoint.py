"""Kept results: they come back as they were, belong to one run, are never unpickled, and are whole or not there."""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from stages.checkpoint import Checkpoints, Nothing, run_resumable
from stages.errors import UnlayerError


@dataclass(frozen=True)
class Pair:
    one: Tensor
    other: tuple[Tensor, ...]
    name: str = ""


def fail() -> Any:
    raise AssertionError("made again")


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
def test_any_result_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    store = Checkpoints(tmp_path_factory.mktemp("keep"), "f", every=0)
    assert same(store.get_or_compute("a", lambda: value), value)
    assert same(store.get_or_compute("a", fail), value)


def test_dataclasses_come_back_where_they_are_expected(tmp_path: Path) -> None:
    store, whole = Checkpoints(tmp_path, "f", every=0), torch.rand(4, 3)
    made = Pair(whole[:2], (whole[2:], whole.t()), "x")  # views of one memory
    store.get_or_compute("pair", lambda: made, Pair)
    assert same(store.get_or_compute("pair", fail, Pair), made)
    with pytest.raises(UnlayerError, match="no checkpoint of ours"):
        store.get_or_compute("pair", fail)


def test_what_is_quick_is_not_kept_until_enough_has_gathered(tmp_path: Path) -> None:
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
    with pytest.raises(
        UnlayerError, match="another input or other settings; begin anew with --overwrite"
    ):
        Checkpoints(tmp_path, "other").get_or_compute("a", fail)


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "kind",
    ["pickle", "torch", "empty", "text", "cut", "nothing known", "no value", "unknown class"],
)
def test_a_file_that_is_no_checkpoint_is_refused_and_nothing_runs(
    tmp_path: Path, kind: str
) -> None:
    store, path, trap = (
        Checkpoints(tmp_path / "keep", "f", every=0),
        tmp_path / "keep" / "a.safetensors",
        tmp_path / "trap",
    )
    store.get_or_compute("a", lambda: torch.rand(100))
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb(trap)))
    elif kind == "torch":
        torch.save({"a": Bomb(trap)}, path)
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
        match=r"a\.safetensors: is no checkpoint of ours or is damaged; begin anew with --overwrite",
    ):
        store.get_or_compute("a", fail)
    assert not trap.exists()


def test_killed_between_writing_and_renaming_the_one_before_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Checkpoints(tmp_path, "f", every=0)
    store.keep("a", torch.ones(3))

    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.keep("a", torch.zeros(3))
    monkeypatch.undo()
    assert same(Checkpoints(tmp_path, "f").newest("a"), torch.ones(3))


def test_a_full_disk_is_one_line_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*words: object, **named: object) -> None:
        Path(str(words[1])).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stages.checkpoint.save_file", full)
    with pytest.raises(UnlayerError, match="could not be written .*No space left"):
        Checkpoints(tmp_path / "keep", "f", every=0).get_or_compute("a", lambda: 1)
    assert not list((tmp_path / "keep").iterdir())


def test_rooms_are_apart_and_forgotten_alone(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, "f", every=0)
    store.within("t1").get_or_compute("a", lambda: 1)
    store.within("t2").get_or_compute("a", lambda: 2)
    store.within("t1").forget()
    assert (
        store.within("t2").get_or_compute("a", fail) == 2
        and store.within("t1").get_or_compute("a", lambda: 3) == 3
    )
    assert (
        Nothing().within("t1").get_or_compute("x", lambda: 5) == 5 and Nothing().newest("x") is None
    )


@pytest.mark.parametrize("killed_in", range(5))
def test_a_chain_goes_on_behind_the_last_step_that_was_kept(tmp_path: Path, killed_in: int) -> None:
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
    assert torch.equal(result, run_resumable(Nothing(), "chain", steps, start))


def test_what_cannot_be_kept_says_so(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="set cannot be kept"):
        Checkpoints(tmp_path, "f").keep("a", {1, 2})


def test_short_pieces_in_rooms_of_their_own_add_up(tmp_path: Path) -> None:
    now = [0.0]
    kept = Checkpoints(tmp_path, "one", every=5.0, clock=lambda: now[0])
    for number in range(6):
        now[0] += 2.0
        kept.within(f"window-{number}").get_or_compute("layers", lambda: torch.zeros(1))
    assert [number for number in range(6) if (tmp_path / f"window-{number}").exists()] == [2, 5]


def test_a_long_films_times_fit(tmp_path: Path) -> None:
    """The header of a file may hold 100 MB; what is long in it are numbers, and those are kept as tensors."""
    kept = Checkpoints(tmp_path, "one", every=0.0)
    value = [
        [Fraction(number, 25) for number in range(5000)],
        list(range(2**32, 2**32 + 5000)),
        [1, None] * 1000,
        [True] * 2000,
    ]
    kept.keep("find", (value,))
    found = kept.newest("find")[0]
    assert found == value
    assert all(type(item) is Fraction for item in found[0]) and type(found[3][0]) is bool
    assert (tmp_path / "find.safetensors").stat().st_size < 150_000
