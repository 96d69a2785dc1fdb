"""The errors that a user can meet.

Each message is one line that names the file or setting, what is wrong, and what to do about it.
Messages name no command-line option: an error lists the settings that can help, and the command
line adds their options.
"""

from __future__ import annotations

import errno

DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""The system's error numbers for "there is no room for this file"."""


class UnlayerError(Exception):
    """The input or the machine failed. The command line prints the message and exits with 1.

    message: one line for the user.
    settings: names of the settings that the user can change to get past this, such as ``salvage``.
    """

    exit_status = 1

    def __init__(self, message: str = "", *, settings: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.settings = settings


class CheckpointError(UnlayerError):
    """A checkpoint cannot be used: it belongs to another run, or the file was changed or damaged.

    The user can begin the run again from the start.
    """


class FitError(UnlayerError):
    """The fit failed. It knows no file name; the run puts the input's name before the message."""


class UsageError(UnlayerError):
    """The request is wrong (a setting's value, a range outside the clip): exits with 2."""

    exit_status = 2
