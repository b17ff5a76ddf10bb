"""The pictures of a folder in the model's frame, and the file that keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import trainer.folders.load
from tests.trainer.folders import cats_and_dogs, fill, save
from trainer.folders.errors import FolderError
from trainer.folders.load import FolderData, load_pictures
from trainer.folders.scan import scan_folder
from trainer.model import NO_DIGIT


def same(one: FolderData, other: FolderData) -> bool:
    return one.classes == other.classes and all(
        torch.equal(a.images, b.images)
        and torch.equal(a.labels, b.labels)
        and a.files == b.files
        and a.sizes_px == b.sizes_px
        for a, b in ((one.train, other.train), (one.held_out, other.held_out))
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_frames_labels_and_names_belong_together(tmp_path: Path, channels: int) -> None:
    folder = cats_and_dogs(tmp_path / "data")
    fill(folder / "none", 10, 5000)
    save(folder / "cat/red.png", Image.new("RGB", (200, 100), (255, 0, 0)))
    scan = scan_folder(folder)
    data = load_pictures(scan, 64, channels, tmp_path / "run/pictures.npz")
    assert data.classes == ("cat", "dog")
    for pictures, scanned in ((data.train, scan.train), (data.held_out, scan.held_out)):
        assert pictures.images.shape == (len(scanned), channels, 64, 64)
        assert pictures.images.dtype == torch.uint8
        assert pictures.labels.tolist() == [picture.label for picture in scanned]
        assert pictures.files == tuple(picture.file for picture in scanned)
    assert NO_DIGIT in data.train.labels
    side, number = next(
        (pictures, pictures.files.index("cat/red.png"))
        for pictures in (data.train, data.held_out)
        if "cat/red.png" in pictures.files
    )
    assert side.sizes_px[number] == (200, 100)
    if channels == 3:
        assert side.images[number].flatten(1).T.unique(dim=0).tolist() == [[255, 0, 0]]


def test_the_second_start_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan, cache = scan_folder(cats_and_dogs(tmp_path / "data")), tmp_path / "run/pictures.npz"
    first = load_pictures(scan, 64, 3, cache)
    decoded: list[int] = []
    original = trainer.folders.load._decoded

    def watched(*args: Any) -> object:
        decoded.append(1)
        return original(*args)

    monkeypatch.setattr(trainer.folders.load, "_decoded", watched)
    assert same(load_pictures(scan, 64, 3, cache), first)
    assert decoded == []
    assert load_pictures(scan, 64, 1, cache).train.images.shape[1] == 1
    assert load_pictures(scan, 32, 1, cache).train.images.shape[2] == 32
    fill(tmp_path / "data/cat", 1, 99)
    assert len(load_pictures(scan_folder(tmp_path / "data"), 32, 1, cache).train.images) > 0
    assert decoded == [1, 1, 1]
    assert not list(cache.parent.glob("*.new"))


@pytest.mark.parametrize("damage", ["cut", "one byte", "empty", "text"])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage: str) -> None:
    scan, cache = scan_folder(cats_and_dogs(tmp_path / "data")), tmp_path / "pictures.npz"
    first = load_pictures(scan, 64, 1, cache)
    whole = cache.read_bytes()
    middle = len(whole) // 2
    cache.write_bytes(
        {
            "cut": whole[:middle],
            "one byte": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "empty": b"",
            "text": b"no archive",
        }[damage]
    )
    assert same(load_pictures(scan, 64, 1, cache), first)
    assert same(load_pictures(scan, 64, 1, cache), first)
    assert np.load(cache)["frames"].shape == (60, 1, 64, 64)


def test_a_picture_that_changed_after_the_scan_is_named(tmp_path: Path) -> None:
    folder = cats_and_dogs(tmp_path / "data")
    scan = scan_folder(folder)
    (folder / "dog/1002.png").unlink()
    with pytest.raises(FolderError, match=r"dog/1002\.png has changed since"):
        load_pictures(scan, 64, 1, tmp_path / "pictures.npz")
    assert not (tmp_path / "pictures.npz").exists()
