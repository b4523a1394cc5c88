"""``python -m copal``: the command line."""

import sys

from copal.cli import main

sys.exit(main())
