"""`python -m scenes`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenes.__main__ import main
from scenes.mnist import DigitsUnavailableError, Split
from scenes.presets import PRESETS
from scenes.sheet import draw_sheet
from tests.scenes.banks import bank, block, speckled_bank


@pytest.fixture(autouse=True)
def made_up_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenes.__main__.load_digits", lambda split: speckled_bank())


@pytest.mark.parametrize(
    ("preset", "size"),
    [("article", (6 + 4 * 206, 6 + 2 * 206)), ("cluttered-60", (6 + 4 * 126, 6 + 2 * 126))],
)
def test_a_sheet_is_a_picture_of_its_rows_and_columns(
    tmp_path: Path, preset: str, size: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    # Each scene at twice its side, 6 px between and around.
    out = tmp_path / "new" / "sheet.png"
    assert main(["sheet", "--preset", preset, "--rows", "2", "--columns", "4", "--out", str(out)]) == 0
    assert "sheet.png" in capsys.readouterr().out
    with Image.open(out) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", size)


def test_a_sheet_shows_the_box_around_the_ink_and_another_seed_other_scenes() -> None:
    digits = bank({label: block(5, 23, 9, 16) for label in range(10)})
    sheet = np.asarray(draw_sheet(PRESETS["clean"], digits, rows=1, columns=1, seed=3))
    scene = sheet[6:206, 6:206].astype(int)
    green = (scene[:, :, 1] - scene[:, :, 0]) > 50
    white = scene.min(axis=2) == 255
    (top, left), (bottom, right) = np.argwhere(green).min(axis=0), np.argwhere(green).max(axis=0)
    inner_top, inner_left = np.argwhere(white).min(axis=0)
    assert (inner_left - left, inner_top - top) == (1, 1)
    assert (right - left - 1, bottom - top - 1) == (14, 36)  # twice 7 × 18
    other = np.asarray(draw_sheet(PRESETS["clean"], digits, rows=1, columns=1, seed=4))
    assert not np.array_equal(sheet, other)


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (["sheet", "--out", "x.png", "--preset", "artcle"], ["'artcle'", *PRESETS]),
        (["sheet", "--out", "x.png", "--split", "tset"], ["'tset'", "train", "validation", "test"]),
        (["shet"], ["'shet'", "download", "sheet"]),
        (["sheet"], ["--out"]),
    ],
)
def test_a_typo_names_the_choices(
    arguments: list[str], choices: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(choice in said for choice in choices)


def test_digits_that_are_not_to_be_had_are_an_error_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(split: Split) -> None:
        raise DigitsUnavailableError("no digits here")

    monkeypatch.setattr("scenes.__main__.load_digits", fail)
    assert main(["sheet", "--out", str(tmp_path / "sheet.png")]) == 1
    assert main(["download"]) == 1
    assert capsys.readouterr().err == "error: no digits here\n" * 2
    assert not (tmp_path / "sheet.png").exists()


def test_download_tells_how_many_digits_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "train: 60 digits",
        "validation: 60 digits",
        "test: 60 digits",
    ]
