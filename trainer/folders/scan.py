"""One scan of a folder of pictures, before anything is trained: what is there, what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trainer.folders.checks import check_classes, check_contents, class_names, is_none
from trainer.folders.errors import FolderError
from trainer.folders.examine import Examined, examine
from trainer.folders.layout import NONE, ClassFile, find_pictures
from trainer.folders.skipped import Skipped
from trainer.folders.split import held_out_contents
from trainer.folders.words import listed
from trainer.model import NO_DIGIT

FEW = 20
"""Of fewer pictures of a class, at most about four are held out: one mistake is then a quarter of them, and
the figures of the run say nothing about the class."""
_UNEVEN = 2


class PictureFile(NamedTuple):
    """A readable picture: its name below the folder, its label, its bytes' SHA-256, its upright size.

    `label` is the index in `Scan.classes`, or `NO_DIGIT` for a picture of `none/`.
    """

    file: str
    label: int
    sha256: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Scan:
    """What a folder holds.

    `notes` say what was left out and why, `warnings` what is likely to make training fail. `data_sha256` is
    a hash over the class and the content of every picture that is used.
    """

    folder: Path
    classes: tuple[str, ...]
    train: tuple[PictureFile, ...]
    held_out: tuple[PictureFile, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    data_sha256: str

    @property
    def presence_known(self) -> bool:
        """Whether there are pictures without the object to learn presence from."""
        return any(picture.label == NO_DIGIT for picture in self.train)

    def name_of(self, label: int) -> str:
        """The class of a label, or `none`."""
        return NONE if label == NO_DIGIT else self.classes[label]


def scan_folder(folder: Path, memory: Path | None = None) -> Scan:
    """Find, open and split the pictures of a folder, with a progress bar.

    Args:
        folder: a folder of a folder for each class, or `train/` and `val/` of such folders.
        memory: a file in which the next scan finds what this one found out about each picture.

    Raises:
        FolderError: it cannot be trained on. The message says what was expected, and names the files.
    """
    layout = find_pictures(folder)
    examined, unreadable = examine(folder, [found.file for found in layout.files], memory)
    readable = [found for found in layout.files if found.file in examined]
    skipped = tuple(sorted([*layout.skipped, *unreadable]))
    classes = tuple(sorted(name for name in class_names(readable) if not is_none(name)))
    check_classes(classes, readable, skipped)
    check_contents(readable, examined)
    train, held_out, leaked = _sides(readable, examined, classes)
    if untrained := sorted({*range(len(classes))} - {picture.label for picture in train}):
        names = listed([classes[label] for label in untrained])
        raise FolderError(
            f"every picture of these classes is held out as well, none is left to train on: {names}"
        )
    pictures = [*train, *held_out]
    notes = [*layout.notes, *leaked, *_notes(pictures, classes)]
    missing = class_names(layout.files) - class_names(readable)
    return Scan(
        folder=folder,
        classes=classes,
        train=tuple(train),
        held_out=tuple(held_out),
        skipped=skipped,
        notes=tuple(notes),
        warnings=tuple(_warnings(train, held_out, classes, missing)),
        data_sha256=_data_sha256(pictures, classes),
    )


def _sides(
    readable: Sequence[ClassFile], examined: dict[str, Examined], classes: Sequence[str]
) -> tuple[list[PictureFile], list[PictureFile], list[str]]:
    """Pictures to train on and to hold out, and sentences about copies that would be on both sides."""
    held_out = {examined[found.file].sha256 for found in readable if found.given_side == "held_out"}
    for name in class_names(found for found in readable if found.given_side is None):
        held_out |= held_out_contents(
            examined[found.file].sha256 for found in readable if found.class_name == name
        )
    label_of = {name: label for label, name in enumerate(classes)}
    sides: tuple[list[PictureFile], list[PictureFile]] = [], []
    leaked = []
    for found in readable:
        picture = PictureFile(found.file, label_of.get(found.class_name, NO_DIGIT), *examined[found.file])
        is_held_out = picture.sha256 in held_out
        if is_held_out and found.given_side == "train":
            leaked.append(found.file)
        else:
            sides[is_held_out].append(picture)
    notes = (
        [f"Held out as well, and so not trained on: {len(leaked):,}, as {listed(leaked)}."] if leaked else []
    )
    return *sides, notes


def _counts(pictures: Iterable[PictureFile], classes: Sequence[str]) -> dict[str, int]:
    numbers = Counter(picture.label for picture in pictures)
    return {name: numbers[label] for label, name in enumerate(classes)}


def _notes(pictures: Sequence[PictureFile], classes: Sequence[str]) -> list[str]:
    notes = []
    copies = len(pictures) - len({picture.sha256 for picture in pictures})
    if copies:
        notes.append(f"Copies of other pictures, on the same side as these: {copies:,}.")
    numbers = _counts(pictures, classes)
    most, fewest = max(numbers, key=numbers.__getitem__), min(numbers, key=numbers.__getitem__)
    if numbers[most] >= _UNEVEN * numbers[fewest]:
        notes.append(
            f"{most} has {numbers[most]:,} pictures, {fewest} {numbers[fewest]:,}: training draws the "
            "classes evenly."
        )
    return notes


def _warnings(
    train: Sequence[PictureFile], held_out: Sequence[PictureFile], classes: Sequence[str], missing: set[str]
) -> list[str]:
    found = [f"{name}: no picture of it can be read: it is no class." for name in sorted(missing)]
    seen = _counts([*train, *held_out], classes)
    checked = _counts(held_out, classes)
    found += [
        f"pictures of {name}: {number:,}; expected {FEW} or more, better some hundreds."
        for name, number in seen.items()
        if number < FEW
    ]
    found += [f"{name}: no picture of it is held out." for name, number in checked.items() if not number]
    return found


def _data_sha256(pictures: Iterable[PictureFile], classes: Sequence[str]) -> str:
    content = hashlib.sha256()
    names = dict(enumerate(classes))
    for name, sha256 in sorted((names.get(picture.label, NONE), picture.sha256) for picture in pictures):
        content.update(f"{len(name.encode())}:{name}{sha256}".encode())
    return content.hexdigest()
