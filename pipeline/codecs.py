"""The words of ``--codec`` and ``--alpha``, and which of them contradict each other.

``stages/media/containers`` has an entry for each codec. The words stand here as well, because the
command line is parsed before anything heavy is imported.
"""

from __future__ import annotations

from collections.abc import Collection

from stages.errors import UsageError

PREMULTIPLIED = "premultiplied"
"""The word of ``--alpha`` for colours that are multiplied by it, in the usual format."""
_LOSSLESS_PICTURES = ("png", "tiff", "exr")
PICTURE_CODECS = ("jpeg", *_LOSSLESS_PICTURES)
"""Codecs that write a clip as a folder of numbered pictures."""
LOSSLESS_CODECS = ("ffv1", *_LOSSLESS_PICTURES)
"""Codecs that lose nothing."""
ALPHA_CODECS = ("prores4444", *LOSSLESS_CODECS)
"""Codecs that hold an alpha channel."""
CODECS = ("h264", "h265", "prores422", "prores4444", "dnxhr", "jpeg", *LOSSLESS_CODECS)
"""All codecs for layers."""
ALPHAS = ("prores", "vp9", "ffv1", "png", PREMULTIPLIED)
"""The words of ``--alpha``: formats of layers with alpha, or how they are written."""


def check_codec(
    codec: str | None, timelines: Collection[str], *, lossless: bool, alpha: str | None
) -> None:
    """Raise UsageError where ``--codec`` contradicts ``--lossless``, ``--alpha`` or ``--timeline``.

    timelines: the formats of the timelines to be written.
    """
    if codec is None:
        return
    if timelines and codec in PICTURE_CODECS:
        films = [name for name in CODECS if name not in PICTURE_CODECS]
        raise UsageError(
            f"--timeline and --codec {codec} contradict each other: a timeline names films, "
            f"not folders of pictures; choose --codec {' or '.join(films)}"
        )
    if lossless and codec not in LOSSLESS_CODECS:
        raise UsageError(
            f"--lossless and --codec {codec} contradict each other; leave one out, "
            f"or choose --codec {' or '.join(LOSSLESS_CODECS)}"
        )
    if alpha not in (None, PREMULTIPLIED) and codec in ALPHA_CODECS:
        raise UsageError(
            f"--alpha {alpha} and --codec {codec} contradict each other: "
            f"{codec} holds alpha itself; leave one out"
        )
