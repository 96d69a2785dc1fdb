"""Find the versions that matter.

Nothing is imported for it, so ``--version`` answers at once.
"""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, files, version

from pipeline import __version__

PACKAGES = {"torch": "torch", "av": "av", "numpy": "numpy", "opencv": "opencv-python-headless"}
"""The packages that a result depends on, and the distributions that install them."""
_LIBRARY = re.compile(
    r"(?:lib)?(avcodec|avformat|avutil|swscale)\b"
    r"[^/]*?(?:\.so\.([\d.]+)|\.([\d.]+)\.dylib|-(\d+)-\w+\.dll)$"
)


def versions() -> dict[str, str]:
    """Return every version by its name; ``missing`` for a package that is not installed."""
    by_name = {"unlayer": __version__, "python": platform.python_version()}
    for name, distribution in PACKAGES.items():
        try:
            by_name[name] = version(distribution)
        except PackageNotFoundError:
            by_name[name] = "missing"
    bundled = ", ".join(f"{name} {number}" for name, number in sorted(libraries().items()))
    by_name["ffmpeg"] = bundled or "of this system"
    return by_name


def libraries() -> dict[str, str]:
    """Return the versions of FFmpeg's libraries in PyAV's package, from the files' names.

    The result is empty where PyAV was built against the system's libraries.
    """
    try:
        names = [path.name for path in files("av") or ()]
    except PackageNotFoundError:
        return {}
    matches = (_LIBRARY.match(name) for name in names)
    return {match[1]: match[2] or match[3] or match[4] for match in matches if match}
