"""schemathesis against a running service, its whole document, all checks.

All phases run: the document's examples, each bound of each parameter, random requests, right and wrong ones,
and sequences of requests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.documents import ROOT


class Counts(NamedTuple):
    """What a run has seen: cases by phase, statuses and checks by operation, failures as sentences."""

    cases: Counter[str]
    statuses: dict[str, Counter[str]]
    checks: dict[str, Counter[str]]
    failures: list[str]


def run(address: str, folder: Path, examples: int, seed: int = 0) -> tuple[int, Counts]:
    """Let schemathesis ask the service at an address; its exit status, and what it has seen."""
    events = folder / "events.ndjson"
    command = (
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"),
        *("--checks", "all", "--continue-on-failure", "--max-examples", str(examples), "--seed", str(seed)),
        *("--report", "ndjson", "--report-ndjson-path", str(events), "--request-timeout", "60"),
    )
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.service.fuzz_hooks", "PYTHONPATH": str(ROOT)}
    # It leaves a folder of what it has seen where it runs.
    ended = subprocess.run(command, env=environment, cwd=folder, check=False).returncode
    with events.open(encoding="utf-8") as lines:
        return ended, count(map(json.loads, lines))


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
