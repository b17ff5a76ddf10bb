"""What of a folder cannot be used, and the table that says so."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from models.files import atomic_write


class Skipped(NamedTuple):
    """A file or folder that cannot be used, and why."""

    file: str
    reason: str


def write_skipped(skipped: Iterable[Skipped], folder: Path) -> Path:
    """Write `skipped.csv` with the columns file and reason into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "skipped.csv"
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream,
    ):
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(Skipped._fields)
        rows.writerows(skipped)
    return path
