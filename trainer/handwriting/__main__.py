"""`python -m trainer.handwriting`: train the digit generator, export it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from models.digits_contract import DIGITS_PATH
from trainer.errors import EXPLAINED
from trainer.handwriting.export import export
from trainer.handwriting.presets import PRESETS, find_writer_preset
from trainer.handwriting.train import train


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 where it succeeded, 1 with a sentence where it could not."""
    options = _parser().parse_args(arguments)
    try:
        options.run_command(options)
    except EXPLAINED as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainer.handwriting", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    training = commands.add_parser("train", help="train a preset; goes on after the last stage that is done")
    training.add_argument("--preset", choices=sorted(PRESETS), required=True)
    training.add_argument("--run", type=Path, help="the run's folder (default: runs/digits-PRESET-seedSEED)")
    training.add_argument("--seed", type=int, default=0)
    training.set_defaults(run_command=_train)

    exporting = commands.add_parser("export", help="write the ONNX file and its sidecar")
    exporting.add_argument("run", type=Path, help="a run's folder")
    exporting.add_argument("--out", type=Path, default=DIGITS_PATH)
    exporting.set_defaults(run_command=_export)
    return parser


def _train(options: argparse.Namespace) -> None:
    preset = find_writer_preset(options.preset)
    run = options.run or Path("runs") / f"digits-{preset.name}-seed{options.seed}"
    train(preset, run, seed=options.seed)
    print(f"trained into {run}; next: python -m trainer.handwriting export {run}")


def _export(options: argparse.Namespace) -> None:
    export(options.run, options.out)
    print(f"wrote {options.out}; onnxruntime writes the very digits that torch does in double precision")


if __name__ == "__main__":
    raise SystemExit(main())
