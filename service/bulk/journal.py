"""What a bulk run keeps on disk until its table is whole, so that it can be killed at any instant.

Beside `predictions.parquet` lies the folder `predictions.parquet.parts` with

- `lock`, held by the process that works on it;
- `files`, the paths of the run, sorted, each ended by a zero byte: fixed when the run begins;
- `run.json`, what was asked for and the hash of `files`; written last, so that with it the run has begun;
- `000000000.jsonl` and so on, the rows of 128 files each.

All of them are written under another name, brought to the disk and then renamed: each is whole or not there.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, NamedTuple

from pydantic import ValidationError

from models.contract import file_sha256
from models.files import atomic_write, temporary_path
from service.bulk.lock import locked
from service.bulk.rows import shown
from service.bulk.run import Asked, Counts, Run
from service.bulk.sources import list_files, path_key, suffix_of

FILES_PER_PART = 128
OTHERS = "others"
_MAX_SUFFIXES = 20
RUN, FILES, LOCK, TABLE = "run.json", "files", "lock", "table.new"
_END = b"\0"


class JournalError(RuntimeError):
    """The run cannot begin or go on; the message says why and what to do."""


class Part(NamedTuple):
    """A share of the run's files: what is redone where it is not whole."""

    number: int
    paths: list[str]


class Changes(NamedTuple):
    """How what the sources hold now differs from the files of the run."""

    new: int
    gone: int


class Journal:
    """The folder of one run; `opened` makes it."""

    def __init__(self, folder: Path, run: Run, *, resumed: bool) -> None:
        self.folder = folder
        self.run = run
        self.resumed = resumed

    def paths(self) -> Iterator[str]:
        """The paths of all files of the run, in their order."""
        with (self.folder / FILES).open("rb") as stream:
            for name in _until_zero(stream):
                yield os.fsdecode(name)

    def parts(self) -> Generator[Part]:
        """All parts in their order."""
        paths: list[str] = []
        number = 0
        for path in self.paths():
            paths.append(path)
            if len(paths) == self.run.files_per_part:
                yield Part(number, paths)
                number, paths = number + 1, []
        if paths:
            yield Part(number, paths)

    def done(self) -> set[int]:
        """The numbers of the parts that are whole."""
        return {int(path.stem) for path in self.folder.glob("*.jsonl")}

    def files_of(self, numbers: Iterable[int]) -> int:
        """How many files these parts have together."""
        size = self.run.files_per_part
        return sum(min(size, self.run.files - number * size) for number in numbers)

    def persist(self, number: int, lines: Iterable[bytes]) -> None:
        """Write a part; OSError where the disk does not take it, and then nothing of it is left."""
        with atomic_write(self._part(number)) as temporary, temporary.open("wb") as stream:
            stream.writelines(lines)

    @property
    def temporary_table(self) -> Path:
        """Where the table may be written before it is renamed."""
        return self.folder / TABLE

    def lines(self, wait: Callable[[int], object]) -> Iterator[bytes]:
        """Every row of the run as it was kept, in the order of the files.

        Args:
            wait: called before each part with its number; returns once the part is kept.

        Raises:
            JournalError: a part is not there or holds something else.
        """
        for part in self.parts():
            wait(part.number)
            path = self._part(part.number)
            try:
                lines = path.read_bytes().splitlines(keepends=True)
            except OSError as error:
                raise JournalError(f"{path} cannot be read: {error.strerror or error}") from error
            if len(lines) != len(part.paths) or not all(line.endswith(b"}\n") for line in lines):
                raise JournalError(
                    f"{path} is damaged: expected {len(part.paths)} rows, got {len(lines)}; remove it and "
                    "run the same command again to write it once more"
                )
            yield from lines

    def changes(self, sources: Sequence[str]) -> Changes:
        """Compare the files of the run with what its sources hold now; SourceError as `list_files`."""
        now, then = list_files(sources), self.paths()
        new = gone = 0
        for _, same in groupby(merge(_marked(now, True), _marked(then, False)), key=itemgetter(0)):
            there = [is_now for _, is_now in same]
            new += there == [True]
            gone += there == [False]
        return Changes(new, gone)

    def finish(self, counts: Counts) -> None:
        """Say that the table is in its place; from here on the folder may only be removed."""
        self.run = self.run.model_copy(update={"written": counts})
        _write_run(self.folder, self.run)

    def remove(self) -> None:
        """Remove all but the lock, `run.json` last: while it is there, so is the knowledge of the run."""
        for path in self.folder.glob("*.jsonl*"):
            path.unlink()
        for name in (FILES, TABLE):
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / RUN).unlink()

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:09}.jsonl"


