"""Measure what runs cost on this machine, on clips with known layers."""
