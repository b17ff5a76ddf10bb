"""The command `check`: the scan of a folder alone, and what it says."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from trainer.folders.scan import Scan, scan_folder
from trainer.folders.skipped import write_skipped
from trainer.folders.words import printable

_SHOWN = 10


def add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of the trainer."""
    checking = commands.add_parser("check", help="look over a folder of pictures before training on it")
    checking.add_argument("folder", type=Path, help="a folder that holds a folder for each class")
    checking.add_argument("--out", type=Path, help="write skipped.csv into this folder")
    checking.set_defaults(run_command=_check)


def _check(options: argparse.Namespace) -> None:
    scan = scan_folder(options.folder)
    for line in lines_about(scan):
        print(line)
    if options.out:
        print(f"wrote {write_skipped(scan.skipped, options.out)}")


def lines_about(scan: Scan) -> Iterator[str]:
    """The lines that tell a person what a scan found."""
    yield f"{printable(str(scan.folder))}: {len(scan.classes)} classes"
    trained = Counter(picture.label for picture in scan.train)
    held_out = Counter(picture.label for picture in scan.held_out)
    yield f"{'class':<24} {'to train on':>12} {'held out':>9}"
    for label in sorted(trained | held_out, key=lambda label: (label < 0, label)):
        yield f"{scan.name_of(label):<24} {trained[label]:>12,} {held_out[label]:>9,}"
    yield from scan.notes
    for warning in scan.warnings:
        yield f"warning: {warning}"
    if scan.skipped:
        yield f"Skipped files: {len(scan.skipped):,}"
        for skipped in scan.skipped[:_SHOWN]:
            yield f"  {printable(skipped.file)}: {skipped.reason}"
        if len(scan.skipped) > _SHOWN:
            yield f"  and {len(scan.skipped) - _SHOWN:,} more, which --out FOLDER writes into skipped.csv"
    yield f"SHA-256 of classes and contents: {scan.data_sha256}"
