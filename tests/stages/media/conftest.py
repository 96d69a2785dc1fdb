"""A film that several tests of the reader share."""

from __future__ import annotations

from reading import film

__all__ = ["film"]
