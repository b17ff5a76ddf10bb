from __future__ import annotations

import json

from benchmarks.documents import SERVICE_PAGE, read_out
from benchmarks.results import FOLDER
from benchmarks.serving import overload

CLOSED = {"per_second": 1500.4, "p50_ms": 40.0, "p99_ms": 55.2, "requests": 15_000, "errors": 0}
OPEN = {
    "rate": 7500.0,
    "answered_per_second": 901.2,
    "answered_p99_ms": 120.7,
    "refused": 300,
    "refused_p99_ms": 8.4,
    "failed": 1,
    "unanswered": 2,
    "memory_mb": 260.0,
}


def test_the_table_has_a_row_for_each_load_with_what_was_lost():
    figures = {
        "carried": CLOSED,
        "half": {**OPEN, "rate": 750.0, "refused_p99_ms": None, "failed": 0, "unanswered": 0},
        "overload": OPEN,
        "afterwards": {**CLOSED, "p99_ms": None},
        "memory_before_mb": 250.0,
        "memory_after_mb": 255.0,
    }
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in overload.markdown_table(figures).splitlines()
    ]
    assert len({len(row) for row in rows}) == 1
    assert rows[2] == ["64 connections", "as answered", "1500", "55 ms", "", "", "0", "250 MB"]
    assert rows[3][:3] == ["half of that rate", "750", "901"]
    assert rows[4] == ["five times that rate", "7500", "901", "121 ms", "300", "8 ms", "3", "260 MB"]
    assert rows[5][0] == "64 connections, 2 s after it"
    assert rows[5][3] == ""


def test_the_page_shows_what_was_measured():
    measured = json.loads((FOLDER / "overload.json").read_text(encoding="utf-8"))["figures"]
    assert read_out("overload", SERVICE_PAGE) == overload.markdown_table(measured)
