"""A file is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.files import atomic_write, temporary_path


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with atomic_write(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"table.csv": "whole"}


def test_an_error_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("former")

    def fail() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"table.csv": "former"}


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with pytest.raises(FileNotFoundError), atomic_write(path):
        pass
    assert not path.exists()


def test_the_temporary_path_can_be_chosen(tmp_path: Path) -> None:
    path, other = tmp_path / "table.csv", tmp_path / "elsewhere"
    assert temporary_path(path) == tmp_path / "table.csv.new"
    with atomic_write(path, other) as temporary:
        assert temporary == other
        temporary.write_text("whole")
    assert not other.exists()
    assert path.read_text() == "whole"
