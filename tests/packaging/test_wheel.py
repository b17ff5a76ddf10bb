"""What `pip install` gives: the wheel's files, its description, and the command `glimpse`, run from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from glimpse.__main__ import COMMANDS, NEEDED_BY_TRAINER, main
from service import __version__

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("glimpse", "models", "scenes", "service", "trainer")
END_S = 120
# What pip's script for the command does, where the modules that are named first are not installed.
CALL = """
import sys
for name in {absent!r}:
    sys.modules[name] = None
from glimpse.__main__ import main
sys.argv[0] = "glimpse"
sys.exit(main())
"""


@dataclass(frozen=True)
class Installed:
    """A built wheel, unpacked: what pip would put into site-packages."""

    folder: Path
    files: frozenset[str]
    description: Message

    def call(self, *arguments: str, absent: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, in a folder that has a `models.py` and a `service.py` of its own."""
        return subprocess.run(
            [sys.executable, "-P", "-c", CALL.format(absent=absent), *arguments],
            cwd=self.folder.parent,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=END_S,
        )

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GLIMPSE_")}
        return {**kept, "PYTHONPATH": str(self.folder)}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    place = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=END_S,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = place.glob("*.whl")
    folder = place / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
        files = frozenset(archive.namelist())
    for name in ("models.py", "service.py"):
        (place / name).write_text(
            "raise SystemExit('a file of the reader, not of Glimpse')\n", encoding="utf-8"
        )
    (metadata,) = folder.glob("*.dist-info/METADATA")
    return Installed(folder, files, Parser().parsestr(metadata.read_text(encoding="utf-8")))


def test_it_holds_the_packages_and_nothing_else(installed: Installed) -> None:
    tops = {name.partition("/")[0] for name in installed.files}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_every_file_that_a_program_reads_is_in_it(installed: Installed) -> None:
    kinds = {".py", ".onnx", ".json", ".html", ".js", ".css", ".svg"}
    in_tree = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in kinds or path.name == "py.typed"
    }
    assert {f"{package}/py.typed" for package in PACKAGES} <= in_tree
    assert {"models/glimpse.onnx", "models/digits.onnx", "service/page/static/index.html"} <= in_tree
    assert in_tree - installed.files == set()
    assert [name for name in installed.files if name.endswith(".ipynb")] == []


def test_it_says_what_it_is(installed: Installed) -> None:
    said = installed.description
    assert (said["Name"], said["Version"]) == ("glimpse-attention", __version__)
    links = dict(link.split(", ", 1) for link in said.get_all("Project-URL", []))
    assert links == PROJECT["urls"]
    assert all(re.fullmatch(r"https://\S+", link) for link in links.values())
    assert said.get_all("Classifier") == PROJECT["classifiers"]
    (points,) = installed.folder.glob("*.dist-info/entry_points.txt")
    assert points.read_text(encoding="utf-8").split() == [
        *("[console_scripts]", "glimpse", "=", "glimpse.__main__:main")
    ]


def test_the_command_says_the_packages_version(installed: Installed) -> None:
    ended = installed.call("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"Glimpse {__version__}\n", "")


TRAINERS = [name for name in COMMANDS if name not in {"serve", "bulk", "scenes"}]


@pytest.mark.parametrize("command", ["serve", "bulk", "scenes", TRAINERS[0]])
def test_each_program_shows_its_own_options(installed: Installed, command: str) -> None:
    ended = installed.call(command, "--help")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"usage: glimpse {command} ")


def test_an_unknown_command_is_refused_with_the_known_ones(installed: Installed) -> None:
    ended = installed.call("teach")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert all(command in ended.stderr for command in COMMANDS)


@pytest.mark.parametrize("command", TRAINERS)
def test_the_trainer_gets_its_commands_with_their_arguments(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[tuple[list[str], str]] = []

    def run(arguments: list[str], *, prog: str) -> int:
        got.append((arguments, prog))
        return 7

    monkeypatch.setattr("trainer.__main__.run", run)
    assert main([command, "--help", "x"]) == 7
    assert got == [([command, "--help", "x"], "glimpse")]


@pytest.mark.parametrize("command", TRAINERS)
def test_without_torch_the_trainers_commands_say_what_to_install(installed: Installed, command: str) -> None:
    ended = installed.call(command, "--help", absent=("torch",))
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        1,
        "",
        f"glimpse {command} needs torch, which is not installed: pip install 'glimpse-attention[trainer]'\n",
    )


def test_a_module_of_ours_that_is_missing_is_no_matter_of_extras(installed: Installed) -> None:
    ended = installed.call("train", "--help", absent=("scenes.mnist",))
    assert ended.returncode == 1
    assert "ModuleNotFoundError" in ended.stderr


def test_what_the_trainer_needs_is_what_its_extra_installs() -> None:
    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[^\w-]", line)[0] for line in requirements}

    extra = names(PROJECT["optional-dependencies"]["trainer"])
    assert extra - names(PROJECT["dependencies"]) == NEEDED_BY_TRAINER


def test_it_serves_the_page_and_answers_without_torch(installed: Installed) -> None:
    absent = tuple(sorted(NEEDED_BY_TRAINER))
    server = subprocess.Popen(
        [sys.executable, "-P", "-c", CALL.format(absent=absent), "serve", "--port", "0"],
        cwd=installed.folder.parent,
        env={**installed.environment, "GLIMPSE_WORKERS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        greeting = server.stdout.readline()  # returns at the line or at the process's end
        found = re.search(r"http://127\.0\.0\.1:\d+", greeting)
        assert found, server.communicate(timeout=END_S)
        for path, part in (("/", b"<!doctype html>"), ("/synthesize/json?seed=7&predict=true", b'"bbox"')):
            with urllib.request.urlopen(found[0] + path, timeout=END_S) as answer:
                assert part in answer.read()
    finally:
        server.terminate()
        server.communicate(timeout=END_S)
    assert server.returncode == 0
