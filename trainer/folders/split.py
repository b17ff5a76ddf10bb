"""Which pictures are held out of training, by what is in them: the same in every run."""

from __future__ import annotations

from collections.abc import Iterable

HELD_OUT_SHARE = 1 / 5


def held_out_contents(contents: Iterable[str]) -> set[str]:
    """The contents of one class to hold out, about a fifth.

    Each content decides by its own hash. So copies of a picture are on one side, and a picture stays on its
    side when files are renamed or others are added. Of two or more contents at least one is held out, and at
    least one is not: the lowest and the highest hash.

    Args:
        contents: SHA-256 of the class's pictures, in hexadecimal; doubles count once.
    """
    distinct = sorted(set(contents))
    if len(distinct) < 2:
        return set()
    chosen = {sha256 for sha256 in distinct if int(sha256[:8], 16) < HELD_OUT_SHARE * 2**32}
    return (chosen | {distinct[0]}) - {distinct[-1]}
