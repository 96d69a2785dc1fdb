"""Fixtures for all tests of faults."""

from __future__ import annotations

from fault_fixtures import run, zygote

__all__ = ["run", "zygote"]
