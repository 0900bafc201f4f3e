"""`python -m selftrace`."""

import sys

from selftrace.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
