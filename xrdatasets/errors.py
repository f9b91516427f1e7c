"""The errors of every step of the path: each says what was expected, what was got and what to do.

All derive from `XRDatasetsError`; each also derives from the standard exception that it is a
case of, so that a plain ``except FileNotFoundError`` works too.
"""

from __future__ import annotations

__all__ = [
    "DatasetNotFoundError",
    "DecoderNotFoundError",
    "DownloadError",
    "EmptyDatasetError",
    "ImageReadError",
    "LabelNotFoundError",
    "MappingError",
    "MappingWarning",
    "OverlapWarning",
    "PackedFileError",
    "SplitNotFoundError",
    "TableError",
    "WeightsError",
    "WeightsNotFoundError",
    "XRDatasetsError",
]


class XRDatasetsError(Exception):
    """Base of all errors that xrdatasets raises on purpose."""


class DatasetNotFoundError(XRDatasetsError, FileNotFoundError):
    """A dataset's folder, table or image is not where its release puts it."""


class TableError(XRDatasetsError, ValueError):
    """A dataset's table was found, but its columns or cells are not what the release has."""


class EmptyDatasetError(XRDatasetsError, ValueError):
    """The chosen views, split or rows leave no image."""


class SplitNotFoundError(XRDatasetsError, ValueError):
    """The release has no such split."""


class MappingError(XRDatasetsError, ValueError):
    """A mapping table is wrong: file, line, offending text and what was expected."""


class LabelNotFoundError(XRDatasetsError, KeyError):
    """No finding, space or term has this name; the message gives the nearest ones."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which would quote the whole message
        return str(self.args[0]) if self.args else ""


class DecoderNotFoundError(XRDatasetsError, ImportError):
    """A file needs a decoder that is not installed: the message names format and package."""


class ImageReadError(XRDatasetsError, OSError):
    """An image is missing, damaged or not an image: the message names path and dataset."""


class DownloadError(XRDatasetsError, OSError):
    """A file cannot be downloaded or unpacked, or is not what it should be: the message says what to do."""


class PackedFileError(XRDatasetsError, OSError):
    """A packed file is missing, unfinished, damaged, or cannot be written: the message says what to do."""


class MappingWarning(UserWarning):
    """The mapping tables are no longer those that gave a packed file its labels."""


class OverlapWarning(UserWarning):
    """Datasets that are joined share images or patients."""


class WeightsError(XRDatasetsError, ValueError):
    """A file of weights is damaged or hostile, or is not what its name or its card says."""


class WeightsNotFoundError(XRDatasetsError, FileNotFoundError):
    """No weights have this name, and no file is there; the message gives the nearest names."""
