"""Which parts of a bulk run are kept, for the thread that puts them together while others are still made."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Condition


class GivenUpError(RuntimeError):
    """The part that was waited for will not come: whoever makes the parts has failed."""


class PersistedParts:
    """The numbers of the parts that are kept; use it from any thread."""

    def __init__(self, numbers: Iterable[int]) -> None:
        """Begin with the parts that an earlier run has kept."""
        self._numbers = set(numbers)
        self._given_up = False
        self._changed = Condition()

    def add(self, number: int) -> None:
        """Say that a part is kept."""
        with self._changed:
            self._numbers.add(number)
            self._changed.notify_all()

    def give_up(self) -> None:
        """Say that no more parts come."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        """Return once that part is kept.

        Raises:
            GivenUpError: it is not, and no more parts come.
        """
        with self._changed:
            self._changed.wait_for(lambda: number in self._numbers or self._given_up)
            if number not in self._numbers:
                raise GivenUpError(f"part {number} is not kept")
