"""Start the program: ``python -m pipeline``, or the installed ``unlayer``."""

import sys

from pipeline.runtime.signals import guard_end, guard_start


def program() -> int:
    """Run the command line of this process and return its exit status.

    No signal ends it with a traceback, however early or late it comes.
    """
    guard_start()
    from pipeline.cli.main import main

    status = main()
    guard_end()
    return status


if __name__ == "__main__":
    sys.exit(program())
