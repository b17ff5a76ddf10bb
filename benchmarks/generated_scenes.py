"""`python -m benchmarks.generated_scenes`: the model on scenes of generated digits, beside MNIST's own.

Nobody ever trained on the digits of these scenes, clutter included. Same draws, same presets as
`benchmarks.figures`; writes `benchmarks/results/generated_scenes.json` and the model card's table. Of another
`--model` it prints the table and writes nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from benchmarks.documents import MODEL_CARD, fill_in
from benchmarks.figures import figures_table
from benchmarks.generator import generate_digits
from benchmarks.results import sentence_or_exit, write_result
from models.contract import MODEL_PATH, load_contract
from models.digits_contract import DIGITS_PATH, load_digits_contract
from scenes.mnist import load_digits
from scenes.presets import find_preset
from trainer.evaluate import evaluate, load_predict, summarise

PRESET = "article"
DIGITS = 10_000


@sentence_or_exit()
def main() -> None:
    """Evaluate on both kinds of digits, print a Markdown table, write the result file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generated_scenes", description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL_PATH)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--scenes", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    predict = load_predict(options.model, threads=options.threads)
    banks = {"MNIST's test digits": load_digits("test"), "generated": generate_digits(DIGITS_PATH, DIGITS)}
    figures = {}
    with tqdm(total=len(banks) * options.draws * options.scenes, unit="scene") as bar:
        for name, digits in banks.items():
            draws = evaluate(
                predict,
                find_preset(PRESET),
                digits,
                draws=options.draws,
                scenes=options.scenes,
                progress=bar.update,
            )
            figures[name] = summarise(draws)
    table = markdown_table(figures)
    print(table)
    if options.model.resolve() != MODEL_PATH.resolve():
        return
    fill_in("generated_scenes", table, MODEL_CARD)
    content = {
        "model_sha256": load_contract(options.model).sha256,
        "generator_sha256": load_digits_contract().sha256,
        "preset": PRESET,
        "generated_digits": DIGITS,
        "draws": options.draws,
        "scenes_per_draw": options.scenes,
        "digits": figures,
    }
    command = f"python -m benchmarks.generated_scenes --draws {options.draws} --scenes {options.scenes}"
    print(f"wrote {write_result('generated_scenes', command, content, threads=options.threads)}")


def markdown_table(figures: dict[str, dict[str, float]]) -> str:
    """The figures as a Markdown table, one row for each kind of digits."""
    return figures_table(f"`{PRESET}` scenes of", figures)


if __name__ == "__main__":
    main()
