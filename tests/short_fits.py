"""A rule for the tests of the pipeline: they ask for files, words and order, not for quality."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def usually_short_fits(request: pytest.FixtureRequest) -> None:
    """Take few steps in all fits, unless a test asks for whole ones."""
    if "whole_fits" not in request.fixturenames:
        request.getfixturevalue("short_fits")


@pytest.fixture
def whole_fits() -> None:
    """Ask for the steps of the presets."""
