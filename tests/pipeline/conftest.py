"""Fixtures for all tests of the pipeline."""

from __future__ import annotations

from short_fits import usually_short_fits, whole_fits

__all__ = ["usually_short_fits", "whole_fits"]
