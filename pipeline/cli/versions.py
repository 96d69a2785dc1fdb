"""The versions that matter, from what is installed: nothing is imported for it, so ``--version`` answers at once."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, files, version

from pipeline import __version__

PACKAGES = {"torch": "torch", "av": "av", "numpy": "numpy", "opencv": "opencv-python-headless"}
"""What a result depends on, and the distribution that brings it."""
_LIBRARY = re.compile(
    r"(?:lib)?(avcodec|avformat|avutil|swscale)\b[^/]*?(?:\.so\.([\d.]+)|\.([\d.]+)\.dylib|-(\d+)-\w+\.dll)$"
)


def versions() -> dict[str, str]:
    """Every version by its name; ``missing`` where it is not installed."""
    found = {"unlayer": __version__, "python": platform.python_version()}
    for name, distribution in PACKAGES.items():
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:
            found[name] = "missing"
    found["ffmpeg"] = (
        ", ".join(f"{name} {number}" for name, number in sorted(libraries().items()))
        or "of this system"
    )
    return found


def libraries() -> dict[str, str]:
    """FFmpeg's libraries that PyAV brings, by the names of their files; none where it was built against the system's."""
    try:
        names = [path.name for path in files("av") or ()]
    except PackageNotFoundError:
        return {}
    matches = (_LIBRARY.match(name) for name in names)
    return {match[1]: match[2] or match[3] or match[4] for match in matches if match}
