"""Result files: what was measured, and on what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from benchmarks.documents import PAGE, fill_in
from trainer import provenance
from trainer.errors import EXPLAINED

FOLDER = Path(__file__).resolve().parent / "results"


@contextmanager
def sentence_or_exit() -> Iterator[None]:
    """End the program with its sentence where an error says what was expected; also a decorator of `main`."""
    try:
        yield
    except EXPLAINED as error:
        raise SystemExit(f"error: {error}") from error


def circumstances(threads: int) -> dict[str, Any]:
    """Commit, time, hardware and versions, as they are now."""
    return {
        "commit": provenance.commit(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": provenance.hardware(torch.device("cpu"), threads),
        "versions": {**provenance.versions(), "onnxruntime": onnxruntime.__version__},
    }


def write_result(
    name: str, command: str, figures: Any, *, threads: int, measured_under: dict[str, Any] | None = None
) -> Path:
    """Write `benchmarks/results/NAME.json` and return its path.

    `measured_under` are the `circumstances` of figures that were measured before; without it today's are.
    """
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    content = {
        "command": command,
        **(measured_under or circumstances(threads)),
        "figures": figures,
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def load_result(name: str) -> dict[str, Any]:
    """What `benchmarks/results/NAME.json` holds: the figures, and what they were measured under."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def tell(
    name: str, command: str, figures: Any, table: str, *, threads: int, trial: Path | None, page: Path = PAGE
) -> Path:
    """Print a table, and keep it in the page and its figures in the result file.

    Of a trial the figures are kept in its folder, and page and results stay as they are. Returns the folder
    where the figures lie, for pictures that belong to them.
    """
    print(table)
    if trial:
        trial.mkdir(parents=True, exist_ok=True)
        path = trial / f"{name}.json"
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        print(f"a trial: wrote {path}; benchmarks/results stays as it is")
    else:
        path = write_result(name, command, figures, threads=threads)
        fill_in(name, table, page)
        print(f"wrote {path}")
    return path.parent
