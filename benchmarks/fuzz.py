"""`python -m benchmarks.fuzz`: schemathesis against a running service, its whole document, all checks.

All phases run: the document's examples, each bound of each parameter, random requests, right and wrong ones,
and sequences of requests. A failure of any check ends the command with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.browser import ROOT, serving
from benchmarks.results import write_result

COMMAND = "python -m benchmarks.fuzz"
LEAST_CASES = 5_000


class Counts(NamedTuple):
    """What a run has seen: cases by phase, statuses and checks by operation, failures as sentences."""

    cases: Counter[str]
    statuses: dict[str, Counter[str]]
    checks: dict[str, Counter[str]]
    failures: list[str]


def main() -> None:
    """Fuzz and write `results/fuzz.json`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--examples", type=int, default=400, help="random requests of each operation")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving() as address:
        events = Path(folder) / "events.ndjson"
        ended = run(address, events, options.examples, options.seed)
        with events.open(encoding="utf-8") as lines:
            counts = count(map(json.loads, lines))
    cases = counts.cases.total()
    figures = {
        "cases": cases,
        "cases_by_phase": counts.cases,
        "failures": counts.failures,
        "statuses_by_operation": counts.statuses,
        "checks_by_operation": counts.checks,
        "seed": options.seed,
        "schemathesis": version("schemathesis"),
    }
    path = write_result("fuzz", COMMAND, figures, threads=os.cpu_count() or 1)
    checks = sum(counter.total() for counter in counts.checks.values())
    print(f"{cases:,} cases, {checks:,} checks, {len(counts.failures)} failures; wrote {path}")
    if ended or counts.failures or cases < LEAST_CASES:
        raise SystemExit(f"error: expected at least {LEAST_CASES:,} cases and no failure; see above")


def run(address: str, events: Path, examples: int, seed: int) -> int:
    """Let schemathesis ask the service at an address; its exit status."""
    command = (
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"),
        *("--checks", "all", "--continue-on-failure", "--max-examples", str(examples), "--seed", str(seed)),
        *("--report", "ndjson", "--report-ndjson-path", str(events), "--request-timeout", "60"),
    )
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "benchmarks.fuzz_hooks", "PYTHONPATH": str(ROOT)}
    # It leaves a folder of what it has seen where it runs.
    return subprocess.run(command, env=environment, cwd=events.parent, check=False).returncode


def count(events: Iterable[dict[str, Any]]) -> Counts:
    """Counts of schemathesis's events."""
    scenarios = [event["ScenarioFinished"] for event in events if "ScenarioFinished" in event]
    documented = {scenario["recorder"]["label"] for scenario in scenarios}
    counts = Counts(Counter(), defaultdict(Counter), defaultdict(Counter), [])
    for scenario in scenarios:
        recorder = scenario["recorder"]
        for name, case in recorder.get("cases", {}).items():
            operation = f"{case['value']['method']} {case['value']['path']}"
            if operation not in documented:  # that they are refused is one of the checks
                operation = "methods that a path has not"
            counts.cases[scenario["phase"]] += 1
            response = recorder.get("interactions", {}).get(name, {}).get("response") or {}
            counts.statuses[operation][str(response.get("status_code", "none"))] += 1
            for check in recorder.get("checks", {}).get(name, []):
                counts.checks[operation][check["name"]] += 1
                if check["status"] != "success":
                    counts.failures.append(f"{operation}: {check['name']}")
    return counts


if __name__ == "__main__":
    main()
