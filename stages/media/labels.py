"""Say which tags and chapters of an input go with a layer.

A tag is a pair of a name and a text that a container holds, as in ``title: Holidays``, for the file
or for one of its tracks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from stages.media.sniff import printable

_OF_THE_FILE = frozenset(
    {
        # What the muxer says about its own file.
        "major_brand",
        "minor_version",
        "compatible_brands",
        "encoder",
        "duration",
        # Written by the writer itself, counted on to the layer's first frame.
        "timecode",
        # About how the input was stored, not about what it shows.
        "alpha_mode",
        "stereo_mode",
        "rotate",
        "handler_name",
        "vendor_id",
    }
)
_STATISTICS = re.compile(r"_statistics|^(bps|number_of_|com\.android\.)")
"""Names that tools write about a track's bytes, and those of a phone's own software."""
_IN_A_LANGUAGE = re.compile(r"-[a-z]{3}$")
"""The end of a name under which FFmpeg lists a tag a second time, with its language."""
_APPLE = "com.apple.quicktime."
_USUAL_NAMES = {"location.iso6709": "location", "creationdate": "date"}
"""Names that other containers have for Apple's, without :data:`_APPLE`."""


def kept_tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a file or a track that describe the recording, by lower-case names.

    What describes the file itself, such as its encoder, is left out, as a layer is another file.
    metadata: as the media library gives it.
    """
    kept: dict[str, str] = {}
    for name, text in metadata.items():
        known = name.lower()
        known = known.removeprefix(_APPLE) if known.startswith(_APPLE) else known
        known = _USUAL_NAMES.get(known, known)
        if known in _OF_THE_FILE or _STATISTICS.search(known) or not text.strip():
            continue
        kept.setdefault(known, text)
    return {
        name: text
        for name, text in kept.items()
        if not (_IN_A_LANGUAGE.search(name) and name[:-4] in kept)
    }


def kept_track_tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a track that go with it; its date is that of the file."""
    tags = kept_tags(metadata)
    tags.pop("creation_time", None)
    if tags.get("language") == "und":
        del tags["language"]
    return tags


def chapters_within(
    chapters: Iterable[Mapping[str, Any]], start: Fraction, end: Fraction
) -> list[Any]:
    """Return the chapters of a part of a clip, cut to it, with times from its start.

    chapters: as the media library gives them. start, end: of the part, in seconds.
    """
    found: list[Any] = []
    for chapter in chapters:
        unit = Fraction(chapter["time_base"])
        begin = max(Fraction(chapter["start"]) * unit, start)
        stop = min(Fraction(chapter["end"]) * unit, end)
        if begin >= stop:
            continue
        found.append(
            {
                "id": len(found) + 1,
                "start": round((begin - start) * 1000),
                "end": round((stop - start) * 1000),
                "time_base": Fraction(1, 1000),
                "metadata": dict(chapter["metadata"]),
            }
        )
    return found


def left_out_warning(left_out: Sequence[str]) -> str:
    """Return one sentence about all that a layer's file cannot hold of its input.

    left_out: names of the things, at least one.
    """
    # "tag mood" and "subtitles" are names of one thing and of several.
    is_one = len(left_out) == 1 and left_out[0].startswith("tag ")
    lost = "it is" if is_one else "they are"
    return f"files of this type cannot hold the input's {_listed(left_out)}, so {lost} left out"


def tags_in_words(names: Iterable[str]) -> str:
    """Return some tags in words, as in ``tags foo and bar``; names may hold any characters."""
    shown = [printable(Path(name)) for name in sorted(names)]
    return f"{'tags' if len(shown) > 1 else 'tag'} {_listed(shown)}"


def _listed(words: Sequence[str]) -> str:
    """Return words with commas and "and"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
