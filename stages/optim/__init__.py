"""Optimisation: the loop of descent, losses, penalties, schedules, threads, published networks."""
