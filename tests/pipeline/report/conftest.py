"""Fixtures for the tests of the report; those of the browser are made once for all files."""

from __future__ import annotations

from browser import chromium
from browser_pages import runs, show
from report_pages import quick

__all__ = ["chromium", "quick", "runs", "show"]
