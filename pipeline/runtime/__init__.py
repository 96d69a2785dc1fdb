"""What a run stands on: its folder, progress, memory, signals, child processes, remote storage."""
