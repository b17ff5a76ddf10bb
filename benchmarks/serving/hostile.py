"""Mutated pictures and mutated requests at a running service, by a seed: runs `tests/soak/test_hostile.py`.

For half of the time threads post files of every format whose lengths, counts, offsets and parts were changed;
for the other half others write random bytes and mutated requests to the service's socket. What has to hold,
and what is printed, is said there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.documents import ROOT, table
from benchmarks.results import parser, publish


def main(arguments: Sequence[str]) -> None:
    """Run the test for as long as asked, write the result file if it passes, and end as it ends."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--seconds", type=float, default=300.0, help="for each half")
    options_of.add_argument("--seed", type=int, default=0)
    options = options_of.parse_args(arguments)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-s",
        "-n",
        "0",
        "-m",
        "soak",
        "tests/soak/test_hostile.py",
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "figures.json"
        asked = {
            "GLIMPSE_SOAK_SECONDS": f"{options.seconds:g}",
            "GLIMPSE_SOAK_SEED": str(options.seed),
            "GLIMPSE_SOAK_OUT": str(found),
        }
        ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **asked}, check=False).returncode
        if ended:
            raise SystemExit(ended)
        figures = json.loads(found.read_text(encoding="utf-8"))
    publish(
        "hostile", {"seed": options.seed, **figures}, markdown_table(figures), threads=os.cpu_count() or 1
    )


def markdown_table(figures: dict[str, Any]) -> str:
    """Both halves as a Markdown table."""
    rows = [
        (
            what,
            f"{half['seconds']:g} s",
            half["asked"],
            "none" if not half["wrong"] else len(half["wrong"]),
            f"{half['first_memory_mb']:.0f} MB",
            f"{half['last_memory_mb']:.0f} MB",
            f"{half['open_files']['first']}, {half['open_files']['last']}",
            f"{half['slowest_healthz_ms']:.0f} ms",
        )
        for what, half in (("mutated files", figures["files"]), ("mutated requests", figures["requests"]))
    ]
    columns = (
        "what",
        "for",
        "asked",
        "wrong",
        "memory at first",
        "at last",
        "open files",
        "slowest `/healthz`",
    )
    return table(columns, rows)
