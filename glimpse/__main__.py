"""`glimpse COMMAND …`: every command hands its arguments to the program that has always run it.

Each program is imported only when it is asked for, so that `glimpse serve` needs no torch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NamedTuple

from service import __version__

NEEDED_BY_TRAINER = frozenset({"torch", "onnx", "onnxscript", "tensorboard", "matplotlib"})
"""What the extra `trainer` installs beyond what the service needs."""


class Command(NamedTuple):
    """One command: a line for `--help`, and what runs its arguments."""

    summary: str
    run: Callable[[str, list[str]], int]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="glimpse",
        description="Find, frame and read a handwritten digit in a cluttered picture.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n"
        + "\n".join(f"  {name:<9} {command.summary}" for name, command in COMMANDS.items())
        + "\n\n`glimpse COMMAND --help` shows the options of a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"Glimpse {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…", help="what the command takes")
    given = parser.parse_args(arguments)
    return COMMANDS[given.command].run(given.command, given.arguments)


def _serve(name: str, arguments: list[str]) -> int:
    from service.__main__ import serve

    return serve(arguments, prog=f"glimpse {name}")


def _bulk(name: str, arguments: list[str]) -> int:
    from service.bulk import command

    return command.main(arguments, prog=f"glimpse {name}")


def _scenes(name: str, arguments: list[str]) -> int:
    from scenes.__main__ import main as run_scenes

    return run_scenes(arguments, prog=f"glimpse {name}")


def _trainer(name: str, arguments: list[str]) -> int:
    try:
        from trainer.__main__ import run

        return run([name, *arguments], prog="glimpse")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in NEEDED_BY_TRAINER:
            raise
        print(
            f"glimpse {name} needs {missing}, which is not installed: "
            "pip install 'glimpse-attention[trainer]'",
            file=sys.stderr,
        )
        return 1


COMMANDS = {
    "serve": Command("start the web service", _serve),
    "bulk": Command("label many pictures without a server", _bulk),
    "check": Command("look over a folder of pictures before training on it", _trainer),
    "train": Command("train a preset", _trainer),
    "evaluate": Command("measure a model on generated scenes", _trainer),
    "export": Command("write a trained run as an ONNX file with its sidecar", _trainer),
    "report": Command("write a page about a run", _trainer),
    "scenes": Command("download MNIST, or draw example scenes", _scenes),
}


if __name__ == "__main__":
    raise SystemExit(main())
