"""Turn errors that a run cannot go on after into one line for the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pipeline.option_names import OUT_OF_MEMORY
from pipeline.runtime.run_folder import RunFolder
from stages.errors import DISK_FULL, FitError, UnlayerError
from stages.media.read import Clip
from stages.media.sniff import printable


@contextmanager
def explaining_errors(clip: Clip, folder: RunFolder, device: torch.device) -> Iterator[None]:
    """Turn errors of the fit, of memory and of the disk into one line.

    The line names the input or the folder and says what to do. Raises UnlayerError.
    """
    name = printable(clip.info.path)
    try:
        yield
    except FitError as error:
        raise UnlayerError(f"{name}: {error}", settings=error.settings) from error
    except torch.OutOfMemoryError as error:
        raise UnlayerError(
            f"{name}: {device} does not have enough memory for it; "
            "choose --preset fast or --device cpu"
        ) from error
    except (MemoryError, RuntimeError) as error:
        # This is how PyTorch reports that the machine's own memory ran out.
        if isinstance(error, RuntimeError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise UnlayerError(f"{name}: {OUT_OF_MEMORY}") from error
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        folder.tidy()
        why = error.strerror or "the disk is full"
        raise UnlayerError(
            f"{printable(folder.path)}: cannot be written ({why}); "
            "free some space there and go on with --resume, or choose another --out"
        ) from error
