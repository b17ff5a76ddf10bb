"""The teaching notebook runs from its first cell to its last, with so little training that it is quick."""

from __future__ import annotations

import json

import nbformat
import pytest

from benchmarks.notebook import NOTEBOOK, run_notebook
from scenes.digits import Digits


def test_it_runs_and_shows_what_it_speaks_of(train_digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIMPSE_NOTEBOOK_STEPS", "6")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = run_notebook()
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    assert "6 steps in" in text
    assert "probabilities differ by at most" in text
    answer = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert answer["label"] in range(10)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 8
    assert [output for output in outputs if output.output_type == "error"] == []


def test_the_file_is_a_valid_notebook_and_small() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 2_000_000
