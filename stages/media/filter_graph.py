"""Chains of the media library's filters, for frames of one size and format."""

from __future__ import annotations

from fractions import Fraction

import av.filter
from av.filter import Graph
from av.video.frame import VideoFrame

TICK = Fraction(1, 1000)
"""Seconds in which a chain counts time. Any unit will do, as filters only compare timestamps."""


def filter_graph(frame: VideoFrame, *filters: tuple[str, str]) -> Graph:
    """Return a chain of filters, each with its options, for frames of the size and format of one.

    Raises what PyAV raises where a filter does not accept such frames.
    """
    graph = av.filter.Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=TICK
    )
    for name, options in (*filters, ("buffersink", "")):
        following = graph.add(name, options)
        last.link_to(following)
        last = following
    graph.configure()
    return graph


def filtered(frame: VideoFrame, *filters: tuple[str, str]) -> VideoFrame:
    """Return one frame after a chain of filters; see :func:`filter_graph`."""
    graph = filter_graph(frame, *filters)
    graph.push(frame)
    result = graph.pull()
    assert isinstance(result, VideoFrame)
    return result
