"""Transmission and reflection; begins at :mod:`stages.transparency.layers`."""
