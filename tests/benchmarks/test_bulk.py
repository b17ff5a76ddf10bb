from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bulk, bulk_ray
from benchmarks.bulk_ray import Part, Rate, steady_rate


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the result file lands instead."""
    monkeypatch.setattr("benchmarks.results.FOLDER", tmp_path)
    return tmp_path / "bulk.json"


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["bulk", *options])
    bulk.main()


def test_the_rate_is_that_of_the_second_half() -> None:
    parts = [Part(10, 100), Part(20, 100), Part(21, 100), Part(22, 60)]
    assert steady_rate(parts) == Rate(files_per_second=80, first_part_s=10)
    assert steady_rate([Part(5, 9), *parts]) == Rate(files_per_second=260 / 12, first_part_s=5)
    with pytest.raises(ValueError, match="at least 4 parts to tell a rate from, got 3"):
        steady_rate(parts[1:])


def test_without_ray_the_nodes_are_left_out_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], written: Path
) -> None:
    run(monkeypatch, "--no-ray", "--files", "40", "--rounds", "1", "--threads", "1")
    said = capsys.readouterr().out
    assert "| `python -m service bulk` |" in said
    assert "Ray nodes: not measured (--no-ray)." in said
    result = json.loads(written.read_text(encoding="utf-8"))
    assert result["command"] == "python -m benchmarks.bulk --files 40 --rounds 1 --no-ray"
    assert result["figures"]["ray"] is None
    assert result["figures"]["command"]["files_per_second"] > 0
    assert result["figures"]["share_of_limit_by_cpu_time"] > 0


def test_where_ray_is_not_installed_that_is_said_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], written: Path
) -> None:
    monkeypatch.setattr(bulk, "find_spec", lambda _: None)
    with pytest.raises(SystemExit):
        run(monkeypatch)
    told = capsys.readouterr().err
    assert "Ray is not installed: pip install '.[bulk,ray]', or leave it out by --no-ray" in told
    assert not written.exists()


def test_nodes_and_threads_take_turns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[int, bool]] = []

    class Cluster:
        nodes = 1

        def __enter__(self) -> Cluster:
            return self

        def __exit__(self, *_: object) -> None:
            self.nodes = 0

        def add(self, cpus: int) -> None:
            self.nodes += cpus

    def rate(folder: Path, files: int, workers: int, nodes: Any) -> Rate:
        assert (folder, files) == (tmp_path, 12)
        assert nodes is None or nodes.nodes == workers
        asked.append((workers, nodes is not None))
        return Rate(workers * (90.0 if nodes else 100.0), 2.0 if nodes else 0.5)

    monkeypatch.setattr(bulk_ray, "started", lambda _cpus: Cluster())
    monkeypatch.setattr(bulk_ray, "_rate", rate)
    figures = bulk_ray.measure_nodes(tmp_path, 12, rounds=2).content()
    assert asked == [(1, True), (1, False)] * 2 + [(2, True), (2, False)] * 2
    assert figures["two_nodes"] == {"files_per_second": 180.0, "first_part_s": 2.0}
    assert figures["two_nodes_against_one"] == 2
    assert figures["two_nodes_against_two_threads"] == 0.9
    assert bulk.ray_table(figures).splitlines()[3] == "| 2 Ray nodes | 180 | 2.0 | 2.0 |"
