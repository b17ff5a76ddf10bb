"""Pictures without a digit: of every kind, always the same, in a folder that `photos` measures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.model_card.photos import read_labels
from scenes.negatives import KINDS, make


def test_the_folder_is_one_of_pictures_that_show_no_digit(tmp_path: Path) -> None:
    made = make(tmp_path / "negatives", count=2, seed=3)
    pictures = read_labels(tmp_path / "negatives")
    assert made == len(pictures)
    assert Counter(each.kind for each in pictures) == {kind.__name__: 2 for kind in KINDS}
    assert {each.label for each in pictures} == {None}
    assert len({each.path.read_bytes() for each in pictures}) == made
    assert all(Image.open(each.path).mode == "RGB" for each in pictures)


def test_a_seed_makes_the_same_pictures_again(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        make(tmp_path / name, count=1, seed=seed)
    one, again, other = (
        [each.path.read_bytes() for each in read_labels(tmp_path / name)]
        for name in ("one", "again", "other")
    )
    assert one == again
    assert not set(one) & set(other)


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        make(tmp_path, count=1, seed=0)
    assert list(tmp_path.iterdir()) == []
