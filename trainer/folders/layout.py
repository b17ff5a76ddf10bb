"""Which files below a folder are pictures of which class, by names alone; no file is opened."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from models.pictures import heif
from models.pictures.formats import suffixes
from trainer.folders.errors import FolderError
from trainer.folders.skipped import Skipped
from trainer.folders.words import listed, printable

TRAIN = "train"
HELD_OUT = ("val", "valid", "validation")
TEST = "test"
NONE = "none"
"""The folder of pictures that show no object; it is no class."""

LAYOUT = (
    "expected a folder for each class, as FOLDER/cat/1.jpg and FOLDER/dog/2.jpg, "
    "or these in FOLDER/train and FOLDER/val"
)

_HEIC = frozenset((".heic", ".heif"))

Side = Literal["train", "held_out"]


class ClassFile(NamedTuple):
    """A file with a picture's suffix, the folder of its class, and its side where the folders say it."""

    file: str  # relative to the scanned folder, parts joined by "/"
    class_name: str
    given_side: Side | None


class Layout(NamedTuple):
    """What the names of a folder say. `notes` are sentences for the user about what is left out."""

    files: tuple[ClassFile, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


def find_pictures(folder: Path) -> Layout:
    """List the pictures of each class; the first level of folders names the classes.

    Links are followed. A folder that was already visited for the same class is not visited again, so that
    links that form a loop end.

    Raises:
        FolderError: there is no such folder, its folders fit no layout, or a class's name is not UTF-8.
    """
    if not folder.is_dir():
        raise FolderError(f"{printable(str(folder))} is no folder: {LAYOUT}")
    return _Walk(folder).layout()


class _Walk:
    """One walk over a folder; counts what it leaves out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._suffixes = suffixes()
        self._skipped: list[Skipped] = []
        self._notes: list[str] = []
        self._hidden = 0
        self._empty: list[str] = []
        self._visited_twice: list[str] = []
        self._others: Counter[str] = Counter()

    def layout(self) -> Layout:
        files = []
        for top, side, names in self._tops():
            above = {_identity(self._folder), _identity(self._folder / top)}
            for name in names:
                files += self._class(f"{top}/{name}" if top else name, name, side, above)
        return Layout(tuple(files), tuple(sorted(self._skipped)), tuple(self._notes + self._counts()))

    def _tops(self) -> list[tuple[str, Side | None, list[str]]]:
        """The folders that hold the classes' folders, the side of each, and the names of the classes.

        "" is the scanned folder itself.
        """
        names = self._folders_of_classes("")
        train = [name for name in names if name.casefold() == TRAIN]
        held_out = [name for name in names if name.casefold() in HELD_OUT]
        test = [name for name in names if name.casefold() == TEST]
        others = [name for name in names if name not in (*train, *held_out, *test)]
        if len(train) > 1 or len(held_out) > 1:
            raise FolderError(
                f"expected one folder to train on and one to hold out, got {listed([*train, *held_out])}"
            )
        self._notes += [f"{name}/ is left alone: it is for your own test at the end." for name in test]
        if train and held_out:
            if others:
                self._notes.append(f"Left out beside {train[0]}/ and {held_out[0]}/: {listed(others)}.")
            self._notes.append(f"{train[0]}/ trains, {held_out[0]}/ is held out, as the folders say.")
            sides: tuple[tuple[str, Side], ...] = ((train[0], "train"), (held_out[0], "held_out"))
            return [(top, side, self._folders_of_classes(top)) for top, side in sides]
        if held_out:
            raise FolderError(f"got {held_out[0]}/ without {TRAIN}/ beside it: {LAYOUT}")
        if train and not others:
            return [(train[0], None, self._folders_of_classes(train[0]))]
        # With other folders beside it, `train` is a class: a locomotive.
        return [("", None, sorted([*train, *others]))]

    def _folders_of_classes(self, top: str) -> list[str]:
        folders, files = self._list(top)
        pictures = sum(map(self._is_picture, files))
        self._count_others(files)
        if pictures:
            where = f"{top}/" if top else "the folder itself"
            self._notes.append(f"Pictures in no class's folder, left out: {pictures:,} in {where}.")
        return folders

    def _class(self, where: str, name: str, side: Side | None, above: set[object]) -> list[ClassFile]:
        if printable(name) != name:
            raise FolderError(f"expected the names of classes in UTF-8, got the folder {printable(name)}")
        found = [ClassFile(file, name, side) for file in self._below(where, set(above))]
        if not found:
            self._empty.append(where)
        return found

    def _below(self, where: str, visited: set[object]) -> Iterator[str]:
        """The pictures in and below a folder, sorted; folders in `visited` are passed over."""
        waiting = [where]
        while waiting:
            inside = waiting.pop()
            identity = _identity(self._folder / inside)
            if identity in visited:
                self._visited_twice.append(inside)
                continue
            visited.add(identity)
            folders, files = self._list(inside)
            waiting += [f"{inside}/{name}" for name in reversed(folders)]
            self._count_others(files)
            yield from (f"{inside}/{name}" for name in files if self._is_picture(name))

    def _list(self, where: str) -> tuple[list[str], list[str]]:
        """The names of the folders and of the files in a folder, sorted, without hidden ones.

        What is neither, or cannot be read, is skipped with its reason: reading a pipe would never end.
        """
        folders: list[str] = []
        files: list[str] = []
        try:
            names = sorted(path.name for path in (self._folder / where).iterdir())
        except OSError as error:
            self._skipped.append(
                Skipped(where or ".", f"the folder cannot be listed: {error.strerror or error}")
            )
            return folders, files
        for name in names:
            path = f"{where}/{name}" if where else name
            if name.startswith("."):
                self._hidden += 1
                continue
            try:
                mode = (self._folder / path).stat().st_mode
            except OSError as error:  # a link to nothing, or to itself
                self._skipped.append(Skipped(path, f"cannot be opened: {error.strerror or error}"))
                continue
            if stat.S_ISDIR(mode):
                folders.append(name)
            elif stat.S_ISREG(mode):
                files.append(name)
            else:
                self._skipped.append(Skipped(path, "is neither a file nor a folder"))
        return folders, files

    def _is_picture(self, name: str) -> bool:
        return Path(name).suffix.lower() in self._suffixes

    def _count_others(self, files: Iterable[str]) -> None:
        self._others.update(
            Path(name).suffix.lower() or "no suffix" for name in files if not self._is_picture(name)
        )

    def _counts(self) -> list[str]:
        notes = []
        if self._hidden:
            notes.append(
                f"Hidden files and folders, whose names begin with a dot, left out: {self._hidden:,}."
            )
        if self._empty:
            notes.append(f"No picture lies in {listed(self._empty)}: no class is made of it.")
        if self._visited_twice:
            notes.append(f"Links that lead to a folder already read: {listed(self._visited_twice)}.")
        if self._others:
            kinds = ", ".join(f"{number:,} {suffix}" for suffix, number in sorted(self._others.items()))
            notes.append(f"Files without a picture's suffix, left out: {printable(kinds)}.")
        if _HEIC & self._others.keys():
            notes.append(f"{heif.NOT_INSTALLED}.")
        return notes


def _identity(folder: Path) -> object:
    """The same for all paths that lead to one folder."""
    status = folder.stat()
    return status.st_dev, status.st_ino
