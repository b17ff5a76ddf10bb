"""Medians, ratios and tables; the table in the document is the one of the result file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.documents import read_out
from benchmarks.results import FOLDER
from benchmarks.serving import __main__ as command
from benchmarks.serving.contestants import CONTESTANTS
from benchmarks.serving.limit import Way, all_ways
from benchmarks.serving.measure import QUICK, Place
from benchmarks.serving.report import draw_chart, markdown, medians, ratios
from benchmarks.serving.running import ServerError


def load(per_second: float, p99_ms: float, cpu_ms: float) -> dict[str, float]:
    return {
        "per_second": per_second,
        "p50_ms": p99_ms / 2,
        "p99_ms": p99_ms,
        "requests": 1000,
        "errors": 0,
        "cpu_ms": cpu_ms,
        "memory_mb": 100,
    }


def server(title: str, scale: float) -> dict[str, Any]:
    closed = {"1": load(100 / scale, 4.0 * scale, 1), "64": load(1000 / scale, 50 * scale, scale)}
    opened = {"50 %": {"p50_ms": 2.0, "p99_ms": None if scale > 1 else 8.0, "answered_share": 0.5}}
    maps = {name: {"closed": closed, "open": opened} for name in ("none", "array")}
    return {"title": title, "setting": "2 workers" if scale > 1 else "", "maps": maps}


FIGURES: dict[str, Any] = {
    "limit": {
        name: {"per_second": 1250.0, "bare_ms": 1.5, "way": "2 threads, batches of 16"}
        for name in ("none", "array")
    },
    "rates": {"none": {"50 %": 500.0}, "array": {"50 %": 500.0}},
    "servers": {"glimpse": server("this service", 1), "ray": server("Ray Serve", 4)},
    "not_measured": {"PyTriton": "no wheel for this platform"},
}


def test_ratios_are_the_right_way_up() -> None:
    found = ratios(FIGURES, "none")
    assert found["glimpse"] == pytest.approx(
        {"of_limit": 0.8, "ours_over_it": 1, "p99_over_ours": 1, "cpu_over_ours": 1}
    )
    assert found["ray"] == pytest.approx(
        {"of_limit": 0.2, "ours_over_it": 4, "p99_over_ours": 4, "cpu_over_ours": 4}
    )


def test_the_table_has_a_row_for_each_server_and_says_who_is_missing() -> None:
    text = markdown(FIGURES)
    assert "| this service | 100 | 1,000 | 80% | 1.00 | 25.0 / 50.0 | 2.00 | 0.50 | 1.00 | 100 | 0 |" in text
    assert "| Ray Serve | 25 | 250 | 20% | 4.00 | 100.0 / 200.0 | 8.00 | 6.50 | 4.00 | 100 | 0 |" in text
    assert "| this service | 2.0 / 8.0, 50.0% |" in text
    assert "| Ray Serve | 2.0 / –, 50.0% |" in text
    assert "- Ray Serve: 2 workers" in text
    assert "PyTriton: not measured: no wheel for this platform" in text


def test_what_has_no_latency_is_shown_without_one() -> None:
    figures = json.loads(json.dumps(FIGURES))
    for count in ("1", "64"):
        figures["servers"]["ray"]["maps"]["none"]["closed"][count] |= {
            **load(0, 0, 0),
            **dict.fromkeys(("p50_ms", "p99_ms", "cpu_ms")),
        }
    assert "| Ray Serve | 0 | 0 | 0% | – | – / – | – | – | – | 100 | 0 |" in markdown(figures)


def test_medians_are_taken_leaf_by_leaf() -> None:
    rounds = [{"a": {"b": value}, "c": late} for value, late in ((3, 1.0), (1, None), (2, 5.0))]
    assert medians(rounds) == {"a": {"b": 2.0}, "c": 5.0}
    assert medians([{"c": None}, {"c": None}, {"c": 1.0}]) == {"c": None}


def test_every_way_to_the_limit_uses_all_cores() -> None:
    assert all_ways(2, (1, 8)) == [Way(1, 2, 1), Way(1, 2, 8), Way(2, 1, 1), Way(2, 1, 8)]
    assert all_ways(1, (4,)) == [Way(1, 1, 4)]


def test_the_chart_is_small(tmp_path: Path) -> None:
    draw_chart(FIGURES, tmp_path / "serving.png")
    assert 5_000 < (tmp_path / "serving.png").stat().st_size < 100_000


def test_only_known_servers_are_asked_for() -> None:
    assert command.parse(["--only", "ray", "--quick"]).only == ["ray"]
    with pytest.raises(SystemExit):
        command.parse(["--only", "torchserve"])


@pytest.mark.parametrize(("failures", "comes"), [(0, True), (2, True), (3, False)])
def test_a_visit_that_fails_is_repeated(monkeypatch: pytest.MonkeyPatch, failures: int, comes: bool) -> None:
    turns: list[int] = []

    def visit(*_: object) -> dict[str, Any]:
        turns.append(1)
        if len(turns) <= failures:
            raise ServerError("it did not start")
        return {"none": {}}

    monkeypatch.setattr(command, "visit", visit)
    competition = command.Competition(QUICK)
    peer = Place(CONTESTANTS[2], Path(sys.executable), None)
    competition.places, competition.visits = [peer], {peer.contestant.name: []}
    monkeypatch.setattr(command, "pictures_per_second", lambda *_, **__: 1.0)
    monkeypatch.setattr(command, "bare_ms", lambda *_, **__: 1.0)
    competition.ways = {maps: Way(1, 2, 8) for maps in ("none", "array")}
    competition.run_round(0, Path())
    assert competition.visits[peer.contestant.name] == ([{"none": {}}] if comes else [])
    assert (peer.contestant.title in competition.not_measured) == (not comes)
    assert competition.places == ([peer] if comes else [])


def test_the_page_shows_what_was_measured() -> None:
    result = FOLDER / "serving.json"
    shown = read_out("serving")
    if not result.is_file():
        assert shown == ""
        return
    assert shown.startswith(markdown(json.loads(result.read_text(encoding="utf-8"))["figures"]))
    assert (FOLDER / "serving.png").is_file()
