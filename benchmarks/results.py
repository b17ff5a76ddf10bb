"""The harness of all benchmarks: their options, their result files, and the tables in the documents."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from benchmarks.documents import FIGURES_PAGE, fill_in
from trainer.runtime import provenance

FOLDER = Path(__file__).resolve().parent / "results"


def parser(module: str, doc: str | None) -> argparse.ArgumentParser:
    """The parser of a benchmark; `module` is its `__name__`."""
    prog = f"python -m benchmarks {module.rpartition('.')[2]}"
    return argparse.ArgumentParser(
        prog=prog, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def circumstances(threads: int, device: torch.device | None = None) -> dict[str, Any]:
    """Commit, time, hardware and versions, as they are now."""
    return {
        "commit": provenance.commit(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": provenance.hardware(device or torch.device("cpu"), threads),
        "versions": {**provenance.versions(), "onnxruntime": onnxruntime.__version__},
    }


def publish(
    name: str,
    figures: Any,
    table: str = "",
    *,
    pages: tuple[Path, ...] = (FIGURES_PAGE,),
    threads: int = 1,
    command: str | None = None,
    under: dict[str, Any] | None = None,
    out: Path | None = None,
) -> Path:
    """Write a result file, and where there is a table print it and put it into the documents.

    Args:
        name: of the result file, and of the comments in the documents between which the table stands.
        figures: what was measured.
        table: in Markdown.
        pages: the documents that show the table.
        threads: how many were used.
        command: what to type to measure it again; by default the command line of this process.
        under: `circumstances` of figures that were measured before; by default today's.
        out: a file that is written instead, for trials; then the documents stay as they are.

    Returns:
        The folder of the result file, for pictures that belong to it.
    """
    path = out or FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "command": command or provenance.command(),
        **(under or circumstances(threads)),
        "figures": figures,
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if table:
        print(table)
        for page in () if out else pages:
            fill_in(name, table, page)
    print(f"wrote {path}" + ("; results and documents stay as they are" if out else ""))
    return path.parent
