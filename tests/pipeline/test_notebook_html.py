"""What a notebook shows of a result, and the bar of ``progress=True``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from clips import moving, plain_answer

from pipeline import LayerResult, Separated, UsageError, separate
from pipeline.notebook_html import MAX_LAYERS, result_html
from pipeline.tasks.transition import separate as stage


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "separate_transition", plain_answer)


def test_a_result_is_a_table_with_pictures(mixed_clip: Callable[..., Path]) -> None:
    clip = str(mixed_clip())
    with separate(clip, "transition", preset="fast", transition=[(8, 15)]) as made:
        shown = made._repr_html_()
        assert shown.count("data:image/jpeg;base64,") == 2 == shown.count("<img")
        for word in ("scene-001", "scene", "0 to 15", "scene-002.mkv"):
            assert f">{word}</td>" in shown
        # The temporary folder goes away with the result.
        assert str(made.folder) not in shown
        assert repr(made) == "Separated('transition', layers: scene-001, scene-002)"
    with separate(clip, "transition", preset="fast", transition=[(8, 15)], out="kept") as kept:
        assert "in kept" in kept._repr_html_()


def test_everything_in_the_table_is_escaped(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>'
    layer = LayerResult(evil, evil, tmp_path / evil.replace("/", ""), 3, 3)
    made = Separated({evil: layer}, {"task": evil, "warnings": [evil]}, Path(evil))
    assert "<script" not in made._repr_html_() and "&lt;script&gt;" in made._repr_html_()


def test_many_layers_are_counted(tmp_path: Path) -> None:
    layers = [LayerResult(f"clean-{k}", "clean", tmp_path / "gone", k, k) for k in range(30)]
    shown = result_html(layers, {}, None)
    assert f"and {30 - MAX_LAYERS} more layers" in shown and shown.count("<tr>") == MAX_LAYERS + 1


def test_progress_may_be_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.concatenate([moving(1, 6), moving(2, 6)])
    for progress in (True, False, None):
        with separate(pixels, "transition", preset="fast", progress=progress) as made:
            assert len(made.layers) == 2
    # Standard error is no terminal here, so there is no bar and nothing else.
    assert capsys.readouterr().out == ""
    with pytest.raises(UsageError, match="progress is 3; give True, or a function"):
        separate(pixels, "transition", progress=3)  # type: ignore[arg-type]
