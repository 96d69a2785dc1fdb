"""The errors that the media library raises, and their text for a message."""

from __future__ import annotations

import errno

import av

READ_ERRORS = (av.FFmpegError, ValueError, OverflowError, UnicodeDecodeError, MemoryError)
"""Errors where it cannot use a file or a frame."""
WRITE_ERRORS = (av.FFmpegError, OSError, ValueError, MemoryError)
"""Errors where it cannot write."""
_MACHINE_FAULTS = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


def is_machine_fault(error: BaseException) -> bool:
    """Return whether the machine lacks something, so that the error says nothing about the file."""
    return isinstance(error, MemoryError) or getattr(error, "errno", 0) in _MACHINE_FAULTS


def reason(error: BaseException) -> str:
    """Return an error as a few words in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())
