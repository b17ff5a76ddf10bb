"""Pictures that people bring, measured: labels are read strictly, figures are worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.model_card.otsu import OtsuBaseline, otsu_threshold
from benchmarks.model_card.photos import Labelled, Said, Service, by_kind, iou, markdown_table, read_labels
from models.contract import MODEL_PATH
from models.pictures.letterbox import Box

BOX = Box(10, 20, 30, 40)


def folder_of(tmp_path: Path, text: str) -> Path:
    Image.fromarray(np.full((60, 60), 200, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    return tmp_path


def test_labels_are_read_with_and_without_a_box_and_a_digit(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path, "file,kind,label,x,y,width,height\na.png,drawn,3,10,20,30,40\na.png,blank,,,,,\n"
    )
    assert read_labels(folder) == [
        Labelled(folder / "a.png", "drawn", 3, BOX),
        Labelled(folder / "a.png", "blank", None, None),
    ]
    assert read_labels(folder_of(tmp_path, "file,label\na.png,7\n"))[0].kind == "all"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file\na.png\n", "expected the columns file, label, label is missing"),
        ("file,label\n", "expected a line for each picture, found none"),
        ("file,label\nb.png,3\n", "line 2: expected a picture at"),
        ("file,label\na.png,12\n", "line 2: label: expected 0 to 9 or nothing, got '12'"),
        ("file,label,x,y,width,height\na.png,1,1,2,3,wide\n", "x, y, width, height: expected numbers of px"),
    ],
)
def test_a_row_that_is_not_as_expected_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_labels(folder_of(tmp_path, text))


def test_a_folder_without_labels_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a folder with pictures and a labels\.csv, found none"):
        read_labels(tmp_path)


def test_figures_by_hand() -> None:
    pictures = [
        Labelled(Path("a"), "card", 3, BOX),
        Labelled(Path("b"), "card", 4, Box(0, 0, 10, 10)),
        Labelled(Path("c"), "desk", None, None),
        Labelled(Path("d"), "desk", None, None),
    ]
    said = [
        Said(3, BOX, 0.9, 0.8),
        Said(9, Box(5, 0, 10, 10), 0.4, 0.6),
        Said(1, BOX, 0.2, 0.5),
        Said(1, BOX, 0.7, 0.5),
    ]
    table = by_kind(pictures, said)
    assert list(table) == ["card", "desk", "all"]
    assert table["card"] == {
        "pictures": 2,
        "labels_right": 1,
        "digits": 2,
        "mean_iou": pytest.approx((1 + 50 / 150) / 2, abs=1e-4),
        "corloc": 0.5,
        "seen": 1,
        "mean_confidence": pytest.approx(0.7),
    }
    assert table["desk"] == {"pictures": 2, "absent": 2, "absent_told": 1}
    threshold = by_kind(pictures, [one._replace(digit_present=None, confidence=None) for one in said])
    assert "seen" not in threshold["all"]
    rows = markdown_table(table, threshold).splitlines()
    assert rows[2] == "| card | 2 | 1 | 0.667 | 1 | 1 | 0.667 |"
    assert rows[3] == "| desk | 2 | – | – | –; of 2 without one 1 | – | – |"


def test_iou_of_boxes_apart_and_of_the_same() -> None:
    assert iou(BOX, BOX) == 1
    assert iou(BOX, Box(100, 100, 5, 5)) == 0
    assert iou(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0


def test_otsus_threshold_lies_between_two_levels() -> None:
    grey = np.full((20, 20), 200, np.uint8)
    grey[:3] = 60
    assert 60 <= otsu_threshold(grey) < 200


@pytest.mark.parametrize(("ground", "ink"), [(220, 40), (30, 250)])
def test_the_baseline_frames_the_largest_ink(ground: int, ink: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def name(_: object, digits: np.ndarray) -> np.ndarray:
        seen.append(digits)
        return np.array([4])

    monkeypatch.setattr("benchmarks.model_card.otsu.name_digits", name)
    picture = np.full((100, 200), ground, np.uint8)
    picture[30:70, 90:110] = ink
    picture[5:10, 5:10] = ink
    label, box = OtsuBaseline(None).answer(picture)  # type: ignore[arg-type]
    assert (label, box) == (4, Box(90, 30, 20, 40))
    # MNIST's canvas: 20 px long, in the middle, bright on dark.
    rows, columns = np.nonzero(seen[0][0])
    assert np.ptp(rows) + 1 == 20
    assert np.ptp(columns) + 1 == 10
    assert (rows.mean(), columns.mean()) == (13.5, 13.5)


def test_pictures_are_answered_as_the_service_answers_them(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "file,label\na.png,3\n")
    said = Service(MODEL_PATH).answer((folder / "a.png").read_bytes())
    assert said.label in range(10)
    assert said.digit_present is not None
    assert 0 <= said.digit_present <= 1
