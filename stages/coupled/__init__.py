"""Double-DIP with coupled generators alone, for ``--preset coupled``.

This is the project's own design without anything else: one generator a layer that all frames share,
noise for each frame that is coupled in time, and mask consistency. No motion is estimated, so the
result shows what the networks know by themselves. The generators are those of the default
(:mod:`models.generator`).

Each file holds one task: its forward model and its losses. ``transition`` and ``segment`` use the
networks that their default has, in their own folders.
"""
