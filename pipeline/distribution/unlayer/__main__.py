"""Start the program: the installed ``unlayer``, or ``python -m unlayer``."""

import sys

from pipeline.__main__ import program

if __name__ == "__main__":
    sys.exit(program())
