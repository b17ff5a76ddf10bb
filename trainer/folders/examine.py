"""Open every file once: whether it can be read, its size, and the hash of its bytes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from tqdm import tqdm

from models.files import atomic_write
from trainer.folders.reading import UnreadableError, huge_pictures_allowed, read_picture
from trainer.folders.skipped import Skipped

_VERSION = 1
_ENOUGH_PX = 256
"""Only whether a picture can be decoded is asked here: a large JPEG is decoded as small as is quick."""
_MOST_THREADS = 4
"""Each may hold a picture of 0.3 GB."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Examined(NamedTuple):
    """What opening a readable picture told. The size is the upright picture's."""

    sha256: str
    width_px: int
    height_px: int


def examine(
    folder: Path, files: Sequence[str], memory: Path | None
) -> tuple[dict[str, Examined], list[Skipped]]:
    """Open each file.

    Args:
        folder: what the names are relative to.
        files: names of files.
        memory: a file that keeps the result for the next time. A picture is opened again when its size or
            its time of change is another one. A damaged memory counts as none.

    Returns:
        What was found, by name, and the files that cannot be read with the reasons, in the order of `files`.
    """
    known = _remembered(memory)
    examined: dict[str, Examined] = {}
    stamps: dict[str, tuple[int, int]] = {}
    skipped = []

    def look(file: str) -> Examined | str:
        try:
            status = (folder / file).stat()
            stamp = status.st_size, status.st_mtime_ns
            stamps[file] = stamp
            if (found := known.get(file)) and found[0] == stamp:
                return found[1]
            return _open(folder / file)
        except OSError as error:
            return error.strerror or str(error)
        except UnreadableError as error:
            return str(error)

    for file, result in zip(files, in_threads(look, files, "Scanning"), strict=True):
        if isinstance(result, str):
            skipped.append(Skipped(file, result))
        else:
            examined[file] = result
    if memory is not None:
        _remember(memory, {file: (stamps[file], result) for file, result in examined.items()})
    return examined, skipped


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], title: str) -> list[Result]:
    """Do the work on each item, with a progress bar; decoders run outside Python's lock."""
    with huge_pictures_allowed(), tqdm(total=len(items), desc=title, unit="picture", leave=False) as bar:
        pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))
        results = []
        try:
            for result in pool.map(work, items):
                results.append(result)
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)
    return results


def _open(path: Path) -> Examined:
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        picture = read_picture(stream, channels=1, enough_px=_ENOUGH_PX)
    return Examined(sha256, picture.width_px, picture.height_px)


def _remembered(memory: Path | None) -> dict[str, tuple[tuple[int, int], Examined]]:
    if memory is None or not memory.is_file():
        return {}
    try:
        kept = json.loads(memory.read_text(encoding="utf-8"))
        if kept["version"] != _VERSION:
            return {}
        return {
            file: ((int(size), int(changed)), Examined(str(sha256), int(width), int(height)))
            for file, (size, changed, sha256, width, height) in kept["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):  # it is written anew
        return {}


def _remember(memory: Path, found: dict[str, tuple[tuple[int, int], Examined]]) -> None:
    files = {file: [*stamp, *result] for file, (stamp, result) in found.items()}
    memory.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(memory) as temporary:
        temporary.write_text(json.dumps({"version": _VERSION, "files": files}), encoding="utf-8")
