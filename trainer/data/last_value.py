"""A cache of one value, for what is made in blocks and used step after step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LastValue(Generic[T]):
    """Keeps the value that a function had for the last number.

    Args:
        function: from a number to a value, the same for the same number.
    """

    def __init__(self, function: Callable[[int], T]) -> None:
        self._function = function
        self._last: tuple[int, T] | None = None

    def __call__(self, number: int) -> T:
        """The value for a number: computed if it is not the last one's."""
        if self._last is None or self._last[0] != number:
            self._last = number, self._function(number)
        return self._last[1]
