"""`python -m benchmarks.figures`: what the committed model reaches on test digits, for every scene preset.

Ten draws of 10,000 scenes each, through onnxruntime, mean ± standard deviation over draws. Writes
`benchmarks/results/figures.json` and, with `--record`, the means into the model's sidecar.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from benchmarks.results import digits_or_exit, write_result
from models.contract import MODEL_PATH, load_contract, write_contract
from scenes.presets import PRESETS
from trainer.evaluate import COLUMNS, evaluate, load_predict, summarise


def main() -> None:
    """Evaluate, print a Markdown table, write the result file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures", description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL_PATH)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--scenes", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--record", action="store_true", help="write the figures into the model's sidecar")
    options = parser.parse_args()
    contract = load_contract(options.model)
    predict = load_predict(options.model, threads=options.threads)
    digits = digits_or_exit("test")
    figures = {}
    with tqdm(total=len(PRESETS) * options.draws * options.scenes, unit="scene") as bar:
        for preset in PRESETS.values():
            draws = evaluate(
                predict, preset, digits, draws=options.draws, scenes=options.scenes, progress=bar.update
            )
            figures[preset.name] = summarise(draws)
    print(markdown_table(figures))
    content = {
        "model_sha256": contract.sha256,
        "draws": options.draws,
        "scenes_per_draw": options.scenes,
        "presets": figures,
    }
    command = f"python -m benchmarks.figures --draws {options.draws} --scenes {options.scenes}"
    print(f"wrote {write_result('figures', command, content, threads=options.threads)}")
    if options.record:
        write_contract(contract.model_copy(update={"metrics": figures}), options.model)


def markdown_table(figures: dict[str, dict[str, float]]) -> str:
    """The figures as a Markdown table, one row for each scene preset."""
    lines = [
        "| scenes | " + " | ".join(column.title for column in COLUMNS) + " |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    lines += [
        f"| `{preset}` | " + " | ".join(column.show(summary) for column in COLUMNS) + " |"
        for preset, summary in figures.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
