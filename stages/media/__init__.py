"""Read and write media: files to RGB frames with exact times, and layers back to files."""
