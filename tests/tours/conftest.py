"""Fixtures for the tours: the browser of the report's tests."""

from __future__ import annotations

from browser import chromium

__all__ = ["chromium"]
