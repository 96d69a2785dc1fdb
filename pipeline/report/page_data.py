"""The values that the template of a run's page takes, by the part of the page that shows them.

``pipeline/report/templates/report.html.j2`` names each of them. Addresses are relative to the page.
Places and widths are in percent of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from pipeline.report.plots import Plot
from pipeline.report.tracks import CertaintyData, CutoutData, FrameTimes, TrackData
from pipeline.report.wording import SelfCheck


class JumpData(TypedDict):
    """A button that jumps to a transition. frame: its first one. label: what people call it."""

    frame: int
    label: str


class HeadData(TypedDict):
    """The top of the page.

    title: the input's name. lede: one line about its length and size. headline: the largest
    figures, each with what it means. account: what the layers are based on; empty without one.
    """

    title: str
    lede: str
    headline: list[tuple[str, str]]
    account: str


class PlayerData(TrackData):
    """A player. caption: its role and frames. file: address of its layer's file, if it has one."""

    caption: str
    file: str | None


class PlayersData(TypedDict):
    """The players and the notes below them.

    colors: those that are offered behind a foreground, each with the class of its button.
    has_cutouts, has_certainties, has_sound: whether any player has these. missing_input: why there
    is no player of the input; ``None`` where there is one.
    """

    tracks: list[PlayerData]
    colors: Sequence[tuple[str, str]]
    has_cutouts: bool
    has_certainties: bool
    has_sound: bool
    missing_input: str | None
    notes: list[str]


class ScriptData(TypedDict):
    """What the page's script gets.

    tracks: the fields of :class:`TrackData` that it uses. timeline: when each frame is shown.
    moving: whether any player shows a video. jumps: the first frame of each transition. begin: the
    frame that is shown first.
    """

    tracks: list[dict[str, object]]
    timeline: FrameTimes | None
    moving: bool
    jumps: list[int]
    begin: int
    cutouts: list[CutoutData]
    certainties: list[CertaintyData]


class PlaceData(TypedDict):
    """Where a span of frames lies. at: its beginning. wide: its width. Both in percent."""

    at: float
    wide: float


class LaneData(PlaceData):
    """A scene along the clip. row: 0 or 1, because neighbouring scenes overlap."""

    name: str
    row: int


class MarkData(PlaceData):
    """A transition along the clip; a cut has no width."""

    label: str


class StripData(TypedDict):
    """The strip of the clip's pictures, and the scenes and transitions along it.

    strip: its address, if there is one. lane_rows: how many rows the lanes have.
    """

    strip: str | None
    lanes: list[LaneData]
    lane_rows: int
    marks: list[MarkData]


class CurvesData(TypedDict):
    """Curves over frames. first: the first frame. count: how many frames they cover."""

    title: str
    plot: Plot
    first: int
    count: int


class MixData(CurvesData):
    """The mixing curve of a transition.

    label: what it is called for people who do not see it. expected: the expected PSNR of both
    scenes, if it is known.
    """

    label: str
    expected: Plot | None


class PlotsData(TypedDict):
    """All plots. means: mean levels of layers, if there are any. losses: with their headings."""

    mixes: list[MixData]
    means: CurvesData | None
    losses: list[tuple[str, Plot]]


class TablesData(TypedDict):
    """The tables. seconds: of each stage, with the length of its bar. The others are in words."""

    checks: list[SelfCheck]
    seconds: list[tuple[str, float, float]]
    settings: list[tuple[str, str]]
    figures: list[tuple[str, str]]
    versions: list[tuple[str, str]]


class FileData(TypedDict):
    """A file of the run.

    what: which layer it is. frames: those that it holds, in words. is_file: whether it can be
    downloaded as one file.
    """

    name: str
    href: str
    what: str
    frames: str
    is_file: bool


class InputData(TypedDict):
    """An input file. size: ``WxH`` in pixels. frames: how many, or of a picture its number."""

    name: str
    size: str
    frames: object


class FilesData(TypedDict):
    """The run's files, its inputs, and the addresses of its contact sheets."""

    files: list[FileData]
    inputs: list[InputData]
    sheets: list[str]
