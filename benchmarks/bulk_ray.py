"""The rate of `python -m service bulk --ray` on one and on two Ray nodes; `benchmarks.bulk` asks for it.

The nodes are processes of this machine with one CPU each, so that two cores are shared by two nodes, the
cluster's own processes and the one that gives out the parts and keeps the rows. Starting Ray, the actors and
the model is measured apart. As this module itself, with a folder and a table, it makes the rows once and
prints when each part was kept.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

from tqdm import tqdm

from benchmarks.ray_nodes import Nodes, started
from benchmarks.serving.running import ROOT
from models.contract import MODEL_PATH
from service.bulk.journal import absolute, opened
from service.bulk.rows import FileLimits
from service.bulk.run import Asked
from service.bulk.runner import Runner
from service.bulk.threads import ModelThreads

LIMITS = FileLimits(max_file_bytes=2**24, max_pixels=24_000_000)


class Part(NamedTuple):
    """A part that was kept: when, in seconds after the work was asked for, and of how many files."""

    at_s: float
    files: int


class Rate(NamedTuple):
    """Files per second once all work, and how long it took until the first part was there."""

    files_per_second: float
    first_part_s: float


class NodesFigures(NamedTuple):
    """Medians of some rounds; a thread of the local command stands beside each node."""

    files: int
    rounds: int
    one_node: Rate
    two_nodes: Rate
    one_thread: Rate
    two_threads: Rate
    two_nodes_against_one: float
    two_threads_against_one: float
    two_nodes_against_two_threads: float

    def content(self) -> dict[str, Any]:
        """As it stands in the result file."""
        return {
            name: value._asdict() if isinstance(value, Rate) else value
            for name, value in self._asdict().items()
        }


def measure_nodes(folder: Path, files: int, rounds: int) -> NodesFigures:
    """The rates of one and of two nodes, and of as many local threads, which take turns with them."""
    found: dict[tuple[str, int], list[Rate]] = {}
    with started(1) as nodes, tqdm(total=2 * rounds, unit="round") as bar:
        for count in (1, 2):
            if count == 2:
                nodes.add(1)
            for _ in range(rounds):
                found.setdefault(("nodes", count), []).append(_rate(folder, files, count, nodes))
                found.setdefault(("threads", count), []).append(_rate(folder, files, count, None))
                bar.update()
    one, two = _median(found["nodes", 1]), _median(found["nodes", 2])
    one_thread, two_threads = _median(found["threads", 1]), _median(found["threads", 2])
    return NodesFigures(
        files,
        rounds,
        one_node=one,
        two_nodes=two,
        one_thread=one_thread,
        two_threads=two_threads,
        two_nodes_against_one=round(two.files_per_second / one.files_per_second, 3),
        two_threads_against_one=round(two_threads.files_per_second / one_thread.files_per_second, 3),
        two_nodes_against_two_threads=round(two.files_per_second / two_threads.files_per_second, 3),
    )


def steady_rate(parts: Sequence[Part]) -> Rate:
    """The rate from when half of the parts are kept until the last is: by then every worker has begun.

    Raises:
        ValueError: there are fewer than four parts.
    """
    if len(parts) < 4:
        raise ValueError(f"expected at least 4 parts to tell a rate from, got {len(parts)}")
    half = len(parts) // 2
    taken_s = parts[-1].at_s - parts[half - 1].at_s
    return Rate(sum(part.files for part in parts[half:]) / taken_s, parts[0].at_s)


def _rate(folder: Path, files: int, workers: int, nodes: Nodes | None) -> Rate:
    """One run in a process of its own, by Ray where there are nodes, else by threads."""
    env: Mapping[str, str] = nodes.env if nodes else os.environ
    with TemporaryDirectory(prefix="glimpse-bulk-") as out:
        command = [sys.executable, "-m", "benchmarks.bulk_ray", str(folder), f"{out}/rows.jsonl"]
        command += ["--workers", str(workers), *(["--ray", nodes.address] if nodes else [])]
        ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"error: {' '.join(command)} ended with {ended.returncode}:\n{ended.stderr}")
    parts = [Part(*part) for part in json.loads(ended.stdout.splitlines()[-1])]
    if sum(part.files for part in parts) != files:
        raise SystemExit(f"error: expected {files} files, got {sum(part.files for part in parts)}")
    return steady_rate(parts)


def _median(rates: Sequence[Rate]) -> Rate:
    return Rate(*(round(statistics.median(values), 2) for values in zip(*rates, strict=True)))


def _runner(address: str | None, workers: int) -> Runner:
    if address is None:
        return ModelThreads(MODEL_PATH, "cpu", LIMITS, workers, batch=None)
    from service.bulk.ray import RayNodes  # noqa: PLC0415 - is needed for this alone

    return RayNodes(address, MODEL_PATH, "cpu", LIMITS, workers, batch=None)


def main() -> None:
    """Make the rows of a folder, kept on the disk as the command does, and print when each part was."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk_ray", description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--ray", metavar="ADDRESS")
    options = parser.parse_args()
    began = perf_counter()
    runner = _runner(options.ray, options.workers)
    kept: list[Part] = []
    asked = Asked(sources=(absolute(options.folder),), model=runner.model, **LIMITS._asdict())
    with opened(options.out, lambda: asked, [options.folder]) as journal:

        def keep(number: int, lines: Iterable[bytes]) -> None:
            rows = list(lines)
            journal.persist(number, rows)
            kept.append(Part(perf_counter() - began, len(rows)))

        runner.run(journal.parts(), keep, lambda _files, _unreadable: None)
        journal.remove()
    print(json.dumps(kept))


if __name__ == "__main__":
    main()
