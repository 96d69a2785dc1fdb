"""Read files to RGB frames with exact times, and write layers back to files."""
