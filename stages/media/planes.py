"""Read and write the planes of a frame, whose lines may be padded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def plane_codes(plane: Any, kind: DTypeLike = np.uint8) -> NDArray[Any]:
    """Return the codes of a plane ``(h, w)`` without the padding of its lines, as a view.

    kind: of a code.
    """
    return np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width]


def fill_plane(plane: Any, codes: NDArray[Any]) -> None:
    """Write codes ``(h, w)`` into a plane of a new frame, and zeros behind each line."""
    lines = np.frombuffer(plane, codes.dtype).reshape(plane.height, -1)
    lines[:, : plane.width] = codes
    lines[:, plane.width :] = 0
