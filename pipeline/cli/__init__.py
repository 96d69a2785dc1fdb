"""The command line: parsing, help, and the small verbs that only print."""
