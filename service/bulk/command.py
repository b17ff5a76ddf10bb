"""`python -m service bulk SRC… --out predictions.parquet`: label and localise many pictures without a server.

The files are fixed when the run begins; what is done is kept in parts (see `service.bulk.journal`), so that a
run that was killed at any instant goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import get_args

import orjson
from tqdm import tqdm

from models.contract import ContractError
from models.files import atomic_write
from service.bulk.journal import Journal, JournalError, absolute, opened
from service.bulk.persisted import PersistedParts
from service.bulk.rows import NO_ERROR, FileLimits
from service.bulk.run import Asked, Counts
from service.bulk.runner import Runner, RunnerError
from service.bulk.sources import SourceError
from service.bulk.tables import TableError, Write, sidecar_of, writer_for
from service.bulk.threads import ModelThreads
from service.inference.cores import usable_cores
from service.inference.errors import PredictorError
from service.inference.predictor import MAX_BATCH
from service.inference.providers import ProviderError
from service.settings import ProviderChoice, Settings, SettingsError, load_settings

ALL_READ, FAILED, SOME_UNREADABLE, INTERRUPTED = 0, 1, 3, 130
_EXAMPLES = 20


def main(arguments: list[str] | None = None, *, prog: str = "python -m service bulk") -> int:
    """Make the table; the exit code is 0, 1 where it is not made, 3 where some files could not be read."""
    given = _parse(arguments, prog)
    try:
        return _run(given, load_settings())
    except (
        *(ContractError, RunnerError, JournalError, PredictorError, ProviderError),
        *(SettingsError, SourceError, TableError, OSError),
    ) as error:
        print(f"{given.out} is not made: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"Stopped. The same command goes on towards {given.out}.", file=sys.stderr)
        return INTERRUPTED


def _parse(arguments: list[str] | None, prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Label and localise pictures: one row for each file, the numbers as of /predict. Killed "
        "at any instant, it goes on where it was when the same command is given again.",
        epilog="Exit code: 0 all files were read; 3 the table is whole, but some could not be read (column "
        "`error`); 1 there is no table, and the last line says why; 130 interrupted. The environment sets "
        "the rest as for the server: GLIMPSE_MODEL_PATH, GLIMPSE_PROVIDER, GLIMPSE_MAX_BODY_BYTES (here the "
        "largest file), GLIMPSE_MAX_PIXELS.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SRC",
        help="a folder (pictures in it and below), a file, or a pattern in quotes such as 'scans/**/*.png'",
    )
    parser.add_argument("--out", type=Path, required=True, help="the table: NAME.parquet, .csv or .jsonl")
    parser.add_argument("--model", type=Path, help="the model file (GLIMPSE_MODEL_PATH, models/glimpse.onnx)")
    parser.add_argument(
        "--provider", choices=get_args(ProviderChoice), help="where it runs (GLIMPSE_PROVIDER, auto)"
    )
    parser.add_argument(
        "--workers", type=_count(1024), help="threads that work, or actors (one for each core)"
    )
    parser.add_argument(
        "--batch",
        type=_count(MAX_BATCH),
        help="pictures of one call of the model (32, on a GPU 64)",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="work on the nodes of a Ray cluster instead, which see the files under the same paths: "
        "HOST:PORT of its head, or `auto` for the one of this machine",
    )
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a progress bar on stderr (only on a terminal)",
    )
    return parser.parse_args(arguments)


def _count(most: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {most}, got {text!r}")
        return int(text)

    return count


def _run(given: argparse.Namespace, settings: Settings) -> int:
    out: Path = given.out
    write = writer_for(out)
    limits = FileLimits(settings.max_body_bytes, settings.max_pixels)
    runner = _runner(given, settings, limits)

    def ask() -> Asked:
        model = runner.model
        if runner.provider_note:
            print(f"The model runs on the CPU: {runner.provider_note}", file=sys.stderr)
        return Asked(sources=tuple(map(absolute, given.sources)), model=model, **limits._asdict())

    with opened(out, ask, given.sources) as journal:
        counts = journal.run.written
        if counts is None:
            if journal.resumed:
                _say_what_is_there(journal, given.sources)
            counts = make_table(journal, runner, out, write, given.progress)
            journal.finish(counts)
        journal.remove()
    _report(counts, journal.run.passed_over, out)
    return SOME_UNREADABLE if counts.unreadable else ALL_READ


def _runner(given: argparse.Namespace, settings: Settings, limits: FileLimits) -> Runner:
    model_path, provider = given.model or settings.model_path, given.provider or settings.provider
    if given.ray:
        try:
            from service.bulk.ray import RayNodes  # noqa: PLC0415 - is needed for this alone
        except ImportError as error:
            raise RunnerError(
                "--ray needs Ray, which the extra `ray` installs: pip install '.[ray]'"
            ) from error
        return RayNodes(given.ray, model_path, provider, limits, given.workers, given.batch)
    return ModelThreads(model_path, provider, limits, given.workers or usable_cores(), given.batch)


def make_table(journal: Journal, runner: Runner, out: Path, write: Write, progress: bool | None) -> Counts:
    """Make the rows that are not there yet, and of all rows the table, which grows beside them."""
    done = journal.done()
    persisted = PersistedParts(done)
    with ThreadPoolExecutor(1) as pool:
        table = pool.submit(write_table, journal, out, write, persisted)
        try:
            make_rows(journal, runner, done, persisted, progress)
        except BaseException:
            persisted.give_up()
            raise
        return table.result()


def make_rows(
    journal: Journal, runner: Runner, done: set[int], persisted: PersistedParts, progress: bool | None
) -> None:
    """Make the rows of all parts that are not done yet; `progress` None shows it on a terminal only."""
    unreadable = 0

    def persist(number: int, lines: Iterable[bytes]) -> None:
        journal.persist(number, lines)
        persisted.add(number)

    with tqdm(
        total=journal.run.files,
        initial=journal.files_of(done),
        unit="file",
        smoothing=0.05,
        disable=None if progress is None else not progress,
    ) as bar:

        def tell(files: int, of_them_unreadable: int) -> None:
            nonlocal unreadable
            unreadable += of_them_unreadable
            if unreadable:
                bar.set_postfix(unreadable=unreadable, refresh=False)
            bar.update(files)

        with closing(journal.parts()) as parts:
            runner.run((part for part in parts if part.number not in done), persist, tell)


def write_table(journal: Journal, out: Path, write: Write, persisted: PersistedParts) -> Counts:
    """Put the parts together, each once it is persisted. The table appears whole, or what was there stays."""
    examples: list[str] = []
    unreadable = 0

    def lines() -> Iterator[bytes]:
        nonlocal unreadable
        for line in journal.lines(persisted.wait_for):
            if not line.endswith(NO_ERROR):
                unreadable += 1
                if len(examples) < _EXAMPLES:
                    row = orjson.loads(line)
                    examples.append(f"{row['path']}: {row['error']}")
            yield line

    about = {"files": journal.run.files, **journal.run.asked.model_dump(exclude={"sources"})}
    with atomic_write(out, journal.temporary_table) as temporary, temporary.open("wb") as stream:
        write(stream, lines(), about)
    sidecar = sidecar_of(out)
    if sidecar:
        with atomic_write(sidecar) as temporary, temporary.open("wb") as stream:
            stream.write(orjson.dumps(about, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return Counts(files=journal.run.files, unreadable=unreadable, examples=tuple(examples))


def _say_what_is_there(journal: Journal, sources: list[str]) -> None:
    done = journal.files_of(journal.done())
    print(f"Going on: {done:,} of {journal.run.files:,} files are done.", file=sys.stderr)
    new, gone = journal.changes(sources)
    if new:
        print(
            f"{new:,} files have come since the run began. They are not in it: give them another --out, or "
            f"remove the folder {journal.folder} to start over.",
            file=sys.stderr,
        )
    if gone:
        print(f"{gone:,} files of the run are gone from their place.", file=sys.stderr)


def _report(counts: Counts, passed_over: Mapping[str, int], out: Path) -> None:
    if passed_over:
        by_suffix = sorted(passed_over.items(), key=lambda one: -one[1])
        kinds = ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in by_suffix)
        print(
            f"{sum(passed_over.values()):,} files were passed over, as their names do not end as those of "
            f"pictures ({kinds}). A pattern such as 'scans/**' takes every file.",
            file=sys.stderr,
        )
    if counts.unreadable:
        print("Files that could not be read (the column `error` has them all):", file=sys.stderr)
        for example in counts.examples:
            print(f"  {example}", file=sys.stderr)
        if counts.unreadable > len(counts.examples):
            print(f"  and {counts.unreadable - len(counts.examples):,} more", file=sys.stderr)
    print(f"{out}: {counts.files:,} files, {counts.unreadable:,} of them could not be read")
