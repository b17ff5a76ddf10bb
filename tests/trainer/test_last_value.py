"""A cache of one value asks its function once for each change of the number."""

from __future__ import annotations

from trainer.data.last_value import LastValue


def test_the_function_is_asked_only_when_the_number_changes() -> None:
    asked: list[int] = []

    def square(number: int) -> int:
        asked.append(number)
        return number**2

    last = LastValue(square)
    assert [last(number) for number in (3, 3, 4, 4, 3)] == [9, 9, 16, 16, 9]
    assert asked == [3, 4, 3]
