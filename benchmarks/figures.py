"""`python -m benchmarks.figures`: what the committed model reaches on test digits, for every scene preset.

Three draws of 10,000 scenes each, through onnxruntime, mean ± standard deviation over draws. Writes
`benchmarks/results/figures.json` and the documents' tables, and with `--record` the means into the model's
sidecar. Of another `--model` it writes nothing but with `--record` that model's sidecar.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.documents import FRONT_PAGE, MODEL_CARD, fill_in
from benchmarks.results import sentence_or_exit, write_result
from models.contract import MODEL_PATH, load_contract, write_contract
from scenes.digits import Digits
from scenes.mnist import load_digits
from scenes.presets import PRESETS
from trainer.evaluate import COLUMNS, Predict, evaluate, load_predict, summarise


@sentence_or_exit()
def main() -> None:
    """Evaluate, print a Markdown table, write the result file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures", description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL_PATH)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--scenes", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--record", action="store_true", help="write the figures into the model's sidecar")
    options = parser.parse_args()
    measured = measure(options.model, load_digits("test"), options.draws, options.scenes, options.threads)
    print(markdown_table(measured["presets"]))
    if options.model.resolve() == MODEL_PATH.resolve():
        print(f"wrote {write_figures(measured, options.threads)}")
    if options.record:
        record(measured["presets"], options.model)


def measure(model: Path, digits: Digits, draws: int, scenes: int, threads: int) -> dict[str, Any]:
    """The figures of an ONNX file on every scene preset, and which file it was."""
    return {
        "model_sha256": load_contract(model).sha256,
        "draws": draws,
        "scenes_per_draw": scenes,
        "presets": measure_presets(load_predict(model, threads=threads), digits, draws, scenes, model.name),
    }


def measure_presets(
    predict: Predict, digits: Digits, draws: int, scenes: int, title: str
) -> dict[str, dict[str, float]]:
    """The figures of what predicts on every scene preset; `title` stands before the bar of progress."""
    figures = {}
    with tqdm(total=len(PRESETS) * draws * scenes, unit="scene", desc=title) as bar:
        for preset in PRESETS.values():
            of_draws = evaluate(predict, preset, digits, draws=draws, scenes=scenes, progress=bar.update)
            figures[preset.name] = summarise(of_draws)
    return figures


def write_figures(
    measured: dict[str, Any], threads: int, measured_under: dict[str, Any] | None = None
) -> Path:
    """Write what `measure` gave of the committed model into the result file and the documents.

    Returns the result file's path.
    """
    for page in (FRONT_PAGE, MODEL_CARD):
        fill_in("figures", markdown_table(measured["presets"]), page)
    command = (
        f"python -m benchmarks.figures --draws {measured['draws']} --scenes {measured['scenes_per_draw']}"
    )
    return write_result("figures", command, measured, threads=threads, measured_under=measured_under)


def record(figures: dict[str, dict[str, float]], model: Path) -> None:
    """Write figures into the sidecar of the model that they were measured on."""
    write_contract(load_contract(model).model_copy(update={"metrics": figures}), model)


def markdown_table(figures: dict[str, dict[str, float]]) -> str:
    """The figures as a Markdown table, one row for each scene preset."""
    return figures_table("scenes", {f"`{preset}`": summary for preset, summary in figures.items()})


def figures_table(title: str, rows: dict[str, dict[str, float]]) -> str:
    """Summaries of `trainer.evaluate` as a Markdown table; `title` says what its rows are."""
    lines = [
        f"| {title} | " + " | ".join(column.title for column in COLUMNS) + " |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    lines += [
        f"| {name} | " + " | ".join(column.show(summary) for column in COLUMNS) + " |"
        for name, summary in rows.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
