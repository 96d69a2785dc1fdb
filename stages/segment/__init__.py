"""Separate foreground, background and matte; start reading at :mod:`stages.segment.layers`."""
