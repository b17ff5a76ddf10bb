"""`python -m trainer`: train a model, report on the run, evaluate it, export it."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import get_args

from tqdm import tqdm

from models.contract import MODEL_PATH
from scenes.mnist import SPLITS, load_digits
from scenes.presets import PRESETS as SCENE_PRESETS
from scenes.presets import find_preset
from trainer.errors import EXPLAINED
from trainer.evaluation.evaluate import COLUMNS, evaluate, load_predict, summarise
from trainer.export import export
from trainer.folders.command import add_check
from trainer.runtime.memory import ask_for_huge_pages
from trainer.training.loop import train
from trainer.training.presets import PRESETS as TRAINING_PRESETS
from trainer.training.presets import Precision, find_training_preset


def run(arguments: list[str], *, prog: str = "python -m trainer") -> int:
    """Run one command as all that this process does: training may start the process anew, for huge pages."""
    if arguments[:1] == ["train"]:
        ask_for_huge_pages()
    return main(arguments, prog=prog)


def main(arguments: list[str] | None = None, *, prog: str = "python -m trainer") -> int:
    """Run one command; 0 where it succeeded, 1 with a sentence where it could not."""
    options = _parser(prog).parse_args(arguments)
    try:
        options.run_command(options)
    except EXPLAINED as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)

    add_check(commands)
    training = commands.add_parser(
        "train",
        help="train a preset; goes on where a former run stopped",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="presets, what they cost and what they reach:\n"
        + "\n".join(
            f"  {preset.name}: {preset.cost}; {preset.reach}" for preset in TRAINING_PRESETS.values()
        ),
    )
    training.add_argument("--preset", choices=sorted(TRAINING_PRESETS), required=True)
    training.add_argument("--run", type=Path, help="the run's folder (default: runs/PRESET-seedSEED)")
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    training.add_argument(
        "--eager", action="store_true", help="do not compile: slower, but needs no C++ compiler"
    )
    training.add_argument(
        "--precision",
        choices=get_args(Precision),
        help="of the refiner's and the classifier's products (default: the preset's); bfloat16 is quick "
        "where the processor multiplies it",
    )
    training.add_argument(
        "--start",
        type=Path,
        help="go on from the weights of this .onnx file or finished run (default: start from random ones)",
    )
    training.set_defaults(run_command=_train)

    evaluation = commands.add_parser("evaluate", help="figures on scenes of digits that training never saw")
    evaluation.add_argument("model", type=Path, help="an .onnx file, a run's folder or its checkpoint")
    evaluation.add_argument("--preset", choices=sorted(SCENE_PRESETS), default="article")
    evaluation.add_argument("--split", choices=SPLITS, default="test", help="whose digits (default: test)")
    evaluation.add_argument("--draws", type=int, default=10)
    evaluation.add_argument("--scenes", type=int, default=10_000, help="in each draw")
    evaluation.set_defaults(run_command=_evaluate)

    reporting = commands.add_parser("report", help="a page about a run: curves, boxes, the worst scenes")
    reporting.add_argument("run", type=Path, help="a run's folder, finished or not")
    reporting.add_argument("--preset", choices=sorted(SCENE_PRESETS), default="article")
    reporting.add_argument(
        "--split", choices=SPLITS, default="validation", help="whose digits (default: validation)"
    )
    reporting.add_argument("--scenes", type=int, default=2_000)
    reporting.set_defaults(run_command=_report)

    exporting = commands.add_parser("export", help="write the ONNX file and its sidecar")
    exporting.add_argument("run", type=Path, help="a run's folder")
    exporting.add_argument("--out", type=Path, default=MODEL_PATH)
    exporting.set_defaults(run_command=_export)
    return parser


def _train(options: argparse.Namespace) -> None:
    preset = find_training_preset(options.preset)
    if options.eager:
        preset = dataclasses.replace(preset, compiled=False)
    if options.precision:
        preset = dataclasses.replace(preset, precision=options.precision)
    run = options.run or Path("runs") / f"{preset.name}-seed{options.seed}"
    train(preset, run, seed=options.seed, device=options.device, start=options.start)
    print(f"trained into {run}; next: python -m trainer export {run}")


def _evaluate(options: argparse.Namespace) -> None:
    predict, digits = load_predict(options.model), load_digits(options.split)
    with tqdm(total=options.draws * options.scenes, unit="scene", leave=False) as bar:
        draws = evaluate(
            predict,
            find_preset(options.preset),
            digits,
            draws=options.draws,
            scenes=options.scenes,
            progress=bar.update,
        )
    summary = summarise(draws)
    print(
        f"{options.model} on {options.preset}, {options.split} digits, {options.draws} × {options.scenes:,}"
    )
    for column in COLUMNS:
        print(f"{column.title:>24}  {column.show(summary)}")


def _report(options: argparse.Namespace) -> None:
    # Imported here: matplotlib takes a second to load, and no other command needs it.
    from trainer.evaluation.report import write_report  # noqa: PLC0415

    page = write_report(
        options.run,
        find_preset(options.preset),
        load_digits(options.split),
        load_digits("validation"),
        scenes=options.scenes,
    )
    print(f"wrote {page}")


def _export(options: argparse.Namespace) -> None:
    parity = export(options.run, options.out, load_digits("validation"))
    print(
        f"wrote {options.out}; onnxruntime against torch: probabilities differ by at most "
        f"{parity.probability:.1e}, boxes by at most {parity.box_px:.1e} px"
    )


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
