"""`python -m ftft_core` is the command line."""

import sys

from ftft_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
