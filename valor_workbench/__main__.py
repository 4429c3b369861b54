"""`python -m valor_workbench`."""

import sys

from valor_workbench.app import command

if __name__ == "__main__":
    sys.exit(command())
