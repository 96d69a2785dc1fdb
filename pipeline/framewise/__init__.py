"""Run tasks that split every frame into the same layers, window by window."""