def absolute(source: str) -> str:
    """A source as it is compared: given from another folder, the same words mean other files."""
    return shown(os.path.abspath(source))  # noqa: PTH100 - a Path would resolve links


def folder_of(out: Path) -> Path:
    """Where the run that writes `out` keeps what it has."""
    return out.with_name(out.name + ".parts")


@contextmanager
def opened(out: Path, ask: Callable[[], Asked], sources: Sequence[str]) -> Iterator[Journal]:
    """The journal of `out`: that of an unfinished run, or a new one with all files of the sources listed.

    What is asked for is looked at once they are listed: the model may be loaded meanwhile.

    Raises:
        LockedError: another process has it.
        JournalError: it belongs to a run that asked for something else, or `out` is there already.
        SourceError: a source does not exist or holds nothing.
        OSError: the folder cannot be written.
    """
    folder = folder_of(out)
    if not out.parent.is_dir():
        raise JournalError(f"the folder {out.parent} does not exist: make it, or give another --out")
    if out.exists() and not (folder / RUN).exists():
        raise JournalError(f"{out} is there already: remove it, or give another --out")
    folder.mkdir(exist_ok=True)
    try:
        with locked(folder / LOCK):
            if (folder / RUN).exists():
                run = _read_run(folder)
                _compare(run, ask(), folder)
                if run.written and not out.exists():
                    raise JournalError(
                        f"{out} was complete and no longer exists: remove the folder {folder} to start over"
                    )
                yield Journal(folder, run, resumed=True)
            else:
                yield Journal(folder, _begin(folder, ask, sources), resumed=False)
    finally:
        if not (folder / RUN).exists():
            _remove_rest(folder)


def _begin(folder: Path, ask: Callable[[], Asked], sources: Sequence[str]) -> Run:
    for path in folder.glob("*.jsonl"):
        path.unlink()
    count, digest = 0, hashlib.sha256()
    passed_over: Counter[str] = Counter()
    own = absolute(str(folder))

    def pass_over(path: str) -> None:
        if os.path.dirname(absolute(path)) == own:  # noqa: PTH120 - as `absolute`
            return
        suffix = suffix_of(path)
        known = suffix in passed_over or len(passed_over) < _MAX_SUFFIXES
        passed_over[suffix if known else OTHERS] += 1

    def names() -> Iterator[bytes]:
        nonlocal count
        for path in list_files(sources, pass_over):
            name = os.fsencode(path) + _END
            count += 1
            digest.update(name)
            yield name

    with atomic_write(folder / FILES) as temporary, temporary.open("wb") as stream:
        stream.writelines(names())
    run = Run(
        asked=ask(),
        files=count,
        files_sha256=digest.hexdigest(),
        files_per_part=FILES_PER_PART,
        passed_over=dict(passed_over),
    )
    _write_run(folder, run)
    return run


def _write_run(folder: Path, run: Run) -> None:
    with atomic_write(folder / RUN) as temporary, temporary.open("wb") as stream:
        stream.write(run.model_dump_json(indent=2).encode())


def _read_run(folder: Path) -> Run:
    remedy = f"remove the folder {folder} to start over"
    try:
        run = Run.model_validate_json((folder / RUN).read_bytes())
    except (OSError, ValidationError) as error:
        raise JournalError(f"{folder / RUN} is damaged or of another version ({error}): {remedy}") from error
    if run.written is None and file_sha256(folder / FILES) != run.files_sha256:
        raise JournalError(f"{folder / FILES} is not the list that the run began with: {remedy}")
    return run


def _compare(run: Run, asked: Asked, folder: Path) -> None:
    then, now = run.asked.model_dump(), asked.model_dump()
    other = [f"{name} was {then[name]!r} and is {now[name]!r}" for name in then if then[name] != now[name]]
    if other:
        raise JournalError(
            f"{folder} holds an unfinished run that asked for something else: {'; '.join(other)}. Give "
            "the same arguments to resume it, remove that folder to start over, or give another --out"
        )


def _remove_rest(folder: Path) -> None:
    """Remove a folder that holds no run; whatever else somebody has put there stays."""
    for path in folder.glob("*.jsonl*"):
        path.unlink()
    paths = [folder / name for name in (FILES, TABLE, LOCK)]
    for path in (*paths, temporary_path(folder / FILES), temporary_path(folder / RUN)):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _marked(paths: Iterable[str], is_now: bool) -> Iterator[tuple[list[str], bool]]:
    return ((path_key(path), is_now) for path in paths)


def _until_zero(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(2**20):
        *names, rest = (rest + chunk).split(_END)
        yield from names
