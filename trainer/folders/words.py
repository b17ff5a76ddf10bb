"""Names of files as words of a sentence."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 5


def printable(name: str) -> str:
    """A name that can be printed: bytes that are not UTF-8 are written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(printable(name) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown
