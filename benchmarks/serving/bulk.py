"""The rate of `python -m service bulk` against the bare limit, on PNG files.

The limit reads each file, decodes it as the command does and runs the model, at the batch that is best for
it: no placing, no way back to the picture, no rows, no table, and its sessions are loaded before the clock
starts. The command is timed from its first line to its table, loading the model, listing the files and
writing the Parquet file included. The two take turns, and each round gives a ratio, so that what else runs on
the machine slows both.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.documents import table
from benchmarks.model_card.generator import generate_digits
from benchmarks.results import parser, publish
from benchmarks.serving.limit import Limit, Rate, Scene, rate_of
from models.contract import MODEL_PATH, load_contract
from models.digits_contract import DIGITS_PATH
from scenes.draw import draw
from scenes.presets import find_preset
from service.bulk import command
from service.inference.answer import png
from service.inference.cores import usable_cores
from service.pictures.decode import decode_grey
from trainer.evaluation.evaluate import make_pictures

PRESET = "article"
MAX_PIXELS = 24_000_000
DIGITS = 10_000
TRIAL = 1_000
"""Files on which the limit's batch is chosen."""


def main(arguments: Sequence[str]) -> None:
    """Make the files, measure, print a Markdown table, write the result file."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--files", type=int, default=20_000)
    options_of.add_argument("--rounds", type=int, default=5)
    options_of.add_argument("--threads", type=int, default=usable_cores())
    options = options_of.parse_args(arguments)
    limits, commands = [], []
    with tempfile.TemporaryDirectory(prefix="glimpse-bulk-") as name:
        folder = Path(name)
        paths = make_files(folder / "scenes", options.files)
        limit = Limit(options.threads)
        batch = limit.best_batch(paths[:TRIAL], _read, maps=False)
        for number in tqdm(range(options.rounds), unit="round"):
            limits.append(limit.rate(paths, _read, batch, maps=False))
            commands.append(command_rate(paths, folder / f"{number}.parquet", options.threads))
    pairs = list(zip(limits, commands, strict=True))
    ratios = [ours.per_second / most.per_second for most, ours in pairs]
    figures = {
        "model_sha256": load_contract(MODEL_PATH).sha256,
        "preset": PRESET,
        "files": options.files,
        "threads": options.threads,
        "limit_batch": batch,
        "limit": _median(limits),
        "command": _median(commands),
        "share_of_limit": round(statistics.median(ratios), 3),
        "share_of_limit_by_round": [round(ratio, 3) for ratio in ratios],
        "share_of_limit_by_cpu_time": round(
            statistics.median(most.cpu_ms / ours.cpu_ms for most, ours in pairs), 3
        ),
    }
    print(markdown_table(figures))
    publish("bulk", figures, threads=options.threads)


def command_rate(paths: Sequence[Path], out: Path, threads: int) -> Rate:
    """The rate of the command, from its arguments to its table."""
    arguments = [str(paths[0].parent), "--out", str(out), "--workers", str(threads), "--provider", "cpu"]

    def all_of_it() -> None:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = command.main([*arguments, "--no-progress"])
        if code != command.ALL_READ or f"{len(paths):,} files" not in said.getvalue():
            raise ValueError(f"service bulk: it ended with {code} and said {said.getvalue()!r}")

    return rate_of(all_of_it, len(paths))


def _read(path: Path) -> Scene:
    return decode_grey(path.read_bytes(), MAX_PIXELS)


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
    shown = [
        (name, f"{one['files_per_second']:,.0f}", f"{one['cpu_ms_per_file']:.2f}", of)
        for name, one, of in rows
    ]
    head = (f"{figures['threads']} threads", "files per second", "CPU ms per file", "of the limit")
    return table(head, shown)


def _median(rates: Sequence[Rate]) -> dict[str, float]:
    per_second, cpu_ms = (round(statistics.median(values), 3) for values in zip(*rates, strict=True))
    return {"files_per_second": per_second, "cpu_ms_per_file": cpu_ms}
