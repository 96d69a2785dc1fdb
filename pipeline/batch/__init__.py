"""Run every clip of a folder: on this machine, or on a Ray cluster."""
