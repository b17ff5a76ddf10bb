"""`python -m scenes`: download MNIST, or draw a sheet of example scenes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scenes.mnist import SPLITS, DigitsUnavailableError, load_digits
from scenes.presets import PRESETS, find_preset
from scenes.sheet import draw_sheet, save_sheet


def main(arguments: list[str] | None = None, *, prog: str = "python -m scenes") -> int:
    """Run one command; 0 where it succeeded."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("download", help="fetch and check MNIST's four files")
    sheet = commands.add_parser("sheet", help="draw example scenes with their true boxes")
    sheet.add_argument("--preset", choices=sorted(PRESETS), default="article")
    sheet.add_argument("--split", choices=SPLITS, default="test", help="whose digits (default: test)")
    sheet.add_argument("--rows", type=int, default=3)
    sheet.add_argument("--columns", type=int, default=6)
    sheet.add_argument("--seed", type=int, default=0)
    sheet.add_argument("--out", type=Path, required=True, help="the PNG to write")
    options = parser.parse_args(arguments)
    try:
        if options.command == "download":
            for split in SPLITS:
                print(f"{split}: {len(load_digits(split).labels):,} digits")
        else:
            picture = draw_sheet(
                find_preset(options.preset),
                load_digits(options.split),
                rows=options.rows,
                columns=options.columns,
                seed=options.seed,
            )
            save_sheet(picture, options.out)
            print(f"wrote {options.out}")
    except DigitsUnavailableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
