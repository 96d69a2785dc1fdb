"""Lock a run's folder, so that two runs never work in it at the same time."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from stages.errors import UnlayerError
from stages.storage import safe_files


def locked_file(path: Path) -> IO[bytes]:
    """Open and lock a file, which is made where there is none. The lock ends when it is closed.

    Raises UnlayerError where another process holds the lock, and OSError where the file cannot be
    made or is a link.
    """
    while True:
        file = safe_files.open_lock(path)
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The previous holder may have removed the file between our opening and our locking it.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.lstat(path)):
                    return file
        except BlockingIOError as error:
            file.close()
            raise UnlayerError(
                f"{path.parent}: another run is working in this folder; wait for it, "
                "or choose another --out"
            ) from error
        file.close()
