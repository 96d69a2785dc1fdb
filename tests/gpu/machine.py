"""Print what machine this is, for the figures that are measured on it.

python tests/gpu/machine.py DEVICE
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import cv2
import torch

from stages.media.selftest import probe_precision


def main(device: str) -> int:
    """Print the machine, its software, and how fast its networks are; return the exit status."""
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    print(
        f"Python {platform.python_version()}, PyTorch {torch.__version__}, OpenCV {cv2.__version__}"
    )
    print(f"threads of PyTorch: {torch.get_num_threads()}")
    places = [torch.device("cpu")]
    if device != "cpu":
        places.append(torch.device(device))
    for place in places:
        name = torch.cuda.get_device_name(place) if place.type == "cuda" else "processor"
        found = probe_precision(place)
        speeds = f"float32 {found.float32:.0f}, bfloat16 {found.bfloat16 or 0:.0f} GFLOP/s"
        print(f"{name}: {speeds}, networks use {found.dtype}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
