"""Mutated pictures and mutated requests at a running service, by a seed: runs `tests/soak/test_hostile.py`.

For half of the time threads post files of every format whose lengths, counts, offsets and parts were changed;
for the other half others write random bytes and mutated requests to the service's socket. What has to hold,
and what is printed, is said there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.documents import ROOT
from benchmarks.results import parser


def main(arguments: Sequence[str]) -> None:
    """Run the test for as long as asked, and end as it ends."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--seconds", type=float, default=300.0, help="for each half")
    options_of.add_argument("--seed", type=int, default=0)
    options = options_of.parse_args(arguments)
    asked = {"GLIMPSE_SOAK_SECONDS": f"{options.seconds:g}", "GLIMPSE_SOAK_SEED": str(options.seed)}
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-m", "soak", "tests/soak/test_hostile.py"]
    raise SystemExit(subprocess.run(command, cwd=ROOT, env={**os.environ, **asked}, check=False).returncode)
