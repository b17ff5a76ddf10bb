"""The pictures of a scanned folder in the model's frame, kept in one file for the next start."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.files import atomic_write
from models.pictures.letterbox import Placement, place_whole
from trainer.folders.errors import FolderError
from trainer.folders.examine import in_threads
from trainer.folders.reading import UnreadableError, read_frame
from trainer.folders.scan import PictureFile, Scan
from trainer.folders.words import printable

_VERSION = 2
"""A step for every change of how pictures become frames: older files are made anew."""

Frames = npt.NDArray[np.uint8]


class Pictures(NamedTuple):
    """Pictures in the model's frame, with labels."""

    images: Tensor  # uint8 [n, channels, side, side]
    labels: Tensor  # int64 [n], index of the class; `NO_DIGIT` for pictures of `none/`
    files: tuple[str, ...]  # names below the folder, parts joined by "/"
    sizes_px: tuple[tuple[int, int], ...]  # width and height of the upright pictures

    def placement(self, number: int) -> Placement:
        """Where the frame lies in one of the pictures: it leads boxes back to px of the upright picture."""
        return place_whole(*self.sizes_px[number], self.images.shape[-1])


class FolderData(NamedTuple):
    """A folder's pictures to train on and to hold out, and the names of the classes in their order."""

    train: Pictures
    held_out: Pictures
    classes: tuple[str, ...]


def load_pictures(scan: Scan, side_px: int, channels: int, cache: Path) -> FolderData:
    """Decode every picture of a scan, or take all of them from the cache.

    Args:
        scan: what the folder holds.
        side_px: the frame's side.
        channels: 1 for grey, 3 for RGB.
        cache: the file to take the frames from. A file that is missing, damaged or of other pictures, another
            side or other channels is written anew.

    Raises:
        FolderError: a picture can no longer be read as it was scanned.
    """
    pictures = (*scan.train, *scan.held_out)
    key = _key(pictures, side_px, channels)
    shape = len(pictures), channels, side_px, side_px
    frames = _cached(cache, key, shape)
    if frames is None:
        frames = _decoded(scan.folder, pictures, side_px, channels)
        _write(cache, key, frames)
    images = torch.from_numpy(frames)
    trained = len(scan.train)
    return FolderData(
        _labelled(scan.train, images[:trained]), _labelled(scan.held_out, images[trained:]), scan.classes
    )


def _labelled(pictures: Sequence[PictureFile], images: Tensor) -> Pictures:
    return Pictures(
        images,
        torch.tensor([picture.label for picture in pictures], dtype=torch.int64),
        tuple(picture.file for picture in pictures),
        tuple((picture.width_px, picture.height_px) for picture in pictures),
    )


def _decoded(folder: Path, pictures: Sequence[PictureFile], side_px: int, channels: int) -> Frames:
    frames = np.empty((len(pictures), channels, side_px, side_px), np.uint8)

    def fill(number: int) -> None:
        picture = pictures[number]
        size = picture.width_px, picture.height_px
        try:
            with (folder / picture.file).open("rb") as stream:
                frames[number] = read_frame(stream, size, side_px, channels)
        except (OSError, UnreadableError) as error:
            raise FolderError(
                f"{printable(picture.file)} has changed since the folder was scanned, scan it again: {error}"
            ) from error

    in_threads(fill, range(len(pictures)), "Loading")
    return frames


def _key(pictures: Sequence[PictureFile], side_px: int, channels: int) -> str:
    """What the frames follow from: the contents in their order, the side and the channels."""
    content = hashlib.sha256(f"{_VERSION} {side_px} {channels}".encode())
    for picture in pictures:
        content.update(bytes.fromhex(picture.sha256))
    return content.hexdigest()


def _cached(cache: Path, key: str, shape: tuple[int, ...]) -> Frames | None:
    if not cache.is_file():
        return None
    try:
        with cache.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            if str(kept["key"]) != key:
                return None
            frames: Frames = kept["frames"]  # checked against the archive's checksum as it is read
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):  # it is written anew
        return None
    return frames if frames.shape == shape and frames.dtype == np.uint8 else None


def _write(cache: Path, key: str, frames: Frames) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(cache) as temporary, temporary.open("wb") as stream:
        np.savez(stream, key=np.array(key), frames=frames)
