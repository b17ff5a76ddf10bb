"""The rates of the bulk command and of the limit, on a few files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.serving import bulk


def test_the_command_is_measured_beside_the_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.results.FOLDER", tmp_path)
    bulk.main(["--files", "40", "--rounds", "1", "--threads", "1"])
    assert "| `python -m service bulk` |" in capsys.readouterr().out
    figures = json.loads((tmp_path / "bulk.json").read_text(encoding="utf-8"))["figures"]
    assert figures["command"]["files_per_second"] > 0
    assert figures["limit"]["files_per_second"] > 0
    assert figures["share_of_limit_by_cpu_time"] > 0
