"""The command line: its parser, its help, and the commands that only print."""
