"""`python -m valorlib` is `valor`."""

import sys

from valorlib.cli import main

sys.exit(main())
