"""Step one, around decoders that talk: warnings of the whole process, and the log of pydicom."""

from __future__ import annotations

import logging
import threading
import warnings
from contextlib import AbstractContextManager

__all__ = ["quiet"]

LOG = logging.getLogger("pydicom")


class _Quiet(AbstractContextManager[None]):
    """Warnings and pydicom's log, which quotes what a header says, stay silent while any thread is inside.

    `warnings.catch_warnings` changes the state of the whole process: two threads that leave it in another
    order than they came would leave it changed. So the first one in enters it, and the last one out leaves.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                warnings.simplefilter("ignore")
                self._log_was_off, LOG.disabled = LOG.disabled, True
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._warnings.__exit__(None, None, None)
                LOG.disabled = self._log_was_off


quiet = _Quiet()
"""What pydicom warns of, and logs, is silent inside (``with quiet:``)."""
