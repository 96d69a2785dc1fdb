"""Say how many things a foreground is divided into at most.

It stands in a module of its own because the command line is parsed before anything heavy is loaded.
"""

from __future__ import annotations

MOST_THINGS = 20
"""Most things of a clip, as each of them has its own files."""
