"""MNIST's files: found, checked, downloaded from one of two mirrors, or refused with their names."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scenes import mnist
from scenes.digits import Digits
from scenes.mnist import MIRRORS, SHA256, DigitsUnavailableError, Split, load_digits

Load = Callable[[Split], Digits]
NAMES = {"t10k-images-idx3-ubyte.gz": (3, 30), "t10k-labels-idx1-ubyte.gz": (1, 30)}


def idx(values: np.ndarray) -> bytes:
    """An IDX file of bytes, as on LeCun's page: 0, 0, 8 (bytes), dimensions, their sizes, the data."""
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return gzip.compress(header + values.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small files of a test split with the checksums to match; nothing is downloaded."""
    images = np.arange(30 * 28 * 28).reshape(30, 28, 28) % 251
    files = {
        "t10k-images-idx3-ubyte.gz": idx(images),
        "t10k-labels-idx1-ubyte.gz": idx(np.arange(30) % 10),
    }
    for name, content in files.items():
        monkeypatch.setitem(mnist.SHA256, name, hashlib.sha256(content).hexdigest())
    monkeypatch.setattr("scenes.mnist.pooch.retrieve", refuse)
    return files


def refuse(*args: object, **kwargs: object) -> str:
    raise AssertionError("a download was tried")


@pytest.fixture
def folder(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "digits"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv("GLIMPSE_MNIST_DIR", str(folder))
    return folder


@pytest.fixture
def cache(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No folder is named, and the cache is empty."""
    monkeypatch.delenv("GLIMPSE_MNIST_DIR", raising=False)
    monkeypatch.setattr("scenes.mnist.pooch.os_cache", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache" / "glimpse" / "mnist"


def test_files_of_a_folder_are_read(folder: Path) -> None:
    digits = load_digits("test")
    assert digits.images.shape == (30, 28, 28)
    assert digits.images[1, 0, :3].tolist() == [784 % 251, 785 % 251, 786 % 251]
    assert digits.labels.tolist() == [i % 10 for i in range(30)]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_missing_in_the_folder_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(
        DigitsUnavailableError, match=rf"GLIMPSE_MNIST_DIR is .*digits, but there is no {name}"
    ):
        load_digits("test")


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_named_and_never_used(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(
        DigitsUnavailableError, match=rf"{name} is damaged: its SHA-256 is not {SHA256[name]}"
    ):
        load_digits("test")


def test_a_damaged_file_in_the_cache_is_named_too(cache: Path, files: dict[str, bytes]) -> None:
    cache.mkdir(parents=True)
    for name, content in files.items():
        (cache / name).write_bytes(content[:-1])
    with pytest.raises(DigitsUnavailableError, match=r"images-idx3-ubyte\.gz is damaged"):
        load_digits("test")


def test_without_a_download_it_is_said_how_to_get_them(cache: Path) -> None:
    with pytest.raises(DigitsUnavailableError, match=r"run `python -m scenes download`.*GLIMPSE_MNIST_DIR"):
        load_digits("test", download=False)


class Mirrors:
    """Stands for the network: mirrors that do not answer, deliver damaged files, or deliver."""

    def __init__(self, files: dict[str, bytes], answers: list[str]) -> None:
        self.files, self.answers, self.asked = files, dict(zip(MIRRORS, answers, strict=True)), list[str]()

    def retrieve(self, url: str, *, known_hash: str, fname: str, path: Path, progressbar: bool) -> str:
        self.asked.append(url)
        assert url.endswith("/" + fname)
        assert known_hash == f"sha256:{SHA256[fname]}"
        assert progressbar
        match self.answers[url.removesuffix(fname)]:
            case "silent":
                raise ConnectionError("no route to host")
            case "damaged":
                raise ValueError("SHA256 hash of downloaded file does not match the known hash")
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(self.files[fname])
        return str(path / fname)


@pytest.mark.parametrize("first", ["silent", "damaged"])
def test_where_the_first_mirror_fails_the_second_is_asked(
    cache: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    mirrors = Mirrors(files, [first, "delivers"])
    monkeypatch.setattr("scenes.mnist.pooch.retrieve", mirrors.retrieve)
    assert len(load_digits("test").labels) == 30
    assert mirrors.asked == [mirror + name for name in NAMES for mirror in MIRRORS]
    # Once is enough: the second time they come from the cache.
    load_digits("test")
    load_digits("test", download=False)
    assert len(mirrors.asked) == 4


def test_where_both_mirrors_fail_both_are_named(
    cache: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenes.mnist.pooch.retrieve", Mirrors(files, ["silent", "damaged"]).retrieve)
    with pytest.raises(DigitsUnavailableError) as raised:
        load_digits("test")
    said = str(raised.value)
    assert len(MIRRORS) == 2
    assert all(mirror in said for mirror in MIRRORS)
    assert "t10k-images-idx3-ubyte.gz could not be downloaded" in said
    assert "no route to host" in said
    assert "does not match" in said
    assert "GLIMPSE_MNIST_DIR" in said


def test_an_unknown_split_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="split: expected one of train, validation, test, got 'tset'"):
        load_digits("tset")  # type: ignore[arg-type]


def test_splits_are_the_first_55000_the_last_5000_and_the_10000(digits: Load) -> None:
    train, validation, test = digits("train"), digits("validation"), digits("test")
    assert [len(split.labels) for split in (train, validation, test)] == [55_000, 5_000, 10_000]
    assert [len(split.images) for split in (train, validation, test)] == [55_000, 5_000, 10_000]
    # The first labels of either file, as everybody knows them, and MNIST's counts of all 60,000 and 10,000.
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert (train.class_count + validation.class_count).tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    ]
    assert test.class_count.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    # The last of the 60,000 are 5, 6 and 8.
    assert validation.labels[-3:].tolist() == [5, 6, 8]
