"""The teaching notebook runs from its first cell to its last, with so little training that it is quick."""

from __future__ import annotations

import base64
import io
import json

import nbformat
import numpy as np
import pytest
from PIL import Image

from benchmarks.model_card.notebook import NOTEBOOK, run_notebook, tidy
from scenes.digits import Digits


@pytest.mark.slow
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


def test_what_is_kept_has_pictures_and_no_warnings() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 8
    assert all(output.get("name") != "stderr" for output in outputs)


def test_tidying_drops_warnings_and_keeps_the_pictures_size() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "PNG")
    png = base64.b64encode(stored.getvalue()).decode()
    cell = nbformat.v4.new_code_cell(
        outputs=[
            nbformat.v4.new_output("stream", name="stderr", text="a warning"),
            nbformat.v4.new_output("stream", name="stdout", text="said"),
            nbformat.v4.new_output("display_data", data={"image/png": png}),
        ]
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    tidy(notebook)
    said, picture = notebook.cells[0].outputs
    assert said.text == "said"
    smaller = base64.b64decode(picture.data["image/png"])
    assert len(smaller) < len(stored.getvalue())
    assert Image.open(io.BytesIO(smaller)).size == (60, 40)
