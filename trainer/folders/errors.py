"""The error of a folder that training cannot use."""

from __future__ import annotations


class FolderError(ValueError):
    """A folder of pictures cannot be trained on; the message says why, and what to do about it."""
