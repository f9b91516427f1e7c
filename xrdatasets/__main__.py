"""``python -m xrdatasets`` is the command ``xrdatasets``."""

import sys

from xrdatasets.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
