"""`python -m benchmarks.bulk`: the rate of `python -m service bulk` against the bare limit, on PNG files.

The limit reads each file, decodes it and runs the model, in as many threads, each with a session of one
thread of its own, at the batch that is best for it: no placing, no way back to the picture, no rows, no
table, and its sessions are loaded before the clock starts. The command is timed from its first line to its
table, loading the model, listing the files and writing the Parquet file included; only the interpreter's
start and imports are not. The two take turns, and each round gives a ratio, so that what else runs on the
machine slows both. Then two Ray nodes are measured against one: see `benchmarks.bulk_ray`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from tqdm import tqdm

from benchmarks.generator import generate_digits
from benchmarks.results import write_result
from models.contract import MODEL_PATH, load_contract
from models.digits_contract import DIGITS_PATH
from scenes.draw import draw
from scenes.presets import find_preset
from service.bulk import command
from service.bulk.journal import FILES_PER_PART
from service.inference.answer import png
from service.inference.cores import usable_cores
from service.inference.predictor import open_session
from service.inference.providers import CPU, Providers
from service.pictures.decode import decode_grey
from trainer.evaluate import make_pictures

PRESET = "article"
DIGITS = 10_000
MAX_PIXELS = 24_000_000
BATCHES = (4, 8, 16, 32, 64)
TRIAL = 1_000
"""Files on which the limit's batch is chosen."""
OUTPUTS = ("probabilities", "box", "attention", "digit_present")


class Rate(NamedTuple):
    """Files per second, and the processor's time for each, which others' work disturbs least."""

    files_per_second: float
    cpu_ms_per_file: float


class Round(NamedTuple):
    """The limit and the command, one after the other."""

    limit: Rate
    command: Rate


def main() -> None:
    """Make the files, measure, print a Markdown table, write the result file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--ray-files", type=int, default=20_000)
    parser.add_argument("--ray-rounds", type=int, default=2)
    parser.add_argument(
        "--no-ray", action="store_true", help="leave the Ray nodes out, which need the extra `ray`"
    )
    options = parser.parse_args()
    if not options.no_ray and not find_spec("ray"):
        parser.error("Ray is not installed: pip install '.[bulk,ray]', or leave it out by --no-ray")
    if not options.no_ray and min(options.files, options.ray_files) <= 3 * FILES_PER_PART:
        parser.error(f"--files and --ray-files: expected over {3 * FILES_PER_PART}, to tell a rate from")
    with tempfile.TemporaryDirectory(prefix="glimpse-bulk-") as folder:
        paths = make_files(Path(folder) / "scenes", options.files)
        rounds, batch = measure(paths, Path(folder), rounds=options.rounds, threads=options.threads)
        ray = None if options.no_ray else ray_figures(paths, Path(folder), options)
    ratios = [one.command.files_per_second / one.limit.files_per_second for one in rounds]
    cpu_ratios = [one.limit.cpu_ms_per_file / one.command.cpu_ms_per_file for one in rounds]
    figures = {
        "model_sha256": load_contract(MODEL_PATH).sha256,
        "preset": PRESET,
        "files": options.files,
        "threads": options.threads,
        "limit_batch": batch,
        "limit": _median([one.limit for one in rounds])._asdict(),
        "command": _median([one.command for one in rounds])._asdict(),
        "share_of_limit": round(statistics.median(ratios), 3),
        "share_of_limit_by_round": [round(ratio, 3) for ratio in ratios],
        "share_of_limit_by_cpu_time": round(statistics.median(cpu_ratios), 3),
        "ray": ray,
    }
    print(markdown_table(figures))
    print(f"\n{ray_table(ray)}" if ray else "\nRay nodes: not measured (--no-ray).")
    command = f"python -m benchmarks.bulk --files {options.files} --rounds {options.rounds}"
    if options.no_ray:
        command += " --no-ray"
    else:
        command += f" --ray-files {options.ray_files} --ray-rounds {options.ray_rounds}"
    print(f"wrote {write_result('bulk', command, figures, threads=options.threads)}")


def measure(paths: Sequence[Path], folder: Path, *, rounds: int, threads: int) -> tuple[list[Round], int]:
    """The rates of some rounds in which limit and command take turns, and the limit's batch."""
    sessions = [open_session(MODEL_PATH, Providers((CPU,), required=True), threads=1) for _ in range(threads)]
    batch = min(BATCHES, key=lambda size: limit_rate(sessions, paths[:TRIAL], size).cpu_ms_per_file)
    measured = []
    for number in tqdm(range(rounds), unit="round"):
        limit = limit_rate(sessions, paths, batch)
        measured.append(Round(limit, command_rate(paths, folder / f"{number}.parquet", threads)))
    return measured, batch


