"""`python -m selftrace`."""

import sys

from selftrace.cli.main import entry

if __name__ == "__main__":
    sys.exit(entry())
