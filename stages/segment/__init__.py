"""Foreground, background and matte; begins at :mod:`stages.segment.layers`."""
