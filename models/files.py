"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path, temporary: Path | None = None) -> Iterator[Path]:
    """Give a temporary path to write to; when the block ends well, that file replaces `path`.

    The file is on the disk before it is renamed. After an error `path` is as it was, and the temporary file
    is removed. A process that is killed can leave the temporary file behind.

    Args:
        path: the file to write.
        temporary: the temporary path, on the same disk; by default `NAME.new` beside `path`.
    """
    temporary = temporary or temporary_path(path)
    try:
        yield temporary
        with temporary.open("r+b") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """Where `atomic_write` writes by default."""
    return path.with_name(f"{path.name}.new")
