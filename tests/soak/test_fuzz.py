"""schemathesis against a running service for minutes; with `-m soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving.running import serving
from tests.service.fuzzing import run
from tests.soak.watch import SEED

LEAST_CASES = 5_000


@pytest.mark.soak
def test_five_thousand_cases_and_no_failure(tmp_path: Path) -> None:
    with serving() as address:
        ended, counts = run(address, tmp_path, examples=400, seed=SEED)
    print(counts)
    assert counts.failures == []
    assert ended == 0
    assert counts.cases.total() >= LEAST_CASES
