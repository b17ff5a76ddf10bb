"""Which parts of a bulk run are on disk, for the thread that joins them while others are still made."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Condition


class GivenUpError(RuntimeError):
    """The awaited part will not come, because making the parts has failed."""


class PersistedParts:
    """The numbers of the parts on disk; use it from any thread."""

    def __init__(self, numbers: Iterable[int]) -> None:
        """Begin with the parts of an earlier run."""
        self._numbers = set(numbers)
        self._given_up = False
        self._changed = Condition()

    def add(self, number: int) -> None:
        """Note that a part is on disk."""
        with self._changed:
            self._numbers.add(number)
            self._changed.notify_all()

    def give_up(self) -> None:
        """Note that no more parts will come."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        """Return once that part is on disk.

        Raises:
            GivenUpError: it is not, and no more parts will come.
        """
        with self._changed:
            self._changed.wait_for(lambda: number in self._numbers or self._given_up)
            if number not in self._numbers:
                raise GivenUpError(f"part {number} is not kept")
