"""The contact sheet: the position and colours of its parts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from stages.media.sheet import chosen_frames, draw_sheet, write_sheet


def plain(
    color: tuple[float, float, float], count: int, height: int = 36, width: int = 64
) -> torch.Tensor:
    """Return ``count`` pictures of one colour, ``(count, 3, height, width)``."""
    return torch.tensor(color).view(1, 3, 1, 1).expand(count, 3, height, width)


def count_pixels(sheet: np.ndarray, color: tuple[int, int, int]) -> int:
    """Return how many pixels have exactly this colour."""
    return int((sheet == np.array(color, np.uint8)).all(-1).sum())


def test_chosen_frames_are_spread_from_the_first_to_the_last() -> None:
    assert chosen_frames(20) == [0, 3, 5, 8, 11, 14, 16, 19]
    assert chosen_frames(3) == [0, 1, 2]
    assert chosen_frames(1) == [0]
    assert chosen_frames(8) == list(range(8))


def test_every_row_is_drawn_in_its_own_colors() -> None:
    numbers = [10, 12, 14]
    rows = {
        "input": plain((1, 0, 0), 3),
        "scene-001": plain((0, 1, 0), 3),
        "scene-002": plain((0, 0, 1), 3),
        "matte": torch.full((3, 1, 36, 64), 0.5),
    }
    sheet = draw_sheet(rows, numbers, [0.1, 0.3, 0.5, 0.7, 0.9], 10, title="dissolve")
    assert sheet.dtype == np.uint8 and sheet.shape[1:] == (1600, 3)
    areas = [
        count_pixels(sheet, color)
        for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128))
    ]
    assert min(areas[:3]) == max(areas[:3]) > 3 * 100 * 50
    assert areas[3] >= areas[0]
    # The rows are in the given order.
    tops = [
        np.argwhere((sheet == np.array(color)).all(-1))[:, 0].min()
        for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    ]
    assert tops == sorted(tops)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2000, 3), (3, 2000), (37, 53)])
def test_odd_sizes(height: int, width: int) -> None:
    sheet = draw_sheet({"input": torch.rand(1, 3, height, width)}, [0], [0.5], 0)
    assert sheet.shape[1] == 1600 and sheet.shape[0] < 1600


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 2 pictures"):
        draw_sheet({"input": plain((1, 0, 0), 3)}, [1, 2], [0.5, 0.6], 1)
    with pytest.raises(ValueError, match="needs 0 pictures"):
        draw_sheet({}, [], [], 1)


def test_written_and_read_back(tmp_path: Path) -> None:
    sheet = draw_sheet({"input": plain((1, 0.5, 0), 2)}, [4, 5], [0.4, 0.6], 4)
    write_sheet(tmp_path / "sheet.png", sheet)
    back = cv2.imread(str(tmp_path / "sheet.png"))
    assert back is not None and np.array_equal(back[..., ::-1], sheet)
