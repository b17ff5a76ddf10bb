"""Nobody is told that this project was started."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.trainer.tiny import ROOT

SAY = "import os, {module}; print(os.environ['ORT_DISABLE_TELEMETRY'])"


@pytest.mark.parametrize(
    "module", ["service.app", "service.inference.worker", "trainer.export", "benchmarks.results"]
)
@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_onnxruntime_is_told_to_be_silent_unless_the_user_wants_otherwise(module, given, expected):
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    if given is not None:
        environment["ORT_DISABLE_TELEMETRY"] = given
    done = subprocess.run(
        [sys.executable, "-c", SAY.format(module=module)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected
