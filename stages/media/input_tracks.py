"""Tracks of the input that go beside a layer's picture, of any kind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from stages.errors import DISK_FULL, UnlayerError
from stages.media.containers.base import FileType
from stages.media.library_errors import WRITE_ERRORS


class InputTracks:
    """Tracks of the input, of one kind, in a video file that is being written.

    A subclass adds them, sets ``_input`` and ``_packets``, and says what is lost with a fault.

    container: the open file. file_type: how it holds such tracks.
    """

    def __init__(self, container: OutputContainer, file_type: FileType) -> None:
        self._container = container
        self._file_type = file_type
        self._input: InputContainer | None = None
        self._packets: Iterator[Packet[Any]] | None = None
        self._next: Packet[Any] | None = None

    def mux(self, until: Fraction | None) -> None:
        """Write the packets up to ``until``, in seconds in the layer; ``None``: all of them.

        A fault ends the tracks, but not the layer. Raises OSError where the disk is full.
        """
        while self._packets is not None:
            try:
                packet = self._next or next(self._packets, None)
                self._next = packet
                if packet is None:
                    self._packets = None
                    return
                if (
                    until is not None
                    and packet.pts is not None
                    and packet.pts * packet.time_base > until
                ):
                    return
                self._next = None
                _set_muxer_times(packet, self._file_type)
                self._container.mux(packet)
            except (UnlayerError, *WRITE_ERRORS) as error:
                if getattr(error, "errno", 0) in DISK_FULL:
                    raise
                self._report_fault(error)
                self._packets = None

    def close(self) -> None:
        """Close the input that the tracks come from."""
        if self._input is not None:
            self._input.close()
            self._input = None

    def _report_fault(self, error: Exception) -> None:
        """Tell the user that the tracks end with a fault."""
        raise NotImplementedError


def _set_muxer_times(packet: Packet[Any], file_type: FileType) -> None:
    """Give a packet its times in the unit that the muxer of a file type is told."""
    if file_type.time_base is not None and file_type.muxer_time_base is not None:
        scale = packet.time_base / file_type.time_base
        packet.pts = packet.dts = round((packet.pts or 0) * scale)
        packet.duration = round((packet.duration or 0) * scale)
        packet.time_base = file_type.muxer_time_base


def seek_before(source: InputContainer, time: Fraction, seconds: int) -> None:
    """Seek to so many seconds before a time, in seconds, or stay where the file cannot seek."""
    with contextlib.suppress(*WRITE_ERRORS):
        source.seek(max(0, int((time - seconds) * av.time_base)))
