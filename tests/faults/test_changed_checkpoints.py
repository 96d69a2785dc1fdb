"""Checkpoints and other kept files that were changed.

The change is reported in one line or has no effect; it never causes a crash or a wrong layer. Cases
are drawn by number: UNLAYER_DRAWS is how many there are, UNLAYER_SEED the number of the first one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from provoke import FILM_RUN, Run, at_step, film, layers, manifest, small_plans
from safetensors import safe_open
from safetensors.torch import save_file
from test_links import HungError, alarmed

from pipeline.run.restart import DAMAGED, RESTART_WARNINGS
from stages.storage.checkpoint import _checksum

DRAWS, SEED = int(os.environ.get("UNLAYER_DRAWS", "24")), int(os.environ.get("UNLAYER_SEED", "0"))
WORDS = (*FILM_RUN, "--out", "out")
VALUES: tuple[object, ...] = (
    *(
        None,
        0,
        -1,
        1.5,
        "text",
        True,
        [],
        {},
        {"tensor": "0"},
        {"tensor": "99"},
        {"tensor": []},
        {"ints": 3},
        {"fraction": [1, 0]},
    ),
    *(
        {"fraction": [1]},
        {"list": 3},
        {"list": []},
        {"tuple": [1, 2, 3]},
        {"frozenset": [{"list": []}]},
        {"dict": [[{"list": []}, 1]]},
    ),
    *(
        {"dict": 5},
        {"Shot": {}},
        {"Shot": {"first_frame": "a"}},
        {"Transition": {"x": 1}},
        {"SeparatedTransition": {}},
        {"Seen": {"times": 3}},
    ),
    *(
        {"list": [{"tensor": "0"}]},
        {"fractions": {"tensor": "0"}},
        {"a": 1, "b": 2},
        {"tuple": [{"tuple": []}, {"tuple": []}]},
    ),
    *(
        10**30,
        -(10**30),
        1e308,
        float("nan"),
        {"os.system": "echo"},
        "\0",
        "\udcff",
        {"tuple": [10**9, None]},
    ),
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run) -> None:
    """Make three interrupted runs.

    They stop in the fit, after it, and in the report, when all layers are written.
    """
    small_plans(monkeypatch)
    film(tmp_path / "in.mkv", (16, 24))

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        at_step(patch, "separate", 8, stop)
        assert run(*WORDS).status == 130
    Path("out").rename("fit")
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.run.execute.with_report", stop)
        assert run(*WORDS).status == 130
    shutil.copytree("out", "report")
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.tasks.transition.run.write_layers", stop)
        shutil.rmtree("out/.work/keep/written")
        assert run(*WORDS, "--resume").status == 130
    Path("out").rename("write")
    assert run(*WORDS).status == 0
    Path("out").rename("whole")


def mutate(value: Any, rng: random.Random) -> Any:
    """Return the same JSON value with one part replaced."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        return {**value, key: mutate(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value[:place] + value[place + 1 :]
        return [*value[:place], mutate(value[place], rng), *value[place + 1 :]]
    return rng.choice(VALUES)


def other_content(path: Path, rng: random.Random) -> None:
    """Return another value or other tensors, with a right fingerprint and checksum."""
    with safe_open(path, framework="pt") as file:
        about = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    about.pop("checksum")
    if rng.random() < 0.7:
        about["value"] = json.dumps(mutate(json.loads(about["value"]), rng))
    else:
        name = rng.choice(sorted(tensors))
        made = [
            torch.zeros(0),
            torch.zeros(3),
            torch.full((2, 2, 2), float("nan")),
            torch.zeros(1, dtype=torch.int64),
        ]
        tensors[name] = rng.choice([*made, tensors[name][:0], tensors[name].reshape(-1)])
    save_file(tensors, path, metadata={**about, "checksum": _checksum(about, tensors)})


