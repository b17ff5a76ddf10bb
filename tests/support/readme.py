"""README's blocks: which commands they hold, and how each is run."""

from __future__ import annotations

import contextlib
import enum
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.processes import ROOT, free_port

README = ROOT / "README.md"
BLOCK_SECONDS = 900  # generous: a busy machine with two cores trains the smoke preset in minutes
START_SECONDS = 120

# Fences that show something other than commands. A shell's fence must be `bash` or `console`.
NO_COMMANDS = frozenset({"json", "python", "text", "toml", "yaml", "mermaid", "bibtex", "html", "diff"})

PYTHON = r"(?:\.venv/bin/)?python"

# Commands that no test runs, each with its reason. A pattern must match the whole command.
NOT_RUN = {
    r"git clone \S+( && cd \S+)?": "the test runs in a clone already",
    r"cd \S+": "each block runs in the root of the copy",
    r"(source|\.) \.venv/bin/activate": "the tests' own environment is on PATH already",
    r"export GLIMPSE_MNIST_DIR=\S+": "the path is the reader's; the tests have their own",
    rf"{PYTHON} -m scenes download": "fetches MNIST from the internet; tests of scenes cover it",
    rf"({PYTHON}|\S*torchrun .*) -m trainer train .*--preset (cpu|long|cuda|tune)\b.*": "takes long",
    rf"{PYTHON} -m trainer (evaluate|export) runs/(cpu|long|cuda)\b.*": "of a run not made here",
    rf"{PYTHON} -m trainer evaluate (?!.*--draws [1-3]\b).*": "measures for minutes; trainer has tests",
    r"\S*tensorboard --logdir \S+": "shows pages until it is stopped; tests of trainer read what it shows",
}
SERVE = re.compile(r"(?:[A-Z_]+=\S+ )*(?:make serve|" + PYTHON + r" -m service(?! bulk))(?: [^;&|]*)?")
MAKE = re.compile(r"make(?P<targets>(?: [a-z]+)+)(?: \w+=(?:'[^']*'|\S+))*")
RUN = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:" + PYTHON + r" -m (?:scenes|trainer|benchmarks|service bulk)\b|curl ).*", re.DOTALL
)
DIGITS = re.compile(r"digits=mnist|python -m (?:scenes|trainer|benchmarks)\b")
WRITES = re.compile(r"(?:\s-o|--out(?:put)?|>)[ =]?(\S+)")


class Block(NamedTuple):
    """A fenced block: its place, its commands, and the output that a `console` block shows."""

    line: int
    commands: tuple[str, ...]
    shown: str


class Judgement(enum.Enum):
    """What the test does with a command."""

    RUN = "runs as it stands, but for the port"
    SERVE = "is started as a server on a free port, until it is ready"
    TARGET = "names targets that the Makefile has"
    SKIP = "is listed in NOT_RUN"
    UNKNOWN = "is in no list"


def judge(command: str) -> Judgement:
    if any(re.fullmatch(pattern, command, re.DOTALL) for pattern in NOT_RUN):
        return Judgement.SKIP
    for pattern, judgement in ((SERVE, Judgement.SERVE), (MAKE, Judgement.TARGET), (RUN, Judgement.RUN)):
        if pattern.fullmatch(command):
            return judgement
    return Judgement.UNKNOWN


def fences(markdown: str) -> Iterator[tuple[int, str, str]]:
    """Line, language and body of each fenced block."""
    for fence in re.finditer(r"^```([^\n`]*)\n(.*?)^```[ \t]*$", markdown, re.MULTILINE | re.DOTALL):
        yield markdown.count("\n", 0, fence.start()) + 1, fence[1].strip(), fence[2]


def read_blocks(markdown: str) -> list[Block]:
    blocks = []
    for line, language, body in fences(markdown):
        joined = re.sub(r"\\\n\s*", "", body)
        if language == "bash":
            commands = [text for text in joined.splitlines() if text.strip()]
            shown = ""
        elif language == "console":
            commands = [text[2:] for text in joined.splitlines() if text.startswith("$ ")]
            shown = "\n".join(text for text in joined.splitlines() if not text.startswith("$ "))
        else:
            continue
        stripped = (re.sub(r"(^|\s+)# .*$", "", text).strip() for text in commands)
        blocks.append(Block(line, tuple(text for text in stripped if text), shown.strip()))
    return blocks


MARKDOWN = README.read_text(encoding="utf-8") if README.is_file() else ""
BLOCKS = read_blocks(MARKDOWN)


@dataclass(frozen=True)
class Copy:
    """A copy of the repository, and the environment that README's commands get in it."""

    root: Path
    environment: dict[str, str] = field(repr=False)  # a failed test shows no one's variables


def on_port(command: str, port: int) -> str:
    """A command that starts a server, on another port than README's."""
    if re.search(r"\bPORT=|--port[ =]", command):
        return re.sub(r"(\bPORT=|--port[ =])\d+", rf"\g<1>{port}", command)
    return f"{command} PORT={port}" if "make serve" in command else f"{command} --port {port}"


def startable(command: str, copy: Copy) -> str:
    """`make serve` as it is where make has nothing left to install, else what it would start in the end."""
    if "make serve" not in command:
        return command
    plan = subprocess.run(
        ["bash", "-c", command.replace("make serve", "make --dry-run serve")],
        cwd=copy.root,
        env=copy.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "python -m service" in plan
    return command if "pip" not in plan else plan.strip().splitlines()[-1]


@contextlib.contextmanager
def started(command: str, copy: Copy, log: Path) -> Iterator[int]:
    """Start a server's command on a free port, wait until it is ready, give the port, stop it in the end."""
    port = free_port()
    with log.open("wb") as stream:
        server = subprocess.Popen(
            ["bash", "-c", on_port(startable(on_port(command, port), copy), port)],
            cwd=copy.root,
            env=copy.environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_ready(server, port, log)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ready = f"http://127.0.0.1:{port}/readyz"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            pytest.fail(
                f"the server ended with status {server.returncode}:\n{log.read_text(errors='replace')}"
            )
        # An OSError: not listening yet, or 503, not ready yet.
        with contextlib.suppress(OSError), urllib.request.urlopen(ready, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"not ready after {START_SECONDS} s:\n{log.read_text(errors='replace')}")


def needs_digits(block: Block) -> bool:
    """True if a command asks for MNIST, or reads what an earlier block could make only with MNIST."""
    made: set[str] = set()
    for earlier in BLOCKS:
        text = "\n".join(earlier.commands)
        asks = bool(DIGITS.search(text)) or any(name in text for name in made)
        if earlier is block:
            return asks
        if asks:
            made.update(name.strip("'\"") for name in WRITES.findall(text))
    return False


def run_commands(commands: list[str], copy: Copy) -> str:
    """Run commands in one shell that stops at the first failure, an HTTP error status among them."""
    script = "\n".join(['curl() { command curl --fail-with-body --no-progress-meter "$@"; }', *commands])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=copy.root,
        env=copy.environment,
        capture_output=True,
        text=True,
        timeout=BLOCK_SECONDS,
    )
    assert done.returncode == 0, (
        f"{script}\n\nended with status {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done.stdout


def as_answer(text: str) -> dict[str, object] | None:
    """The JSON object that a text is, if it is one in full."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def check_targets(command: str, copy: Copy) -> None:
    """`make test` cannot run inside itself: the Makefile must have its targets and what they depend on."""
    match = MAKE.fullmatch(command)
    assert match is not None
    plan = ["make", "--dry-run", *match["targets"].split()]
    done = subprocess.run(plan, cwd=copy.root, env=copy.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
