"""Each of `examples/`, run as a reader would, against a live service that asks for a key."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
END_S = 120
KEY = "a-key-that-only-tests-know"
LINE = r"a 3 with \d+%, \d+ × \d+ px at \(\d+, \d+\)\n"


@dataclass(frozen=True)
class Service:
    """A live service, and a scene that it drew: a 3 among clutter."""

    address: str
    scene: Path
    text: Path  # a file that is no picture

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command from the root, as the README of the examples does."""
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=END_S
        )

    @property
    def environment(self) -> dict[str, str]:
        # The project's root is on the path, as if the project were installed.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GLIMPSE_")}
        given = {"GLIMPSE_ADDRESS": self.address, "GLIMPSE_API_KEY": KEY, "PYTHONPATH": str(ROOT)}
        return kept | given


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("examples")
    server = subprocess.Popen(
        [sys.executable, "-m", "glimpse", "serve", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "GLIMPSE_API_KEYS": KEY, "GLIMPSE_WORKERS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
        assert found, server.communicate(timeout=END_S)
        scene, text = folder / "scene.png", folder / "text.png"
        request = urllib.request.Request(
            f"{found[0]}/synthesize?digit=3&clutter=6&seed=7", headers={"X-API-Key": KEY}
        )
        with urllib.request.urlopen(request, timeout=END_S) as answer:
            scene.write_bytes(answer.read())
        text.write_text("no picture", encoding="utf-8")
        yield Service(found[0], scene, text)
    finally:
        server.terminate()
        server.communicate(timeout=END_S)


def needs(program: str) -> str:
    """The path of a program, or a skip that names it."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


@pytest.fixture(scope="module")
def node() -> str:
    path = needs("node")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip("v\n").partition(".")[0]) < 20:
        pytest.skip(f"predict.js needs Node 20 or newer, this is {version.strip()}")
    return path


def test_curl(service: Service) -> None:
    needs("curl")
    for given in ([], [str(service.scene)]):
        ended = service.run("examples/curl.sh", *given)
        assert ended.returncode == 0, ended.stderr
        one, many = map(json.loads, ended.stdout.splitlines())
        assert [answer["label"] for answer in (one, *many)] == [3, 3, 3]


def test_curl_ends_with_the_reason_where_a_file_is_no_picture(service: Service) -> None:
    needs("curl")
    ended = service.run("examples/curl.sh", str(service.text))
    assert ended.returncode != 0
    assert "detail" in json.loads(ended.stdout)


@pytest.mark.parametrize("program", ["python", "node"])
def test_predict(service: Service, program: str, request: pytest.FixtureRequest) -> None:
    command = (
        (sys.executable, "examples/predict.py")
        if program == "python"
        else (request.getfixturevalue("node"), "examples/predict.js")
    )
    for given in ((), (str(service.scene),), (str(service.scene), service.address)):
        ended = service.run(*command, *given)
        assert ended.returncode == 0, ended.stderr
        assert re.fullmatch(LINE, ended.stdout)
    refused = service.run(*command, str(service.text))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert re.fullmatch(r"4\d\d: .+\n", refused.stderr)


def test_triton_client(service: Service) -> None:
    if importlib.util.find_spec("tritonclient") is None:
        pytest.skip("tritonclient is not installed")
    ended = service.run(sys.executable, "examples/triton_client.py")
    assert ended.returncode == 0, ended.stderr
    assert re.fullmatch(r"(a \d, \d+ × \d+ px at \(\d+, \d+\)\n){2}", ended.stdout)


def test_embed(service: Service) -> None:
    ended = service.run(sys.executable, "examples/embed.py", str(service.scene), str(service.text))
    assert ended.returncode == 1
    assert re.fullmatch(
        re.escape(str(service.scene)) + r": a 3, \d+ × \d+ px at \(\d+, \d+\)\n", ended.stdout
    )
    assert ended.stderr.startswith(f"{service.text}: ")


def test_each_is_short_named_in_the_readme_and_run_here() -> None:
    files = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([\w.]+)\)", readme)) == files
    here = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in sorted(files) if f"examples/{name}" not in here] == []
    lengths = {name: len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) for name in files}
    assert {name: length for name, length in lengths.items() if length > 60} == {}
