"""Fixtures for the tests of runs."""

from __future__ import annotations

from input_forms import inputs_of_every_form

__all__ = ["inputs_of_every_form"]
