"""The shell around the stages: the command line, a run and its folder, the tasks. Uses ``stages``; nothing uses it."""

__version__ = "0.1.0"
