"""Files that are whole or not there, and locks that nobody leaves behind, whenever a process is killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class LockedError(OSError):
    """Another process holds the lock."""


@contextmanager
def durable(path: Path, passing: Path | None = None) -> Iterator[IO[bytes]]:
    """A stream into a file of another name, which is brought to the disk and renamed at the end.

    `path` is whole or as it was, whatever happens; `passing` is the other name, on the same disk.
    """
    passing = passing or path.with_name(path.name + ".new")
    try:
        with passing.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        passing.replace(path)
    except BaseException:
        passing.unlink(missing_ok=True)
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that a file is; the system lets go of it when the process ends, however it does.

    Raises:
        LockedError: another process holds it.
    """
    with path.open("a") as stream:
        try:
            if sys.platform == "win32":
                msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockedError(f"{path} is held by another process") from error
        yield
