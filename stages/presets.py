"""The names of the presets: how much work to do, or which method to compare with."""

PRESETS = ("fast", "balanced", "best", "paper", "coupled")

NETWORKS_ALONE = ("paper", "coupled")
"""Presets that fit networks and nothing else: the published ones, and the project's own."""
