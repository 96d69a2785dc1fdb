"""Choose the device that a run computes on."""

from __future__ import annotations

import torch

from stages.errors import UsageError


def pick_device(word: str) -> torch.device:
    """Return the device that ``--device`` names.

    ``auto`` is CUDA where there is a GPU, else the CPU. MPS is used only where it is asked for, as
    it has not been measured. Raises UsageError where the device is missing.
    """
    if word == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(word)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise UsageError(
                f"--device {word}: there is no CUDA GPU that PyTorch {torch.__version__} can use; "
                "choose --device cpu"
            )
        if device.index is not None and device.index >= count:
            raise UsageError(
                f"--device {word}: there are {count} GPUs, numbered from 0; choose a lower number"
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: this machine has no Metal GPU; choose --device cpu")
    return device
