"""From folders, patterns and files to one sorted stream of distinct paths; memory for the largest folder."""

from __future__ import annotations

import fnmatch
import glob
import heapq
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import PurePath
from typing import NamedTuple

from models.pictures.formats import suffixes

ANY_DEPTH = "**"


class SourceError(ValueError):
    """A source does not exist or holds nothing; the message names it."""


class _Found(NamedTuple):
    """A file: where it stands in the order, in which source, and whether its name is a picture's."""

    key: list[str]
    source: int
    path: str
    taken: bool


PassOver = Callable[[str], object]
"""Receives the path of each file that is skipped, because it does not have a picture's suffix."""


class _Folder(NamedTuple):
    """What is of use in one folder: few bytes for each file, as there may be millions."""

    path: str
    names: Iterator[str]  # sorted, of files and folders
    folders: dict[str, frozenset[int]]  # how much of the pattern is behind us in each


def list_files(sources: Sequence[str], pass_over: PassOver = lambda _path: None) -> Iterator[str]:
    """Paths of the files of all sources, in the order of their absolute paths, each file once.

    A folder gives the files below it with a picture's suffix, and passes each other file to `pass_over`. A
    pattern (`*`, `?`, `[…]`, and `**` for any number of folders) gives the files that it matches. Any other
    path is taken as it is. Folders and patterns skip names that begin with a dot, and do not follow links to
    folders. A folder that cannot be listed is returned as a path, so that its row has the error.

    Raises:
        SourceError: a source does not exist, or there is no file in it.
    """
    # Each source is sorted, so that merging finds what two of them share without holding either.
    found = heapq.merge(*(_found(number, source) for number, source in enumerate(sources)))
    for _, group in groupby(found, key=attrgetter("key")):
        same = list(group)
        taken = next((file for file in same if file.taken), None)
        if taken is None:
            pass_over(same[0].path)
        else:
            yield taken.path


def _found(number: int, source: str) -> Iterator[_Found]:
    any_taken, passed_over = False, 0
    for path, taken in _of_source(source):
        any_taken |= taken
        passed_over += not taken
        yield _Found(path_key(path), number, path, taken)
    if not any_taken:
        wanted = "matches no file" if glob.has_magic(source) else "has no picture in it"
        others = f", and {passed_over:,} files there do not" if passed_over else ""
        endings = ", ".join(sorted(suffixes()))
        raise SourceError(f"source {source!r} {wanted}: pictures end in {endings}{others}")


def path_key(path: str) -> list[str]:
    """What paths are sorted and compared by: the parts of the absolute path."""
    return os.path.abspath(path).split(os.sep)  # noqa: PTH100, PTH206 - a tenth of pathlib's time


def _of_source(source: str) -> Iterator[tuple[str, bool]]:
    """The paths in a source, and whether each is taken."""
    if os.path.isdir(source):  # noqa: PTH112 - a Path would drop the "./" that the user wrote
        yield from _walk(source, (ANY_DEPTH,), suffixes())
    elif os.path.exists(source):  # noqa: PTH110
        yield source, True
    elif glob.has_magic(source):
        parts = PurePath(source).parts
        plain = next(i for i, part in enumerate(parts) if glob.has_magic(part))
        root = str(PurePath(*parts[:plain])) if plain else ""
        if not os.path.isdir(root or "."):  # noqa: PTH112
            raise SourceError(f"source {source!r} matches no file: the folder {root!r} does not exist")
        yield from _walk(root, parts[plain:], None)
    else:
        raise SourceError(
            f"source {source!r} does not exist: expected a folder, a file or a pattern as 'scans/**/*.png'"
        )


def _walk(root: str, pattern: tuple[str, ...], suffixes: frozenset[str] | None) -> Iterator[tuple[str, bool]]:
    """Paths below `root` that match the pattern's parts, sorted by their parts.

    Beside each stands whether its suffix is among `suffixes`; without any, all are.
    """
    try:
        inside = [_list(root, _reach(pattern, {0}), pattern)]
    except OSError as error:
        raise SourceError(f"source {root!r} cannot be listed: {error.strerror or error}") from error
    while inside:
        folder = inside[-1]
        name = next(folder.names, None)
        if name is None:
            inside.pop()
            continue
        path = os.path.join(folder.path, name)  # noqa: PTH118
        if name not in folder.folders:
            yield path, suffixes is None or suffix_of(name) in suffixes
            continue
        try:
            inside.append(_list(path, folder.folders[name], pattern))
        except OSError:
            yield path, True


def _list(path: str, states: frozenset[int], pattern: tuple[str, ...]) -> _Folder:
    """The files of a folder that match, and the folders below which some may."""
    names, folders = [], {}
    with os.scandir(path or ".") as entries:
        for entry in entries:
            after = _step(pattern, states, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if after - {len(pattern)}:
                    names.append(entry.name)
                    folders[entry.name] = after
            # A link to a folder is not followed; one that leads nowhere is a file that cannot be read.
            elif len(pattern) in after and not entry.is_dir():
                names.append(entry.name)
    names.sort()
    return _Folder(path, iter(names), folders)


def _step(pattern: tuple[str, ...], states: frozenset[int], name: str) -> frozenset[int]:
    """How many of the pattern's parts may be behind us once `name` is read."""
    after = set()
    for state in states - {len(pattern)}:
        part = pattern[state]
        if name.startswith(".") and not part.startswith("."):
            continue
        if part == ANY_DEPTH:
            after.add(state)
        elif _expression(part).match(name):
            after.add(state + 1)
    return _reach(pattern, after)


def _reach(pattern: tuple[str, ...], states: set[int]) -> frozenset[int]:
    """The states, and those behind each `**`, which may stand for no folder at all."""
    reached = set(states)
    for state, part in enumerate(pattern):
        if state in reached and part == ANY_DEPTH:
            reached.add(state + 1)
    return frozenset(reached)


@cache
def _expression(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part), re.IGNORECASE if os.name == "nt" else 0)


def suffix_of(name: str) -> str:
    """The end of a file's name from its last dot on, in small letters; "" where there is none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122
