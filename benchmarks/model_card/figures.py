"""What the committed model reaches on test digits, for every scene preset.

Three draws of 10,000 scenes each, through onnxruntime, mean ± standard deviation over draws; `--record`
writes the means into the model's sidecar. With `--generated` it is measured on `article` scenes of generated
digits, which nobody ever trained on, beside MNIST's own. Of another `--model` nothing is written but, with
`--record`, its sidecar.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.documents import FRONT_PAGE, MODEL_CARD, table
from benchmarks.model_card.generator import DIGITS, generate_digits
from benchmarks.results import parser, publish
from models.contract import MODEL_PATH, load_contract, write_contract
from models.digits_contract import DIGITS_PATH, load_digits_contract
from scenes.digits import Digits
from scenes.mnist import load_digits
from scenes.presets import PRESETS, find_preset
from trainer.evaluation.evaluate import COLUMNS, Predict, evaluate, load_predict, summarise

PRESET_OF_GENERATED = "article"


def main(arguments: Sequence[str]) -> None:
    """Evaluate, print a Markdown table, write the result file."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--model", type=Path, default=MODEL_PATH)
    options_of.add_argument("--draws", type=int, help="3, with --generated 10")
    options_of.add_argument("--scenes", type=int, default=10_000)
    options_of.add_argument("--threads", type=int, default=2)
    options_of.add_argument("--record", action="store_true", help="write the figures into the sidecar")
    options_of.add_argument("--generated", action="store_true", help="on scenes of generated digits")
    options = options_of.parse_args(arguments)
    committed = options.model.resolve() == MODEL_PATH.resolve()
    if options.generated:
        measured = measure_generated(options.model, options.draws or 10, options.scenes, options.threads)
        shown = generated_table(measured["digits"])
        if committed:
            publish("generated_scenes", measured, shown, pages=(MODEL_CARD,), threads=options.threads)
        else:
            print(shown)
        return
    test = load_digits("test")
    measured = measure(options.model, test, options.draws or 3, options.scenes, options.threads)
    if committed:
        publish_figures(measured, options.threads)
    else:
        print(presets_table(measured["presets"]))
    if options.record:
        record(measured["presets"], options.model)


def measure(model: Path, digits: Digits, draws: int, scenes: int, threads: int) -> dict[str, Any]:
    """The figures of an ONNX file on every scene preset, and which file it was."""
    predict, figures = load_predict(model, threads=threads), {}
    with tqdm(total=len(PRESETS) * draws * scenes, unit="scene", desc=model.name) as bar:
        for name in PRESETS:
            figures[name] = _evaluate(predict, name, digits, draws, scenes, bar)
    return {
        "model_sha256": load_contract(model).sha256,
        "draws": draws,
        "scenes_per_draw": scenes,
        "presets": figures,
    }


def measure_generated(model: Path, draws: int, scenes: int, threads: int) -> dict[str, Any]:
    """The figures of an ONNX file on scenes of MNIST's test digits and of generated ones."""
    predict, figures = load_predict(model, threads=threads), {}
    banks = {"MNIST's test digits": load_digits("test"), "generated": generate_digits(DIGITS_PATH, DIGITS)}
    with tqdm(total=len(banks) * draws * scenes, unit="scene", desc=model.name) as bar:
        for name, digits in banks.items():
            figures[name] = _evaluate(predict, PRESET_OF_GENERATED, digits, draws, scenes, bar)
    return {
        "model_sha256": load_contract(model).sha256,
        "generator_sha256": load_digits_contract().sha256,
        "preset": PRESET_OF_GENERATED,
        "generated_digits": DIGITS,
        "draws": draws,
        "scenes_per_draw": scenes,
        "digits": figures,
    }


def _evaluate(
    predict: Predict, preset: str, digits: Digits, draws: int, scenes: int, bar: Any
) -> dict[str, float]:
    found = evaluate(predict, find_preset(preset), digits, draws=draws, scenes=scenes, progress=bar.update)
    return summarise(found)


def publish_figures(measured: dict[str, Any], threads: int, under: dict[str, Any] | None = None) -> None:
    """Write what `measure` gave of the committed model into the result file and the documents."""
    command = (
        f"python -m benchmarks figures --draws {measured['draws']} --scenes {measured['scenes_per_draw']}"
    )
    pages = (FRONT_PAGE, MODEL_CARD)
    shown = presets_table(measured["presets"])
    publish("figures", measured, shown, pages=pages, threads=threads, command=command, under=under)


def record(figures: dict[str, dict[str, float]], model: Path) -> None:
    """Write figures into the sidecar of the model that they were measured on."""
    write_contract(load_contract(model).model_copy(update={"metrics": figures}), model)


def presets_table(figures: dict[str, dict[str, float]]) -> str:
    """The figures as a Markdown table, one row for each scene preset."""
    return _figures_table("scenes", {f"`{preset}`": summary for preset, summary in figures.items()})


def generated_table(figures: dict[str, dict[str, float]]) -> str:
    """The figures as a Markdown table, one row for each kind of digits."""
    return _figures_table(f"`{PRESET_OF_GENERATED}` scenes of", figures)


def _figures_table(title: str, rows: dict[str, dict[str, float]]) -> str:
    return table(
        [title, *(column.title for column in COLUMNS)],
        [[name, *(column.show(summary) for column in COLUMNS)] for name, summary in rows.items()],
    )
