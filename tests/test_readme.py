"""README's commands, executed in its order in a copy of the repository, against a really started server.

Every command of a `bash` or `console` block must be known to `judge`: run, started as a server, checked as a
target of the Makefile, or named in `NOT_RUN` with the reason. An unknown one fails.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from scenes.digits import Digits
from scenes.mnist import FOLDER_VARIABLE, Split
from tests.support.processes import ROOT
from tests.support.readme import (
    BLOCKS,
    MARKDOWN,
    NO_COMMANDS,
    README,
    Block,
    Copy,
    Judgement,
    as_answer,
    check_targets,
    fences,
    judge,
    needs_digits,
    read_blocks,
    run_commands,
    started,
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The working tree without git's part and what commands wrote; `.venv` is the one that runs this test."""
    root = tmp_path_factory.mktemp("readme") / "glimpse"
    left_out = shutil.ignore_patterns(
        ".git", ".*_cache", "__pycache__", ".venv", ".venvs", "venv", ".hypothesis", "runs", "dist"
    )
    shutil.copytree(ROOT, root, ignore=left_out)
    (root / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS", "PYTEST_"))
    }
    if folder := os.environ.get(FOLDER_VARIABLE):
        kept[FOLDER_VARIABLE] = str(Path(folder).resolve())
    path = os.pathsep.join([str(root / ".venv" / "bin"), os.environ.get("PATH", "")])
    return Copy(root, {**kept, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"})


@pytest.fixture(scope="module")
def readme_port(copy: Copy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The server that README's `make serve` starts, for all its curl examples."""
    with started("make serve", copy, tmp_path_factory.mktemp("log") / "server.log") as port:
        yield port


def as_parameter(block: Block) -> ParameterSet:
    """A block by its line; training takes minutes."""
    trains = any(
        "-m trainer train" in command and judge(command) is Judgement.RUN for command in block.commands
    )
    return pytest.param(block, id=f"line-{block.line}", marks=[pytest.mark.slow] if trains else [])


@pytest.mark.parametrize("block", [as_parameter(block) for block in BLOCKS])
def test_commands_work(
    block: Block,
    copy: Copy,
    digits: Callable[[Split], Digits],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    judged = [(command, judge(command)) for command in block.commands]
    unknown = [command for command, judgement in judged if judgement is Judgement.UNKNOWN]
    assert unknown == [], "unknown to this test: let it run them, or name them in NOT_RUN with a reason"

    for command, judgement in judged:
        if judgement is Judgement.TARGET:
            check_targets(command, copy)
        elif judgement is Judgement.SERVE:
            with started(command, copy, tmp_path / "server.log"):
                pass

    commands = [command for command, judgement in judged if judgement is Judgement.RUN]
    if not commands:
        return
    if any("curl" in command for command in commands) and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    if needs_digits(block):
        digits("test")
    if any("localhost:8000" in command for command in commands):
        port = request.getfixturevalue("readme_port")
        commands = [command.replace("localhost:8000", f"127.0.0.1:{port}") for command in commands]
    answer = run_commands(commands, copy)
    if (promised := as_answer(block.shown)) is not None:
        given = as_answer(answer)
        assert given is not None, f"README shows a JSON object, but the answer is {answer[:500]!r}"
        assert (sorted(given), given.get("label")) == (sorted(promised), promised.get("label"))


def test_readme_has_the_two_commands() -> None:
    assert README.is_file(), "README.md is missing"
    commands = [command for block in BLOCKS for command in block.commands]
    assert "make serve" in commands
    assert "make test" in commands
    assert any("localhost:8000/predict" in command for command in commands)


def test_every_fence_is_of_a_known_kind() -> None:
    odd = [
        f"line {line}: {language or 'no language'}"
        for line, language, _ in fences(MARKDOWN)
        if language not in {"bash", "console"} | NO_COMMANDS
    ]
    assert odd == [], "name the language, and call commands `bash` or `console`, or they go unexecuted"


@pytest.mark.parametrize(
    ("command", "judgement"),
    [
        ("make serve", Judgement.SERVE),
        ("GLIMPSE_PROVIDER=cpu make serve PORT=9000", Judgement.SERVE),
        ("python -m service --port 9000", Judgement.SERVE),
        ("python -m service bulk scene.png --out p.csv", Judgement.RUN),
        ("make check test", Judgement.TARGET),
        ("make test ARGS='-k scenes'", Judgement.TARGET),
        ("curl localhost:8000/healthz", Judgement.RUN),
        ("python -m scenes sheet --out sheet.png", Judgement.RUN),
        ("python -m trainer train --preset smoke", Judgement.RUN),
        ("python -m trainer train --preset cpu", Judgement.SKIP),
        (".venv/bin/torchrun --nproc-per-node 2 -m trainer train --preset cuda", Judgement.SKIP),
        ("python -m trainer evaluate models/glimpse.onnx", Judgement.SKIP),
        ("python -m trainer evaluate models/glimpse.onnx --draws 10", Judgement.SKIP),
        ("python -m trainer evaluate models/glimpse.onnx --draws 2 --scenes 500", Judgement.RUN),
        (".venv/bin/python -m trainer export runs/smoke-seed0 --out smoke.onnx", Judgement.RUN),
        (".venv/bin/python -m trainer export runs/cpu-seed0", Judgement.SKIP),
        ("make serve; rm -rf runs", Judgement.UNKNOWN),
        ("make serve && rm -rf runs", Judgement.UNKNOWN),
        ("pip install glimpse-attention", Judgement.UNKNOWN),
        ("rm -rf runs", Judgement.UNKNOWN),
        ("make test && rm -rf runs", Judgement.UNKNOWN),
    ],
)
def test_judgement(command: str, judgement: Judgement) -> None:
    assert judge(command) is judgement


def test_blocks_are_read_as_a_reader_would() -> None:
    markdown = (
        "text\n```bash\n# a remark\nmake serve  # another\ncurl a \\\n    -o b#c\n```\n"
        '```json\n{"a": 1}\n```\n```console\n$ curl x\n{"label": 3,\n "x": 1}\n$ curl y\n```\n'
    )
    first, second = read_blocks(markdown)
    assert first == Block(2, ("make serve", "curl a -o b#c"), "")
    assert second == Block(11, ("curl x", "curl y"), '{"label": 3,\n "x": 1}')
    assert [language for _, language, _ in fences(markdown)] == ["bash", "json", "console"]
