"""Runs `trainer/notebook.ipynb`, which trains for some minutes, and keeps its outputs if asked to."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import nbformat
from nbclient import NotebookClient
from PIL import Image

from benchmarks.documents import ROOT
from benchmarks.results import parser

NOTEBOOK = ROOT / "trainer" / "notebook.ipynb"
_SECONDS_PER_CELL = 1800


def main(arguments: Sequence[str]) -> None:
    """Run the notebook."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--keep", action="store_true", help="write the outputs into the notebook")
    options = options_of.parse_args(arguments)
    notebook = run_notebook()
    if options.keep:
        tidy(notebook)
        nbformat.write(notebook, NOTEBOOK)  # type: ignore[no-untyped-call]
        print(f"wrote {NOTEBOOK}, {NOTEBOOK.stat().st_size:,} bytes")


def run_notebook() -> nbformat.NotebookNode:
    """The notebook with the outputs of all its cells.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook: nbformat.NotebookNode = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook,
        timeout=_SECONDS_PER_CELL,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
        record_timing=False,
    )
    client.execute()
    notebook.metadata["language_info"] = {"name": "python"}  # of this machine's Python nothing else
    return notebook


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Make outputs fit to be kept: no warnings, which name local paths, and pictures of 256 colours."""
    for cell in notebook.cells:
        kept = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
        for output in kept:
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _with_fewer_colours(output.data["image/png"])
        if "outputs" in cell:
            cell.outputs = kept


def _with_fewer_colours(png: str) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    smaller = io.BytesIO()
    picture.quantize(256).save(smaller, "PNG", optimize=True)
    return base64.b64encode(smaller.getvalue()).decode()
