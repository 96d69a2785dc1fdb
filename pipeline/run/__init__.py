"""One run: check the inputs, do the task, write the manifest."""
