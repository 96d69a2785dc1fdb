"""Estimate the time and memory of a run or a batch, without writing anything."""
