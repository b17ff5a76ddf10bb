"""`python -m scenes`: download MNIST, draw a sheet of example scenes, make pictures for measuring."""

from __future__ import annotations

import argparse
import sys
import tempfile
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
    without = commands.add_parser("negatives", help="make ten kinds of pictures that show no digit")
    without.add_argument("folder", type=Path, help="a new folder")
    without.add_argument("--count", type=int, default=100, help="pictures of each kind (100)")
    without.add_argument("--seed", type=int, default=0)
    things = commands.add_parser("cutouts", help="make pictures of things in a folder for each of ten kinds")
    things.add_argument("folder", type=Path, help="a new folder")
    things.add_argument("--count", type=int, default=400, help="pictures of each kind to train on (400)")
    things.add_argument("--tested", type=int, default=60, help="pictures of each kind to test on (60)")
    things.add_argument("--packages", type=Path, help="where Debian's packages are unpacked already")
    things.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        if options.command == "download":
            for split in SPLITS:
                print(f"{split}: {len(load_digits(split).labels):,} digits")
        elif options.command == "negatives":
            _make_negatives(options.folder, options.count, options.seed)
        elif options.command == "cutouts":
            _make_cutouts(options)
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
    except (DigitsUnavailableError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _make_negatives(folder: Path, count: int, seed: int) -> None:
    # Imported here: its fonts come with matplotlib, which no other command needs.
    from scenes.negatives import make  # noqa: PLC0415

    made = make(folder, count, seed)
    print(f"wrote {made} pictures; next: python -m benchmarks photos {folder} --out FILE")


def _make_cutouts(options: argparse.Namespace) -> None:
    from scenes.cutouts import download_packages, make_cutouts  # noqa: PLC0415 - no other command needs Pillow

    with tempfile.TemporaryDirectory() as unpacked:
        if not options.packages:
            print("downloading Debian's packages (290 MB)")
            download_packages(Path(unpacked))
        root = options.packages or Path(unpacked)
        make_cutouts(options.folder, root, count=options.count, tested=options.tested, seed=options.seed)
    print(f"wrote {options.folder}; next: glimpse check {options.folder / 'train'}")


if __name__ == "__main__":
    raise SystemExit(main())
