"""The limit is measured, rounds become medians, and the tables show what a result file holds."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from benchmarks.documents import read_out
from benchmarks.results import FOLDER
from benchmarks.serving import limit, serving
from benchmarks.serving.pictures import make_pictures

CLOSED = {
    "per_second": 800.0,
    "p50_ms": 25.0,
    "p99_ms": None,
    "errors": 3,
    "cpu_ms": 1.25,
    "memory_mb": 220.0,
}
OPEN = {"p50_ms": 2.0, "p99_ms": 8.0, "answered_share": 0.5}
FIGURES: dict[str, Any] = {
    "limit_batches": {"none": 8, "array": 16},
    "rates": {maps: {"50 %": 400.0} for maps in serving.MAPS},
    "maps": {
        maps: {"limit": 1000.0, "bare_ms": 1.5, "closed": {"64": CLOSED}, "open": {"50 %": OPEN}}
        for maps in serving.MAPS
    },
}


def test_the_tables_say_what_was_counted() -> None:
    text = serving.markdown(FIGURES)
    assert "| 64 | 800 | 80% | 25.0 / – | 1.25 | 220 | 3 |" in text
    assert "| 50 % | 400 | 2.0 / 8.0 | 50.0% |" in text
    assert "The limit is 1,000 pictures/s (batches of 16)" in text


def test_medians_are_taken_leaf_by_leaf() -> None:
    rounds = [{"a": {"b": value}, "c": late} for value, late in ((3, 1.0), (1, None), (2, 5.0))]
    assert serving.medians(rounds) == {"a": {"b": 2.0}, "c": 5.0}
    assert serving.medians([{"c": None}, {"c": None}, {"c": 1.0}]) == {"c": None}


def test_the_limit_and_a_bare_picture_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "BATCHES", (1, 4))
    pngs = make_pictures(8)
    found = limit.Limit(threads=2)
    assert found.best_batch(pngs, limit.decode, maps=False) in (1, 4)
    assert found.rate(pngs, limit.decode, 4, maps=True).per_second > 0
    assert limit.bare_ms(pngs, maps=False, threads=1) > 0


def test_the_pictures_are_the_same_each_time_and_of_many_digits() -> None:
    pictures = make_pictures(6)
    make_pictures.cache_clear()
    assert pictures == make_pictures(6)
    assert len(set(pictures)) == 6
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.skipif(shutil.which("wrk") is not None, reason="wrk is installed")
def test_without_wrk_it_says_what_to_install() -> None:
    with pytest.raises(ValueError, match="apt-get install wrk"):
        serving.main(["--quick"])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed; the benchmark says so itself")
def test_a_trial_measures_everything(capsys: pytest.CaptureFixture[str]) -> None:
    serving.main(["--quick"])
    assert capsys.readouterr().out.count("| 64 |") == 2


def test_the_page_shows_what_was_measured() -> None:
    result = FOLDER / "serving.json"
    measured = serving.markdown(json.loads(result.read_text())["figures"]) if result.is_file() else ""
    assert read_out("serving") == measured
