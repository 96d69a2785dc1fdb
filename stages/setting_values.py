"""Values that settings may have.

They stand in a module of their own because the command line is parsed before anything heavy is
loaded.
"""

from __future__ import annotations

PRESETS = ("fast", "balanced", "best", "paper", "coupled")
"""How much work to do, or which method to compare with."""

NETWORKS_ALONE = ("paper", "coupled")
"""Presets that fit networks and nothing else: the published ones, and the project's own."""

MOST_THINGS = 20
"""Most things that a foreground is divided into, as each of them has its own files."""
