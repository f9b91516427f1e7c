"""``python -m tests.fakes nih folder`` writes a tiny download, to try a command on."""

import sys
from pathlib import Path

from tests.fakes import KEYS, write

if len(sys.argv) != 3 or sys.argv[1] not in KEYS:
    sys.exit(f"usage: python -m tests.fakes {{{','.join(KEYS)}}} FOLDER")
write(sys.argv[1], Path(sys.argv[2]))