def damage(path: Path, others: list[Path], rng: random.Random) -> str:
    """Change a file, and say how."""
    ways = [
        "flip",
        "flip",
        "cut",
        "swap",
        "empty",
        "pipe",
        "folder",
        "link",
        "zeros",
        "text",
        "gone",
    ]
    way = rng.choice([*ways, *["content"] * 6] if path.suffix == ".safetensors" else ways)
    data = bytearray(path.read_bytes())
    if way == "flip":
        for _ in range(rng.choice([1, 1, 5])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
    elif way == "cut":
        path.write_bytes(data[: rng.randrange(len(data))])
    elif way == "swap":
        shutil.copyfile(rng.choice(others), path.with_name("swapped"))
        path.with_name("swapped").replace(path)
    elif way == "content":
        other_content(path, rng)
    elif way in ("empty", "text"):
        path.write_bytes(b"" if way == "empty" else b'{"a": [1, 2]}\n')
    else:
        path.unlink()
        if way == "pipe":
            os.mkfifo(path)
        elif way == "folder":
            path.mkdir()
        elif way in ("link", "zeros"):
            path.symlink_to("/dev/zero" if way == "zeros" else others[0].resolve())
    return way


@pytest.mark.slow
def test_changed_files(run: Run, tmp_path: Path) -> None:
    """A changed file is one line and exit status 1, or the layers are right.

    With ``--anew`` they always are.
    """
    want = layers(Path("whole"))
    assert len(want) >= 2
    for number in range(SEED, SEED + DRAWS):
        rng = random.Random(number)
        template, anew = rng.choice(["fit", "write", "report"]), rng.random() < 0.4
        shutil.rmtree("out", ignore_errors=True)
        shutil.copytree(template, "out")
        files = sorted(path for path in Path("out/.work").rglob("*") if path.is_file())
        path = rng.choice(files)
        way = damage(path, [other for other in files if other != path], rng)
        case = f"number {number}: {way} of {path} of {template}{', anew' if anew else ''}"
        try:
            with alarmed():
                answer = run(*WORDS, "--resume", *(["--anew"] if anew else []))
            assert "Traceback" not in answer.err and "unexpected" not in answer.err, answer.err
            lines = [
                line
                for line in answer.err.splitlines()
                if not line.startswith("unlayer: warning: ")
            ]
            if answer.status == 0:
                assert layers(Path("out")) == want and not lines, "other layers"
                assert all(
                    text in (*RESTART_WARNINGS, *manifest(Path("whole"))["warnings"])
                    for text in manifest(Path("out"))["warnings"]
                )
            else:
                # Content that was made on purpose, with a right checksum, may have the right type
                # and make no sense.
                assert not anew or way == "content" or path.name == "run.json", answer
                assert answer.status == (2 if path.name == "run.json" else 1) and len(lines) == 1, (
                    answer
                )
                assert lines[0].startswith("unlayer: ")
        except (AssertionError, HungError) as error:
            if way == "content" and "other layers" in str(error):
                continue  # numbers of the right type cannot be recognised as wrong
            raise AssertionError(f"{case}: {error!r}") from error


def test_a_batch_begins_a_damaged_clip_anew(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip with damaged checkpoints begins again, says so in its warnings, and is done."""
    kept = Path("write/.work/keep/find.safetensors")
    data = bytearray(kept.read_bytes())
    data[-1] ^= 1
    kept.write_bytes(data)
    Path("write").rename("out")
    answer = run(*WORDS, "--resume")
    assert (
        answer.status == 1
        and str(kept.name) in answer.err
        and "is damaged" in answer.err
        and "--overwrite" in answer.err
    )
    assert run(*WORDS, "--resume", "--anew").status == 0
    assert (
        layers(Path("out")) == layers(Path("whole"))
        and manifest(Path("out"))["warnings"].count(DAMAGED) == 1
    )


def test_an_error_of_ours_is_not_blamed_on_what_was_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the program stays one where no checkpoint was read.

    Where one was read, the line names it and says what to do.
    """

    def fails(*_: Any, **__: Any) -> None:
        raise TypeError("no such thing")

    monkeypatch.setattr("pipeline.tasks.transition.run.write_layers", fails)
    assert "unexpected TypeError: no such thing" in run(*WORDS).err
    shutil.rmtree("out", ignore_errors=True)
    Path("write").rename("out")
    answer = run(*WORDS, "--resume")
    assert answer.status == 1 and answer.err.count("\n") == 1
    assert (
        "the run cannot go on from it (TypeError: no such thing)" in answer.err
        and "--overwrite" in answer.err
    )
