"""What a folder's names say: classes, sides, and what is left out, never silently."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.pictures import heif
from tests.trainer.folders import fill, save
from trainer.folders.errors import FolderError
from trainer.folders.layout import find_pictures


def classes(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file, class_name, _ in find_pictures(folder).files:
        found.setdefault(class_name, []).append(file)
    return found


def notes(folder: Path) -> str:
    return "\n".join(find_pictures(folder).notes)


def test_nested_folders_belong_to_the_first_level_and_names_stay_as_they_are(tmp_path: Path) -> None:
    for number, path in enumerate(["猫/a.png", "猫/deep/er/b.JPG", "Ünder score/c.jpeg", "ünder/d.webp"]):
        save(tmp_path / path, number)
    assert classes(tmp_path) == {
        "Ünder score": ["Ünder score/c.jpeg"],
        "ünder": ["ünder/d.webp"],
        "猫": ["猫/a.png", "猫/deep/er/b.JPG"],
    }
    assert {found.given_side for found in find_pictures(tmp_path).files} == {None}


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_train_and_val_say_the_side_and_test_is_left_alone(tmp_path: Path, val: str) -> None:
    save(tmp_path / "train/cat/a.png", 0)
    save(tmp_path / val / "cat/b.png", 1)
    save(tmp_path / "test/cat/c.png", 2)
    save(tmp_path / "more/d.png", 3)
    save(tmp_path / "e.png", 4)
    layout = find_pictures(tmp_path)
    assert layout.files == (("train/cat/a.png", "cat", "train"), (f"{val}/cat/b.png", "cat", "held_out"))
    said = "\n".join(layout.notes)
    assert "test/ is left alone" in said
    assert f"Left out beside train/ and {val}/: more." in said
    assert "no class's folder, left out: 1 in the folder itself." in said


def test_train_alone_holds_the_classes_but_is_a_class_beside_others(tmp_path: Path) -> None:
    save(tmp_path / "train/cat/a.png", 0)
    save(tmp_path / "test/cat/b.png", 1)
    assert classes(tmp_path) == {"cat": ["train/cat/a.png"]}
    save(tmp_path / "bus/c.png", 2)
    assert classes(tmp_path) == {"bus": ["bus/c.png"], "train": ["train/cat/a.png"]}
    assert "test/ is left alone" in notes(tmp_path)


def test_sides_that_nobody_can_guess_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "val/cat/a.png", 0)
    with pytest.raises(FolderError, match=r"val/ without train/.*FOLDER/train and FOLDER/val"):
        find_pictures(tmp_path)
    save(tmp_path / "train/cat/a.png", 0)
    save(tmp_path / "valid/cat/a.png", 0)
    with pytest.raises(FolderError, match="train, val, valid"):
        find_pictures(tmp_path)


def test_what_is_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heif, "is_installed", lambda: False)
    fill(tmp_path / "cat", 2, 0)
    save(tmp_path / "cat/.hidden.png", 3)
    save(tmp_path / ".cache/x.png", 4)
    (tmp_path / "empty/inside").mkdir(parents=True)
    for name in ("cat/notes.txt", "cat/more.txt", "cat/list.json", "cat/phone.HEIC", "cat/README"):
        (tmp_path / name).write_text("no picture")
    assert {len(files) for files in classes(tmp_path).values()} == {2}
    said = notes(tmp_path)
    assert "begin with a dot, left out: 2." in said
    assert "No picture lies in empty:" in said
    assert "suffix, left out: 1 .heic, 1 .json, 2 .txt, 1 no suffix." in said
    assert heif.NOT_INSTALLED in said


@pytest.mark.parametrize("target", ["..", "../..", ".", "../dog"])
def test_links_that_form_a_loop_end(tmp_path: Path, target: str) -> None:
    root = tmp_path / "root"
    fill(root / "cat", 1, 0)
    fill(root / "dog", 1, 5)
    (root / "dog/back").symlink_to("../cat/on")
    (root / "cat/on").symlink_to(target)
    found = classes(root)
    # A folder that is linked twice is read once for each class.
    for name, files in found.items():
        assert len(files) == len(set(files)), name
    assert "cat/0.png" in found["cat"]
    assert "dog/5.png" in found["dog"]
    assert len(found["cat"]) <= 3
    assert "already read" in notes(root)


def test_links_to_folders_and_files_elsewhere_are_followed(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", 2, 0)
    (tmp_path / "root/cat").mkdir(parents=True)
    (tmp_path / "root/cat/0.png").symlink_to(tmp_path / "elsewhere/0.png")
    (tmp_path / "root/dog").symlink_to(tmp_path / "elsewhere")
    assert classes(tmp_path / "root") == {"cat": ["cat/0.png"], "dog": ["dog/0.png", "dog/1.png"]}


def test_what_cannot_be_opened_is_skipped_with_the_reason(tmp_path: Path) -> None:
    fill(tmp_path / "cat", 1, 0)
    (tmp_path / "cat/gone.png").symlink_to("nowhere.png")
    (tmp_path / "cat/itself.png").symlink_to("itself.png")
    os.mkfifo(tmp_path / "cat/pipe.png")
    assert [(file, reason.split(":")[0]) for file, reason in find_pictures(tmp_path).skipped] == [
        ("cat/gone.png", "cannot be opened"),
        ("cat/itself.png", "cannot be opened"),
        ("cat/pipe.png", "is neither a file nor a folder"),
    ]


def test_a_folder_that_is_none_and_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"nowhere is no folder: expected a folder for each class"):
        find_pictures(tmp_path / "nowhere")
    save(Path(os.fsdecode(bytes(tmp_path) + b"/c\xe4t")) / "a.png", 0)
    with pytest.raises(FolderError, match=r"UTF-8, got the folder c\\udce4t"):
        find_pictures(tmp_path)
