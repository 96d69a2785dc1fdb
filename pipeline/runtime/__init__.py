"""What a run is built on: its folder, progress, memory, signals, child processes, storage."""
