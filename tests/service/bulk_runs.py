"""Runs of the bulk command for its tests: pictures to run on, tables read back, processes that really die."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from service.bulk import command, journal
from service.bulk.rows import Row
from tests.service.fakes import encode

TIMEOUT_S = 120
ROOT = Path(__file__).resolve().parents[2]
_FORKS = multiprocessing.get_context("forkserver")
# Imports are done once; what the model needs is loaded after the fork.
_FORKS.set_forkserver_preload(["tests.service.bulk_runs"])


def picture(number: int, width: int = 40, height: int = 30) -> bytes:
    """A PNG with a bright block whose place tells the number."""
    grey = np.zeros((height, width), np.uint8)
    top, left = divmod(number % 400, 20)
    grey[top : top + 10, left : left + 20] = 100 + number % 150
    return encode(grey)


def make_pictures(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(picture(number))
    return paths


def read_table(out: Path) -> list[dict[str, Any]]:
    """The rows of a table of any kind, numbers as the JSON of the answers has them."""
    if out.suffix == ".jsonl":
        return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    if out.suffix == ".csv":
        with out.open(encoding="utf-8", newline="") as stream:
            return [
                {name: _value(name, cell) for name, cell in row.items()} for row in csv.DictReader(stream)
            ]
    return [{name: _shortest(value) for name, value in row.items()} for row in pq.read_table(out).to_pylist()]


def _value(name: str, cell: str) -> Any:
    if cell == "":
        return None
    return cell if name in {"path", "error"} else json.loads(cell)


def _shortest(value: Any) -> Any:
    # A float32 widened to Python's float has digits that nobody wrote.
    if isinstance(value, list):
        return [_shortest(one) for one in value]
    single = np.float32(value) if isinstance(value, float) else None
    return float(str(single)) if single is not None and float(single) == value else value


def run_and_die(
    sources: Sequence[str], out: Path, model_path: Path, *, files_per_part: int, die_at: int | None
) -> int | None:
    """Run the command in a process that is killed by SIGKILL before its `die_at`-th step on the disk.

    Steps are what changes the disk: files opened to write, brought to the disk, renamed, unlinked; folders
    made and removed. Returns the exit code, or None where it was killed.
    """
    process = _FORKS.Process(
        target=_run, args=(list(sources), str(out), str(model_path), files_per_part, die_at)
    )
    process.start()
    process.join(TIMEOUT_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError("the command hangs")
    return None if process.exitcode == -signal.SIGKILL else process.exitcode


def _run(
    sources: list[str], out: str, model_path: str, files_per_part: int, die_at: int | None
) -> None:  # in the process that dies
    journal.FILES_PER_PART = files_per_part
    steps = 0

    def deadly(do: Any, writes: Any = lambda *_: True) -> Any:
        def step(*arguments: Any, **named: Any) -> Any:
            nonlocal steps
            if writes(*arguments):
                steps += 1
                if steps == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return do(*arguments, **named)

        return step

    os.fsync = deadly(os.fsync)
    for name in ("replace", "unlink", "mkdir", "rmdir"):
        setattr(Path, name, deadly(getattr(Path, name)))
    Path.open = deadly(Path.open, lambda _, mode="r", *__: mode in {"wb", "a"})  # type: ignore[method-assign]
    raise SystemExit(command.main([*sources, "--out", out, "--model", model_path, "--workers", "2"]))


COLUMNS = Row._fields
