"""Optimisation: the fitting loop, losses, penalties, schedules, threads."""
