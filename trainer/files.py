"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A path beside `out` to write to; what lies there takes its place once the block has ended well.

    After an error the former file is as it was, and nothing is left of the new one.
    """
    partial = out.with_name(f".partial-{out.name}")
    try:
        yield partial
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