def limit_rate(sessions: Sequence[onnxruntime.InferenceSession], paths: Sequence[Path], batch: int) -> Rate:
    """The rate of reading, decoding and running the model, and nothing else."""

    def work(number: int) -> None:
        mine = paths[number :: len(sessions)]
        for start in range(0, len(mine), batch):
            pictures = [decode_grey(path.read_bytes(), MAX_PIXELS) for path in mine[start : start + batch]]
            sessions[number].run(OUTPUTS, {"scene": np.stack(pictures)[:, None]})

    def all_of_it() -> None:
        with ThreadPoolExecutor(len(sessions)) as pool:
            list(pool.map(work, range(len(sessions))))

    return _rate(all_of_it, len(paths))


def command_rate(paths: Sequence[Path], out: Path, threads: int) -> Rate:
    """The rate of the command, from its arguments to its table."""
    arguments = [str(paths[0].parent), "--out", str(out), "--workers", str(threads), "--provider", "cpu"]

    def all_of_it() -> None:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = command.main([*arguments, "--no-progress"])
        if code != command.ALL_READ or f"{len(paths):,} files" not in said.getvalue():
            raise SystemExit(f"error: the command ended with {code} and said {said.getvalue()!r}")

    return _rate(all_of_it, len(paths))


def _rate(do: Callable[[], object], files: int) -> Rate:
    began, cpu_began = time.perf_counter(), time.process_time()
    do()
    taken, cpu_taken = time.perf_counter() - began, time.process_time() - cpu_began
    return Rate(files / taken, cpu_taken / files * 1000)


def _median(rates: Sequence[Rate]) -> Rate:
    return Rate(*(round(statistics.median(values), 3) for values in zip(*rates, strict=True)))


def ray_figures(paths: Sequence[Path], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What `benchmarks.bulk_ray` finds on the first of the files."""
    from benchmarks.bulk_ray import measure_nodes  # noqa: PLC0415 - needs Ray

    some = folder / "some"
    some.mkdir()
    for path in paths[: options.ray_files]:
        (some / path.name).hardlink_to(path)
    return measure_nodes(some, len(paths[: options.ray_files]), options.ray_rounds).content()


def make_files(folder: Path, count: int) -> list[Path]:
    """Scenes of generated digits as PNG files."""
    folder.mkdir()
    digits = generate_digits(DIGITS_PATH, DIGITS)
    paths = [folder / f"{number:06}.png" for number in range(count)]
    step = 250
    for start in tqdm(range(0, count, step), unit="file", unit_scale=step):
        seeds = np.arange(start, min(start + step, count))
        pictures = make_pictures(draw(find_preset(PRESET), seeds, digits), digits)
        for path, picture in zip(paths[start : start + step], pictures, strict=True):
            path.write_bytes(png(picture[0]))
    return paths


def markdown_table(figures: dict[str, Any]) -> str:
    """The rates as a Markdown table."""
    rows = (
        ("decode and onnxruntime alone", figures["limit"], ""),
        ("`python -m service bulk`", figures["command"], f"{figures['share_of_limit']:.2f}"),
    )
    lines = [f"| {figures['threads']} threads | files per second | CPU ms per file | of the limit |"]
    lines.append("|---|---|---|---|")
    lines += [
        f"| {name} | {rate['files_per_second']:,.0f} | {rate['cpu_ms_per_file']:.2f} | {share} |"
        for name, rate, share in rows
    ]
    return "\n".join(lines)


def ray_table(figures: dict[str, Any]) -> str:
    """The rates of Ray nodes and of local threads as a Markdown table."""
    rows = (
        ("1 Ray node", "one_node", ""),
        ("2 Ray nodes", "two_nodes", figures["two_nodes_against_one"]),
        ("1 thread of the command", "one_thread", ""),
        ("2 threads", "two_threads", figures["two_threads_against_one"]),
    )
    lines = ["| | files per second | of one | seconds to the first part |", "|---|---|---|---|"]
    for name, key, share in rows:
        rate = figures[key]
        lines.append(f"| {name} | {rate['files_per_second']:,.0f} | {share} | {rate['first_part_s']:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
