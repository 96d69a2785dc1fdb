"""Say what is in a clip: a sample of it, and what each task and each fact of the file says."""
