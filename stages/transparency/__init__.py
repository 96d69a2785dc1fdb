"""Separate transmission and reflection. Start at :mod:`stages.transparency.layers`."""
