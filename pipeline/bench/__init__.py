"""Measure what runs cost on this machine, on clips whose layers are known."""
