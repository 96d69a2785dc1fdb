"""Estimate the time and memory of a run or a batch, without writing anything.

``dry_run`` answers ``--dry-run`` for one task, ``dry_chain`` for several, and ``dry_batch`` for a
batch. ``estimate`` scales up what ``sample_run`` measured on a few small frames of the clip.
"""
