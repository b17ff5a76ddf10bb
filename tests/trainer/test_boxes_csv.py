"""Boxes that a person drew: read with care, measured with, and out of training's reach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.imports import TRUTH, imported_modules, reachable
from tests.trainer.tiny import ROOT
from trainer.evaluation.boxes_csv import BoxesError, best_true_boxes, read_boxes

HEADER = "file,x,y,width,height\n"
SIZES = {"cat/a.jpg": (640, 480), "dog/b, c.png": (30, 200)}


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "boxes.csv"
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_columns_are_named_and_a_picture_may_have_several_boxes(tmp_path: Path, encoding: str) -> None:
    path = table(
        tmp_path,
        "y,x,file,height,width\n20,10.5,cat/a.jpg,40,30\n\n"
        '3,-1,"dog/b, c.png",198,32\n0,0,cat/a.jpg,480,640\n',
        encoding,
    )
    boxes = read_boxes(path, SIZES)
    assert {file: found.tolist() for file, found in boxes.items()} == {
        "cat/a.jpg": [[10.5, 20, 30, 40], [0, 0, 640, 480]],
        "dog/b, c.png": [[-1, 3, 32, 198]],
    }


def test_names_that_are_not_utf_8_are_those_of_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_bytes(HEADER.encode() + b"c\xe4t/a.png,1,2,3,4\n")
    name = b"c\xe4t/a.png".decode("utf-8", "surrogateescape")
    assert read_boxes(path, {name: (9, 9)})[name].tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: expected the columns file,x,y,width,height, got ''"),
        ("file;x;y;width;height\n", "got 'file;x;y;width;height'"),
        (HEADER, "expected at least one box, got none"),
        (HEADER + "cat/a.jpg,1,2,3\n", "line 2: expected 5 values, got 4"),
        (
            HEADER + "cat/a.jpg,1,2,3,4\na.jpg,1,2,3,4\n",
            "line 3, column file: expected a readable picture's name below the folder, as 'cat/a.jpg', got",
        ),
        (
            HEADER + "cat/a.jpg,1,two,3,4\n",
            "line 2, column y: expected a number of px, got 'two'",
        ),
        (HEADER + "cat/a.jpg,nan,2,3,4\n", "column x: expected a number of px, got 'nan'"),
        (HEADER + "cat/a.jpg,1,2,3,\n", "column height: expected a number of px, got ''"),
        (HEADER + "cat/a.jpg,1,2,0,4\n", "column width: expected more than 0 px, got 0"),
        (
            HEADER + "cat/a.jpg,1,470,10,20\n",
            "line 2, column y: expected a box inside of the upright picture of 640 x 480 px, got one from",
        ),
        (HEADER + "cat/a.jpg,-2,1,10,20\n", "column x: expected a box inside"),
        (HEADER + '"cat/a.jpg,1,2,3,4\n', "is no CSV file: unexpected end of data"),
    ],
)
def test_errors_name_the_line_the_column_and_what_was_expected(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BoxesError) as caught:
        read_boxes(table(tmp_path, text), SIZES)
    assert words in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BoxesError, match=r"boxes\.csv cannot be read: No such file"):
        read_boxes(tmp_path / "boxes.csv", SIZES)


def test_of_several_true_boxes_the_one_that_is_overlapped_most_counts() -> None:
    found = np.array([[0, 0, 10, 20], [50, 10, 10, 10]], float)
    several = [
        np.array([[30, 30, 10, 10], [0, 5, 10, 20], [0, 18, 10, 20]], float),
        np.array([[0, 0, 5, 5], [1, 1, 5, 5]], float),  # neither is hit
    ]
    assert best_true_boxes(found, several).tolist() == [[0, 5, 10, 20], [0, 0, 5, 5]]


def test_only_evaluation_reads_boxes_and_folders_lead_to_no_truth() -> None:
    readers = {
        source.relative_to(ROOT).parts[:2]
        for package in ("scenes", "trainer", "models", "service", "glimpse")
        for source in (ROOT / package).rglob("*.py")
        for _, name in imported_modules(source, ROOT)
        if name.startswith("trainer.evaluation.boxes_csv")
    }
    assert readers <= {("trainer", "evaluation")}
    for start in ("trainer.training.loop", "trainer.folders.load", "trainer.folders.command"):
        loaded = reachable(start, ROOT)
        assert loaded & {*TRUTH, "trainer.evaluation.boxes_csv"} == set(), start
