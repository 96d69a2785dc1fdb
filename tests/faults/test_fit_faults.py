"""Fits that go wrong.

The fit recovers where it can and says so; where it cannot, there is one clear line.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clips import read_clip
from provoke import FILM_RUN, Run, film, layers, manifest, refused, small_plans, visible

from pipeline.framewise.run import Output, Recipe, run_layered
from pipeline.run import execute as running
from pipeline.task import Task
from stages.context import Separation
from stages.motion import carry
from stages.optim import fit as loop
from stages.optim.descent import Descent, DivergenceGuard
from stages.transition import finish as finish_module
from stages.transition import networks as fit_transition
from stages.transition import separate, tie_fit
from stages.transition.alternate import alternate


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_plans(monkeypatch)
    film(tmp_path / "in.mkv")


def break_losses(patch: pytest.MonkeyPatch, broken: Callable[[int], bool]) -> None:
    """Turn the losses of the networks' fit into NaN at the steps for which ``broken`` is true."""
    fit = loop.fit

    def breaking(module: Any, terms: Any, *rest: Any, **more: Any) -> Any:
        calls = [-1]

        def worse(index: torch.Tensor, progress: float) -> dict[str, torch.Tensor]:
            calls[0] += 1
            return {
                name: loss * (float("nan") if broken(calls[0]) else 1)
                for name, loss in terms(index, progress).items()
            }

        return fit(module, worse, *rest, **more)

    patch.setattr(fit_transition, "fit", breaking)


def rates_of(patch: pytest.MonkeyPatch) -> list[float]:
    """Record the learning rate of every step from now on."""
    rates: list[float] = []
    make = loop._descent

    def watched(*given: Any) -> Descent:
        made = make(*given)
        step = made.optimizer.step

        def noted() -> None:
            rates.append(made.optimizer.param_groups[0]["lr"])
            step()

        patch.setattr(made.optimizer, "step", noted)
        return made

    patch.setattr(loop, "_descent", watched)
    return rates


