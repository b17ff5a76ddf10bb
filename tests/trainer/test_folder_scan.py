"""The scan of a folder: broken files, copies, sides, what is refused, and what it remembers."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

import trainer.folders.examine
from tests.trainer.folders import cats_and_dogs, fill, picture, save
from trainer.__main__ import main
from trainer.folders.errors import FolderError
from trainer.folders.examine import Examined
from trainer.folders.scan import PictureFile, scan_folder
from trainer.folders.skipped import write_skipped
from trainer.folders.split import held_out_contents
from trainer.model import NO_DIGIT


def test_classes_are_sorted_and_about_a_fifth_is_held_out(tmp_path: Path) -> None:
    scan = scan_folder(cats_and_dogs(tmp_path, 60))
    assert scan.classes == ("cat", "dog")
    assert len(scan.train) + len(scan.held_out) == 120
    assert 12 <= len(scan.held_out) <= 36
    for pictures in (scan.train, scan.held_out):
        assert all(scan.name_of(picture.label) == picture.file.split("/")[0] for picture in pictures)
    assert {(picture.width_px, picture.height_px) for picture in scan.train} == {(12, 8)}
    assert (scan.skipped, scan.warnings, scan.presence_known) == ((), (), False)


def test_renaming_and_adding_leave_every_content_on_its_side(tmp_path: Path) -> None:
    before = scan_folder(cats_and_dogs(tmp_path))
    (tmp_path / "dog/1003.png").rename(tmp_path / "dog/first.png")
    fill(tmp_path / "cat", 20, 100)
    after = scan_folder(tmp_path)

    def contents(pictures: tuple[PictureFile, ...]) -> set[str]:
        return {picture.sha256 for picture in pictures}

    assert contents(before.train) <= contents(after.train)
    assert contents(before.held_out) <= contents(after.held_out)


def test_of_two_contents_one_is_held_out_and_copies_are_on_one_side(tmp_path: Path) -> None:
    for number in range(2, 40):
        contents = [f"{seed:08x}" for seed in range(number)]  # all would be held out
        assert 1 <= len(held_out_contents(contents)) < number
        high = [f"{2**32 - 1 - seed:08x}" for seed in range(number)]  # none would be
        assert held_out_contents([*high, *high]) == {high[-1]}
    assert held_out_contents(["00", "00"]) == set()
    cats_and_dogs(tmp_path)
    for number, file in enumerate(sorted((tmp_path / "cat").iterdir())):
        shutil.copy(file, tmp_path / f"cat/copy{number}.png")
    scan = scan_folder(tmp_path)
    sides = [{picture.sha256 for picture in side} for side in (scan.train, scan.held_out)]
    assert not sides[0] & sides[1]
    assert any(note == "Copies of other pictures, on the same side as these: 30." for note in scan.notes)


def test_broken_files_are_skipped_with_the_reason_and_not_fatal(tmp_path: Path) -> None:
    cats_and_dogs(tmp_path)
    save(tmp_path / "cat/cut.jpg", picture(1, 300, 200))
    whole = (tmp_path / "cat/cut.jpg").read_bytes()
    (tmp_path / "cat/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "dog/empty.png").touch()
    (tmp_path / "dog/text.png").write_text("no picture")
    scan = scan_folder(tmp_path)
    reasons = dict(scan.skipped)
    assert sorted(reasons) == ["cat/cut.jpg", "dog/empty.png", "dog/text.png"]
    assert "damaged or cut short: image file is truncated" in reasons["cat/cut.jpg"]
    assert "expected one of PNG" in reasons["dog/text.png"]
    assert str(tmp_path) not in "".join(reasons.values())
    path = write_skipped(scan.skipped, tmp_path / "run")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["file", "reason"]
    assert [tuple(row) for row in rows[1:]] == list(scan.skipped)
    assert len(scan.train) + len(scan.held_out) == 60


def test_a_bomb_is_skipped_by_its_pixels_and_a_large_jpeg_is_read(tmp_path: Path) -> None:
    cats_and_dogs(tmp_path)
    save(tmp_path / "cat/bomb.png", Image.new("1", (12_000, 8_000)))
    save(tmp_path / "dog/large.jpg", Image.new("L", (12_000, 8_000), 77))
    scan = scan_folder(tmp_path)
    assert scan.skipped == (
        ("cat/bomb.png", "expected at most 80,000,000 pixels, got 12000 x 8000 = 96,000,000"),
    )
    (large,) = [found for found in (*scan.train, *scan.held_out) if found.file == "dog/large.jpg"]
    assert (large.width_px, large.height_px) == (12_000, 8_000)


def test_the_size_is_the_upright_picture_s(tmp_path: Path) -> None:
    cats_and_dogs(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(5, 40, 30).save(tmp_path / "cat/turned.jpg", exif=exif)
    scan = scan_folder(tmp_path)
    (turned,) = [found for found in (*scan.train, *scan.held_out) if found.file == "cat/turned.jpg"]
    assert (turned.width_px, turned.height_px) == (30, 40)


@pytest.mark.parametrize("other", ["dog", "none"])
def test_one_content_in_two_classes_is_an_error_that_names_both(tmp_path: Path, other: str) -> None:
    cats_and_dogs(tmp_path)
    save(tmp_path / "cat/same.png", 7777)
    save(tmp_path / other / "deep/also.png", 7777)
    with pytest.raises(FolderError, match=rf"cat/same\.png and {other}/deep/also\.png"):
        scan_folder(tmp_path)


def test_one_class_alone_is_refused_with_the_hint_of_none(tmp_path: Path) -> None:
    fill(tmp_path / "cat", 30, 0)
    with pytest.raises(FolderError, match=r"one class alone, cat: .* a folder none/ .* do not show cat"):
        scan_folder(tmp_path)
    fill(tmp_path / "none", 30, 100)
    scan = scan_folder(tmp_path)
    assert scan.classes == ("cat",)
    assert {picture.label for picture in scan.train} == {0, NO_DIGIT}
    assert {picture.label for picture in scan.held_out} == {0, NO_DIGIT}
    assert scan.presence_known
    assert scan.name_of(NO_DIGIT) == "none"


def test_nothing_to_read_is_refused_with_the_layout_and_a_reason(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"no class with a readable picture: expected a folder for each"):
        scan_folder(tmp_path)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/a.png").write_text("no picture")
    with pytest.raises(FolderError, match=r"Skipped files: 1, as cat/a\.png: expected one of PNG"):
        scan_folder(tmp_path)


def test_few_pictures_and_unreadable_classes_are_warned_of_and_imbalance_is_said(tmp_path: Path) -> None:
    cats_and_dogs(tmp_path, 60)
    fill(tmp_path / "eel", 1, 5000)
    fill(tmp_path / "fox", 19, 6000)
    (tmp_path / "gnu").mkdir()
    (tmp_path / "gnu/a.png").touch()
    scan = scan_folder(tmp_path)
    assert scan.classes == ("cat", "dog", "eel", "fox")
    assert scan.warnings == (
        "gnu: no picture of it can be read: it is no class.",
        "pictures of eel: 1; expected 20 or more, better some hundreds.",
        "pictures of fox: 19; expected 20 or more, better some hundreds.",
        "eel: no picture of it is held out.",
    )
    assert any("cat has 60 pictures, eel 1: training draws the classes evenly" in note for note in scan.notes)


def test_given_sides_are_kept_and_what_is_held_out_is_not_trained_on(tmp_path: Path) -> None:
    cats_and_dogs(tmp_path / "train")
    fill(tmp_path / "val/cat", 3, 28)  # two of them are also in train/
    fill(tmp_path / "val/dog", 2, 2000)
    scan = scan_folder(tmp_path)
    assert sorted(found.file for found in scan.held_out) == [
        *(f"val/cat/{seed}.png" for seed in (28, 29, 30)),
        *(f"val/dog/{seed}.png" for seed in (2000, 2001)),
    ]
    assert len(scan.train) == 58
    assert any("not trained on: 2, as train/cat/28.png, train/cat/29.png." in note for note in scan.notes)
    fill(tmp_path / "val/eel", 1, 3000)
    with pytest.raises(FolderError, match=r"held out but have no readable picture to train on: eel"):
        scan_folder(tmp_path)


def test_a_class_of_which_all_is_held_out_is_refused(tmp_path: Path) -> None:
    cats_and_dogs(tmp_path / "train", 3)
    cats_and_dogs(tmp_path / "val", 3)
    with pytest.raises(FolderError, match=r"none is left to train on: cat, dog"):
        scan_folder(tmp_path)


def test_the_data_s_hash_knows_classes_and_contents_alone(tmp_path: Path) -> None:
    first = scan_folder(cats_and_dogs(tmp_path / "a")).data_sha256
    cats_and_dogs(tmp_path / "b")
    (tmp_path / "b/cat/0.png").rename(tmp_path / "b/cat/z.png")
    assert scan_folder(tmp_path / "b").data_sha256 == first
    (tmp_path / "b/cat").rename(tmp_path / "b/kitten")
    assert scan_folder(tmp_path / "b").data_sha256 != first


def test_the_second_scan_opens_only_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, memory = cats_and_dogs(tmp_path / "data"), tmp_path / "run/scan.json"
    first = scan_folder(folder, memory)
    opened: list[str] = []
    original = trainer.folders.examine._open

    def watched(path: Path) -> Examined:
        opened.append(path.name)
        return original(path)

    monkeypatch.setattr(trainer.folders.examine, "_open", watched)
    assert scan_folder(folder, memory) == first
    assert opened == []
    save(folder / "cat/3.png", 4321)
    save(folder / "dog/new.png", 4322)
    os.utime(folder / "dog/1005.png", ns=(0, 0))
    second = scan_folder(folder, memory)
    assert sorted(opened) == ["1005.png", "3.png", "new.png"]
    assert second == scan_folder(folder)
    for damage in (b"", b"{", b'{"version": 1, "files": {"a": [1]}}', b"[]", b"\xff"):
        memory.write_bytes(damage)
        assert scan_folder(folder, memory) == second
        assert memory.stat().st_size > 1000


def test_check_prints_what_the_scan_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = cats_and_dogs(tmp_path / "data")
    (folder / "cat/broken.png").touch()
    assert main(["check", str(folder), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    scan = scan_folder(folder)
    cats = sum(picture.label == 0 for picture in scan.train)
    assert f"cat {cats:>33} {30 - cats:>9}" in said
    assert "Skipped files: 1\n  cat/broken.png: " in said
    assert scan.data_sha256 in said
    assert (tmp_path / "out/skipped.csv").read_text().startswith("file,reason\ncat/broken.png,")
    assert main(["check", str(tmp_path / "nowhere")]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err
