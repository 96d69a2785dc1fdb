"""The errors a user can meet. Each message is one line that names the file or option, what is wrong, and what to do."""

from __future__ import annotations

import errno

DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""What the system says where there is no room for a file."""


class UnlayerError(Exception):
    """The input or the machine failed: the command line prints the message and exits with 1."""

    exit_status = 1


class CheckpointError(UnlayerError):
    """What an interrupted run kept cannot be gone on from: it is of another run, or was changed since. ``--anew`` begins again."""


class FitError(UnlayerError):
    """The fit itself failed. It knows no file: the run puts the input's name before the message."""


class UsageError(UnlayerError):
    """The command line is wrong (an option's value, a range outside the clip): exits with 2."""

    exit_status = 2