def test_loss_turns_nan(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 18: where the loss becomes NaN, the fit returns to the last good state.

    Its step is smaller then. The run then finishes.
    """
    with monkeypatch.context() as patch:
        usual = rates_of(patch)
        assert run(*FILM_RUN, "--out", "sound").status == 0
    restored: list[bool] = []
    restore = DivergenceGuard._restore

    def spy(guard: DivergenceGuard) -> None:
        restore(guard)
        pairs = zip(guard._values, guard._good, strict=True)
        restored.append(all(torch.equal(value, good) for value, good in pairs))

    monkeypatch.setattr(DivergenceGuard, "_restore", spy)
    rates = rates_of(monkeypatch)
    break_losses(monkeypatch, lambda step: step == 1)
    assert run(*FILM_RUN, "--out", "broken").status == 0
    assert len(usual) == 4 and restored == [True]
    assert rates == pytest.approx([usual[0], usual[2] / 3, usual[3] / 3])
    for name in layers(tmp_path / "sound"):
        one, other = (
            read_clip(tmp_path / folder / name).astype(int) for folder in ("sound", "broken")
        )
        assert one.shape == other.shape and np.abs(one - other).mean() < 20
    assert "NaN" not in (tmp_path / "broken/manifest.json").read_text()


def test_loss_stays_nan(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 18: after three tries there is one clear line that names the file and says what to do.

    No layer has its final name.
    """
    break_losses(monkeypatch, lambda step: step > 0)
    refused(
        run(*FILM_RUN, "--out", "out"),
        1,
        "in.mkv: the fit of the networks diverged 3 times",
        "try another seed, or fit on the CPU (--seed, --device)",
    )
    assert visible(tmp_path / "out") == []


def break_motion(patch: pytest.MonkeyPatch, module: Any, broken: Callable[[int], bool]) -> None:
    """Turn the loss of the motion fits in ``module`` into NaN.

    broken: says for which evaluations.
    """
    calls = [-1]
    charbonnier: Callable[[torch.Tensor], torch.Tensor] = module.charbonnier

    def worse(difference: torch.Tensor) -> torch.Tensor:
        calls[0] += 1
        return charbonnier(difference) * (float("nan") if broken(calls[0]) else 1)

    patch.setattr(module, "charbonnier", worse)


@pytest.mark.usually(1)
@pytest.mark.parametrize("module", [carry, tie_fit])
def test_loss_of_the_motion_turns_nan(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    """Row 18: the same holds for the fit of the motion.

    It recovers from one NaN; three are one clear line.
    """
    with monkeypatch.context() as patch:
        break_motion(patch, module, lambda call: call == 1)
        assert run(*FILM_RUN, "--out", "out").status == 0
        assert "NaN" not in (tmp_path / "out/manifest.json").read_text()
    break_motion(monkeypatch, module, lambda call: call > 0)
    refused(
        run(*FILM_RUN, "--out", "other"),
        1,
        "in.mkv: the fit of the motion diverged 3 times",
        "--seed",
    )
    assert visible(tmp_path / "other") == []


def test_layers_of_nan_are_never_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 18: whatever else becomes NaN, no layer is made of it."""

    def finished(*given: Any) -> Any:
        outgoing, incoming = finish(*given)
        outgoing[0, 3, 3] = float("nan")
        return outgoing, incoming

    finish = finish_module.finish_frame
    monkeypatch.setattr(finish_module, "finish_frame", finished)
    refused(
        run(*FILM_RUN, "--out", "out"),
        1,
        "in.mkv: the layers of frames 4 to 7 have values that are not finite",
        "--seed",
    )
    assert visible(tmp_path / "out") == []


def small_memory(patch: pytest.MonkeyPatch, pixels: int) -> list[int]:
    """Pretend to have a GPU whose memory holds ``pixels``; record the sizes that are tried."""
    tried: list[int] = []

    def allocating(work: Any, *rest: Any) -> Any:
        tried.append(work.frames.shape[-2] * work.frames.shape[-1])
        if tried[-1] > pixels:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")
        return alternate(work, *rest)

    patch.setattr(separate, "alternate", allocating)
    return tried


@pytest.mark.usually(2)
@pytest.mark.parametrize(("holds", "reduced"), [(1536, 0), (800, 1), (400, 2), (200, 3)])
def test_gpu_out_of_memory(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holds: int, reduced: int
) -> None:
    """Row 19: when the GPU is out of memory, the working size is halved up to three times.

    The manifest and a warning say so.
    """
    tried = small_memory(monkeypatch, holds)
    answer = run(*FILM_RUN, "--out", "out")
    assert answer.status == 0, answer.err
    assert len(tried) == reduced + 1 and all(
        after < 0.6 * before for before, after in zip(tried, tried[1:], strict=False)
    )
    whole = manifest(tmp_path / "out")
    (entry,) = whole["report"]["transitions"]
    assert entry["reduced"] == reduced and entry["work_height"] * entry["work_width"] == tried[-1]
    if reduced:
        assert entry["plan"]["pixels"] == 1536 >> reduced
        assert [
            text
            for text in whole["warnings"]
            if text.startswith("frames 4 to 7: the memory of cpu was too small; ")
        ]
        assert "the working size was halved" in answer.err
    else:
        assert answer.err == ""
    # The written layers still have the input's size.
    assert read_clip(tmp_path / "out/scene-001.mkv").shape == (8, 32, 48, 3)


def test_gpu_far_too_small(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 19: where an eighth of the size is too much, one line names the file and the remedy."""
    tried = small_memory(monkeypatch, 100)
    refused(
        run(*FILM_RUN, "--out", "out"),
        1,
        "in.mkv",
        "does not have enough memory",
        "--preset fast",
        "--device cpu",
    )
    assert len(tried) == 4 and visible(tmp_path / "out") == []


def test_a_resumed_run_goes_on_in_the_smaller_size(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 19: a run that is interrupted after a halving goes on in the reduced size.

    Its layers are the same.
    """
    with monkeypatch.context() as patch:
        small_memory(patch, 800)
        assert run(*FILM_RUN, "--out", "whole").status == 0
    with monkeypatch.context() as patch:
        small_memory(patch, 800)
        patch.setattr(separate, "finish", interrupt)
        assert run(*FILM_RUN, "--out", "cut").status == 130
    # The memory is larger now, but what was begun is not mixed with another size.
    tried = small_memory(monkeypatch, 10**9)
    assert run(*FILM_RUN, "--out", "cut", "--resume").status == 0
    assert len(tried) == 1 and tried[0] <= 800
    assert layers(tmp_path / "cut") == layers(tmp_path / "whole")
    assert manifest(tmp_path / "cut")["report"]["transitions"][0]["reduced"] == 1


def interrupt(*given: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: …"),
    ],
)
def test_out_of_memory_in_a_task_of_windows(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Row 19: a task that works window by window ends with one clear line."""

    def fails(*given: Any) -> Separation:
        raise error

    recipe = Recipe((Output("one"),), lambda sample, context: None, fails)
    monkeypatch.setattr("pipeline.tasks.check_name", lambda name: None)
    monkeypatch.setattr(
        running,
        "find_task",
        lambda name: Task("split", "", ("one",), lambda job: run_layered(job, recipe)),
    )
    refused(
        run("run", "in.mkv", "--task", "split", "--no-progress", "--out", "out"),
        1,
        "in.mkv",
        "memory",
        "--preset fast",
    )
    assert visible(Path("out")) == []
