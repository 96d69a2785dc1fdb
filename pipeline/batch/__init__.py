"""Run every clip of a folder: on this machine, in parts, or on a Ray cluster."""
