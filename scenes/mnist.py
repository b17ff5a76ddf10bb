"""MNIST's digits, from a folder of the four original files or downloaded once; always checked.

Data: Yann LeCun, Corinna Cortes and Christopher J. C. Burges, CC BY-SA 3.0.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pooch

from scenes.digits import Digits, make_digits

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
VALIDATION_DIGITS = 5_000
"""The last of the 60,000 training digits, for decisions; the test digits are for the final figures."""

SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FOLDER_VARIABLE = "GLIMPSE_MNIST_DIR"


class DigitsUnavailableError(RuntimeError):
    """MNIST is not available: missing, not downloadable, or a file is damaged."""


def load_digits(split: Split, *, download: bool = True) -> Digits:
    """The digits of a split: 55,000 for training, 5,000 for validation, 10,000 for the final figures.

    Files come from the folder that `GLIMPSE_MNIST_DIR` names, else from a cache that is filled by a download.

    Raises:
        DigitsUnavailableError: a file is missing and must not or cannot be downloaded, or is damaged.
        ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    prefix = "t10k" if split == "test" else "train"
    images = _read_idx(_locate(f"{prefix}-images-idx3-ubyte.gz", download), dimensions=3)
    labels = _read_idx(_locate(f"{prefix}-labels-idx1-ubyte.gz", download), dimensions=1)
    if split == "train":
        images, labels = images[:-VALIDATION_DIGITS], labels[:-VALIDATION_DIGITS]
    elif split == "validation":
        images, labels = images[-VALIDATION_DIGITS:], labels[-VALIDATION_DIGITS:]
    return make_digits(images, labels)


def _locate(name: str, download: bool) -> Path:
    """The path of a checked file: in the user's folder, in the cache, or downloaded into it."""
    if folder := os.environ.get(FOLDER_VARIABLE):
        path = Path(folder) / name
        if not path.is_file():
            raise DigitsUnavailableError(f"{FOLDER_VARIABLE} is {folder}, but there is no {name} in it")
        _check(path)
        return path
    cache = Path(pooch.os_cache("glimpse")) / "mnist"
    path = cache / name
    if path.is_file():
        _check(path)
        return path
    if not download:
        raise DigitsUnavailableError(
            f"MNIST is not at hand: run `python -m scenes download` once, or set {FOLDER_VARIABLE} "
            "to a folder with its four .gz files"
        )
    return _download(name, cache)


def _download(name: str, cache: Path) -> Path:
    failures = []
    for mirror in MIRRORS:
        try:
            found = pooch.retrieve(
                mirror + name, known_hash=f"sha256:{SHA256[name]}", fname=name, path=cache, progressbar=True
            )
        except (OSError, ValueError) as error:  # ValueError: pooch's word for a wrong checksum
            failures.append(f"{mirror}: {_innermost(error)}")
        else:
            return Path(found)
    raise DigitsUnavailableError(
        f"{name} could not be downloaded ({'; '.join(failures)}); "
        f"set {FOLDER_VARIABLE} to a folder with MNIST's four .gz files"
    )


def _innermost(error: BaseException) -> str:
    """The first cause, inside the errors that an HTTP library wraps around it."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(error) or type(error).__name__


def _check(path: Path) -> None:
    if not pooch.file_hash(str(path)) == SHA256[path.name]:
        raise DigitsUnavailableError(
            f"{path} is damaged: its SHA-256 is not {SHA256[path.name]}; delete it and fetch it again"
        )


def _read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read an IDX file of bytes: two zeros, the type, the number of dimensions, their sizes, the data."""
    content = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(content, dtype=">i4", count=dimensions, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)
